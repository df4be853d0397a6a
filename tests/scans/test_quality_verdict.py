"""Quality figures against their definitions, and verdicts in words."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.atlas import a424
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.scans.quality import assess, dvars, judge, parcels_covered, spikes, tsnr


@pytest.fixture
def signals(rng: np.random.Generator) -> np.ndarray:
    return 10_000 + 100 * rng.standard_normal((424, 300))


def test_good_recording(signals: np.ndarray) -> None:
    quality = judge(signals, 0.8)
    assert quality.verdict == "good"
    assert quality.reasons == ()
    np.testing.assert_allclose(quality.tsnr, signals.mean(1) / signals.std(1), rtol=1e-5)
    assert parcels_covered(quality) == 424


def test_dvars_by_hand(signals: np.ndarray) -> None:
    flat = np.zeros(424, bool)
    flat[3] = True
    z = signals[~flat] / signals[~flat].std(axis=1, keepdims=True)
    expected = np.sqrt(np.mean(np.diff(z, axis=1) ** 2, axis=0))
    got = dvars(signals, flat)
    assert got[0] == 0
    np.testing.assert_allclose(got[1:], expected, rtol=1e-5)


def test_spikes_are_found(signals: np.ndarray) -> None:
    signals[:, 120] += 2000
    quality = judge(signals, 0.8)
    assert set(np.flatnonzero(quality.spikes)) == {120, 121}
    assert not spikes(np.ones(50, np.float32)).any()


def test_tsnr_is_unknown_for_centred_data(signals: np.ndarray) -> None:
    centred = signals - signals.mean(axis=1, keepdims=True)
    assert np.isnan(tsnr(centred, np.zeros(424, bool))).all()


@pytest.mark.parametrize(
    ("change", "verdict", "sentence"),
    [
        (lambda s: s[:, :150], "usable", "150 volumes .120 s. are fewer than the 200"),
        (
            lambda s: np.where(np.arange(424)[:, None] < 30, 7.0, s),
            "usable",
            "30 of 424 parcels hold no",
        ),
        (lambda s: np.where(np.arange(424)[:, None] < 300, np.nan, s), "poor", "300 of 424 parcels hold no"),
    ],
)
def test_verdicts(signals: np.ndarray, change: object, verdict: str, sentence: str) -> None:
    quality = judge(change(signals), 0.8)  # type: ignore[operator]
    assert quality.verdict == verdict
    assert any(__import__("re").search(sentence, r) for r in quality.reasons)


def test_motion_and_coverage_speak(signals: np.ndarray) -> None:
    fd = np.full(300, 0.9, np.float32)
    moved = judge(signals, 0.8, fd_mm=fd)
    assert moved.verdict == "poor" and "0.90 mm" in moved.reasons[0]
    thin = np.ones(424, np.float32)
    thin[:50] = 0.05
    covered = judge(signals, 0.8, coverage=thin, n_voxels=np.full(424, 9))
    assert covered.verdict == "usable"
    assert parcels_covered(covered) == 374
    assert judge(signals, 0.8, reasons=("Not in MNI.",)).verdict == "poor"
    assert judge(signals, 9.0).verdict == "usable"


def test_assess_fills_a_recording(signals: np.ndarray) -> None:
    recording = Recording(signals.astype(np.float32), 0.8, a424(), Provenance("x"))
    assert assess(recording).quality is not None
    assert recording.quality is None
