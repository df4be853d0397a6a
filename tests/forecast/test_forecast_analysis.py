from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from forecast_recordings import recording_of

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.features.forecast import analysis
from brainlm_core.features.forecast.analysis import ForecastOptions, analyse, back_test, forecast_from, plan
from brainlm_core.features.forecast.figures import strip_rows
from brainlm_core.features.forecast.metrics import with_control
from brainlm_core.features.forecast.verdict import verdict
from brainlm_core.features.forecast.windows import Look, forecast_looks, make_grid
from brainlm_core.features.shared.controls import control_recording
from brainlm_core.model.base import InputSpec


class Echo:
    """An engine whose answer is known: every hidden sample repeats the visible one ``period`` before."""

    def __init__(self, tr_s: float | None = None, period: int = 25, patch: int = 10) -> None:
        self.spec = InputSpec(n_parcels=None, n_timepoints=100, patch_length=patch, tr_s=tr_s)
        self.period = period
        self.asked: list[np.ndarray] = []

    def reconstruct(self, windows, hidden, *, only_hidden=False, progress=None, cancel=None):
        from brainlm_core.inference.results import Predicted

        hidden = np.broadcast_to(hidden, windows.values.shape)
        self.asked.append(hidden.copy())
        out = np.where(hidden, np.nan, windows.values)
        for t in range(1, out.shape[2]):
            blank = np.isnan(out[:, :, t])
            if t >= self.period:
                out[:, :, t][blank] = out[:, :, t - self.period][blank]
        return Predicted(np.nan_to_num(out).astype(np.float32), hidden)


def periodic(n: int = 300, tr_s: float = 1.0, period_s: float = 25.0) -> np.ndarray:
    phase = np.linspace(0, 2, 9)[:, None]
    return 300 + 20 * np.sin(2 * np.pi * (np.arange(n) * tr_s / period_s + phase))


def test_a_perfect_model_is_perfect_also_when_rolled_on():
    recording = recording_of(periodic(), tr_s=1.0)
    engine = Echo()
    for steps in (7, 20, 60):
        what = plan(recording, engine.spec, ForecastOptions(steps=steps, start=200))
        own = forecast_from(engine, recording, what)
        np.testing.assert_allclose(own.forecasts["model"], own.truth, atol=1e-3)
        assert what.grid.n_rolls == -(-steps // 20)


def test_nothing_after_the_start_is_read():
    signals = periodic()
    later = signals.copy()
    later[:, 200:] = 1e4
    engine = Echo()
    out = []
    for values in (signals, later):
        recording = recording_of(values, tr_s=1.0)
        own = forecast_from(
            engine, recording, plan(recording, engine.spec, ForecastOptions(start=200, members=4))
        )
        out.append(own)
    for name in out[0].forecasts:
        np.testing.assert_array_equal(out[0].forecasts[name], out[1].forecasts[name])
    np.testing.assert_array_equal(out[0].lower, out[1].lower)


def test_another_sampling_interval_is_brought_over_and_back_without_the_future():
    signals = periodic(240, tr_s=1.0, period_s=30.0)
    later = signals.copy()
    later[:, 160:] = -1e4
    engine = Echo(tr_s=0.5, period=60, patch=10)
    answers = []
    for values in (signals, later):
        recording = recording_of(values, tr_s=1.0)
        what = plan(recording, engine.spec, ForecastOptions(steps=12, start=160))
        assert what.grid.resampled and what.grid.model_steps == 25
        assert "resampled" in what.notices[0]
        answers.append(forecast_looks(engine, recording, what.grid, [Look(160, what.grid.context)])[0])
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_allclose(answers[0], signals[:, 160:172].T, atol=1.5)  # of an amplitude of 20


def test_hidden_end_starts_at_a_patch_border_and_short_contexts_stay_hidden():
    for patch, block in ((10, 20), (16, 20), (14, 30)):
        spec = InputSpec(n_parcels=None, n_timepoints=100, patch_length=patch)
        grid = make_grid(recording_of(periodic(), tr_s=1.0), spec, 20)
        assert grid.block == block and (grid.window - grid.block) % patch == 0
    engine, recording = Echo(), recording_of(periodic(), tr_s=1.0)
    grid = make_grid(recording, engine.spec, 20)
    forecast_looks(engine, recording, grid, [Look(200, 80), Look(200, 47), Look(200, 80, 0.3, 1)])
    hidden = engine.asked[0]
    assert hidden.shape == (3, 9, 100)
    assert hidden[:, :, 80:].all() and not hidden[0, :, :80].any()
    assert hidden[1, :, :40].all() and not hidden[1, :, 40:80].any()
    share = hidden[2, :, :80].mean()
    assert 0.15 < share < 0.45


def test_batched_back_test_equals_single_forecasts(tiny, recording):
    what = plan(recording, tiny.spec, ForecastOptions(n_starts=6, members=2))
    test, member_sd = back_test(tiny, recording, what)
    assert test.starts.tolist() == sorted(test.starts.tolist())
    assert (test.starts[0], test.starts[-1]) == (80, 140)
    for i, start in enumerate(test.starts):
        alone = forecast_from(
            tiny, recording, plan(recording, tiny.spec, ForecastOptions(start=int(start), members=2))
        )
        for name in ("model", "mean", "last_value", "ar", "ridge"):
            np.testing.assert_allclose(test.forecasts[name][i], alone.forecasts[name], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(member_sd[i], alone.member_sd, rtol=1e-2, atol=1e-3)
        np.testing.assert_array_equal(test.truth[i], alone.truth)


def test_whole_analysis_says_and_saves_the_same(tiny, recording, tmp_path):
    result = analyse(tiny, recording, ForecastOptions(n_starts=8, members=2), twin=tiny)
    facts = result.to_dict()
    methods = {"model", "random_twin", "no_scan", "mean", "last_value", "ar", "ridge", "linear_mix"}
    for measure in ("r2", "mse"):
        assert set(facts[measure]) == methods
        assert all(len(values) == 20 for values in facts[measure].values())
    assert 0 <= facts["coverage_90"] <= 1
    assert result.forecast.n_known == 20
    assert (result.forecast.lower < result.forecast.upper).all()
    files = result.save(tmp_path / "out")
    assert {p.name for p in files} == {
        "forecast.json", "forecast.csv", "race.csv", "parcels.csv", "networks.csv", "forecast.npz",
    }  # fmt: skip
    table = pd.read_csv(tmp_path / "out" / "forecast.csv")
    assert len(table) == 20 * 12
    np.testing.assert_allclose(
        table["model"].to_numpy().reshape(20, 12), result.forecast.forecasts["model"], rtol=1e-4
    )
    assert json.loads((tmp_path / "out" / "forecast.json").read_text())["r2"]["ar"] == facts["r2"]["ar"]
    with np.load(tmp_path / "out" / "forecast.npz") as store:
        np.testing.assert_array_equal(store["backtest_model"], result.backtest.forecasts["model"])


def test_beyond_the_end_there_is_no_truth_and_it_is_said(tiny, recording):
    result = analyse(tiny, recording, ForecastOptions(start=160, n_starts=4), twin=tiny)
    assert result.forecast.n_known == 0
    assert np.isnan(result.forecast.truth).all()
    assert np.isfinite(result.forecast.forecasts["model"]).all()
    assert any("beyond the end" in notice for notice in result.notices)
    assert result.forecast.times_s[0] == pytest.approx(160 * 0.735)


def test_flat_parcels_are_grey_and_unscored(tiny, recording):
    signals = recording.signals.copy()
    signals[[2, 7]] = 500.0
    flat = replace(recording, signals=signals)
    result = analyse(tiny, flat, ForecastOptions(n_starts=6), twin=tiny)
    assert result.forecast.usable.sum() == 10
    assert np.isnan(result.forecast.in_sd(result.forecast.truth)[:, [2, 7]]).all()
    assert any("2 parcels" in notice for notice in result.notices)
    assert np.isfinite(result.to_dict()["r2"]["model"]).all()
    nothing = replace(recording, signals=np.full_like(signals, 3.0))
    with pytest.raises(AnalysisError, match="no parcel varies"):
        analyse(tiny, nothing, ForecastOptions(n_starts=6), twin=tiny)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 150}, "longer than the 10 left"),
        ({"start": 10}, "too early"),
        ({"start": -4}, "too early"),
        ({"start": 161}, "ends at volume 160"),
        ({"steps": 150}, "wants to see 80"),
        ({"start": 70, "context": 80}, "too early"),
    ],
)
def test_what_cannot_be_forecast_is_refused(tiny, recording, options, words):
    with pytest.raises(AnalysisError, match=words):
        plan(recording, tiny.spec, ForecastOptions(**options))


def test_settings_out_of_range_are_refused(tiny, recording):
    for options in ({"steps": 0}, {"steps": 1000}, {"context": 3}, {"context": 90}):
        with pytest.raises(ConfigError, match="choose"):
            plan(recording, tiny.spec, ForecastOptions(**options))
    for options in ({"members": 0}, {"n_starts": 0}):
        with pytest.raises(ConfigError, match="choose"):
            ForecastOptions(**options)


def test_a_short_recording_shrinks_the_context_or_is_refused(tiny, recording):
    short = replace(recording, signals=recording.signals[:, :90])
    what = plan(short, tiny.spec)
    assert what.grid.context == 70 and "70 volumes" in what.notices[0]
    assert np.isfinite(forecast_from(tiny, short, what).forecasts["model"]).all()
    with pytest.raises(AnalysisError, match="50 volumes"):
        plan(replace(recording, signals=recording.signals[:, :50]), tiny.spec)


def test_cancel_and_progress(tiny, recording):
    from brainlm_core.inference.engine import Cancelled

    said: list[float] = []
    analyse(tiny, recording, ForecastOptions(n_starts=4), lambda share, _: said.append(share), twin=tiny)
    assert said == sorted(said) and said[-1] <= 1.0 and len(said) > 4
    with pytest.raises(Cancelled):
        analyse(tiny, recording, ForecastOptions(n_starts=4), cancel=lambda: True, twin=tiny)


def test_every_name_promised_is_there():
    assert all(hasattr(analysis, name) for name in analysis.__all__)


def shared_rhythm(share: bool, n: int = 400) -> np.ndarray:
    """Twelve parcels of slow noise: one source that reaches each a volume later than the one before."""
    rng = np.random.default_rng(5)
    source = rng.normal(size=n + 13).cumsum() * 0.3
    source -= np.linspace(source[0], source[-1], len(source))
    own = rng.normal(size=(12, n)) * 0.05
    rows = [source[12 - k : 12 - k + n] if share else np.roll(source, 31 * k)[:n] for k in range(12)]
    return 100 + np.stack(rows) + own


def test_the_control_races_beside_the_model_and_against_its_own_truth(tiny):
    recording = recording_of(shared_rhythm(True), tr_s=1.0)
    what = plan(recording, tiny.spec, ForecastOptions(steps=5, n_starts=12))
    published = []
    tested = analysis.assess(tiny, recording, what, publish=lambda name, value: published.append(value))
    assert "no_scan" not in published[0].race.values["r2"] and "no_scan" in published[1].race.values["r2"]
    assert set(tested.race.values["r2"]) >= {"model", "no_scan", "random_twin", "mean", "ar"}
    control = control_recording(recording)
    again, _ = back_test(tiny, control, what, starts=tested.backtest.starts)
    expected = analysis.compare(again, np.zeros_like(again.forecasts["model"]))[0].values["r2"]["model"]
    np.testing.assert_allclose(tested.race.values["r2"]["no_scan"], expected)
    assert all(b != "no_scan" for b in tested.race.best_baseline), "a control is nobody's rival"
    assert "no_scan" in strip_of(tested)


def strip_of(tested) -> set[str]:
    return {row.method for row in strip_rows(tested.race)}


@pytest.mark.parametrize(
    ("own", "control", "words"), [(0.3, 0.1, "explains 0.10"), (0.3, 0.3, "as much (0.30)")]
)
def test_the_sentence_claims_only_what_stands_above_no_scan(tiny, recording, own, control, words):
    what = plan(recording, tiny.spec, ForecastOptions(steps=3, n_starts=8))
    test, sd = back_test(tiny, recording, what)
    raced = analysis.compare(test, sd)[0]

    def with_r2(value: float, spread: float):
        r2, interval = np.full(3, value), np.array([[value - spread, value + spread]] * 3)
        return replace(
            raced,
            values={**raced.values, "r2": {**raced.values["r2"], "model": r2}},
            intervals={**raced.intervals, "r2": {**raced.intervals["r2"], "model": interval}},
        )

    said = verdict(with_control(with_r2(own, 0.05), with_r2(control, 0.02))).sentence
    assert words in said
