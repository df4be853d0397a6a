"""The main axes of a cohort's embeddings, and where one more recording falls among the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.errors import AnalysisError

Array = NDArray[np.float64]

#: Fewest recordings that a map is drawn of.
MIN_RECORDINGS = 10
#: Nearest recordings whose mean distance says how far a recording is from a cohort.
K_FAR = 5
#: A recording farther out than this share of the cohort's own is called far.
FAR_SHARE = 0.99


@dataclass(frozen=True, eq=False)
class Placed:
    """One more recording among a cohort.

    Parameters
    ----------
    xy : (float, float)
        On the map.
    rows : ndarray (k,), int
        The nearest recordings by Euclidean distance of the whole embeddings, nearest first.
    distance : ndarray (k,), float64
        Theirs, in units of the cohort's median distance between nearest neighbours.
    farther_than : float
        Share of the cohort's recordings that lie nearer to their own :data:`K_FAR` nearest, 0–1.
    """

    xy: tuple[float, float]
    rows: NDArray[np.intp]
    distance: Array
    farther_than: float

    @property
    def is_far(self) -> bool:
        """Whether the recording lies farther out than nearly all of the cohort."""
        return self.farther_than >= FAR_SHARE


@dataclass(frozen=True, eq=False)
class AxesMap:
    """Principal axes of a cohort's embeddings.

    Parameters
    ----------
    centre : ndarray (d,), float64
    axes : ndarray (2, d), float64
        Unit vectors; signs so that the largest weight is positive.
    xy : ndarray (n, 2), float64
    explained : (float, float)
        Share of the variance of the embeddings, 0–1.
    vectors : ndarray (n, d), float32
        What the map was made of.
    spread : ndarray (n,), float64
        Mean distance of each recording to its :data:`K_FAR` nearest of other people.
    """

    centre: Array
    axes: Array
    xy: Array
    explained: tuple[float, float]
    vectors: NDArray[np.float32]
    spread: Array

    def place(self, vector: NDArray[np.floating], k: int = 8) -> Placed:
        """Put one more embedding (d,) on the map, beside its nearest recordings."""
        if vector.shape != self.centre.shape:
            raise AnalysisError(
                f"an embedding of {vector.size} numbers does not fit a cohort with {self.centre.size}",
                "embed scan and cohort with the same model",
            )
        point = (vector - self.centre) @ self.axes.T
        distance = np.linalg.norm(self.vectors - vector.astype(np.float32), axis=1).astype(np.float64)
        order = np.argsort(distance, kind="stable")[:k]
        own = float(np.sort(distance)[: min(K_FAR, len(distance))].mean())
        unit = float(np.median(self.spread)) or 1.0
        share = float((self.spread < own).mean())
        return Placed((float(point[0]), float(point[1])), order, distance[order] / unit, share)


def principal_map(vectors: NDArray[np.floating], subjects: tuple[str, ...]) -> AxesMap:
    """Find the two main axes of embeddings (n, d).

    Raises
    ------
    AnalysisError
        If there are fewer than :data:`MIN_RECORDINGS` recordings.
    """
    n = len(vectors)
    if n < MIN_RECORDINGS:
        raise AnalysisError(f"a map of {n} recordings shows nothing", f"give at least {MIN_RECORDINGS}")
    values = np.asarray(vectors, dtype=np.float64)
    centre = values.mean(axis=0)
    centred = values - centre
    # Through the smaller of the two Gram matrices: both have the same leading axes.
    if n <= centred.shape[1]:
        power, left = np.linalg.eigh(centred @ centred.T)
        axes = (left[:, ::-1][:, :2].T @ centred) / np.sqrt(np.maximum(power[::-1][:2], 1e-30))[:, None]
    else:
        power, right = np.linalg.eigh(centred.T @ centred)
        axes = right[:, ::-1][:, :2].T
    axes *= np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
    total = float(np.maximum(power, 0).sum()) or 1.0
    shares = np.maximum(power[::-1][:2], 0) / total
    return AxesMap(
        centre,
        axes,
        centred @ axes.T,
        (float(shares[0]), float(shares[1])),
        np.asarray(vectors, dtype=np.float32),
        _spread(np.asarray(vectors, dtype=np.float32), subjects),
    )


def _spread(vectors: NDArray[np.float32], subjects: tuple[str, ...]) -> Array:
    """Return each recording's mean distance to its nearest of other people, block by block."""
    people = np.unique(np.array(subjects), return_inverse=True)[1]
    k = min(K_FAR, len(np.unique(people)) - 1)
    if k < 1:
        raise AnalysisError("all recordings are of one person", "give a cohort of several people")
    square = (vectors.astype(np.float64) ** 2).sum(axis=1)
    out = np.empty(len(vectors))
    for start in range(0, len(vectors), 512):
        part = slice(start, start + 512)
        distance = square[part, None] + square[None] - 2.0 * (vectors[part] @ vectors.T)
        distance[people[part, None] == people[None]] = np.inf
        nearest = np.sort(np.partition(distance, k - 1, axis=1)[:, :k], axis=1)
        nearest = nearest[:, :k]
        finite = np.where(np.isfinite(nearest), np.maximum(nearest, 0), np.nan)
        out[part] = np.nanmean(np.sqrt(finite), axis=1)
    return out
