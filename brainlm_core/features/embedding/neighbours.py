"""Who is near whom in an embedding, whether a map keeps it, and how far a new scan is from a cohort."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]

#: Neighbours whose mean distance says how far a scan is from the others.
N_FAR = 10
#: Neighbours of every point that are looked up once: with 40,000 points that takes half a minute.
N_KEPT = 15


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Nearest neighbours among the embeddings of a cohort, Euclidean.

    Parameters
    ----------
    vectors : ndarray (n, d), float64
    """

    vectors: Array
    _index: Any = field(init=False, repr=False)
    _lists: NDArray[np.intp] = field(init=False, repr=False)
    _own: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(algorithm="brute").fit(self.vectors)
        object.__setattr__(self, "_index", index)
        distance, lists = index.kneighbors(n_neighbors=min(N_KEPT, len(self.vectors) - 1))
        object.__setattr__(self, "_lists", lists)
        object.__setattr__(self, "_own", np.sort(distance[:, : self._n_far].mean(axis=1)))

    @property
    def _n_far(self) -> int:
        return min(N_FAR, len(self.vectors) - 1)

    def lists(self, n: int) -> NDArray[np.intp]:
        """Return the ``n`` nearest of every point, itself left out, (points, n)."""
        if n <= self._lists.shape[1]:
            return self._lists[:, :n]
        return np.asarray(self._index.kneighbors(n_neighbors=n, return_distance=False))

    def nearest(self, vector: Array, n: int = N_FAR) -> tuple[NDArray[np.intp], Array]:
        """Return the rows nearest to a new vector (d,) and their distances."""
        distance, rows = self._index.kneighbors(vector[None], n_neighbors=min(n, len(self.vectors)))
        return rows[0], distance[0]

    def nearest_of(self, row: int, n: int) -> tuple[NDArray[np.intp], Array]:
        """Return the rows nearest to one of the cohort's own, itself left out, and their distances."""
        rows, distance = self.nearest(self.vectors[row], n + 1)
        others = np.flatnonzero(rows != row)[:n]
        return rows[others], distance[others]

    def percentile(self, vector: Array) -> float:
        """Return the share of the cohort that is nearer to its own neighbours than ``vector`` is to its."""
        _, distance = self.nearest(vector, self._n_far)
        return float(np.searchsorted(self._own, distance.mean(), side="left") / len(self._own))


def preservation(neighbours: Neighbours, xy: NDArray[np.floating], k: int) -> FloatArray:
    """Return for each point the share of its ``k`` nearest that are among its ``k`` nearest on the map.

    Parameters
    ----------
    neighbours : Neighbours
        Of the embedding.
    xy : ndarray (n, 2)
        The map.
    k : int

    Returns
    -------
    ndarray (n,), float32
        1 where all neighbours are kept; ``k / (n - 1)`` on average for a shuffled map.
    """
    from sklearn.neighbors import NearestNeighbors

    true = neighbours.lists(k)
    drawn = NearestNeighbors().fit(xy).kneighbors(n_neighbors=k, return_distance=False)
    both = np.sort(np.concatenate([true, drawn], axis=1), axis=1)
    return ((both[:, 1:] == both[:, :-1]).sum(axis=1) / k).astype(np.float32)
