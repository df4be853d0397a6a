from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.atlas import YEO7, a424
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.networks.clusters import cluster, match_to_networks
from brainlm_core.features.networks.features import Features, attention_features
from brainlm_core.features.networks.metrics import LabelledParcels, ari, labelled_parcels


@pytest.fixture(scope="module")
def parcels():
    return labelled_parcels(a424())


@pytest.fixture
def features(make, whole):
    return attention_features(make.weights(whole))


def test_planted_networks_are_recovered_and_named(features, parcels):
    found = cluster(features, parcels)
    assert ari(found.labels, parcels).value == 1.0
    assert found.names == YEO7
    assert all(found.matched) and np.allclose(found.dice, 1)
    assert np.array_equal(found.labels[parcels.rows], parcels.labels)


def test_deep_parcels_join_the_network_they_attend_to(make, whole, parcels):
    weights = make.weights(whole)
    putamen, visual = 370, make.networks(whole) == YEO7.index("Visual")
    weights[putamen, visual] *= 8
    found = cluster(attention_features(weights), parcels)
    assert found.names[found.labels[putamen]] == "Visual"


def test_flat_parcels_stay_without_a_network(features, whole):
    usable = np.ones(424, dtype=bool)
    usable[[3, 200, 400]] = False
    found = cluster(features, labelled_parcels(whole, usable), usable=usable)
    assert np.array_equal(np.flatnonzero(found.labels < 0), [3, 200, 400])


@pytest.mark.parametrize("k", [2, 4, 7, 10, 20])
def test_any_number_of_networks_is_matched_one_to_one(features, parcels, k):
    found = cluster(features, parcels, n_networks=k)
    assert len(found.names) == len(found.dice) == k
    assert set(found.labels) == set(range(k))
    assert len(set(found.names)) == k
    known = [name for name in found.names if name in YEO7]
    assert known == sorted(known, key=YEO7.index)
    assert sum(found.matched) == len(known) == min(k, 7)
    assert [name for name in found.names if name not in YEO7] == [
        f"Unmatched {i + 1}" for i in range(max(k - 7, 0))
    ]


@pytest.mark.parametrize("k", [0, 1, 31, 500])
def test_impossible_numbers_of_networks_are_refused(features, parcels, k):
    with pytest.raises(ConfigError, match="ask for 2 to 30"):
        cluster(features, parcels, n_networks=k)


def test_without_labels_all_parcels_are_clustered():
    labels = np.repeat([0, 1], 10)
    rng = np.random.default_rng(0)
    features = Features(np.eye(2)[labels] + 0.05 * rng.standard_normal((20, 2)), "cosine")
    nobody = LabelledParcels(
        np.zeros(0, dtype=int), np.zeros(0, dtype=int), np.zeros(0, dtype=int), reason="none"
    )
    found = cluster(features, nobody, n_networks=2)
    assert found.names == ("Unmatched 1", "Unmatched 2")
    assert len(set(found.labels[:10])) == len(set(found.labels[10:])) == 1
    assert found.labels[0] != found.labels[10]


def test_the_same_seed_gives_the_same_networks(features, parcels):
    noisy = Features(features.values + np.random.default_rng(0).standard_normal((424, 424)), "cosine")
    assert np.array_equal(cluster(noisy, parcels, seed=3).labels, cluster(noisy, parcels, seed=3).labels)


def test_matching_prefers_the_best_total_over_the_best_single():
    # Cluster 0 overlaps both networks; greedy by cluster would leave cluster 1 with nothing.
    labels = np.array([0] * 6 + [0] * 4 + [1] * 5)
    truth = np.array([0] * 6 + [1] * 4 + [0] * 5)
    parcels = LabelledParcels(np.arange(15), truth, np.arange(15), ("A", "B"))
    network, dice = match_to_networks(labels, parcels, 2)
    assert network.tolist() == [1, 0]
    assert dice == pytest.approx([2 * 4 / 14, 2 * 5 / 16])
