"""Averages over the grayordinates (or vertices) of each parcel, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ColumnMeans:
    """Parcel means over columns.

    Parameters
    ----------
    means : ndarray (n_parcels, n_timepoints), float64
        NaN rows for parcels without a varying column.
    n_valid : ndarray (n_parcels,), int64
        Columns averaged.
    coverage : ndarray (n_parcels,), float32
        Share of a parcel's columns that vary, 0–1; 0 where it has none.
    """

    means: NDArray[np.float64]
    n_valid: NDArray[np.int64]
    coverage: NDArray[np.float32]


def average_columns(
    blocks: Iterable[tuple[NDArray[np.intp], NDArray[np.floating]]],
    labels: NDArray[np.integer],
    n_parcels: int,
    n_timepoints: int,
    tick: Callable[[float], None] = lambda _fraction: None,
) -> ColumnMeans:
    """Average columns per parcel.

    Parameters
    ----------
    blocks : iterable of (columns, values)
        ``columns`` (k,) indices into ``labels``; ``values`` (n_timepoints, k).
    labels : ndarray (n_columns,)
        Parcel number of each column, 0 for none.
    n_parcels, n_timepoints : int
        Sizes.
    tick : callable
        Told the fraction done.

    Notes
    -----
    Single NaN values are left out of the mean (as ``numpy.nanmean``); columns that never vary or
    are never finite are left out altogether.
    """
    sums = np.zeros((n_parcels + 1, n_timepoints))
    counts = np.zeros((n_parcels + 1, n_timepoints))
    n_valid = np.zeros(n_parcels + 1, np.int64)
    done = 0
    for columns, block in blocks:
        part = labels[columns]
        done += len(columns)
        use = np.flatnonzero(part > 0)
        if use.size:
            order = use[np.argsort(part[use], kind="stable")]
            with np.errstate(invalid="ignore"):  # any bit pattern may stand in a file
                values = np.asarray(block, dtype=np.float64)[:, order].T  # (k, time)
            finite = np.isfinite(values)
            filled = np.where(finite, values, 0.0)
            low = np.where(finite, values, np.inf).min(axis=1)
            high = np.where(finite, values, -np.inf).max(axis=1)
            varies = high > low
            rows, filled, finite = part[order][varies], filled[varies], finite[varies]
            if rows.size:
                starts = np.flatnonzero(np.r_[True, np.diff(rows) > 0])
                sums[rows[starts]] += np.add.reduceat(filled, starts, axis=0)
                counts[rows[starts]] += np.add.reduceat(finite, starts, axis=0, dtype=np.float64)
                n_valid += np.bincount(rows, minlength=n_parcels + 1)
        tick(done / max(len(labels), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / np.where(counts > 0, counts, np.nan)
    expected = np.bincount(np.asarray(labels, dtype=np.intp), minlength=n_parcels + 1)
    coverage = n_valid / np.maximum(expected, 1)
    return ColumnMeans(means[1:], n_valid[1:], coverage[1:].astype(np.float32))
