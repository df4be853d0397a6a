"""Cleaning of parcel signals. Off by default; every step is written into the provenance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import FREEDOM, Quality, Recording, Step
from brainlm_core.scans.confounds import ConfoundTable, expand_strategy, load_with_nilearn, select_regressors
from brainlm_core.scans.freedom import check_freedom, degrees_of_freedom_left, nothing_left
from brainlm_core.scans.limits import MIN_TIMEPOINTS
from brainlm_core.scans.quality import flat_parcels, judge


@dataclass(frozen=True)
class CleaningOptions:
    """What to do to the parcel signals; the defaults do nothing.

    Parameters
    ----------
    detrend : bool
        Remove the linear trend of each parcel.
    strategy : tuple of str
        Confounds to regress out: parts or a preset of :mod:`brainlm_core.scans.confounds`.
    motion : {"basic", "derivatives", "power2", "full"}
        6, 12, 12 or 24 motion regressors.
    n_compcor : int
        CompCor components when the strategy asks for them.
    high_pass_hz, low_pass_hz : float or None
        Corner frequencies of a fifth-order Butterworth filter.
    censor_fd_mm : float or None
        Volumes with more framewise displacement are removed.

    Raises
    ------
    ConfigError
        If a value is out of range or unknown.
    """

    detrend: bool = False
    strategy: tuple[str, ...] = ()
    motion: str = "full"
    n_compcor: int = 5
    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    censor_fd_mm: float | None = None

    def __post_init__(self) -> None:
        expand_strategy(self.strategy)
        if self.motion not in ("basic", "derivatives", "power2", "full"):
            raise ConfigError(
                f"there is no motion model {self.motion!r}", "choose basic, derivatives, power2 or full"
            )
        for name, value in (("high-pass", self.high_pass_hz), ("low-pass", self.low_pass_hz),
                            ("censoring", self.censor_fd_mm)):  # fmt: skip
            if value is not None and not (np.isfinite(value) and value > 0):
                raise ConfigError(f"a {name} limit of {value} is impossible", "give a positive number")
        if self.high_pass_hz and self.low_pass_hz and self.high_pass_hz >= self.low_pass_hz:
            raise ConfigError("the high-pass limit is not below the low-pass limit", "swap the two")
        if self.n_compcor < 1:
            raise ConfigError("n_compcor must be at least 1", "give a positive whole number")

    @property
    def is_active(self) -> bool:
        """True when anything at all is to be done."""
        return bool(
            self.detrend or self.strategy or self.high_pass_hz or self.low_pass_hz or self.censor_fd_mm
        )


def clean(
    recording: Recording,
    options: CleaningOptions,
    confounds: ConfoundTable | None = None,
    *,
    bold: Path | None = None,
) -> Recording:
    """Return a cleaned recording.

    Steps, in order (``nilearn.signal.clean``): censored volumes are interpolated for the filter;
    detrend; band-pass of signals and confounds; confounds regressed out; censored volumes removed.

    Parameters
    ----------
    recording : Recording
        Signals in any unit; flat parcels stay as they are.
    options : CleaningOptions
        What to do.
    confounds : ConfoundTable, optional
        Needed for a strategy or for censoring.
    bold : Path, optional
        The fMRIPrep image that the signals come from; nilearn then finds the confounds itself.

    Returns
    -------
    Recording

    Raises
    ------
    ScanError
        If confounds are needed but missing, a filter limit lies above the Nyquist frequency, or
        too few volumes remain.
    """
    if not options.is_active:
        return recording
    if (options.strategy or options.censor_fd_mm) and confounds is None:
        raise ScanError(
            "confound regression and censoring need a confounds table", "give one (--confounds TSV)"
        )
    nyquist = 0.5 / recording.tr_s
    for limit in (options.high_pass_hz, options.low_pass_hz):
        if limit is not None and limit >= nyquist:
            raise ScanError(
                f"a filter limit of {limit:g} Hz is above the {nyquist:.3g} Hz that this TR holds",
                "choose a lower limit",
            )
    keep = _kept_volumes(options, confounds, recording.n_timepoints)
    regressors, origin, reduced = _fitting_regressors(recording, options, confounds, bold, keep)
    left = _freedom(recording, options, regressors, keep)
    n_regressors = 0 if regressors is None else regressors.shape[1]
    cautions = check_freedom(left, recording.n_timepoints, n_regressors)
    signals = _run(recording, options, regressors, keep)
    notices = (*reduced, *_slow_drift(options))
    return _finish(recording, options, regressors, origin, keep, signals, left, cautions, notices)


def _freedom(
    recording: Recording,
    options: CleaningOptions,
    regressors: pd.DataFrame | None,
    keep: NDArray[np.intp] | None,
) -> int:
    return degrees_of_freedom_left(
        recording.n_timepoints,
        recording.tr_s,
        regressors=None if regressors is None else regressors.to_numpy(np.float64),
        keep=keep,
        detrend=options.detrend,
        high_pass_hz=options.high_pass_hz,
        low_pass_hz=options.low_pass_hz,
    )


def _fitting_regressors(
    recording: Recording,
    options: CleaningOptions,
    confounds: ConfoundTable | None,
    bold: Path | None,
    keep: NDArray[np.intp] | None,
) -> tuple[pd.DataFrame | None, str, tuple[str, ...]]:
    """Choose the regressors; a short run gets a smaller motion model, and it is said."""
    n = recording.n_timepoints
    regressors, origin = _regressors(options, confounds, bold, n)
    if "motion" not in expand_strategy(options.strategy):
        return regressors, origin, ()
    full = regressors
    for motion in ("derivatives", "basic"):
        if options.motion != "full" or not nothing_left(_freedom(recording, options, regressors, keep), n):
            break
        regressors, origin = _regressors(replace(options, motion=motion), confounds, bold, n)
    if full is None or regressors is None or regressors is full:
        return regressors, origin, ()
    n_used = 24 - (full.shape[1] - regressors.shape[1])
    note = f"The full motion model leaves nothing of {n} volumes; {n_used} of its 24 regressors were used."
    return regressors, origin, (note,)


def _slow_drift(options: CleaningOptions) -> tuple[str, ...]:
    """Warn of components without the high-pass that they were computed after."""
    parts = expand_strategy(options.strategy)
    if "compcor" not in parts or "high_pass" in parts or options.high_pass_hz:
        return ()
    return (
        "CompCor components are computed after a high-pass filter; without its cosines (high_pass) they put "
        "slow drift back into the signals.",
    )


def _regressors(
    options: CleaningOptions, confounds: ConfoundTable | None, bold: Path | None, n_timepoints: int
) -> tuple[pd.DataFrame | None, str]:
    if not options.strategy or confounds is None:
        return None, ""
    if bold is not None:
        found = load_with_nilearn(bold, options.strategy, motion=options.motion, n_compcor=options.n_compcor)
        if found is not None and len(found) == n_timepoints:
            return found, "nilearn load_confounds"
    chosen = select_regressors(
        confounds, options.strategy, motion=options.motion, n_compcor=options.n_compcor
    )
    return chosen, "columns by name"


def _kept_volumes(
    options: CleaningOptions, confounds: ConfoundTable | None, n_timepoints: int
) -> NDArray[np.intp] | None:
    if options.censor_fd_mm is None or confounds is None:
        return None
    if confounds.fd_mm is None:
        raise ScanError(
            f"{confounds.name} holds no framewise displacement", "leave out censoring or give another table"
        )
    keep = np.flatnonzero(confounds.fd_mm <= options.censor_fd_mm)
    if len(keep) < MIN_TIMEPOINTS:
        raise ScanError(
            f"censoring at {options.censor_fd_mm:g} mm leaves {len(keep)} of {n_timepoints} volumes",
            "raise the limit, or leave this run out",
        )
    return keep


def _run(
    recording: Recording,
    options: CleaningOptions,
    regressors: pd.DataFrame | None,
    keep: NDArray[np.intp] | None,
) -> NDArray[np.float32]:
    from nilearn.signal import clean as nilearn_clean

    flat = flat_parcels(recording.signals)
    filtered = bool(options.high_pass_hz or options.low_pass_hz)
    n_kept = recording.n_timepoints if keep is None else len(keep)
    out = np.zeros((recording.n_parcels, n_kept), np.float32)
    if flat.all():
        return out
    cleaned = nilearn_clean(
        recording.signals[~flat].T.astype(np.float64),
        detrend=options.detrend,
        standardize=None,
        confounds=None if regressors is None else regressors.to_numpy(np.float64),
        filter="butterworth" if filtered else False,
        low_pass=options.low_pass_hz,
        high_pass=options.high_pass_hz,
        t_r=recording.tr_s,
        sample_mask=keep,
    )
    out[~flat] = cleaned.T
    return out


def _finish(
    recording: Recording,
    options: CleaningOptions,
    regressors: pd.DataFrame | None,
    origin: str,
    keep: NDArray[np.intp] | None,
    signals: NDArray[np.float32],
    left: int,
    cautions: tuple[str, ...],
    notices: tuple[str, ...],
) -> Recording:
    """Write the steps down and judge the cleaned signals."""
    steps: list[Step] = []
    if options.detrend:
        steps.append(Step("detrend", {"order": 1}))
    if options.high_pass_hz or options.low_pass_hz:
        steps.append(Step("filter", {"kind": "butterworth", "order": 5, "high_pass_hz": options.high_pass_hz,
                                     "low_pass_hz": options.low_pass_hz}))  # fmt: skip
    if regressors is not None:
        chosen = {"strategy": list(options.strategy), "motion": options.motion, "chosen_by": origin}
        steps.append(Step("regress confounds", {**chosen, "columns": list(regressors.columns)}))
    if keep is not None:
        gone = recording.n_timepoints - len(keep)
        steps.append(Step("censor", {"fd_mm": options.censor_fd_mm, "volumes_removed": gone}))
        if gone:
            notices = (
                *notices,
                f"{gone} volumes above {options.censor_fd_mm:g} mm were removed; time has gaps there.",
            )
    steps.append(Step(FREEDOM, {"left": left, "of": recording.n_timepoints}))
    changes: dict[str, Any] = {"signals": signals}
    if recording.quality is not None:
        changes["quality"] = _judge_again(recording, recording.quality, signals, keep, cautions)
    provenance = replace(recording.provenance, steps=(*recording.provenance.steps, *steps))
    return replace(recording, provenance=provenance, notices=(*recording.notices, *notices), **changes)


def _judge_again(
    recording: Recording,
    before: Quality,
    signals: NDArray[np.float32],
    keep: NDArray[np.intp] | None,
    cautions: tuple[str, ...],
) -> Quality:
    """Judge the cleaned signals; what the reader held against the scan stays, as does its signal to noise."""
    known = partial(
        judge,
        tr_s=recording.tr_s,
        coverage=before.coverage if np.isfinite(before.coverage).any() else None,
        n_voxels=before.n_voxels,
        template_overlap=before.template_overlap,
    )
    own = known(recording.signals, fd_mm=before.fd_mm)
    after = known(
        signals,
        fd_mm=before.fd_mm if before.fd_mm is None or keep is None else before.fd_mm[keep],
        reasons=tuple(r for r in before.reasons if r not in own.reasons),
        cautions=cautions,
        after_gap=None if keep is None else np.flatnonzero(np.diff(keep, prepend=keep[:1]) > 1),
    )
    return replace(after, tsnr=before.tsnr)
