"""Networks found by clustering, and the known networks that they resemble most."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.networks.features import Array, Features
from brainlm_core.features.networks.metrics import LabelledParcels

#: Most networks that may be asked for; beyond this a cluster holds too few parcels to mean anything.
MAX_NETWORKS = 30


@dataclass(frozen=True)
class Clustering:
    """Parcels in k networks, named after the Yeo-7 networks they match.

    Parameters
    ----------
    labels : ndarray (n_parcels,), int64
        Cluster of each parcel, -1 for parcels without signal. Matched clusters come first, in
        Yeo's order.
    names : tuple of str, length k
        Matched network, or ``"Unmatched n"`` for clusters left over.
    matched : tuple of bool, length k
        Whether a known network was assigned.
    dice : ndarray (k,), float64
        Overlap with the matched network, 2 |A∩B| / (|A| + |B|) over labelled parcels; 0 if unmatched.
    """

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    matched: tuple[bool, ...]
    dice: Array


def cluster(
    features: Features,
    labelled: LabelledParcels,
    *,
    usable: NDArray[np.bool_] | None = None,
    n_networks: int = 7,
    seed: int = 0,
) -> Clustering:
    """Find k networks and match them to the known ones.

    Steps: affinity of the features (:meth:`Features.affinity`); normalised-cut spectral clustering of
    the labelled parcels (von Luxburg 2007; all usable parcels where too few are labelled); the other
    usable parcels, subcortex and cerebellum, join the network that they have the largest mean affinity
    to (winner takes all, Buckner et al. 2011); one-to-one matching by total Dice overlap (Hungarian).

    Parameters
    ----------
    features : Features
        One row per parcel of the recording.
    labelled : LabelledParcels
    usable : ndarray (n_parcels,), bool, optional
        False for flat parcels, which stay without a network.
    n_networks : int
        k, 2 to :data:`MAX_NETWORKS`.
    seed : int

    Raises
    ------
    ConfigError
        If k is out of range or exceeds a third of the parcels.
    """
    n = len(features.values)
    usable = np.ones(n, dtype=bool) if usable is None else usable
    rows = np.flatnonzero(usable) if labelled.reason else labelled.rows
    most = min(MAX_NETWORKS, len(rows) // 3)
    if not 2 <= n_networks <= most:
        raise ConfigError(
            f"{n_networks} networks cannot be drawn from {len(rows)} parcels", f"ask for 2 to {max(most, 2)}"
        )
    affinity = features.affinity()
    found = spectral(affinity[np.ix_(rows, rows)], n_networks, seed)
    mean_to = np.zeros((n, n_networks))
    for c in range(n_networks):
        members = rows[found == c]
        # A parcel's own zero on the diagonal must not lower the mean to its own network.
        others = np.maximum(len(members) - np.isin(np.arange(n), members), 1)
        mean_to[:, c] = affinity[:, members].sum(axis=1) / others
    mean_to[~usable] = 0.0
    labels = np.full(n, -1, dtype=np.int64)
    labels[usable] = mean_to[usable].argmax(axis=1)
    labels[rows] = found
    return _matched(labels, labelled, n_networks)


def spectral(affinity: Array, n_clusters: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the normalised-cut spectral clustering of a symmetric non-negative affinity, (n,)."""
    from sklearn.cluster import SpectralClustering

    # A faint all-to-all link keeps one isolated parcel from becoming a network of its own.
    linked = affinity + 1e-3 * affinity.mean() + 1e-12
    np.fill_diagonal(linked, 0.0)
    method = SpectralClustering(
        n_clusters, affinity="precomputed", assign_labels="kmeans", random_state=seed, n_init=10
    )
    with warnings.catch_warnings():  # identical parcels may leave k-means fewer points than clusters
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(method.fit_predict(linked), dtype=np.int64)


def match_to_networks(
    labels: NDArray[np.int64], labelled: LabelledParcels, n_clusters: int
) -> tuple[NDArray[np.int64], Array]:
    """Assign clusters to known networks one to one, with the largest total Dice overlap.

    Returns
    -------
    network : ndarray (n_clusters,), int64
        Index into ``labelled.networks``, -1 for clusters left over or without overlap.
    dice : ndarray (n_clusters,), float64
        Overlap with it.
    """
    from scipy.optimize import linear_sum_assignment

    k = len(labelled.networks)
    table = np.zeros((n_clusters, k))
    chosen = labels[labelled.rows]
    np.add.at(table, (chosen[chosen >= 0], labelled.labels[chosen >= 0]), 1)
    size = table.sum(axis=1)[:, None] + table.sum(axis=0)[None]
    dice = 2 * table / np.maximum(size, 1)
    network = np.full(n_clusters, -1, dtype=np.int64)
    row, column = linear_sum_assignment(dice, maximize=True)
    real = dice[row, column] > 0
    network[row[real]] = column[real]
    return network, np.where(network >= 0, dice[np.arange(n_clusters), network], 0.0)


def _matched(labels: NDArray[np.int64], labelled: LabelledParcels, n_networks: int) -> Clustering:
    """Renumber clusters so that matched ones come first, in Yeo's order."""
    network, dice = match_to_networks(labels, labelled, n_networks)
    order = np.argsort(np.where(network >= 0, network, len(labelled.networks)), kind="stable")
    rank = np.empty(n_networks, dtype=np.int64)
    rank[order] = np.arange(n_networks)
    names: list[str] = []
    for old in order:
        left_over = sum(name.startswith("Unmatched") for name in names)
        names.append(labelled.networks[network[old]] if network[old] >= 0 else f"Unmatched {left_over + 1}")
    return Clustering(
        labels=np.where(labels >= 0, rank[labels], -1),
        names=tuple(names),
        matched=tuple(bool(network[old] >= 0) for old in order),
        dice=dice[order],
    )
