from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.atlas import a424_cortex, from_coordinates
from brainlm_core.features.networks.metrics import labelled_parcels
from brainlm_core.features.networks.reference import group_connectivity
from brainlm_core.features.networks.scores import ScoreSetting, baseline_rows


@pytest.fixture
def folder(tmp_path, whole):
    """Statistics of 424 parcels in which every network shares variance, and of three parcels elsewhere."""
    net = np.array([name or "none" for name in whole.yeo7])
    covariance = 4 * np.eye(424) + 2.0 * (net[:, None] == net[None])
    np.savez(
        tmp_path / "group_statistics.npz",
        positions_0=whole.xyz,
        covariance_0=covariance,
        positions_1=np.array([[1, 2, 3], [40, 5, 6], [-7, 80, 9]]),
        covariance_1=np.diag([1.0, 4.0, 9.0]) + 1,
    )
    return tmp_path


def test_parcels_are_found_by_position_in_any_order(folder, whole):
    everything = group_connectivity(whole, folder)
    assert np.allclose(np.diag(everything), 1)
    assert np.isclose(everything[0, 1], 2 / 6)  # V1 and MST, both visual
    p = np.random.default_rng(0).permutation(424)[:200]
    assert np.allclose(group_connectivity(whole.subset(p, "some"), folder), everything[np.ix_(p, p)])
    assert group_connectivity(a424_cortex(), folder).shape == (360, 360)


def test_a_second_parcellation_is_tried(folder):
    own = from_coordinates("own", ("a", "b"), np.array([[40, 5, 6], [1, 2, 3]]))
    assert np.allclose(group_connectivity(own, folder), [[1, 1 / np.sqrt(10)], [1 / np.sqrt(10), 1]])


def test_unknown_parcels_have_no_average(folder, tmp_path):
    far = from_coordinates("far", ("a", "b"), np.array([[11, 22, 33], [-11, 22, 140]]))
    assert group_connectivity(far, folder) is None
    own = from_coordinates("own", ("a", "b"), np.array([[11, 22, 33], [-11, 22, 33]]))
    assert group_connectivity(own, tmp_path / "nowhere") is None


def test_it_is_scored_beside_the_others_or_says_why_not(folder, whole, make):
    setting = ScoreSetting(labelled_parcels(whole), np.ones(424, dtype=bool))
    own = np.corrcoef(make.recording(whole).signals)
    row = baseline_rows(own, whole.xyz, setting, reference=group_connectivity(whole, folder))[-1]
    assert row.method == "group_connectivity" and row.knn.value == row.ari.value == 1.0
    missing = baseline_rows(own, whole.xyz, setting)[-1]
    assert missing.knn.value is None and "no average connectivity" in missing.knn.reason
