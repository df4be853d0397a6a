"""Masks and the baselines of masked reconstruction against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.shared.error_sums import ErrorSums, error_sums
from brainlm_core.features.shared.masked_baselines import (
    MASKS,
    RIDGE,
    GroupRidge,
    carry_forward,
    draw_mask,
    interpolate,
    mean_fill,
)


@pytest.mark.parametrize(
    ("kind", "share"), [("random20", 0.2), ("random75", 0.75), ("random90", 0.9), ("parcel", 0.1)]
)
def test_masks_hide_the_share_they_name(kind: str, share: float) -> None:
    hidden = draw_mask(kind, (2, 50, 200), 20, np.random.default_rng(0))
    assert hidden.mean() == pytest.approx(share, abs=0.003)
    tokens = hidden.reshape(2, 50, 10, 20)
    assert (tokens.all(-1) | ~tokens.any(-1)).all()


def test_future_hides_the_end() -> None:
    hidden = draw_mask("future", (1, 3, 200), 20, np.random.default_rng(0))
    assert hidden[:, :, 180:].all() and not hidden[:, :, :180].any()
    assert "future" in MASKS


def test_unknown_mask_is_refused() -> None:
    with pytest.raises(ConfigError, match="no mask named"):
        draw_mask("nonsense", (1, 2, 20), 10, np.random.default_rng(0))


def test_mean_and_interpolation() -> None:
    values = np.array([[[0, 1, 2, 3, 4, 10]]], dtype=np.float32)
    hidden = np.array([[[False, True, True, False, True, True]]])
    assert mean_fill(values, hidden)[0, 0, 1] == pytest.approx(1.5)
    assert interpolate(values, hidden)[0, 0].tolist() == [0, 1, 2, 3, 3, 3]
    assert mean_fill(values, np.ones_like(hidden)).tolist() == [[[0.0] * 6]]


def test_ridge_equals_the_formula() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T
    values = rng.normal(size=(1, 6, 8)).astype(np.float32)
    hidden = np.zeros((1, 6, 8), dtype=bool)
    hidden[0, :3, :4] = True
    hidden[0, :, 6] = True
    out = GroupRidge(covariance).predict(values, hidden)
    inner = covariance[3:, 3:] + RIDGE * np.trace(covariance) / 6 * np.eye(3)
    expected = covariance[:3, 3:] @ np.linalg.solve(inner, values[0, 3:, :4].astype(np.float64))
    assert np.allclose(out[0, :3, :4], expected, atol=1e-5)
    assert (out[0, :, 6] == 0).all()
    assert np.array_equal(out[0, :, 4:6], values[0, :, 4:6])


def test_pooled_r2_and_its_interval() -> None:
    rng = np.random.default_rng(1)
    sums, truths, guesses = ErrorSums(), [], []
    for person in ("a", "a", "b", "c"):
        truth = rng.normal(size=100)
        guess = truth + rng.normal(size=100) * 0.5
        sums.add(person, error_sums(truth, guess))
        truths.append(truth)
        guesses.append(guess)
    y, f = np.concatenate(truths), np.concatenate(guesses)
    value, interval = sums.r2(0)
    assert value == pytest.approx(1 - ((y - f) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert interval is not None and interval[0] < value < interval[1]


def test_the_last_value_is_the_newest_one_seen() -> None:
    values = np.arange(1, 13, dtype=np.float32).reshape(1, 2, 6)
    hidden = np.array([[[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]]], dtype=bool)
    assert carry_forward(values, hidden).tolist() == [[[2, 2, 2, 2, 5, 5], [0, 0, 0, 0, 0, 0]]]


def test_differences_draw_the_same_people_for_both() -> None:
    """One method is worse than the other by the same share in everybody: its difference is sure."""
    rng = np.random.default_rng(0)
    one, other = ErrorSums(), ErrorSums()
    for person in range(6):
        truth = rng.normal(size=400) * (1 + person)
        error = rng.normal(size=400) * (1 + person) * 0.5
        one.add(str(person), error_sums(truth, truth + error))
        other.add(str(person), error_sums(truth, truth + 1.1 * error))
    gap = one.minus(other, 0)
    assert gap is not None and gap[1] is not None
    value, (low, high) = gap
    own, its = one.r2(0), other.r2(0)
    assert own[1] is not None and its[1] is not None
    assert float(value) == pytest.approx(float(own[0] - its[0]))
    assert 0 < low < value < high
    assert high - low < 0.5 * float(own[1][1] - own[1][0]), "narrower than the scores themselves"
    other.add("6", np.ones(4))
    assert one.minus(other, 0) is None
