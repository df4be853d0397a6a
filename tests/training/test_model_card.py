"""The bundled card: its numbers, its Markdown and the weights' folder agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from brainlm_core.base.errors import CheckpointError
from brainlm_core.base.methods import METHODS
from brainlm_core.features.shared.model_card import (
    CARD_NAME,
    MARKDOWN_NAME,
    Score,
    fill_markdown,
    load_card,
)
from brainlm_core.inference.weights import default_folder
from brainlm_core.training.card import MASK_NAMES, build_card


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
        for column, score in zip(table.columns, table.rows[0].values, strict=True):
            if "mean error" in column or "balanced" in column:  # companions of a figure with an interval
                continue
            assert score is not None and score.ci95 is not None
            assert score.ci95[0] <= score.value <= score.ci95[1]
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


def _scores(*methods: str, start: float = 0.3) -> dict[str, dict[str, object]]:
    return {
        m: {"value": start - 0.05 * i, "ci95": [start - 0.05 * i - 0.1, start - 0.05 * i + 0.1]}
        for i, m in enumerate(methods)
    }


def test_card_is_built_from_evaluations(tmp_path: Path) -> None:
    masked = {k: _scores("model", "ridge", "random_twin") for k in MASK_NAMES}
    steps = {"model": [0.3] * 20, "ar": [0.2] * 20, "mean": [0.31] * 20}
    forecast = {"r2": steps, "r2_ci95": dict.fromkeys(steps)}
    networks = {
        k: _scores("attention", "random_twin", "functional_connectivity", start=0.8)
        for k in ("knn_accuracy", "knn_accuracy_homologues")
    }
    hcp = {
        "n_subjects": 3,
        "masked_r2": masked,
        "forecast": forecast,
        "networks": {**networks, "group_average": networks},
    }
    sex = _scores("model", "functional_connectivity", start=0.7)
    for score in sex.values():
        score["balanced_accuracy"] = 0.6
    decode = {"decode": {"sex": {"n": 50, "scores": sex}}}
    card = build_card(hcp, {"n_evaluated": 12, "masked_r2": masked, "forecast": forecast}, decode)
    bars = {b.key: b for b in card.distance_to_bars}
    assert bars["masked_ridge"].distance == pytest.approx((0.05, 0.05, 0.05)) and bars["masked_ridge"].reached
    assert bars["masked_best_linear"].distance == pytest.approx((0.024, 0.028, 0.019))
    assert bars["forecast_ar"].distance == pytest.approx([0.1] * 5)
    assert bars["forecast_mean"].distance == pytest.approx([-0.01] * 2) and not bars["forecast_mean"].reached
    assert bars["networks_average"].distance == pytest.approx([0.8 - 0.838])
    table = card.table("decode_abide")
    assert table is not None and table.columns == ("sex, AUC", "sex, balanced accuracy")
    card.save(tmp_path)
    again = load_card(tmp_path)
    assert again is not None and again.distance_to_bars == card.distance_to_bars
    assert [t.key for t in again.tables] == [t.key for t in card.tables]
