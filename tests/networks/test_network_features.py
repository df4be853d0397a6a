from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.errors import AnalysisError
from brainlm_core.features.networks.features import (
    COORDINATE_WEIGHT,
    Features,
    attention_features,
    centred_connectivity_features,
    combined_features,
    connectivity_features,
    coordinate_features,
    group_connectivity_features,
    remove_margins,
)
from brainlm_core.features.shared.connectivity import functional_connectivity

RNG = np.random.default_rng(0)


def attention(n: int = 20) -> np.ndarray:
    values = np.exp(np.random.default_rng(5).standard_normal((n, n)))
    return 0.9 * values / values.sum(axis=1, keepdims=True)


def test_connectivity_is_the_pearson_correlation():
    signals = RNG.standard_normal((12, 60)) * 40 + 1000
    assert np.allclose(functional_connectivity(signals), np.corrcoef(signals), atol=1e-10)


def test_a_flat_parcel_correlates_with_nothing():
    signals = RNG.standard_normal((5, 60))
    signals[2] = 12345.678
    out = functional_connectivity(signals)
    assert np.isfinite(out).all()
    assert not out[2].any() and not out[:, 2].any()


@pytest.mark.parametrize("shape", [(4, 2), (4,)])
def test_too_few_time_points_are_refused(shape):
    with pytest.raises(AnalysisError, match="3 time points"):
        functional_connectivity(np.ones(shape))


def test_margins_are_the_least_squares_fit_off_the_diagonal():
    n = 9
    matrix = RNG.standard_normal((n, n))
    symmetric = (matrix + matrix.T) / 2
    rows, columns = np.nonzero(~np.eye(n, dtype=bool))
    design = np.zeros((len(rows), n))
    np.add.at(design, (np.arange(len(rows)), rows), 1)
    np.add.at(design, (np.arange(len(rows)), columns), 1)  # a_i + a_j; the mean is inside the effects
    target = symmetric[rows, columns]
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    out = remove_margins(matrix)
    assert np.allclose(out[rows, columns], residual)
    assert not np.diag(out).any()
    assert np.allclose(out, out.T)


def test_margins_ignore_biases_and_the_diagonal():
    matrix = RNG.standard_normal((15, 15))
    biased = matrix + RNG.standard_normal((15, 1)) * 7 + RNG.standard_normal((1, 15)) * 7
    np.fill_diagonal(biased, 99)
    assert np.allclose(remove_margins(matrix), remove_margins(biased))


def test_a_map_needs_three_parcels():
    with pytest.raises(AnalysisError, match="3 or more"):
        remove_margins(np.ones((2, 2)))


def test_attention_features_ignore_softmax_scale_and_popular_keys():
    values = attention()
    rescaled = values * RNG.uniform(0.5, 2, (20, 1)) * RNG.uniform(0.5, 2, (1, 20))
    assert np.allclose(attention_features(values).values, attention_features(rescaled).values)


def test_attention_features_follow_a_permutation_of_parcels():
    values, p = attention(), np.random.default_rng(1).permutation(20)
    moved = attention_features(values[np.ix_(p, p)]).values
    assert np.allclose(moved, attention_features(values).values[np.ix_(p, p)])


def test_parcels_of_one_token_get_one_description():
    tokens = attention(6)
    group = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])
    features = attention_features(tokens[np.ix_(group, group)], group)
    assert features.values.shape == (10, 6)
    assert np.array_equal(features.values, attention_features(tokens).values[group])


@pytest.mark.parametrize("bad", [np.zeros((5, 5)), np.full((5, 5), np.nan), -np.ones((5, 5))])
def test_an_attention_map_without_attention_is_refused(bad):
    with pytest.raises(AnalysisError, match="attention map"):
        attention_features(bad)


def test_zero_attention_stays_finite():
    values = attention()
    values[3, 4] = 0.0
    assert np.isfinite(attention_features(values).values).all()


def test_coordinates_are_compared_in_mm():
    xyz = np.array([[30.0, 0, 0], [-30, 0, 0], [30, 3, 4]])
    mirrored, plain = (
        coordinate_features(xyz).distances(),
        coordinate_features(xyz, mirrored=False).distances(),
    )
    assert np.allclose(mirrored, [[0, 0, 5], [0, 0, 5], [5, 5, 0]])
    assert np.allclose(plain[0], [0, 60, 5])


def test_connectivity_forms():
    connectivity = functional_connectivity(RNG.standard_normal((8, 40)))
    assert np.array_equal(connectivity_features(connectivity).values, connectivity)
    assert np.allclose(group_connectivity_features(connectivity).values.mean(axis=0), 0)
    assert np.allclose(centred_connectivity_features(connectivity).values.sum(axis=1), 0)


def test_combined_features_weigh_the_two_blocks_as_documented():
    connectivity = functional_connectivity(RNG.standard_normal((8, 40)))
    values = combined_features(connectivity, RNG.uniform(-60, 60, (8, 3))).values
    assert np.allclose(np.linalg.norm(values[:, :8], axis=1), 1)
    assert np.isclose(np.sqrt((values[:, 8:] ** 2).sum(axis=1).mean()), COORDINATE_WEIGHT)


def test_affinities_are_symmetric_and_not_negative():
    for features in (
        Features(RNG.standard_normal((9, 4)), "cosine"),
        coordinate_features(RNG.uniform(-50, 50, (9, 3))),
    ):
        out = features.affinity()
        assert np.allclose(out, out.T)
        assert out.min() >= 0
        assert not np.diag(out).any()


def test_a_zero_row_is_equally_far_from_all():
    values = RNG.standard_normal((4, 3))
    values[1] = 0
    assert np.allclose(Features(values, "cosine").distances()[1], 1)
