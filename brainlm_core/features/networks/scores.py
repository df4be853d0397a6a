"""Network scores of attention and of everything that it must be compared with, in one table.

The face of the network scores: features are in ``network_features``, the scores themselves in
``network_metrics``, clustering in ``network_clusters``; :func:`cohort_network_scores` runs them
over many recordings for ``brainlm evaluate``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.methods import ordered, words_of
from brainlm_core.features.networks.clusters import Clustering, cluster
from brainlm_core.features.networks.features import (
    Array,
    Features,
    attention_features,
    centred_connectivity_features,
    combined_features,
    connectivity_features,
    coordinate_features,
    group_connectivity_features,
)
from brainlm_core.features.networks.metrics import (
    LabelledParcels,
    Score,
    ari,
    homologue_pairs,
    knn_accuracy,
    labelled_parcels,
    mean_interval,
)
from brainlm_core.features.shared.connectivity import functional_connectivity

__all__ = [
    "Clustering",
    "Features",
    "LabelledParcels",
    "MethodScores",
    "Score",
    "ScoreSetting",
    "ari",
    "attention_features",
    "attention_row",
    "baseline_rows",
    "cluster",
    "functional_connectivity",
    "homologue_pairs",
    "knn_accuracy",
    "labelled_parcels",
    "mean_interval",
    "score_table",
]


@dataclass(frozen=True)
class ScoreSetting:
    """What every method is scored on.

    Parameters
    ----------
    labelled : LabelledParcels
        Parcels with known networks.
    usable : ndarray (n_parcels,), bool
        False for flat parcels; they are no feature, no neighbour and in no network.
    n_networks : int
        k of the clustering.
    seed : int
        Of folds, clustering and intervals.
    """

    labelled: LabelledParcels
    usable: NDArray[np.bool_]
    n_networks: int = 7
    seed: int = 0

    def on_usable(self, square: ArrayLike) -> Array:
        """Return the rows and columns of usable parcels."""
        return np.asarray(square, dtype=np.float64)[np.ix_(self.usable, self.usable)]

    def spread(self, features: Features) -> Features:
        """Put descriptions of usable parcels back into rows of the recording; zero elsewhere."""
        values = np.zeros((len(self.usable), features.values.shape[1]))
        values[self.usable] = features.values
        return Features(values, features.metric)


@dataclass(frozen=True)
class MethodScores:
    """One row of the table.

    Parameters
    ----------
    method : str
        Key of :data:`brainlm_core.base.methods.METHODS`.
    knn : Score
        k-NN accuracy, folds over parcels.
    knn_homologues : Score
        k-NN accuracy, left and right homologues in the same fold.
    ari : Score or None
        Adjusted Rand index of the clusters; None for methods that are not clustered.
    """

    method: str
    knn: Score
    knn_homologues: Score
    ari: Score | None

    @property
    def title(self) -> str:
        """Name for people, in full."""
        text = words_of(self.method, "networks")
        return text[:1].upper() + text[1:]


def attention_features_of(attention: ArrayLike, group: NDArray[np.int64], setting: ScoreSetting) -> Features:
    """Return the attention features of a recording's parcels, flat ones left out (zero rows)."""
    group = np.asarray(group)[setting.usable]
    mixed = len(np.unique(group)) < len(group)
    return setting.spread(attention_features(setting.on_usable(attention), group if mixed else None))


def score_features(
    method: str, features: Features, setting: ScoreSetting, *, clusters: NDArray[np.int64] | None = None
) -> MethodScores:
    """Score one description; ``clusters`` (n_parcels,) adds the ARI."""
    return MethodScores(
        method=method,
        knn=knn_accuracy(features, setting.labelled, seed=setting.seed),
        knn_homologues=knn_accuracy(features, setting.labelled, grouped=True, seed=setting.seed),
        ari=None if clusters is None else ari(clusters, setting.labelled),
    )


def attention_row(
    attention: ArrayLike,
    group: NDArray[np.int64],
    setting: ScoreSetting,
    *,
    method: str = "attention",
    clusters: Clustering | None = None,
) -> MethodScores:
    """Score an attention map.

    Parameters
    ----------
    attention : array_like (n_parcels, n_parcels)
        Query × key.
    group : ndarray (n_parcels,), int
        Token row of each parcel.
    setting : ScoreSetting
    method : {"attention", "random_twin"}
    clusters : Clustering, optional
        When they are known already.
    """
    features = attention_features_of(attention, group, setting)
    return score_features(method, features, setting, clusters=_labels(features, setting, clusters))


def baseline_rows(
    connectivity: Array,
    xyz: ArrayLike,
    setting: ScoreSetting,
    *,
    group: bool = False,
    reference: Array | None = None,
) -> tuple[MethodScores, ...]:
    """Score what needs no model: connectivity (two forms), coordinates, both together.

    Clusters of connectivity are drawn from its margin-free form (for a group, the column-centred
    one): from plain rows the ARI is lower by about .1, which would flatter the model.

    Parameters
    ----------
    connectivity : ndarray (n_parcels, n_parcels)
        Of the same window(s) as the attention.
    xyz : array_like (n_parcels, 3)
        mm, MNI152.
    setting : ScoreSetting
    group : bool
        ``connectivity`` is an average over recordings: column-centre it.
    reference : ndarray (n_parcels, n_parcels), optional
        Average connectivity of the recordings that the default weights were fitted on
        (``network_reference``), scored column-centred; without it that row has no value.
    """
    square = setting.on_usable(connectivity)
    place = np.asarray(xyz, dtype=np.float64)[setting.usable]
    centred = setting.spread(centred_connectivity_features(square))
    plain = setting.spread((group_connectivity_features if group else connectivity_features)(square))
    where = setting.spread(coordinate_features(place))
    both = setting.spread(combined_features(square, place, group=group))
    parts = _labels(plain if group else centred, setting)
    return (
        score_features("functional_connectivity", plain, setting, clusters=parts),
        score_features("functional_connectivity_centred", centred, setting),
        score_features("coordinates", where, setting, clusters=_labels(where, setting)),
        score_features("connectivity_coordinates", both, setting),
        _reference_row(reference, setting),
    )


def _reference_row(reference: Array | None, setting: ScoreSetting) -> MethodScores:
    if reference is None:
        none = Score(None, reason="no average connectivity is bundled for these parcels")
        return MethodScores("group_connectivity", none, none, none)
    features = setting.spread(group_connectivity_features(setting.on_usable(reference)))
    return score_features("group_connectivity", features, setting, clusters=_labels(features, setting))


def score_table(rows: tuple[MethodScores, ...]) -> dict[str, Any]:
    """Return ``{knn_accuracy, knn_accuracy_homologues, ari}``, each ``{method: {value, ci95}}``."""
    by_method = {row.method: row for row in rows}
    rows = tuple(by_method[method] for method in ordered(by_method))
    return {
        "knn_accuracy": {row.method: row.knn.to_dict() for row in rows},
        "knn_accuracy_homologues": {row.method: row.knn_homologues.to_dict() for row in rows},
        "ari": {row.method: row.ari.to_dict() for row in rows if row.ari is not None},
    }


def _labels(features: Features, setting: ScoreSetting, known: Clustering | None = None) -> NDArray[np.int64]:
    """Return clusters for the ARI, all -1 where nothing could be compared with them."""
    if known is not None:
        return known.labels
    if setting.labelled.reason:
        return np.full(len(setting.usable), -1, dtype=np.int64)
    return cluster(
        features,
        setting.labelled,
        usable=setting.usable,
        n_networks=setting.n_networks,
        seed=setting.seed,
    ).labels
