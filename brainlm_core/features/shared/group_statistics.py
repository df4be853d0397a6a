"""The group without a scan: the covariance between parcels, averaged over the training recordings.

It lies beside the weights, ``group_statistics.npz``: ``positions_k`` (n, 3) in mm and ``covariance_k``
(n, n), one pair per reference parcellation. Parcels that lie elsewhere take their figures from the nearest
anchors, weighted by the inverse fourth power of the distance, as the default model does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

STATISTICS_NAME = "group_statistics.npz"
#: Positions that differ by more than this describe different parcels, mm.
SAME_PARCEL_MM = 1.0
#: A parcel farther than this from every anchor is unknown to the group, mm.
REACH_MM = 30.0
#: Softens the weight of an anchor on the spot, mm.
_EPSILON_MM = 0.5


@dataclass(frozen=True, eq=False)
class GroupCovariance:
    """Covariance between the parcels of a recording, of the training recordings.

    Parameters
    ----------
    matrix : ndarray (P, P), float64
        Of robust-scaled signals.
    exact : bool
        False where parcels took their figures from neighbouring anchors.
    """

    matrix: Array
    exact: bool

    def correlation(self) -> Array:
        """Return the correlation between the parcels, (P, P)."""
        sd = np.sqrt(np.diag(self.matrix))
        return np.asarray(self.matrix / np.outer(sd, sd))


def group_covariance(xyz: ArrayLike, folder: Path | None = None) -> GroupCovariance | None:
    """Return the training recordings' covariance for parcels at ``xyz`` (P, 3) in mm.

    Parameters
    ----------
    xyz : array_like (P, 3)
        mm, MNI152.
    folder : Path, optional
        Of the weights; the bundled ones by default.

    Returns
    -------
    GroupCovariance or None
        None when there are no statistics, or a parcel lies farther than :data:`REACH_MM` from all anchors.
    """
    if folder is None:
        from brainlm_core.inference.weights import (
            default_folder,  # brings torch, which a page's first paint must not
        )

        folder = default_folder()
    path = folder / STATISTICS_NAME
    if not path.is_file():
        return None
    places = np.asarray(xyz, dtype=np.float64)
    banks = _read(path, path.stat().st_mtime_ns)
    gaps = [np.linalg.norm(places[:, None] - anchors[None], axis=-1) for anchors, _ in banks]
    for gap, (_, covariance) in zip(gaps, banks, strict=True):
        rows = gap.argmin(axis=1)
        if gap.min(axis=1).max() <= SAME_PARCEL_MM and len(np.unique(rows)) == len(rows):
            return GroupCovariance(covariance[np.ix_(rows, rows)], True)
    best = int(np.argmin([gap.min(axis=1).mean() for gap in gaps]))
    gap, covariance = gaps[best], banks[best][1]
    if gap.min(axis=1).max() > REACH_MM:
        return None
    weight = 1 / (gap**2 + _EPSILON_MM**2) ** 2
    weight /= weight.sum(axis=1, keepdims=True)  # (P, anchors)
    matrix = weight @ covariance @ weight.T
    # A mean over anchors varies less than a parcel does: what is missing is the parcel's own.
    np.fill_diagonal(matrix, np.maximum(weight @ np.diag(covariance), np.diag(matrix)))
    return GroupCovariance(matrix, False)


@lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> tuple[tuple[Array, Array], ...]:
    with np.load(path, allow_pickle=False) as store:
        keys = sorted(k for k in store.files if k.startswith("positions_"))
        return tuple(
            (store[k].astype(np.float64), store[k.replace("positions", "covariance")].astype(np.float64))
            for k in keys
        )
