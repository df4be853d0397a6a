"""The figures that the Model page draws are those of the card."""

from __future__ import annotations

from pathlib import Path

from brainlm_core.model_card import CardValue, read_card
from brainlm_core.weights import default_folder

CARD = """# A card

## What it is

Prose with | a bar.

### Scores, R²

| | 20 % | future |
|---|---|---|
| model | 0.407 (0.358 to 0.432) | -0.05 |
| ridge | 0.389 (0.342 to 0.413) | |

## Words

| bar | reached |
|---|---|
| one | yes |
"""


def test_tables_of_figures_are_read_and_others_left(tmp_path: Path) -> None:
    (tmp_path / "MODEL_CARD.md").write_text(CARD, encoding="utf-8")
    card = read_card(tmp_path)
    assert card is not None
    (table,) = card.tables
    assert table.title == "Scores, R²" and table.columns == ("20 %", "future")
    assert table.rows["model"] == (CardValue(0.407, (0.358, 0.432)), CardValue(-0.05, None))
    assert table.rows["ridge"][1] is None
    assert card.section("What it is") == card.section("What it is").strip() != ""
    assert card.section("Nowhere") == ""


def test_no_card_is_none(tmp_path: Path) -> None:
    assert read_card(tmp_path) is None


def test_the_bundled_card_holds_model_baselines_and_twin_in_every_table() -> None:
    card = read_card(default_folder())
    assert card is not None
    assert len(card.tables) >= 6
    for table in card.tables:
        names = " ".join(table.rows)
        assert "model" in names and "random-weights twin" in names, table.title
        assert len(table.rows) >= 5
    text = (default_folder() / "MODEL_CARD.md").read_text(encoding="utf-8")
    for table in card.tables:
        for values in table.rows.values():
            assert all(v is None or f"{abs(v.value):.3f}" in text for v in values)
