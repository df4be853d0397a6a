from __future__ import annotations

import numpy as np
import pytest

from app.networks import attention_charts as charts
from brainlm_core.base.atlas import a424
from brainlm_core.features.networks.scores import MethodScores, Score


def row(method: str, value: float | None, half: float = 0.05) -> MethodScores:
    ends = None if value is None else (value - half, value + half)
    score = Score(value, ends, "" if value is not None else "only 3 parcels have a known network")
    return MethodScores(method, score, score, score)


def said(model: float, connectivity: float, twin: float | None = 0.3) -> str:
    rows = [row("attention", model), row("functional_connectivity", connectivity), row("coordinates", 0.5)]
    if twin is not None:
        rows.append(row("random_twin", twin))
    return charts.who_wins(rows)


@pytest.mark.parametrize(
    ("model", "connectivity", "words"),
    [(0.8, 0.6, "more often than"), (0.6, 0.8, "less often than"), (0.62, 0.64, "about as often as")],
)
def test_the_sentence_says_who_wins(model: float, connectivity: float, words: str) -> None:
    text = said(model, connectivity)
    assert words in text and f"{model:.0%}"[:-1] in text and f"{connectivity:.0%}"[:-1] in text


def test_the_best_baseline_is_named_not_the_weakest() -> None:
    rows = [row("attention", 0.6), row("functional_connectivity", 0.5), row("group_connectivity", 0.85)]
    assert "group's average connectivity, without a scan" in charts.who_wins(rows)


def test_a_model_no_better_than_random_weights_is_said_to_be_so() -> None:
    assert "Training adds nothing here" in said(0.6, 0.8, twin=0.59)
    assert "Without training" in said(0.6, 0.8, twin=0.3)


def test_random_weights_are_not_compared_with_themselves() -> None:
    rows = [row("attention", 0.5), row("functional_connectivity", 0.7), row("random_twin", 0.5)]
    text = charts.who_wins(rows, is_random=True)
    assert text.startswith("The attention of random weights") and "Training" not in text


def test_no_score_gives_the_reason() -> None:
    assert "only 3 parcels" in charts.who_wins([row("attention", None)])
    assert "Reading" in charts.who_wins([])


def test_strip_has_every_method_from_the_start() -> None:
    rows = charts.strip_rows([], "knn")
    assert [r.value for r in rows] == [None] * len(rows) and len(rows) >= 5


def test_relative_attention_is_one_for_an_even_spread() -> None:
    even = np.full((424, 424), 1 / 424, dtype=np.float32)
    np.testing.assert_allclose(charts.relative(even), 1, rtol=1e-6)


def test_row_panel_leaves_the_parcel_itself_out_of_the_scale() -> None:
    values = np.full((424, 424), 1 / 424, dtype=np.float32)
    values[7, 7] = 1.0
    panel = charts.attention_row(values, a424(), 7)
    assert panel.limits == (0.0, 1.0)
    assert panel.values[0, 7] == 424


def test_strongest_groups_are_named_in_order() -> None:
    parcels = a424()
    visual = np.array(parcels.group) == "Visual"
    values = np.where(visual, 3 / 424, 0.5 / 424).astype(np.float32)
    text = charts.strongest_groups(values, parcels, int(np.flatnonzero(visual)[0]))
    assert "Visual 3.0" in text and text.index("Visual 3.0") < text.index(" 0.5")
