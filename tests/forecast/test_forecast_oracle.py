"""A process whose best forecast is known in closed form: x(t+1) = A x(t) + e(t), stable."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_recordings import recording_of

from brainlm_core.features.forecast.analysis import ForecastOptions, back_test, plan
from brainlm_core.features.forecast.metrics import Backtest, race
from brainlm_core.features.shared.baselines import baseline_forecasts

PARCELS, SEEN, STEPS, STARTS = 30, 180, 8, 400


def simulate(a: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros((n + 200, len(a)))
    for t in range(1, len(x)):
        x[t] = a @ x[t - 1] + rng.normal(size=len(a))
    return x[200:].T


def expected_r2(a: np.ndarray) -> np.ndarray:
    """Explained variance of the best forecast, per step: 1 - error covariance / covariance."""
    total = np.eye(len(a))
    for _ in range(2000):
        total = a @ total @ a.T + np.eye(len(a))
    spread = np.diag(total)
    error, power, out = np.zeros_like(a), np.eye(len(a)), []
    for _ in range(STEPS):
        error = error + power @ power.T
        power = a @ power
        out.append(1 - np.mean(np.diag(error) / spread))
    return np.array(out)


def race_track(a: np.ndarray) -> Backtest:
    x = simulate(a, SEEN + STEPS + 25 * STARTS)
    starts = SEEN + 25 * np.arange(STARTS)
    seen = np.stack([x[:, s - SEEN : s] for s in starts]).astype(np.float32)
    truth = np.stack([x[:, s : s + STEPS].T for s in starts]).astype(np.float32)
    state, oracle = x[:, starts - 1], []
    for _ in range(STEPS):
        state = a @ state
        oracle.append(state.T)
    forecasts = {"model": np.stack(oracle, axis=1).astype(np.float32), **baseline_forecasts(seen, STEPS)}
    ones = np.ones((STARTS, PARCELS), dtype=np.float32)
    spread = x.std(axis=1)[None].astype(np.float32) * ones
    return Backtest(starts, 1.0, truth, forecasts, 0 * ones, spread, np.ones(PARCELS, dtype=bool))


def coupled(seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(PARCELS, PARCELS))
    return 0.85 * a / np.abs(np.linalg.eigvals(a)).max()


@pytest.mark.parametrize("kind", ["diagonal", "coupled"])
def test_no_method_beats_the_oracle_and_the_oracle_is_the_closed_form(kind):
    a = np.diag(np.linspace(0.5, 0.95, PARCELS)) if kind == "diagonal" else coupled()
    result = race(race_track(a))
    oracle = result.values["r2"]["model"]
    np.testing.assert_allclose(oracle, expected_r2(a), atol=0.03)
    for method in ("mean", "last_value", "ar", "ridge"):
        mse = result.values["mse"]
        assert (mse["model"] <= mse[method] + 2e-3).all(), method
        assert mse["model"][0] < mse[method][0], method


def test_ar_reaches_the_oracle_where_parcels_are_independent():
    a = np.diag(np.linspace(0.5, 0.95, PARCELS))
    result = race(race_track(a))
    oracle, own = result.values["mse"]["model"], result.values["mse"]["ar"]
    assert (own <= 1.04 * oracle).all(), own / oracle
    assert result.values["r2"]["ar"][0] > 0.97 * result.values["r2"]["model"][0]


def test_ridge_uses_what_ar_cannot_see():
    result = race(race_track(coupled()))
    assert result.values["r2"]["ridge"][0] > result.values["r2"]["ar"][0] + 0.1


def test_no_model_beats_the_oracle_in_the_whole_pipeline(tiny):
    a = np.diag(np.linspace(0.5, 0.95, 12))
    signals = simulate(a, 100 + 60 * 20)
    recording = recording_of(1000 + 7 * signals)
    what = plan(recording, tiny.spec, ForecastOptions(n_starts=60))
    test, _ = back_test(tiny, recording, what, twin=tiny)
    state, oracle = signals[:, test.starts - 1], []
    for _ in range(test.n_steps):
        state = a @ state
        oracle.append(1000 + 7 * state.T)
    best = {**test.forecasts, "model": np.stack(oracle, axis=1).astype(np.float32)}
    errors = race(Backtest(test.starts, 1.0, test.truth, best, test.centre, test.spread, test.usable))
    own = race(test)
    for method, values in own.values["mse"].items():
        assert (errors.values["mse"]["model"] <= values + 0.02).all(), method
    assert own.values["r2"]["ar"][0] > 0.4
