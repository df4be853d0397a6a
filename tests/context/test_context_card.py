"""The card of the bundled context network: the figures that its page shows are those that its text tells."""

from __future__ import annotations

from brainlm_core.features.shared.model_card import load_card
from brainlm_core.inference.weights import bundled_folder


def test_the_card_says_what_the_text_says() -> None:
    folder = bundled_folder("context")
    card = load_card(folder)
    assert card is not None
    table, text = card.table("masked_context"), (folder / "MODEL_CARD.md").read_text("utf-8")
    assert table is not None
    for key in ("model", "ridge"):
        row = table.row(key)
        assert row is not None
        told = " / ".join(f"{v.value:.3f}".lstrip("0") for v in row.values if v is not None)
        assert told in " ".join(text.split()), (key, told)
    one_window = next(b for b in card.distance_to_bars if b.key == "one_window")
    assert not one_window.reached and "stays below it at 90 %" in text
