"""Cleaning: off by default, one provenance step each, and what it says it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_fmriprep_folders import confounds

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.scans import CleaningOptions, read_scan

T = 200
TR = 2.0


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A table whose parcels hold a trend, a slow and a fast rhythm, and motion."""
    table = confounds(tmp_path / "c.tsv", T)
    t = np.arange(T) * TR
    rng = np.random.default_rng(0)
    signal = 1000 + 0.5 * t + 20 * np.sin(2 * np.pi * 0.05 * t) + 20 * np.sin(2 * np.pi * 0.2 * t)
    data = signal[:, None] + rng.standard_normal((T, 424)) + 3000 * table[["trans_x"]].to_numpy()
    data[:, 9] = 5.0
    np.save(tmp_path / "x.npy", data)
    return tmp_path / "x.npy"


def power_at(signals: np.ndarray, hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(signals - signals.mean(1, keepdims=True), axis=1)) ** 2
    return float(spectrum[0, np.argmin(np.abs(np.fft.rfftfreq(signals.shape[1], TR) - hz))])


def clean(scan: Path, **options: Any) -> Any:
    return read_scan(scan, tr_s=TR, confounds=scan.with_name("c.tsv"), cleaning=CleaningOptions(**options))


def test_off_by_default(scan: Path) -> None:
    recording = clean(scan)
    np.testing.assert_allclose(recording.signals, np.load(scan).T, rtol=1e-5)
    assert any("head motion only" in n for n in recording.notices)


def test_detrend(scan: Path) -> None:
    recording = clean(scan, detrend=True)
    slope = np.polyfit(np.arange(T), recording.signals[0], 1)[0]
    assert abs(slope) < 1e-3
    assert [s.name for s in recording.provenance.steps][-2] == "detrend"
    assert not recording.signals[9].any() and recording.quality.flat[9]


def test_band_pass_keeps_the_band(scan: Path) -> None:
    raw = clean(scan, detrend=True)
    recording = clean(scan, detrend=True, high_pass_hz=0.01, low_pass_hz=0.1)
    assert power_at(recording.signals, 0.05) > 0.5 * power_at(raw.signals, 0.05)
    assert power_at(recording.signals, 0.2) < 0.01 * power_at(raw.signals, 0.2)
    step = recording.provenance.steps[-2]
    assert step.name == "filter" and step.parameters["low_pass_hz"] == 0.1


def test_regression_removes_motion(scan: Path) -> None:
    motion = confounds(scan.with_name("again.tsv"), T)["trans_x"].to_numpy()
    raw, cleaned = clean(scan, detrend=True), clean(scan, detrend=True, strategy=("motion",))
    assert abs(np.corrcoef(raw.signals[0], motion)[0, 1]) > 0.5
    assert abs(np.corrcoef(cleaned.signals[0], motion)[0, 1]) < 0.05
    step = next(s for s in cleaned.provenance.steps if s.name == "regress confounds")
    assert len(step.parameters["columns"]) == 24


def test_censoring_removes_volumes_and_says_so(scan: Path) -> None:
    recording = clean(scan, censor_fd_mm=0.5)
    fd = read_scan(scan, tr_s=TR, confounds=scan.with_name("c.tsv")).quality.fd_mm
    kept = int((fd <= 0.5).sum())
    assert recording.n_timepoints == kept < T
    for figure in (recording.quality.dvars, recording.quality.fd_mm, recording.quality.spikes):
        assert len(figure) == kept
    assert any("were removed" in n for n in recording.notices)
    assert recording.provenance.steps[-2].parameters["volumes_removed"] == T - kept


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"high_pass_hz": 0.1, "low_pass_hz": 0.05}, ConfigError, "not below"),
        ({"high_pass_hz": -1}, ConfigError, "impossible"),
        ({"low_pass_hz": 0.4}, ScanError, "above the 0.25 Hz"),
        ({"strategy": ("nonsense",)}, ConfigError, "no confound strategy 'nonsense'"),
        ({"strategy": ("compcor",)}, ScanError, "lacks"),
        ({"motion": "much"}, ConfigError, "no motion model"),
        ({"censor_fd_mm": 0.0001}, ScanError, "leaves"),
        ({"n_compcor": 0}, ConfigError, "n_compcor"),
    ],
)
def test_impossible_wishes(scan: Path, options: dict[str, Any], error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        clean(scan, **options)


def test_regression_needs_confounds(scan: Path) -> None:
    with pytest.raises(ScanError, match="need a confounds table"):
        read_scan(scan, tr_s=TR, cleaning=CleaningOptions(strategy=("motion",)))


def test_presets_are_nilearns(scan: Path) -> None:
    recording = clean(scan, strategy=("simple",))
    step = next(s for s in recording.provenance.steps if s.name == "regress confounds")
    assert "cosine00" in step.parameters["columns"] and "csf" in step.parameters["columns"]


@pytest.mark.parametrize("content", ["", "1\t2\n3\t4\n", "a\tb\nx\ty\n", "\x00\x00"])
def test_bad_confounds(scan: Path, content: str) -> None:
    (scan.with_name("bad.tsv")).write_text(content)
    with pytest.raises(ScanError):
        read_scan(scan, tr_s=TR, confounds=scan.with_name("bad.tsv"))


def test_real_fmriprep_table(scan: Path, shared: Path) -> None:
    table = next((shared / "samples").glob("*confounds*.tsv"))
    options = CleaningOptions(strategy=("simple",), detrend=True)
    recording = read_scan(scan, tr_s=TR, confounds=table, cleaning=options)
    assert recording.quality is not None and recording.quality.fd_mm is not None
    assert recording.quality.fd_mm.shape == (200,)
    compcor = read_scan(scan, tr_s=TR, confounds=table, cleaning=CleaningOptions(strategy=("compcor",)))
    step = next(s for s in compcor.provenance.steps if s.name == "regress confounds")
    assert [c for c in step.parameters["columns"] if c.startswith("a_comp_cor")] == [
        f"a_comp_cor_0{i}" for i in range(5)
    ]


def test_degrees_of_freedom_are_those_of_the_projection() -> None:
    """The count equals the rank of the whole operation, also with a band, gaps and twin regressors."""
    from brainlm_core.scans.freedom import degrees_of_freedom_left

    n, tr = 120, 2.0
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n, 10))
    twins = np.column_stack([noise, noise[:, :4] * 3, np.zeros(n)])
    assert degrees_of_freedom_left(n, tr) == n - 1
    assert degrees_of_freedom_left(n, tr, regressors=twins, detrend=True) == n - 12
    keep = np.flatnonzero(rng.random(n) > 0.2)
    assert degrees_of_freedom_left(n, tr, regressors=twins, keep=keep) == len(keep) - 11
    hz = np.fft.rfftfreq(n, tr)
    band = 2 * int(((hz >= 0.01) & (hz <= 0.1)).sum())
    assert degrees_of_freedom_left(n, tr, regressors=twins, high_pass_hz=0.01, low_pass_hz=0.1) == band - 10
    slow = np.cos(np.pi * np.arange(n)[:, None] / n)  # outside the band: takes nothing
    assert (
        degrees_of_freedom_left(n, tr, regressors=slow * 0 + 1, high_pass_hz=0.05)
        == 2 * int((hz >= 0.05).sum()) - 1
    )  # the highest frequency counts once


def test_freedom_is_shown_warned_of_and_refused(scan: Path) -> None:
    mild = clean(scan, strategy=("motion",), detrend=True)
    left, of = mild.freedom_left
    assert (left, of) == (T - 1 - 1 - 24, T)
    assert not any("degrees of freedom" in r for r in mild.quality.reasons)
    band = clean(scan, strategy=("motion",), high_pass_hz=0.01, low_pass_hz=0.1)
    assert band.freedom_left[0] < T / 2 and any("less than half" in r for r in band.quality.reasons)
    with pytest.raises(ScanError, match="degrees of freedom, too few"):
        clean(scan, strategy=("motion", "wm_csf"), high_pass_hz=0.01, low_pass_hz=0.02)
    assert clean(scan).freedom_left is None


def test_a_short_run_gets_a_smaller_motion_model_and_it_is_said(scan: Path) -> None:
    data, n = np.load(scan), 24
    np.save(scan.with_name("short.npy"), data[:n])
    confounds(scan.with_name("short.tsv"), n)
    recording = read_scan(
        scan.with_name("short.npy"),
        tr_s=TR,
        atlas="a424",
        confounds=scan.with_name("short.tsv"),
        cleaning=CleaningOptions(strategy=("motion",)),
    )
    assert any("12 of its 24" in x for x in recording.notices)
    assert recording.freedom_left == (n - 13, n)


def test_compcor_without_cosines_warns(scan: Path) -> None:
    import pandas as pd

    frame = pd.read_csv(scan.with_name("c.tsv"), sep="\t", na_values="n/a")
    frame["a_comp_cor_00"] = np.random.default_rng(0).standard_normal(T)
    frame.to_csv(scan.with_name("c.tsv"), sep="\t", index=False, na_rep="n/a")
    assert any("slow drift" in x for x in clean(scan, strategy=("motion", "compcor")).notices)
    for options in ({"strategy": ("compcor",)}, {"strategy": ("motion", "compcor"), "high_pass_hz": 0.01}):
        assert not any("slow drift" in x for x in clean(scan, **options).notices)


def test_spikes_are_those_of_the_cleaned_signals(scan: Path) -> None:
    data = np.load(scan)
    table = confounds(scan.with_name("c.tsv"), T)
    jump = np.zeros(T)
    jump[50] = 1
    data = data + 20_000 * jump[:, None]
    np.save(scan, data)
    table["non_steady_state_outlier00"] = jump
    table.to_csv(scan.with_name("c.tsv"), sep="\t", index=False, na_rep="n/a")
    raw = clean(scan)
    cleaned = clean(scan, strategy=("non_steady_state",))
    assert raw.quality.spikes[50] and not cleaned.quality.spikes[50]
    censored = clean(scan, censor_fd_mm=0.5)
    gone = np.flatnonzero(raw.quality.fd_mm > 0.5)
    after = [int(g - i) for i, g in enumerate(gone)]
    assert all(censored.quality.dvars[a] == 0 for a in after if a < censored.n_timepoints)
