"""What each parcel is described by when network labels are scored: one definition for every model.

The definitions were fixed before any model was scored, from what the numbers are:

- **Attention** is a softmax, so its logarithm is a logit plus a constant per query row (the
  normaliser) plus, in every transformer, a bias per key column (some tokens are looked at by all).
  Neither says which parcels belong together. So: logarithm, symmetrise, remove an additive row and
  column effect fitted off the diagonal, diagonal 0. What stays is how much more two parcels attend
  to each other than their margins predict.
- **Functional connectivity** is the Pearson correlation. Its plain rows are the usual description;
  the same symmetric margin removal ("centred") is given beside it, so that attention never gets a
  treatment that its baseline does not get. Group averages are column-centred.
- **Coordinates** are compared as distances in mm, with |x| so that homologues lie together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.errors import AnalysisError

Array = NDArray[np.float64]

#: Attention below this share of the map's mean counts as this much: a logarithm needs a floor.
ATTENTION_FLOOR = 1e-4
#: Length of the coordinate block beside unit-length connectivity rows. A half keeps the block a
#: helper for one window as for a whole group; equal weight gives about +.025 and -.04 there.
COORDINATE_WEIGHT = 0.5
#: Width in mm of the Gaussian that turns distances into an affinity; about one parcel and its neighbours.
COORDINATE_SCALE_MM = 20.0


@dataclass(frozen=True)
class Features:
    """Descriptions of parcels and how to compare them.

    Parameters
    ----------
    values : ndarray (n_parcels, n_features), float64
        One row per parcel.
    metric : {"cosine", "euclidean"}
        Distance for nearest neighbours.
    """

    values: Array
    metric: Literal["cosine", "euclidean"]

    def rows(self, rows: NDArray[np.intp]) -> Features:
        """Return the descriptions of some parcels, all features kept."""
        return Features(self.values[rows], self.metric)

    def distances(self) -> Array:
        """Return the (n_parcels, n_parcels) distances; cosine distance of a zero row is 1."""
        if self.metric == "cosine":
            return 1.0 - self._cosine()
        square = (self.values**2).sum(axis=1)
        gap = square[:, None] + square[None] - 2.0 * self.values @ self.values.T
        return np.sqrt(np.clip(gap, 0.0, None))

    def affinity(self) -> Array:
        """Return a symmetric, non-negative (n_parcels, n_parcels) affinity, diagonal 0.

        Positive part of the cosine similarity, or a Gaussian of :data:`COORDINATE_SCALE_MM`.
        """
        if self.metric == "cosine":
            out = np.clip(self._cosine(), 0.0, None)
        else:
            out = np.exp(-(self.distances() ** 2) / (2 * COORDINATE_SCALE_MM**2))
        np.fill_diagonal(out, 0.0)
        return out

    def _cosine(self) -> Array:
        unit = _unit_rows(self.values)
        return np.asarray(unit @ unit.T)


def remove_margins(matrix: ArrayLike) -> Array:
    """Symmetrise a map and remove additive row and column effects, the diagonal left out.

    Least-squares fit of ``m + a_i + a_j`` to the off-diagonal entries of the symmetrised map, in
    closed form: ``a_i = (S_i - (n - 1) m) / (n - 2)`` with S_i the off-diagonal row sum. Adding any
    constant to any row or column of the input leaves the result unchanged.

    Parameters
    ----------
    matrix : array_like (n, n), n >= 3

    Returns
    -------
    ndarray (n, n), float64
        Symmetric residuals, diagonal 0.
    """
    values = np.array(matrix, dtype=np.float64)
    n = values.shape[0]
    if values.shape != (n, n) or n < 3:
        raise AnalysisError(
            f"a map of shape {values.shape} has no margins to remove", "use 3 or more parcels"
        )
    values = (values + values.T) / 2
    np.fill_diagonal(values, 0.0)
    row = values.sum(axis=1)
    mean = row.sum() / (n * (n - 1))
    effect = (row - (n - 1) * mean) / (n - 2)
    values -= mean + effect[:, None] + effect[None]
    np.fill_diagonal(values, 0.0)
    return values


def attention_features(attention: ArrayLike, group: NDArray[np.int64] | None = None) -> Features:
    """Describe parcels by whom they attend to, beyond what everybody attends to.

    Steps: floor at :data:`ATTENTION_FLOOR` of the mean, logarithm, :func:`remove_margins`.

    Parameters
    ----------
    attention : array_like (n_parcels, n_parcels)
        Query × key, non-negative.
    group : ndarray (n_parcels,), int, optional
        Token of each parcel for models whose tokens mix parcels. Parcels of one token share one
        row, so the steps are done between tokens and the rows handed to their parcels.

    Returns
    -------
    Features
        Cosine; permuting parcels permutes rows and columns.

    Raises
    ------
    AnalysisError
        If the map is not finite or nothing in it is positive.
    """
    values = np.asarray(attention, dtype=np.float64)
    if not np.isfinite(values).all() or values.max(initial=0.0) <= 0:
        raise AnalysisError("the attention map is empty or not finite", "check the weights of the model")
    token = np.arange(len(values))
    if group is not None:
        _, first, token = np.unique(np.asarray(group), return_index=True, return_inverse=True)
        values = values[np.ix_(first, first)]
    logit = np.log(np.maximum(values, ATTENTION_FLOOR * values.mean()))
    return Features(remove_margins(logit)[token], "cosine")


def connectivity_features(connectivity: Array) -> Features:
    """Describe parcels by their plain rows of correlations, diagonal included."""
    return Features(np.asarray(connectivity, dtype=np.float64), "cosine")


def centred_connectivity_features(connectivity: Array) -> Features:
    """Describe parcels by correlations treated as attention is: margins and diagonal removed."""
    return Features(remove_margins(connectivity), "cosine")


def group_connectivity_features(connectivity: Array) -> Features:
    """Describe parcels by column-centred rows, the form for an average over many recordings."""
    values = np.asarray(connectivity, dtype=np.float64)
    return Features(values - values.mean(axis=0), "cosine")


def coordinate_features(xyz: ArrayLike, *, mirrored: bool = True) -> Features:
    """Describe parcels by their position.

    Parameters
    ----------
    xyz : array_like (n_parcels, 3)
        mm, MNI152.
    mirrored : bool
        Use (|x|, y, z), which puts left and right homologues together; else (x, y, z).

    Returns
    -------
    Features
        Euclidean, mm.
    """
    values = np.array(xyz, dtype=np.float64)
    if mirrored:
        values[:, 0] = np.abs(values[:, 0])
    return Features(values, "euclidean")


def combined_features(connectivity: Array, xyz: ArrayLike, *, group: bool = False) -> Features:
    """Put connectivity and position side by side.

    Unit-length connectivity rows next to centred (|x|, y, z), scaled to a root mean square length
    of :data:`COORDINATE_WEIGHT`.

    Parameters
    ----------
    connectivity : ndarray (n_parcels, n_parcels)
    xyz : array_like (n_parcels, 3)
        mm, MNI152.
    group : bool
        Column-centre the connectivity (averages over many recordings).
    """
    rows = group_connectivity_features(connectivity) if group else connectivity_features(connectivity)
    place = coordinate_features(xyz).values
    place = place - place.mean(axis=0)
    size = np.sqrt((place**2).sum(axis=1).mean())
    place = place * (COORDINATE_WEIGHT / size) if size > 0 else place
    return Features(np.hstack([_unit_rows(rows.values), place]), "cosine")


def _unit_rows(values: Array) -> Any:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)
