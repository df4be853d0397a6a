"""The map: held to scikit-learn's principal components, and a new point to where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from brainlm_core.analyses.cohort_map import principal_map
from brainlm_core.cohort.reference import reference_cohort
from brainlm_core.errors import AnalysisError


@pytest.mark.parametrize("shape", [(40, 90), (200, 12)])
def test_axes_are_the_principal_components(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * np.linspace(3, 0.1, shape[1])
    made = principal_map(x, tuple(map(str, range(shape[0]))))
    other = PCA(2, svd_solver="full").fit(x)
    np.testing.assert_allclose(made.explained, other.explained_variance_ratio_, rtol=1e-8)
    np.testing.assert_allclose(np.abs(made.xy), np.abs(other.transform(x)), atol=1e-6)
    np.testing.assert_allclose(made.place(x[7]).xy, made.xy[7], atol=1e-6)


def test_a_new_recording_finds_its_neighbours_and_a_strange_one_is_far() -> None:
    own = reference_cohort()
    made = principal_map(own.cls, own.subjects)
    near = made.place(own.cls[17] + 1e-4)
    assert near.rows[0] == 17 and not near.is_far
    assert near.distance[0] < 0.01 and (np.diff(near.distance) >= 0).all()
    strange = made.place(own.cls[17] + 10 * own.cls.std())
    assert strange.is_far and strange.farther_than == 1.0


def test_about_one_recording_in_a_hundred_of_the_same_kind_is_called_far() -> None:
    rng = np.random.default_rng(1)
    made = principal_map(rng.standard_normal((400, 10)), tuple(map(str, range(400))))
    far = [made.place(v).is_far for v in rng.standard_normal((600, 10)).astype(np.float32)]
    assert 0.0 < np.mean(far) < 0.05


def test_recordings_of_one_person_do_not_count_as_neighbours_for_the_cohorts_spread() -> None:
    rng = np.random.default_rng(2)
    people = rng.standard_normal((30, 8))
    twice = np.repeat(people, 2, axis=0) + 1e-6 * rng.standard_normal((60, 8))
    made = principal_map(twice, tuple(str(i // 2) for i in range(60)))
    alone = principal_map(people, tuple(map(str, range(30))))
    assert made.spread.min() > 0.5 * alone.spread.min()


def test_what_cannot_be_mapped_is_refused() -> None:
    with pytest.raises(AnalysisError, match="a map of 4 recordings"):
        principal_map(np.ones((4, 3)), ("a", "b", "c", "d"))
    with pytest.raises(AnalysisError, match="of one person"):
        principal_map(np.random.default_rng(0).standard_normal((20, 3)), ("a",) * 20)
    made = principal_map(np.random.default_rng(0).standard_normal((20, 3)), tuple(map(str, range(20))))
    with pytest.raises(AnalysisError, match="an embedding of 5 numbers does not fit a cohort with 3"):
        made.place(np.zeros(5))
