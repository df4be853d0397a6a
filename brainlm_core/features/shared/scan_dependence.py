"""Scan dependence: what of a model's map comes from this scan, and how reliably.

Beside the map of the scan stands that of no scan (:mod:`brainlm_core.features.shared.controls`): what the
model draws from what all brains share. Their difference is what the scan adds. It is drawn twice more, of
each half of the recording against a control of its own, so that nothing but the person is common to the
two: of noise the halves agree at zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.base.recording import Recording
from brainlm_core.features.shared.controls import control_recording, halves_of

Array = NDArray[np.float64]

#: Seeds of the controls of the whole recording and of its halves.
SEEDS = (0, 1, 2)
#: A map is said to depend on the scan when its halves agree better with each other than with no scan by this.
MARGIN = 0.05


@dataclass(frozen=True, eq=False)
class ScanDependence:
    """Maps of the scan and of no scan, and what the halves of the recording say of their difference.

    Parameters
    ----------
    scan, no_scan : ndarray (..., P), float64
        Of the recording and of its control; NaN where there is no answer.
    halves, halves_no_scan : tuple of two ndarray (..., P), or None
        The same of each half; None when a half is too short.
    reason : str
        Why there are no halves.
    """

    scan: Array
    no_scan: Array
    halves: tuple[Array, Array] | None
    halves_no_scan: tuple[Array, Array] | None
    reason: str = ""

    @property
    def difference(self) -> Array:
        """What the scan adds: its map minus the map of no scan."""
        return self.scan - self.no_scan

    @property
    def half_differences(self) -> tuple[Array, Array] | None:
        """What each half adds, against a control of its own."""
        if self.halves is None or self.halves_no_scan is None:
            return None
        one, other = (h - n for h, n in zip(self.halves, self.halves_no_scan, strict=True))
        return one, other

    @property
    def no_scan_correlation(self) -> float:
        """Correlation of the scan's map with the map of no scan."""
        return correlation(self.scan, self.no_scan)

    @property
    def split_half_correlation(self) -> float | None:
        """Correlation of the maps of the two halves; None without halves."""
        return None if self.halves is None else correlation(*self.halves)

    @property
    def added_split_half_correlation(self) -> float | None:
        """Correlation of what the two halves add; about zero of noise; None without halves."""
        both = self.half_differences
        return None if both is None else correlation(*both)

    @property
    def depends(self) -> bool | None:
        """Whether the map is more the scan's than what all brains share; None without halves.

        The halves must agree with each other better than the scan agrees with no scan.
        """
        own = self.split_half_correlation
        if own is None or np.isnan(own) or np.isnan(self.no_scan_correlation):
            return None
        return own - self.no_scan_correlation >= MARGIN

    def reliability(self) -> Array | None:
        """Return how far the halves agree on each row (matrices) or in all (vectors), 0 to 1.

        Correlation over the entries of a row, stepped up to the whole recording (Spearman–Brown).
        """
        both = self.half_differences
        if both is None:
            return None
        one, other = (np.atleast_2d(b) for b in both)
        r = np.array([correlation(a, b) for a, b in zip(one, other, strict=True)])
        r = np.clip(np.nan_to_num(r), 0, 1)
        return np.asarray(2 * r / (1 + r))

    def faded(self) -> Array:
        """Return the difference, shrunk where the halves disagree (by the reliability of its row)."""
        how = self.reliability()
        if how is None:
            return self.difference
        return self.difference * (how[:, None] if self.difference.ndim > 1 else how[0])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "map_correlation_no_scan": _number(self.no_scan_correlation),
            "map_correlation_split_half": _number(self.split_half_correlation),
            "added_by_scan_split_half": _number(self.added_split_half_correlation),
            "depends": self.depends,
            "reason": self.reason or None,
        }


def scan_dependence(
    recording: Recording, scan: Array, draw: Callable[[Recording], Array], *, no_scan: Array | None = None
) -> ScanDependence:
    """Draw the maps that :class:`ScanDependence` compares.

    Parameters
    ----------
    recording : Recording
    scan : ndarray (..., P)
        The recording's own map, which is there already.
    draw : callable
        From a recording to its map, asked of the control, of each half and of each half's control.
    no_scan : ndarray (..., P), optional
        The map of the control (seed 0) when it is there already.

    Raises
    ------
    EngineError
        If the caller cancelled.
    """
    from brainlm_core.base.fair_lock import Cancelled

    shared = draw(control_recording(recording, seed=SEEDS[0])) if no_scan is None else no_scan
    try:
        parts = halves_of(recording)
        halves = tuple(draw(part) for part in parts)
        controls = tuple(
            draw(control_recording(part, seed=seed)) for part, seed in zip(parts, SEEDS[1:], strict=True)
        )
    except Cancelled:
        raise
    except (EngineError, ConfigError) as error:
        return ScanDependence(scan, shared, None, None, f"half of the recording is too short: {error.what}")
    return ScanDependence(scan, shared, (halves[0], halves[1]), (controls[0], controls[1]))


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's r over the entries known in both; NaN with fewer than 3 or without variation."""
    x, y = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3:
        return float("nan")
    x, y = x[known] - x[known].mean(), y[known] - y[known].mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
