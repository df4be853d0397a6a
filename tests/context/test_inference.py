"""Unrolled inference in closed form: ridge, the recording's own ridge, gradients, and gains by rank."""

from __future__ import annotations

import pytest
import torch

from brainlm_core.base.errors import CheckpointError
from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.config import ContextConfig
from brainlm_core.model.context.gains import conditions, knot_weights
from brainlm_core.model.context.heads import temporal_filters
from brainlm_core.model.context.inference import Layer, UnrolledInference
from brainlm_core.model.context.statistics import ContextStatistics, second_moments

N_PARCELS, LENGTH = 24, 40


def _covariance(seed: int) -> torch.Tensor:
    mixing = torch.randn(N_PARCELS, N_PARCELS, generator=torch.Generator().manual_seed(seed))
    return mixing @ mixing.T / N_PARCELS + 0.1 * torch.eye(N_PARCELS)


def _ridge(
    covariance: torch.Tensor, x: torch.Tensor, hidden: torch.Tensor, penalty: torch.Tensor
) -> torch.Tensor:
    """Predict every parcel from those visible at the same time, moment by moment."""
    out = torch.zeros_like(x)
    for t in range(x.shape[1]):
        seen = ~hidden[:, t]
        inner = covariance[seen][:, seen] + torch.diag(penalty[seen])
        out[:, t] = covariance[:, seen] @ torch.linalg.solve(inner, x[seen, t])
    return out


@torch.no_grad()
def _without_window_head(net: UnrolledInference) -> UnrolledInference:
    for layer in net.layers:
        assert isinstance(layer, Layer)
        if layer.window is not None:
            layer.window.gains.values.zero_()
    return net


@pytest.fixture
def window() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    root = torch.linalg.cholesky(_covariance(0))
    x = root @ torch.randn(N_PARCELS, LENGTH, generator=generator)
    return x, torch.rand(N_PARCELS, LENGTH, generator=generator) < 0.4


@torch.no_grad()
def test_before_training_the_group_heads_converge_to_ridge(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, hidden = window
    covariance = _covariance(0)
    net = _without_window_head(UnrolledInference(ContextConfig(n_layers=300)))
    visible = (~hidden).float()
    answer = net((x * visible)[None], visible[None], GroupBasis.of_covariance(covariance))[0]
    penalty = (0.15 * covariance.trace() / N_PARCELS).expand(N_PARCELS)
    torch.testing.assert_close(answer, _ridge(covariance, x, hidden, penalty), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_person_heads_alone_converge_to_ridge_on_the_recording(
    window: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """One head of weight 1 and no group: generalised ridge with each parcel's residual variance as noise."""
    x, hidden = window
    own = _covariance(7)
    config = ContextConfig(n_layers=500, n_person_heads=1)
    net = _without_window_head(UnrolledInference(config))
    for layer in net.layers:
        assert isinstance(layer, Layer)
        layer.group.gains.values.zero_()
        layer.person.weight.fill_(1.0)
        layer.person.log_hidden_noise.fill_(-30.0)
        layer.step.zero_()
        layer.step[0] = -0.7
    statistics = ContextStatistics.of_moments(own[None], torch.tensor([1000.0]))
    visible = (~hidden).float()
    answer = net((x * visible)[None], visible[None], GroupBasis.of_covariance(_covariance(0)), statistics)[0]
    level = own.trace() / N_PARCELS
    penalty = 0.15 * level * statistics.residual[0] ** 0.5
    torch.testing.assert_close(answer, _ridge(own, x, hidden, penalty), atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_a_scaled_recording_is_the_same_context(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, hidden = window
    net, basis, visible = UnrolledInference(ContextConfig()), GroupBasis.of_covariance(_covariance(0)), None
    visible = (~hidden).float()
    answers = []
    for gain in (1.0, 9.0):
        statistics = ContextStatistics.of_moments(gain * _covariance(7)[None], torch.tensor([500.0]))
        answers.append(net((x * visible)[None], visible[None], basis, statistics))
    torch.testing.assert_close(answers[0], answers[1], atol=1e-4, rtol=1e-4)


def test_gradients_are_finite_and_reach_every_number(window: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, hidden = window
    config = ContextConfig()
    net, basis = UnrolledInference(config), GroupBasis.of_covariance(_covariance(0))
    # A parcel that never varies and one eigenvalue of zero: both occur in recordings.
    moments = _covariance(7)
    moments[5], moments[:, 5] = 0, 0
    statistics = ContextStatistics.of_moments(moments[None], torch.tensor([300.0]), torch.zeros(2).long())
    visible = (~hidden).float().repeat(2, 1, 1)
    visible[:, 5] = 0
    batch = torch.stack([x, x.flip(1)]) * visible
    net(batch, visible, basis, statistics).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    untouched = [n for n, p in net.named_parameters() if p.grad is not None and not bool(p.grad.abs().any())]
    assert untouched == ["layers.0.momentum"]  # nothing comes before the first layer


@torch.no_grad()
def test_a_window_without_context_is_no_window_with_an_empty_one(
    window: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, hidden = window
    net, basis = UnrolledInference(ContextConfig()), GroupBasis.of_covariance(_covariance(0))
    visible = (~hidden).float()
    empty = ContextStatistics.of_moments(torch.zeros(1, N_PARCELS, N_PARCELS), torch.zeros(1))
    alone = net((x * visible)[None], visible[None], basis)
    torch.testing.assert_close(net((x * visible)[None], visible[None], basis, empty), alone)


def test_gains_are_interpolated_between_ranks() -> None:
    weights = knot_weights(424, 32)
    torch.testing.assert_close(weights.sum(0), torch.ones(424))
    assert float(weights[0, 0]) == pytest.approx(1) and float(weights[-1, -1]) == pytest.approx(1, abs=1e-4)
    assert torch.equal(knot_weights(200, 32), weights[:, :200])  # a component's gain is its rank's


def test_conditions_say_what_is_hidden_and_how_much_is_read() -> None:
    case = conditions(torch.tensor([1.0, 0.25]), torch.tensor([0.0, 300.0]))
    torch.testing.assert_close(case, torch.tensor([[1, 0, 0, 0], [1, 0.75, 0.5, 0.375]]))


def test_temporal_filters_leave_out_the_sample_itself() -> None:
    filters = temporal_filters((1.0, 8.0), 20)
    torch.testing.assert_close(filters.sum(1), torch.ones(2))
    assert float(filters[:, 20].abs().max()) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_layers": 0},
        {"n_layers": 1.5},
        {"filter_widths": [0.0]},
        {"filter_widths": "wide"},
        {"ridge": 0},
        {"inference_of_regime": [0]},
        {"inference_of_regime": [0, -2, 0, 0]},
        {"process": 3},
    ],
)
def test_an_impossible_configuration_is_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json is not usable"):
        ContextConfig.from_dict({"family": "context", **wrong})


def test_moments_of_nothing_are_zero() -> None:
    assert not bool(second_moments(torch.zeros(3, 0)).any())
