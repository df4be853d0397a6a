"""What leans on the window: regression against the dense conditional, autoregressions against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from statsmodels.regression.linear_model import yule_walker

from brainlm_core.model import kernel_window
from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_model import KernelModel
from brainlm_core.model.kernel_window import window_forecasts, window_regression
from brainlm_core.training.fit_blend import blend_weights, fit_blend, fold_of


def _mixed(n_parcels: int, n_timepoints: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(3, n_timepoints, generator=generator)
    mixing = torch.randn(n_parcels, 3, generator=generator)
    return mixing @ shared + 0.5 * torch.randn(n_parcels, n_timepoints, generator=generator)


def test_regression_without_rounds_is_the_gaussian_conditional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_window, "REGRESSION_ROUNDS", 0)
    values = _mixed(6, 4, 0)
    covariance = torch.cov(_mixed(6, 500, 0))
    visible = torch.ones(6, 4)
    visible[:2, 1] = 0
    visible[4, 2] = 0
    visible[:, 3] = 0
    out = window_regression(values * visible, visible, covariance)
    total = covariance.double() + 0.15 * covariance.double().trace() / 6 * torch.eye(6).double()
    expected = total[:2, 2:].double() @ torch.linalg.solve(total[2:, 2:].double(), values[2:, 1].double())
    torch.testing.assert_close(out[:2, 1].double(), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(out[:, 0], values[:, 0])
    assert torch.equal(out[:, 3], torch.zeros(6))


def test_regression_learns_the_window_that_differs_from_the_group() -> None:
    values = _mixed(20, 200, 1)
    hidden = torch.rand(20, 200, generator=torch.Generator().manual_seed(2)) < 0.2
    visible = (~hidden).float()
    stranger = torch.eye(20) * values.var()
    out = window_regression(values * visible, visible, stranger)
    error = (out - values)[hidden].square().mean() / values[hidden].square().mean()
    assert float(error) < 0.8  # the group's covariance alone would answer 0 and err by 1


def test_dynamics_without_a_prior_are_yule_walker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_window, "GROUP_WEIGHT", 0.0)
    monkeypatch.setattr(kernel_window, "BLOCK_WEIGHT", 0.0)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(2, 300)).cumsum(axis=1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    values = torch.from_numpy(rows / rows.std(axis=1, keepdims=True))
    group = torch.zeros(2, kernel_window.ORDER + 1, dtype=torch.float64)
    out = kernel_window._component_forecast(values, 4, torch.eye(2).double(), group, [(0, 1), (1, 2)])
    for row, forecast in zip(values.numpy(), out.numpy(), strict=True):
        weights = yule_walker(row, kernel_window.ORDER, method="mle", demean=False, result_object=True).rho
        past = list(row[::-1][: kernel_window.ORDER])
        for value in forecast:
            expected = float(np.dot(weights, past))
            assert value == pytest.approx(expected, rel=1e-4, abs=1e-6)
            past = [expected, *past[:-1]]


def test_own_dynamics_find_a_turning_pair() -> None:
    angle = torch.arange(200.0) * 0.3
    circle = torch.stack([angle.cos(), angle.sin()])
    mixing = torch.randn(12, 2, generator=torch.Generator().manual_seed(4))
    signal = mixing @ circle
    out = kernel_window._own_forecast(signal[:, :180].double(), 5)
    truth = signal[:, 180:185].double()
    assert float((out - truth).square().mean() / truth.square().mean()) < 0.1


def test_flat_parcels_stay_at_their_level() -> None:
    seen = _mixed(8, 100, 5)
    seen[3] = 0.0
    loadings = torch.linalg.qr(torch.randn(8, 6, generator=torch.Generator().manual_seed(6))).Q
    group = torch.zeros(6, kernel_window.ORDER + 1)
    group[:, 0] = 1
    out = window_forecasts(seen, 7, loadings, group, [(0, 6)])
    assert out.shape == (2, 8, 7)
    assert torch.isfinite(out).all()
    assert torch.equal(out[:, 3], torch.zeros(2, 7))


def test_blend_weights_prefer_what_is_right_and_are_never_negative() -> None:
    rng = np.random.default_rng(7)
    truth = rng.normal(size=4000)
    members = np.stack([truth + rng.normal(size=4000), -truth, rng.normal(size=4000)])
    weights = blend_weights(members @ members.T / 4000, members @ truth / 4000)
    assert (weights >= 0).all()
    assert weights[1] == 0 and weights[0] > 0.4 and weights[0] > 2 * weights[2]


def test_folds_keep_people_together() -> None:
    subjects = [f"s{i // 2}" for i in range(14)]
    folds = fold_of(subjects)
    assert all(len({f for f, s in zip(folds, subjects, strict=True) if s == name}) == 1 for name in subjects)
    assert set(folds) == {0, 1, 2}


SMALL = KernelConfig(bank_sizes=(20,), n_blocks=4, n_regimes=1, n_landmarks=10, width=80)


def test_fitted_on_the_others_only_and_one_person_keeps_the_process_alone() -> None:
    model = random_model(SMALL.to_dict(), 0)
    assert isinstance(model, KernelModel)
    rng = np.random.default_rng(8)
    recordings = [rng.normal(size=(20, 260)).cumsum(axis=1).astype(np.float32) for _ in range(4)]
    xyz = torch.from_numpy(rng.normal(size=(20, 3)).astype(np.float32) * 40)
    asked: list[list[bool]] = []

    def without(kept: np.ndarray) -> KernelModel:
        asked.append(kept.tolist())
        return model

    weights = fit_blend(recordings, ["a", "b", "c", "a"], xyz, without)
    assert asked == [[False, True, True, False], [True, False, True, True], [True, True, False, True]]
    assert weights.shape == (3, 20) and (weights >= 0).all() and weights.any()
    alone = fit_blend(recordings[:1], ["a"], xyz, without)
    assert (alone[0] == 1).all() and (alone[1:] == 0).all()


def test_blended_forecast_is_the_same_the_short_and_the_long_way() -> None:
    model = random_model(SMALL.to_dict(), 1)
    assert isinstance(model, KernelModel)
    with torch.no_grad():
        model.blend.fill_(1 / 3)
    rng = np.random.default_rng(9)
    signal = torch.from_numpy(rng.normal(size=(2, 15, 200)).cumsum(axis=2).astype(np.float32) * 0.1)
    xyz = torch.from_numpy(rng.normal(size=(15, 3)).astype(np.float32) * 40)
    hidden = torch.zeros(signal.shape, dtype=torch.bool)
    hidden[:, :, 180:] = True
    with torch.inference_mode():
        long, short = (
            f(signal, xyz, hidden).predicted for f in (model.reconstruct, model.reconstruct_hidden)
        )
        model.blend[:, 0], model.blend[:, 1:] = 1.0, 0.0
        process = model.reconstruct(signal, xyz, hidden).predicted
    scale = float(long[hidden].square().mean().sqrt())
    assert float((long - short)[hidden].square().mean().sqrt()) < 0.02 * scale
    assert float((long - process)[hidden].abs().max()) > 0.01 * scale
