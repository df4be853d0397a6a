"""Compared methods are declared once: an entry of the table is found wherever methods are compared."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from brainlm_core.base.methods import FORMER_KEYS, METHODS, TASKS, Method, Wording, best_baseline, methods_of

ROOT = Path(__file__).resolve().parents[2]
FAKE = Method(
    "fake", "baseline", "Fake row", "the fake", "#112233", "#AABBCC", "square", "longdash",
    {task: Wording(f"Fake {task}", f"the fake of {task}") for task in TASKS},
)  # fmt: skip


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Method:
    monkeypatch.setitem(METHODS, "fake", FAKE)
    return FAKE


def back_test():
    from brainlm_core.features.forecast.metrics import Backtest

    rng = np.random.default_rng(0)
    truth = rng.normal(size=(8, 5, 12)).astype(np.float32)
    forecasts = {
        m: np.zeros_like(truth) for m in ("model", "mean", "last_value", "ar", "ridge", "random_twin")
    }
    forecasts["fake"] = (0.9 * truth).astype(np.float32)
    zeros, ones = np.zeros((8, 12), np.float32), np.ones((8, 12), np.float32)
    return Backtest(np.arange(8) * 10, 1.0, truth, forecasts, zeros, ones, np.ones(12, bool))


def test_a_forecast_method_reaches_race_verdict_strip_chart_table_report_and_card(fake) -> None:
    from app.forecast import charts as forecast_charts
    from app.forecast import exports as forecast_exports
    from brainlm_core.features.forecast.figures import strip_rows
    from brainlm_core.features.forecast.metrics import race, race_to_dict
    from brainlm_core.features.forecast.verdict import verdict
    from brainlm_core.report import figures
    from brainlm_core.training.card import _forecast

    test = back_test()
    result = race(test)
    assert set(result.best_baseline) == {"fake"}
    said = verdict(result)
    assert "fake of forecast" in said.sentence.lower() and set(said.winners) == {"fake"}
    assert "fake" in race_to_dict(result)["r2"]
    assert "Fake forecast" in [row.label for row in strip_rows(result)]
    assert "Fake forecast" in [trace.name for trace in forecast_charts.race_figure(result, said).data]
    whole = SimpleNamespace(
        race=result,
        coverage=SimpleNamespace(share=None),
        forecast=SimpleNamespace(tr_s=1.0),
        parcellation=None,
    )
    assert "Fake forecast" in forecast_exports.race_in_words(whole).columns
    drawn = figures.race(whole)
    assert drawn is not None and "Fake forecast" in drawn.drawing and "r2_fake" in drawn.data
    scores = {"r2": {m: [0.1] * 20 for m in ("model", "fake")}, "r2_ci95": dict.fromkeys(("model", "fake"))}
    assert [row.key for row in _forecast("k", "t", {"forecast": scores}).rows] == ["model", "fake"]


def test_a_network_method_reaches_strip_table_sentence_and_card(fake) -> None:
    from app.networks.tables import scores_table
    from brainlm_core.features.networks.figures import strip_rows, who_wins
    from brainlm_core.features.networks.metrics import Score
    from brainlm_core.features.networks.scores import MethodScores, score_table
    from brainlm_core.training.card import _networks

    high, low = Score(0.9, (0.88, 0.92)), Score(0.3, (0.28, 0.32))
    rows = (MethodScores("attention", low, low, low), MethodScores("fake", high, high, high))
    assert "Fake networks" in [row.label for row in strip_rows(rows, "knn")]
    assert "Fake networks" in [row.label for row in strip_rows(rows, "ari")]
    assert "Fake networks" in list(scores_table(rows)["Description of parcels"])
    assert "the fake of networks" in who_wins(rows)
    table = score_table(rows)
    card = _networks({"networks": {**table, "group_average": table}})
    assert [row.key for row in card.rows] == ["model", "fake"]


def test_a_prediction_of_a_response_reaches_strip_and_table(fake) -> None:
    from app.perturb.charts import agreement_table
    from brainlm_core.features.perturb.companions import Agreement
    from brainlm_core.features.perturb.figures import strip_rows

    one = Agreement("fake", 0.4, np.linspace(-1, 1, 50), 0.2, np.zeros(3, np.float32))
    row = next(r for r in strip_rows([one]) if r.method == "fake")
    assert row.value == 0.4 and row.label == "Fake perturb"
    assert list(agreement_table([one])["Prediction"]) == ["The fake of perturb"]


def test_a_reconstruction_method_reaches_strip_sentence_and_sweep(fake) -> None:
    from app.model.charts import sweep_figure
    from brainlm_core.features.reconstruct.analysis import ReconstructResult, Score, Sweep
    from brainlm_core.features.reconstruct.figures import sentence, strip_rows

    result = object.__new__(ReconstructResult)
    object.__setattr__(result, "scores", {"model": Score(0.3, 0.2, 0.4), "fake": Score(0.5, 0.4, 0.6)})
    object.__setattr__(result, "model", SimpleNamespace(is_random=False))
    assert result.best_baseline == "fake" and "the fake of reconstruct" in sentence(result)
    assert "Fake reconstruct" in [row.label for row in strip_rows(result)]
    drawn = sweep_figure(Sweep("share", (0.1, 0.2), {"model": (0.1, 0.2), "fake": (0.2, 0.3)}))
    assert "Fake reconstruct" in [trace.name for trace in drawn.data]


def test_a_decoding_method_reaches_strip_and_sentence(fake) -> None:
    from brainlm_core.features.decode.figures import one_sentence, strip_rows
    from brainlm_core.features.decode.scores import Score

    score = Score(0.5, (0.4, 0.6), None, None, {})
    result = SimpleNamespace(metric="r2", scores={"model": score, "fake": score})
    assert [row.label for row in strip_rows(result)][-1] == "Fake decode"
    assert "the fake of decode" in one_sentence(result, "Age")


def test_the_table_is_sound() -> None:
    for key, method in METHODS.items():
        assert key == method.key and method.title and method.words and method.svg_dash is not None
        assert set(method.tasks) <= set(TASKS)
    for task in TASKS:
        assert len(methods_of(task, "model")) == 1
        drawn = [(METHODS[m].light, METHODS[m].dash, METHODS[m].marker) for m in methods_of(task)]
        assert len(set(drawn)) == len(drawn), f"two methods of {task} look the same"
    assert not set(FORMER_KEYS) & set(METHODS) and set(FORMER_KEYS.values()) <= set(METHODS)
    assert best_baseline({"model": 3.0, "no_scan": 2.0, "ar": 1.0, "mean": float("nan")}, "forecast") == "ar"


def test_nobody_keeps_a_second_list_of_methods() -> None:
    """No other module names three or more methods in one literal at its top, be it order, words or dashes."""
    found = []
    for folder in ("brainlm_core", "app", "pages"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "methods.py":
                continue
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                    continue
                if any(isinstance(n, ast.Name | ast.Call | ast.Attribute) for n in ast.walk(node.value)):
                    continue  # a registry of functions, not of names
                words = {n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)}
                named = {
                    w for w in words if w in METHODS and w not in ("model", "mean", "other", "attention")
                }
                if len(named) >= 3:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {sorted(named)}")
    assert not found, found


def test_cards_of_earlier_versions_are_read_with_todays_keys(tmp_path) -> None:
    import shutil

    from brainlm_core.features.shared.model_card import load_card
    from brainlm_core.inference.weights import default_folder

    former = "connectivity_and_coordinates"
    shutil.copy(default_folder() / "card.json", tmp_path / "card.json")
    text = (tmp_path / "card.json").read_text().replace("connectivity_coordinates", former)
    (tmp_path / "card.json").write_text(text)
    card = load_card(tmp_path)
    assert card is not None
    assert all(row.key in METHODS for table in card.tables for row in table.rows)
