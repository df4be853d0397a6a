"""The bundled card: its numbers, its Markdown and the weights' folder agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brainlm_core.analyses.model_card import (
    CARD_NAME,
    MARKDOWN_NAME,
    METHODS,
    Score,
    fill_markdown,
    load_card,
)
from brainlm_core.errors import CheckpointError
from brainlm_core.weights import default_folder


def test_markdown_shows_the_numbers_of_the_card() -> None:
    card = load_card(default_folder())
    assert card is not None
    text = (default_folder() / MARKDOWN_NAME).read_text(encoding="utf-8")
    assert fill_markdown(text, card) == text


def test_every_figure_of_the_model_stands_beside_baselines_and_the_random_twin() -> None:
    card = load_card(default_folder())
    assert card is not None
    for table in card.tables:
        assert table.rows[0].key == "model"
        assert table.row("random_twin") is not None and len(table.rows) >= 4
        assert all(len(row.values) == len(table.columns) and row.key in METHODS for row in table.rows)
        for score in filter(None, table.rows[0].values):
            assert score.ci95 is not None and score.ci95[0] <= score.value <= score.ci95[1]
    assert all(bar.reached == (min(bar.distance) >= 0) for bar in card.distance_to_bars)


def test_card_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    card = load_card(default_folder())
    assert card is not None
    card.save(tmp_path)
    assert load_card(tmp_path) == card
    assert load_card(tmp_path / "elsewhere") is None


def test_damaged_card_is_refused(tmp_path: Path) -> None:
    shutil.copyfile(default_folder() / CARD_NAME, tmp_path / CARD_NAME)
    (tmp_path / CARD_NAME).write_text((tmp_path / CARD_NAME).read_text(encoding="utf-8")[:-40])
    with pytest.raises(CheckpointError, match="damaged"):
        load_card(tmp_path)


def test_missing_place_in_the_markdown_is_named() -> None:
    card = load_card(default_folder())
    assert card is not None
    with pytest.raises(CheckpointError, match="masked_hcp"):
        fill_markdown("no marks", card)


def test_score_reads_as_value_and_interval() -> None:
    assert str(Score(0.4071, (0.358, 0.432))) == "0.407 (0.358 to 0.432)"
    assert str(Score(0.5)) == "0.500"
