"""From a recording to what the model sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_engines import recording

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.inference.windows import MIN_SAMPLES, make_windows, resample
from brainlm_core.model.base import InputSpec

SPEC = InputSpec(n_parcels=None, tr_s=0.735)


def test_robust_scaling_is_median_and_interquartile_range() -> None:
    r = recording(200)
    w = make_windows(r, SPEC)
    x = r.signals[3].astype(np.float64)
    low, high = np.percentile(x, (25, 75))
    assert np.allclose(w.values[0, 3], (x - np.median(x)) / (high - low), atol=1e-4)
    assert np.allclose(w.to_source_units(w.values[0]), r.signals, rtol=1e-5)


def test_scaling_is_one_for_the_whole_recording_not_per_window() -> None:
    r = recording(450)
    w = make_windows(r, SPEC)
    assert np.allclose(w.values[0], (r.signals[:, :200] - w.centre[:, None]) / w.scale[:, None], atol=1e-4)
    assert np.allclose(np.median(w.values[0], axis=1), 0, atol=5) and not np.allclose(
        np.median(w.values[0], axis=1), 0, atol=1e-3
    )


def test_last_window_ends_with_the_recording() -> None:
    r = recording(450)
    w = make_windows(r, SPEC)
    assert w.values.shape == (3, 12, 200)
    assert np.allclose(w.starts_s, np.array([0, 200, 250]) * 0.735)
    assert w.observed.all()
    assert np.allclose(w.to_source_units(w.values[-1]), r.signals[:, -200:], rtol=1e-5)
    assert len(make_windows(recording(400), SPEC).starts_s) == 2
    assert len(make_windows(r, SPEC, stride_s=73.5).starts_s) == 4


def test_short_recordings_are_padded_at_the_end_and_marked() -> None:
    w = make_windows(recording(130), SPEC)
    assert w.values.shape == (1, 12, 200)
    assert w.observed[0, :130].all()
    assert not w.observed[0, 130:].any()
    assert not w.values[0, :, 130:].any()
    assert any("130 samples" in n for n in w.notices)


@pytest.mark.parametrize(("n", "tr"), [(MIN_SAMPLES - 1, 0.735), (5, 2.0), (19, 3.0)])
def test_too_short_is_refused_in_one_sentence(n: int, tr: float) -> None:
    with pytest.raises(EngineError, match="give at least"):
        make_windows(recording(n, tr), SPEC)


def test_small_differences_in_tr_are_left_alone() -> None:
    r = recording(200, 0.73)
    assert resample(r, 0.735) is r
    assert resample(r, None) is r


@pytest.mark.parametrize("tr", [0.72, 1.0, 2.0, 0.4, 0.1])
def test_resampling_keeps_a_slow_wave_and_its_time(tr: float) -> None:
    duration = 300
    t = np.arange(0, duration, tr)
    r = recording(len(t), tr, 3)
    wave = 100 + 3 * np.sin(2 * np.pi * 0.05 * t)
    r = type(r)(np.tile(wave, (3, 1)).astype(np.float32), tr, r.parcellation, r.provenance)
    out = resample(r, 0.735)
    assert out.tr_s == pytest.approx(0.735, rel=1e-4)
    assert out.duration_s == pytest.approx(duration, abs=2)
    t_new = np.arange(out.n_timepoints) * out.tr_s
    middle = (t_new > 30) & (t_new < duration - 30)
    expected = 100 + 3 * np.sin(2 * np.pi * 0.05 * t_new)
    assert np.abs(out.signals[0] - expected)[middle].max() < 0.15
    assert out.provenance.steps[-1].name == "resample"
    assert "Resampled" in out.notices[-1]


def test_fast_waves_do_not_alias() -> None:
    tr = 0.1
    t = np.arange(0, 200, tr)
    r = recording(len(t), tr, 3)
    fast = np.sin(2 * np.pi * 1.2 * t)  # above the model's 0.68 Hz
    r = type(r)(np.tile(fast, (3, 1)).astype(np.float32), tr, r.parcellation, r.provenance)
    assert resample(r, 0.735).signals[:, 20:-20].std() < 0.02 * fast.std()


def test_flat_parcels_are_zero_and_marked() -> None:
    w = make_windows(recording(200, flat=2), SPEC)
    assert w.flat.tolist() == [True, True] + [False] * 10
    assert not w.values[:, :2].any()
    assert any("2 of 12 parcels do not vary" in n for n in w.notices)


def test_a_model_may_want_the_seen_part_centred_at_its_mean() -> None:
    r, past = recording(300), slice(0, 200)
    squares = np.square(r.signals - r.signals.mean(axis=1, keepdims=True))
    skewed = type(r)(squares, r.tr_s, r.parcellation, r.provenance)
    spec = replace(SPEC, seen_by_mean=True)
    by_mean = make_windows(skewed, spec, reference=past)
    mean, median = skewed.signals[:, past].mean(axis=1), np.median(skewed.signals[:, past], axis=1)
    assert np.allclose(by_mean.centre, mean, rtol=1e-5) and not np.allclose(mean, median, rtol=0.02)
    assert np.array_equal(by_mean.scale, make_windows(skewed, SPEC, reference=past).scale)
    for other in (
        make_windows(skewed, SPEC, reference=past),
        make_windows(skewed, spec, reference=past, scaling="recording"),  # what was asked for by name
    ):
        assert np.allclose(other.centre, median, rtol=1e-5)
    whole = make_windows(skewed, spec)
    assert np.array_equal(whole.centre, make_windows(skewed, SPEC).centre), "without a past nothing changes"


def test_reference_looks_at_the_past_only() -> None:
    r = recording(300)
    changed = r.signals.copy()
    changed[:, 200:] *= 7
    other = type(r)(changed, r.tr_s, r.parcellation, r.provenance)
    past = slice(0, 200)
    a, b = make_windows(r, SPEC, reference=past), make_windows(other, SPEC, reference=past)
    assert np.array_equal(a.scale, b.scale)
    assert np.array_equal(a.values[0], b.values[0])
    assert not np.array_equal(make_windows(r, SPEC).scale, a.scale)


def test_zscore_and_gain() -> None:
    w = make_windows(recording(200), SPEC, scaling="zscore", gain=2.0)
    assert np.allclose(w.values.std(axis=(0, 2)), 2, atol=1e-3)
    assert np.allclose(w.to_source_units(w.values[0]), recording(200).signals, rtol=1e-5)


def test_ukb_statistics() -> None:
    r = recording(200, n_parcels=424)
    table = np.genfromtxt("assets/ukb1000_norm_stats.csv", delimiter=",", names=True)
    w = make_windows(r, SPEC, scaling="ukb1000")
    x = r.signals[7] - r.signals[7].mean()
    expected = np.clip(
        (x - table["median"][7]) / table["iqr"][7], table["p01_robust"][7], table["p99_robust"][7]
    )
    assert np.allclose(w.values[0, 7], expected, atol=1e-4)
    with pytest.raises(ConfigError, match="A424"):
        make_windows(recording(200), SPEC, scaling="ukb1000")


def test_wrong_settings_are_refused() -> None:
    r = recording(200)
    with pytest.raises(ConfigError, match="scaling"):
        make_windows(r, SPEC, scaling="minmax")
    for gain in (0.0, -1.0, np.nan):
        with pytest.raises(ConfigError, match="gain"):
            make_windows(r, SPEC, gain=gain)
    with pytest.raises(EngineError, match="424 parcels and the recording has 12"):
        make_windows(r, InputSpec(n_parcels=424))
    with pytest.raises(EngineError, match="too far"):
        make_windows(recording(200, 500.0), SPEC)
