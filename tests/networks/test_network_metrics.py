from __future__ import annotations

import itertools

import numpy as np
import pytest

from brainlm_core.base.atlas import YEO7, a424, a424_cortex, from_coordinates
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.networks import metrics
from brainlm_core.features.networks.features import Features
from brainlm_core.features.networks.metrics import (
    LabelledParcels,
    ari,
    homologue_pairs,
    knn_accuracy,
    labelled_parcels,
    mean_interval,
)
from brainlm_core.features.shared.connectivity import functional_connectivity


def labelled(labels: np.ndarray, pairs: np.ndarray | None = None) -> LabelledParcels:
    n = len(labels)
    return LabelledParcels(np.arange(n), labels.astype(np.int64), np.arange(n) if pairs is None else pairs)


def blobs(n: int = 140, spread: float = 0.1, seed: int = 0) -> tuple[Features, LabelledParcels]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 7
    return Features(np.eye(7)[labels] + spread * rng.standard_normal((n, 7)), "cosine"), labelled(labels)


def test_356_parcels_of_a424_are_labelled():
    found = labelled_parcels(a424())
    assert len(found.rows) == 356 and found.reason == ""
    assert found.networks == YEO7
    assert np.bincount(found.labels).tolist() == [59, 53, 44, 48, 25, 45, 82]
    assert found.chance() == pytest.approx(82 / 356)


def test_flat_parcels_take_no_part():
    usable = np.ones(424, dtype=bool)
    usable[:50] = False
    assert labelled_parcels(a424(), usable).rows.min() >= 50


def test_every_cortical_parcel_of_a424_has_its_homologue():
    pairs = homologue_pairs(a424_cortex())
    assert np.array_equal(np.bincount(pairs)[np.unique(pairs)], np.full(180, 2))
    names = a424_cortex().names
    for right in range(180):
        left = np.flatnonzero(pairs == pairs[right])[1]
        assert names[left][2:] == names[right][2:]


def test_homologues_without_names_are_found_by_position():
    xyz = np.array([[-40, 10, 20], [41, 11, 19], [-20, -60, 0], [60, -60, 40], [0, 0, 50]], dtype=np.float32)
    pairs = homologue_pairs(from_coordinates("own", tuple("abcde"), xyz))
    assert pairs[0] == pairs[1]
    assert len(np.unique(pairs)) == 4  # the third and fourth are 57 mm from being mirror images


def test_accuracy_equals_scikit_learn():
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import KNeighborsClassifier

    features, parcels = blobs(spread=0.6)
    hits = []
    for seed in range(4):
        for train, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(
            features.values, parcels.labels
        ):
            model = KNeighborsClassifier(5, metric="cosine").fit(
                features.values[train], parcels.labels[train]
            )
            hits += list(model.predict(features.values[test]) == parcels.labels[test])
    score = knn_accuracy(features, parcels, n_repeats=4)
    assert score.value == pytest.approx(np.mean(hits))
    assert 0.3 < score.value < 0.95
    assert score.ci95[0] < score.value < score.ci95[1]


def test_points_on_a_line_have_a_known_answer():
    # Two runs of 30 points, one mm apart, 100 mm between the runs; one point of the wrong run is in each.
    x = np.concatenate([np.arange(30.0), 100 + np.arange(30.0)])
    labels = np.repeat([0, 1], 30)
    labels[[10, 45]] = [1, 0]
    score = knn_accuracy(Features(x[:, None], "euclidean"), labelled(labels), n_repeats=2)
    assert score.value == pytest.approx(58 / 60)


def test_planted_blocks_are_recognised_and_shuffled_labels_are_not():
    features, parcels = blobs()
    assert knn_accuracy(features, parcels).value == 1.0
    rng = np.random.default_rng(2)
    shuffled = [knn_accuracy(features, labelled(rng.permutation(parcels.labels))).value for _ in range(8)]
    assert np.mean(shuffled) == pytest.approx(1 / 7, abs=0.06)


def test_the_grouped_form_really_keeps_homologues_together():
    rng = np.random.default_rng(0)
    own = rng.standard_normal((70, 40))
    features = Features(np.repeat(own, 2, axis=0) + 0.01 * rng.standard_normal((140, 40)), "cosine")
    labels, pairs = np.repeat(np.arange(70) % 7, 2), np.repeat(np.arange(70), 2)
    parcels = labelled(labels, pairs)
    # The only thing that knows a parcel's network is its mirror image.
    assert knn_accuracy(features, parcels, k=1).value > 0.75
    assert knn_accuracy(features, parcels, k=1, grouped=True).value < 0.3
    folds = metrics._folds(parcels.labels.tobytes(), pairs.tobytes(), 3, 0)
    assert np.array_equal(folds[:, ::2], folds[:, 1::2])
    assert all(np.bincount(fold).tolist() == [28] * 5 for fold in folds)


def test_the_score_does_not_depend_on_the_order_of_features():
    features, parcels = blobs(spread=0.8)
    p = np.random.default_rng(1).permutation(7)
    assert knn_accuracy(Features(features.values[:, p], "cosine"), parcels).value == pytest.approx(
        knn_accuracy(features, parcels).value
    )


def test_equal_distances_are_drawn_and_not_taken_by_index():
    # All parcels are alike: the first by index would always be network 0 and score 1/2.
    labels = np.repeat([0, 1], 100)
    score = knn_accuracy(Features(np.ones((200, 3)), "cosine"), labelled(labels), k=1, n_repeats=40)
    assert score.value == pytest.approx(0.5, abs=0.06)
    firsts = Features(np.ones((200, 3)), "cosine")
    correct = metrics._correct(firsts.distances(), labelled(labels), False, 1, 40, 0)
    assert correct[100:].mean() > 0.2


@pytest.mark.parametrize("keep", [0, 10, 29])
def test_too_few_labelled_parcels_give_a_reason_instead_of_a_score(keep):
    usable = np.zeros(424, dtype=bool)
    usable[:keep] = True
    parcels = labelled_parcels(a424(), usable)
    score = knn_accuracy(Features(np.ones((424, 2)), "cosine"), parcels)
    assert score.value is None and "at least 30" in score.reason
    assert ari(np.zeros(424, dtype=int), parcels).value is None
    assert score.to_dict()["reason"] == score.reason


def test_one_network_alone_is_no_question():
    usable = np.array([name == "Default" for name in a424().yeo7])
    assert "two networks" in labelled_parcels(a424(), usable).reason


def test_a_rare_network_is_no_obstacle():
    labels = np.concatenate([np.repeat([0, 1], 40), [2, 2]])
    features = Features(
        np.eye(3)[labels] + 0.01 * np.random.default_rng(0).standard_normal((82, 3)), "cosine"
    )
    assert knn_accuracy(features, labelled(labels)).value == pytest.approx(80 / 82)


def test_settings_out_of_range_are_refused():
    features, parcels = blobs()
    with pytest.raises(ConfigError, match="1 or more"):
        knn_accuracy(features, parcels, k=0)


def test_ari_equals_scikit_learn():
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(0)
    _, parcels = blobs()
    for n_clusters in (2, 7, 12):
        clusters = np.where(
            rng.random(140) < 0.5, parcels.labels % n_clusters, rng.integers(0, n_clusters, 140)
        )
        score = ari(clusters, parcels)
        assert score.value == pytest.approx(adjusted_rand_score(parcels.labels, clusters))
        assert score.ci95[0] < score.value < score.ci95[1]


def test_perfect_and_empty_clusterings():
    _, parcels = blobs()
    perfect = ari((parcels.labels + 3) % 7, parcels)
    assert perfect.value == 1.0 and perfect.ci95 == (1.0, 1.0)
    assert ari(np.zeros(140, dtype=int), parcels).value == pytest.approx(0.0)


def test_parcels_without_a_cluster_are_left_out():
    _, parcels = blobs()
    clusters = parcels.labels.copy()
    clusters[:70] = -1
    assert ari(clusters, parcels).value == 1.0
    assert "were clustered" in ari(np.full(140, -1), parcels).reason


def test_cohort_intervals_draw_subjects_and_not_recordings():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 10)
    values = rng.standard_normal(10)[person] + 0.01 * rng.standard_normal(100)
    wide, narrow = mean_interval(values, person), mean_interval(values)
    assert wide.value == narrow.value == pytest.approx(values.mean())
    assert np.ptp(wide.ci95) > 2 * np.ptp(narrow.ci95)


def test_cohort_mean_of_missing_scores():
    assert mean_interval([np.nan, 0.5, 0.7]).value == pytest.approx(0.6)
    assert mean_interval([np.nan]).value is None
    assert mean_interval([0.4]).ci95 is None


@pytest.mark.slow
def test_connectivity_of_real_recordings_scores_as_measured_before(shared):
    """Figures of `design/BASELINES.md`, measured on other subjects of the same study."""
    from brainlm_core.features.networks.scores import ScoreSetting, baseline_rows

    parcellation = a424_cortex()
    with np.load(shared / "data" / "hcp15.npz") as store:
        signals, offsets = store["signals"], store["offsets"]
    runs = [signals[a:b].T.astype(np.float64) for a, b in itertools.pairwise(offsets)]
    setting = ScoreSetting(labelled_parcels(parcellation), np.ones(360, dtype=bool))

    def figures(maps: list[np.ndarray], **how: bool) -> dict[str, np.ndarray]:
        tables = [baseline_rows(c, parcellation.xyz, setting, **how) for c in maps]
        return {
            row.method: np.mean([[t[i].knn.value, t[i].knn_homologues.value] for t in tables], axis=0)
            for i, row in enumerate(tables[0])
            if row.knn.value is not None
        }

    window = figures([functional_connectivity(run[:, :200]) for run in runs])
    whole = [functional_connectivity(run) for run in runs]
    run, group = figures(whole), figures([np.mean(whole, axis=0)], group=True)
    near = {"abs": 0.025}
    assert window["functional_connectivity"] == pytest.approx([0.641, 0.624], **near)
    assert window["connectivity_coordinates"] == pytest.approx([0.734, 0.692], **near)
    assert window["coordinates"] == pytest.approx([0.724, 0.662], **near)
    assert run["functional_connectivity"] == pytest.approx([0.716, 0.695], **near)
    assert run["connectivity_coordinates"] == pytest.approx([0.774, 0.739], **near)
    assert group["functional_connectivity"] == pytest.approx([0.838, 0.823], **near)
    assert group["connectivity_coordinates"] == pytest.approx([0.835, 0.796], **near)
