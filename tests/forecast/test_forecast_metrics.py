from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from brainlm_core.base.errors import AnalysisError
from brainlm_core.features.forecast.intervals import coverage, quantiles_at
from brainlm_core.features.forecast.metrics import (
    Backtest,
    network_scores,
    parcel_scores,
    race,
    skill_map,
)
from brainlm_core.features.forecast.verdict import verdict


def backtest(starts: int = 40, steps: int = 6, parcels: int = 15, seed: int = 0, **noise: float) -> Backtest:
    """Each method is the truth plus noise of a stated size, shrunk as the best forecast would be."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(1, 5, size=(starts, parcels)).astype(np.float32)
    centre = rng.uniform(-50, 50, size=(starts, parcels)).astype(np.float32)
    z = rng.normal(size=(starts, steps, parcels))

    def method(size: float) -> np.ndarray:
        seen = (z + size * rng.normal(size=z.shape)) / (1 + size**2)
        return (centre[:, None] + spread[:, None] * seen).astype(np.float32)

    sizes = {"model": 0.5, "mean": 1e6, "last_value": 2.0, "ar": 1.0, "ridge": 0.8} | noise
    truth = (centre[:, None] + spread[:, None] * z).astype(np.float32)
    forecasts = {name: method(size) for name, size in sizes.items()}
    at = 200 + 20 * np.arange(starts)
    return Backtest(at, 0.72, truth, forecasts, centre, spread, np.ones(parcels, dtype=bool))


def test_r2_equals_scikit_learn():
    test = backtest()
    result = race(test)
    for method in test.methods:
        for step in range(test.n_steps):
            y = test.in_sd(test.truth)[:, step].ravel()
            f = test.in_sd(test.forecasts[method])[:, step].ravel()
            np.testing.assert_allclose(result.values["r2"][method][step], r2_score(y, f), atol=1e-9)
            np.testing.assert_allclose(result.values["mse"][method][step], np.mean((y - f) ** 2), atol=1e-9)
            if method != "mean":
                r = np.corrcoef(y, f)[0, 1]
                np.testing.assert_allclose(result.values["correlation"][method][step], r, atol=1e-6)
    per_parcel = parcel_scores(test, "ar")
    y, f = test.in_sd(test.truth)[..., 3].ravel(), test.in_sd(test.forecasts["ar"])[..., 3].ravel()
    np.testing.assert_allclose(per_parcel[3], r2_score(y, f), atol=1e-9)


def test_intervals_hold_the_value_and_need_start_points():
    result = race(backtest())
    for method, values in result.values["r2"].items():
        low, high = result.intervals["r2"][method].T
        assert (low <= values + 1e-9).all() and (values <= high + 1e-9).all(), method
        assert (high - low < 0.4).all() or method == "last_value"
    few = race(backtest(starts=3))
    assert np.isnan(few.intervals["r2"]["model"]).all()
    assert np.isnan(few.ahead).all()


def test_flat_parcels_change_nothing():
    test = backtest()
    usable = np.ones(15, dtype=bool)
    usable[4] = False
    spread = test.spread.copy()
    spread[:, 4] = 0
    broken = Backtest(test.starts, 0.72, test.truth, test.forecasts, test.centre, spread, usable)
    keep = np.arange(15) != 4
    cut = {k: v[..., keep] for k, v in test.forecasts.items()}
    whole = Backtest(
        test.starts,
        0.72,
        test.truth[..., keep],
        cut,
        test.centre[:, keep],
        test.spread[:, keep],
        usable[keep],
    )
    np.testing.assert_allclose(race(broken).values["r2"]["ar"], race(whole).values["r2"]["ar"], atol=1e-12)
    skill, best = skill_map(broken)
    assert best == "ridge"
    assert np.isnan(skill[4]) and np.isfinite(np.delete(skill, 4)).all()
    assert np.nanmean(skill) > 0.05
    assert set(network_scores(broken, tuple("ab"[i == 4] for i in range(15)))) == {"a"}


def test_networks_add_up_to_the_whole():
    test = backtest()
    split = network_scores(test, tuple("ab"[i % 2] for i in range(15)), "mse")
    whole = race(test).values["mse"]["ridge"]
    np.testing.assert_allclose((8 * split["a"]["ridge"] + 7 * split["b"]["ridge"]) / 15, whole, atol=1e-12)


def test_the_sentence_names_the_winner_and_its_end():
    said = verdict(race(backtest(starts=80)))
    assert said.winners == ("model",) * 6
    assert "beats every baseline" in said.sentence
    assert said.ahead_until_s == pytest.approx(6 * 0.72)
    said = verdict(race(backtest(starts=80, model=3.0)))
    assert said.sentence.startswith("Ridge VAR wins")
    assert said.ahead_until_s == 0
    nobody = {m: 1e6 for m in ("model", "ar", "ridge", "last_value")}
    said = verdict(race(backtest(starts=80, **nobody)))
    assert said.skill_until_s == 0 and "Nobody" in said.sentence


def test_no_truth_is_said():
    test = backtest(starts=6)
    nothing = np.full_like(test.truth, np.nan)
    blind = Backtest(test.starts, 0.72, nothing, test.forecasts, test.centre, test.spread, test.usable)
    with pytest.raises(AnalysisError, match="nothing was measured"):
        race(blind)


def test_intervals_look_back_only():
    test = backtest(starts=12)
    known = quantiles_at(int(test.starts[6]), test)
    later = {**test.forecasts, "model": test.forecasts["model"].copy()}
    later["model"][6:] += 1000
    changed = Backtest(test.starts, 0.72, test.truth, later, test.centre, test.spread, test.usable)
    np.testing.assert_array_equal(quantiles_at(int(test.starts[6]), changed), known)
    assert np.isnan(quantiles_at(int(test.starts[1]), test)).all()
    near = quantiles_at(int(test.starts[2]) + 3, test)  # the third forecast's first three steps are seen
    assert np.isfinite(near[:3]).all() and np.isnan(near[3:]).all()


def test_coverage_is_nominal_for_exchangeable_errors():
    test = backtest(starts=60, parcels=60)
    nothing = np.zeros_like(test.truth)
    held = coverage(test, nothing)
    assert held.share == pytest.approx(0.9, abs=0.02)
    assert held.n_starts == 57
    wider = coverage(test, np.repeat(test.spread[:, None], 6, axis=1))
    assert wider.share > 0.98
    assert coverage(backtest(starts=2), nothing[:2, :, :15]).share is None
