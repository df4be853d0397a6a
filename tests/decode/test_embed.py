from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.features.embedding.analysis import make_map
from brainlm_core.features.embedding.neighbours import Neighbours, preservation
from brainlm_core.features.embedding.uses import TOGETHER, what_it_uses
from brainlm_core.inference.engine import Cancelled
from tests.decode.decode_tools import cohort


@pytest.fixture(scope="module")
def people():
    return cohort(90, seed=4)


def test_pca_equals_scikit_learn_up_to_signs(people):
    drawn = make_map(people, "pca")
    other = PCA(2).fit(people.cls.astype(float))
    theirs = other.transform(people.cls.astype(float))
    assert np.abs(drawn.xy) == pytest.approx(np.abs(theirs), abs=1e-5)
    assert drawn.explained == pytest.approx(other.explained_variance_ratio_)


def test_pca_of_more_numbers_than_people(people):
    wide = replace(people, cls=np.random.default_rng(0).standard_normal((90, 300)).astype(np.float32))
    drawn = make_map(wide, "pca")
    theirs = PCA(2).fit_transform(wide.cls.astype(float))
    assert np.abs(drawn.xy) == pytest.approx(np.abs(theirs), abs=1e-4)


@pytest.mark.parametrize(
    "method", ["pca", *(pytest.param(m, marks=pytest.mark.slow) for m in ("umap", "pacmap"))]
)
def test_a_map_keeps_groups_apart_and_places_a_known_scan_where_it_is(people, method):
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 30)
    cls = (10 * np.eye(6)[group] + random.standard_normal((90, 6))).astype(np.float32)
    grouped = replace(people, cls=cls)
    drawn = make_map(grouped, method, seed=1)
    centres = np.stack([drawn.xy[group == g].mean(axis=0) for g in range(3)])
    own = np.linalg.norm(drawn.xy - centres[group], axis=1).mean()
    assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 2 * own
    assert drawn.trust.mean() > 1.3 * drawn.chance
    placed = drawn.place(cls[4])
    assert placed.nearest[0] == "r4"
    assert np.linalg.norm(placed.xy - centres[0]) < 2.5 * own
    again = make_map(grouped, method, seed=1)
    assert again.xy == pytest.approx(drawn.xy, abs=1e-5)
    assert drawn.table().shape == (90, 4)


def test_trust_is_one_for_a_plane_and_chance_for_a_shuffle():
    random = np.random.default_rng(0)
    plane = random.standard_normal((300, 2))
    vectors = plane @ np.linalg.qr(random.standard_normal((5, 2)))[0].T
    assert preservation(Neighbours(vectors), plane, 10) == pytest.approx(1)
    shuffled = preservation(Neighbours(vectors), random.permutation(plane), 10)
    assert shuffled.mean() == pytest.approx(10 / 299, abs=0.01)


def test_a_scan_from_elsewhere_is_called_far(people):
    drawn = make_map(people)
    assert drawn.place(people.cls.mean(axis=0)).percentile < 0.9
    far = drawn.place(people.cls.mean(axis=0) + 100)
    assert far.percentile == 1
    assert far.is_far
    assert far.sentence().startswith("Far from this cohort: farther from its nearest scans than any scan")
    assert "Within this cohort" in drawn.place(people.cls[0]).sentence()


def test_nearest_scans_are_true_neighbours(people):
    drawn = make_map(people)
    near = drawn.nearest(7, 5)
    distance = np.linalg.norm(people.cls - people.cls[7], axis=1)
    assert list(near["recording_id"]) == [f"r{i}" for i in np.argsort(distance)[1:6]]
    assert near["distance"].to_numpy() == pytest.approx(np.sort(distance)[1:6], abs=1e-4)


def test_what_an_embedding_uses_is_found_and_chance_is_not_counted(people):
    random = np.random.default_rng(3)
    motion = random.uniform(0, 1, 90)
    cls = (random.standard_normal((90, 6)) * 0.3).astype(np.float32)
    cls[:, 0] += 3 * motion
    moved = replace(people, cls=cls, acquisition=people.acquisition.assign(mean_fd_mm=motion))
    uses = what_it_uses(moved, make_map(moved), n_permutations=39)
    table = uses.table().set_index(["factor", "of"])
    assert table.loc[("motion", "component 1"), "r2"] > 0.8
    assert table.loc[("motion", "component 1"), "p"] == pytest.approx(1 / 40)
    spread = cls.var(axis=0)
    expected = np.polyval(np.polyfit(motion, cls[:, 0], 1), motion).var() / spread.sum()
    assert table.loc[("motion", "embedding"), "r2"] == pytest.approx(expected, abs=0.08)
    assert table.loc[("site", "embedding"), "r2"] < 0.05
    assert table.loc[("site", "embedding"), "p"] > 0.05
    assert {"repetition time", "scan length"} <= set(uses.left_out)
    assert uses.factors[-1] == TOGETHER


def test_what_it_leaves_on_disk(people, tmp_path):
    drawn = make_map(people)
    names = {
        p.name for p in (*drawn.save(tmp_path), *what_it_uses(people, drawn, n_permutations=3).save(tmp_path))
    }
    assert names == {"map.json", "map.npz", "map.csv", "uses.json", "uses.npz", "uses.csv"}
    assert all((tmp_path / name).stat().st_size for name in names)


def test_bad_maps_are_refused(people):
    with pytest.raises(ConfigError, match="no map 'tsne'"):
        make_map(people, "tsne")
    with pytest.raises(AnalysisError, match="5 recordings are too few"):
        make_map(people.subset(range(5)))
    with pytest.raises(AnalysisError, match="all embeddings are the same"):
        make_map(replace(people, cls=np.ones_like(people.cls)))
    with pytest.raises(AnalysisError, match="does not fit a map"):
        make_map(people).place(np.zeros(3))
    with pytest.raises(ConfigError, match="other recordings"):
        what_it_uses(people.subset(range(50)), make_map(people))
    with pytest.raises(Cancelled):
        make_map(people, cancel=lambda: True)
