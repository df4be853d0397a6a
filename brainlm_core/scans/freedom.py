"""Degrees of freedom that cleaning leaves in a signal.

A filter keeps the dimensions of its band, censoring the share of volumes that stay, and every independent
regressor inside the band takes one more (Bright et al. 2017; Caballero-Gaudes & Reynolds 2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError

#: Fewer than this, or than this share of the volumes, is nothing to compute with.
FEWEST, FEWEST_SHARE = 5, 0.05


def degrees_of_freedom_left(
    n_timepoints: int,
    tr_s: float,
    *,
    regressors: NDArray[np.float64] | None = None,
    keep: NDArray[np.intp] | None = None,
    detrend: bool = False,
    high_pass_hz: float | None = None,
    low_pass_hz: float | None = None,
) -> int:
    """Return how many independent values a cleaned signal still holds.

    Steps, in order: transform mean, trend and regressors to frequencies; keep those of the band; count
    what is independent among them; take it from the dimensions of the band, times the share of volumes
    that were not censored.

    Parameters
    ----------
    n_timepoints : int
        Volumes before cleaning.
    tr_s : float
        Repetition time in s.
    regressors : ndarray (n_timepoints, n_regressors), optional
        What is regressed out.
    keep : ndarray (n_kept,), optional
        Volumes that stay.
    detrend : bool
        Whether a linear trend is removed.
    high_pass_hz, low_pass_hz : float, optional
        The band.
    """
    columns = [np.ones(n_timepoints)]
    if detrend:
        columns.append(np.linspace(-1, 1, n_timepoints))
    design = np.column_stack([*columns, *(() if regressors is None else regressors.T)])
    size = np.abs(design).max(axis=0)
    design = design[:, size > 0] / size[size > 0]
    hz = np.fft.rfftfreq(n_timepoints, tr_s)
    band = (hz >= (high_pass_hz or 0.0)) & (hz <= (low_pass_hz or np.inf))
    if not band.all():
        spectrum = np.fft.rfft(design, axis=0)
        design = np.fft.irfft(np.where(band[:, None], spectrum, 0), n_timepoints, axis=0)
    single = (hz == 0) | ((n_timepoints % 2 == 0) & (np.arange(len(hz)) == len(hz) - 1))
    n_band = int(np.where(single, 1, 2)[band].sum())
    n_kept = n_timepoints if keep is None else len(keep)
    rows = design if keep is None else design[keep]
    taken = int(np.linalg.matrix_rank(rows, tol=1e-8 * max(rows.shape))) if rows.size else 0
    return max(0, round(n_band * n_kept / n_timepoints) - taken)


def nothing_left(left: int, n_timepoints: int) -> bool:
    """Whether so little is left that no result means anything."""
    return left < max(FEWEST, FEWEST_SHARE * n_timepoints)


def check_freedom(left: int, n_timepoints: int, n_regressors: int) -> tuple[str, ...]:
    """Return a caution when cleaning leaves under half of the degrees of freedom.

    Raises
    ------
    ScanError
        If it leaves near none.
    """
    if nothing_left(left, n_timepoints):
        raise ScanError(
            f"cleaning with {n_regressors} regressors leaves {left} of {n_timepoints} degrees of freedom, "
            "too few for any result",
            "choose a smaller strategy, a wider band or a milder censoring",
        )
    if left < n_timepoints / 2:
        return (
            f"Cleaning left {left} of {n_timepoints} degrees of freedom, less than half: "
            "correlations between parcels are less certain than the length of the run suggests.",
        )
    return ()
