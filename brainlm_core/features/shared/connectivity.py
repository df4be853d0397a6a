"""Functional connectivity: the Pearson correlation between parcels, asked by several analyses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.errors import AnalysisError


def functional_connectivity(signals: ArrayLike) -> NDArray[np.float64]:
    """Return Pearson correlations between parcels.

    Parameters
    ----------
    signals : array_like (n_parcels, n_timepoints)
        Any scaling.

    Returns
    -------
    ndarray (n_parcels, n_parcels), float64
        As ``numpy.corrcoef``; rows and columns of parcels that do not vary are 0.

    Raises
    ------
    AnalysisError
        With fewer than three time points.
    """
    values = np.asarray(signals, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 3:
        raise AnalysisError("a correlation needs at least 3 time points", "use a longer window")
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    # A constant row leaves rounding noise of about 1e-16 of its level, which must not become a correlation.
    flat = length <= 1e-10 * (np.abs(np.asarray(signals)).max(axis=1, keepdims=True) + 1e-300)
    unit = np.where(flat, 0.0, values / np.where(flat, 1.0, length))
    return np.asarray(np.clip(unit @ unit.T, -1.0, 1.0))
