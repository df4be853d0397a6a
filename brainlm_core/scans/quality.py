"""Is this recording fit to be looked at? Figures first, then a verdict in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Quality, Recording

#: A volume is a spike when its DVARS exceeds the third quartile by this many interquartile ranges
#: (Tukey's outer fence).
SPIKE_IQR = 3.0
#: Framewise displacement above which a volume counts as moved, in mm (Power et al. 2012).
FD_LIMIT_MM = 0.5
#: A parcel with less of its voxels inside the scan counts as not covered.
MIN_COVERAGE = 0.1
#: Length of one window of the published models, in volumes.
WINDOW_TIMEPOINTS = 200
_FLAT_SD = 1e-8


def dvars(signals: NDArray[np.floating], flat: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return DVARS per volume, (n_timepoints,), float32.

    Root mean square over parcels of the backward difference, in units of each parcel's standard
    deviation; the first value is 0 (Power et al. 2012, on parcels instead of voxels).

    Parameters
    ----------
    signals : ndarray (n_parcels, n_timepoints)
        Any unit.
    flat : ndarray (n_parcels,), bool
        Parcels to leave out.
    """
    out = np.zeros(signals.shape[1], np.float32)
    use = np.asarray(signals[~flat], dtype=np.float64)
    if use.size:
        z = use / use.std(axis=1, keepdims=True)
        out[1:] = np.sqrt((np.diff(z, axis=1) ** 2).mean(axis=0))
    return out


def spikes(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark volumes whose DVARS lies beyond Tukey's outer fence, (n_timepoints,), bool."""
    out = np.zeros(len(values), np.bool_)
    if len(values) > 4:
        low, high = np.percentile(values[1:], [25, 75])
        out[1:] = values[1:] > high + SPIKE_IQR * max(high - low, 1e-6)
    return out


def flat_parcels(signals: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mark parcels that do not vary or are not finite, (n_parcels,), bool."""
    finite = np.isfinite(signals).all(axis=1)
    safe = np.where(finite[:, None], signals, 0.0).astype(np.float64)
    scale = np.maximum(np.abs(safe).max(axis=1, initial=0.0), 1e-30)
    return ~finite | (safe.std(axis=1) <= _FLAT_SD * scale)


def tsnr(signals: NDArray[np.floating], flat: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return mean / standard deviation per parcel, (n_parcels,), float32.

    NaN for flat parcels, and for all when the mean has been removed from the data: then the
    median parcel has a mean below two standard deviations, which no raw BOLD signal has.
    """
    safe = np.where(np.isfinite(signals), signals, 0.0).astype(np.float64)
    out = np.full(len(safe), np.nan)
    use = ~flat
    out[use] = safe[use].mean(axis=1) / safe[use].std(axis=1)
    if not use.any() or np.median(np.abs(out[use])) < 2:
        out[:] = np.nan
    return out.astype(np.float32)


def judge(
    signals: NDArray[np.floating],
    tr_s: float,
    *,
    coverage: NDArray[np.float32] | None = None,
    n_voxels: NDArray[np.int64] | None = None,
    fd_mm: NDArray[np.float32] | None = None,
    template_overlap: float | None = None,
    reasons: tuple[str, ...] = (),
    cautions: tuple[str, ...] = (),
    after_gap: NDArray[np.intp] | None = None,
) -> Quality:
    """Judge parcel signals.

    Parameters
    ----------
    signals : ndarray (n_parcels, n_timepoints)
        Parcel means in the units of the source; non-finite rows are parcels without data.
    tr_s : float
        Repetition time in s.
    coverage : ndarray (n_parcels,), float32, optional
        Share of each parcel's voxels inside the scan, 0–1.
    n_voxels : ndarray (n_parcels,), int64, optional
        Voxels averaged per parcel.
    fd_mm : ndarray (n_timepoints,), float32, optional
        Framewise displacement in mm.
    template_overlap : float, optional
        Dice overlap with the MNI152 brain.
    reasons : tuple of str
        What the reader already holds against the scan; makes the verdict "poor".
    cautions : tuple of str
        What calls for care; makes the verdict "usable".
    after_gap : ndarray of int, optional
        Volumes before which others were censored: no change to their predecessor is counted.

    Returns
    -------
    Quality
        The verdict is "poor" when a figure makes results meaningless, "usable" when one calls
        for care, else "good".
    """
    n_parcels = signals.shape[0]
    flat = flat_parcels(signals)
    change = dvars(np.where(np.isfinite(signals), signals, 0.0), flat)
    if after_gap is not None:
        change[after_gap] = 0
    spiky = spikes(change)
    grave = [*reasons, *_grave(flat, coverage, fd_mm)]
    mild = [*_mild(flat, coverage, fd_mm, spiky, tr_s), *cautions]
    verdict = "poor" if grave else "usable" if mild else "good"
    return Quality(
        verdict=verdict,
        reasons=(*grave, *mild),
        coverage=np.full(n_parcels, np.nan, np.float32) if coverage is None else coverage.astype(np.float32),
        n_voxels=np.zeros(n_parcels, np.int64) if n_voxels is None else n_voxels.astype(np.int64),
        tsnr=tsnr(signals, flat),
        dvars=change,
        fd_mm=None if fd_mm is None else fd_mm.astype(np.float32),
        flat=flat,
        spikes=spiky,
        template_overlap=template_overlap,
    )


def assess(recording: Recording) -> Recording:
    """Return the recording with ``quality`` filled from its signals alone.

    Coverage, displacement and the space check come from readers; see :func:`judge`.
    """
    return replace(recording, quality=judge(recording.signals, recording.tr_s))


def parcels_covered(quality: Quality) -> int:
    """Count parcels with data: not flat, and enough of their voxels in the scan where that is known."""
    known = np.isfinite(quality.coverage)
    return int((~quality.flat & (~known | (quality.coverage >= MIN_COVERAGE))).sum())


def _grave(
    flat: NDArray[np.bool_], coverage: NDArray[np.float32] | None, fd_mm: NDArray[np.float32] | None
) -> list[str]:
    out = []
    n = len(flat)
    if flat.sum() > n // 2:
        out.append(f"{int(flat.sum())} of {n} parcels hold no signal.")
    elif coverage is not None and (coverage < 0.5).sum() > n // 2:
        out.append(f"{int((coverage < 0.5).sum())} of {n} parcels lie mostly outside the scan.")
    if fd_mm is not None and np.nanmean(fd_mm) > FD_LIMIT_MM:
        out.append(
            f"The head moved {np.nanmean(fd_mm):.2f} mm per volume on average (limit {FD_LIMIT_MM} mm)."
        )
    return out


def _mild(
    flat: NDArray[np.bool_],
    coverage: NDArray[np.float32] | None,
    fd_mm: NDArray[np.float32] | None,
    spiky: NDArray[np.bool_],
    tr_s: float,
) -> list[str]:
    out = []
    n, n_timepoints = len(flat), len(spiky)
    if n_timepoints < WINDOW_TIMEPOINTS:
        out.append(
            f"{n_timepoints} volumes ({n_timepoints * tr_s:.0f} s) are fewer than the {WINDOW_TIMEPOINTS} "
            "of one model window."
        )
    if 0 < flat.sum() <= n // 2:
        out.append(f"{int(flat.sum())} of {n} parcels hold no signal and take part in no score.")
    if coverage is not None and 0 < (thin := int(((coverage < 0.5) & ~flat).sum())) <= n // 2:
        out.append(f"{thin} of {n} parcels lie mostly outside the scan.")
    if fd_mm is not None and (share := float((fd_mm > FD_LIMIT_MM).mean())) > 0.1:
        out.append(f"{share:.0%} of the volumes moved more than {FD_LIMIT_MM} mm.")
    if (share := float(spiky.mean())) > 0.02:
        out.append(f"{int(spiky.sum())} volumes ({share:.0%}) are spikes.")
    if not 0.3 <= tr_s <= 4.0:
        out.append(f"A repetition time of {tr_s:g} s is unusual for BOLD.")
    return out
