"""The kernel family: contract, exactness of its inference, and what adaptation must and must not do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import CheckpointError
from brainlm_core.inference.weights import default_folder
from brainlm_core.model.checkpoints import load_folder, random_model, save_folder
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_gates import distance_to_visible
from brainlm_core.model.kernel_model import KernelModel
from brainlm_core.model.kernel_prior import Kernels, block_bounds, interpolation_weights, posterior_mean
from tests.training.conftest import SMALL


@pytest.fixture(scope="module")
def default() -> KernelModel:
    model = load_folder(default_folder())
    assert isinstance(model, KernelModel)
    return model


def _window(
    n_parcels: int, n_timepoints: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.randn(n_parcels, 3, generator=generator) * 40
    signal = torch.randn(2, n_parcels, n_timepoints, generator=generator)
    hidden = torch.rand(2, n_parcels, n_timepoints // 10, generator=generator) < 0.6
    return signal, xyz, hidden.repeat_interleave(10, dim=2)


def test_posterior_mean_equals_the_dense_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    n, k, length = 7, 5, 20
    loadings = torch.randn(n, k, generator=generator)
    noise = torch.rand(n, generator=generator) + 0.3
    values = torch.randn(n, length, generator=generator)
    visible = (torch.rand(n, length, generator=generator) < 0.5).float()
    bounds = [(0, 2), (2, k)]
    spectra = torch.rand(2, length + 1, generator=generator) + 0.1
    kernels = Kernels.from_spectra(spectra, length, bounds)
    z = posterior_mean(values * visible, visible, loadings, noise, kernels, iterations=400, tolerance=1e-6)
    cov = torch.zeros(n * length, n * length, dtype=torch.float64)
    for b, (first, last) in enumerate(bounds):
        time = (kernels.vectors[b] * kernels.values[b]) @ kernels.vectors[b].T
        part = loadings[:, first:last] @ loadings[:, first:last].T
        cov += torch.kron(part.double(), time.double())
    seen = visible.reshape(-1) > 0
    total = cov + torch.diag(noise.double().repeat_interleave(length))
    weights = torch.linalg.solve(total[seen][:, seen], values.double().reshape(-1)[seen])
    dense = (cov[:, seen] @ weights).reshape(n, length)
    assert torch.allclose((loadings @ z).double(), dense, atol=1e-3)


def test_what_is_hidden_is_never_read(small: KernelModel) -> None:
    signal, xyz, hidden = _window(30, 40)
    changed = torch.where(hidden, torch.full_like(signal, 1e3), signal)
    first, second = (small.reconstruct(s, xyz, hidden).predicted for s in (signal, changed))
    assert torch.equal(first, second)
    assert torch.equal(small.encode(signal, xyz, hidden).cls, small.encode(changed, xyz, hidden).cls)
    assert torch.equal(small.attention(signal, xyz, hidden).maps, small.attention(changed, xyz, hidden).maps)


def test_attention_is_a_distribution_and_deterministic(small: KernelModel) -> None:
    signal, xyz, _ = _window(25, 40)
    maps = small.attention(signal, xyz)
    assert maps.maps.shape == (2, 1, 4, 25, 25)
    assert (maps.maps >= 0).all() and (maps.maps.sum(-1) <= 1 + 1e-5).all()
    assert torch.allclose(maps.cls.sum(-1), torch.ones(2, 1, 4), atol=1e-5)
    assert torch.equal(maps.maps, small.attention(signal, xyz).maps)


def test_order_of_parcels_does_not_matter(default: KernelModel) -> None:
    xyz = torch.from_numpy(a424_cortex().xyz.copy())[:60]
    signal, _, hidden = _window(60, 200, seed=5)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    straight = default.reconstruct(signal, xyz, hidden).predicted
    turned = default.reconstruct(signal[:, order], xyz[order], hidden[:, order]).predicted
    assert torch.allclose(straight[:, order], turned, atol=2e-2)


@pytest.mark.parametrize("what", ["everything", "nothing", "flat"])
def test_extreme_masks_give_finite_numbers(small: KernelModel, what: str) -> None:
    signal, xyz, hidden = _window(30, 40)
    if what == "flat":
        signal = torch.zeros_like(signal)
    else:
        hidden = torch.full_like(hidden, what == "everything")
    for tensor in (
        small.reconstruct(signal, xyz, hidden).predicted,
        small.encode(signal, xyz, hidden).cls,
        small.attention(signal, xyz, hidden).maps,
    ):
        assert torch.isfinite(tensor).all()


def test_anchor_takes_its_own_row() -> None:
    xyz = torch.from_numpy(a424().xyz.copy())
    anchors = torch.stack([xyz, torch.from_numpy(a424().position.copy())])
    weights = interpolation_weights(xyz, anchors)
    assert torch.equal(weights.argmax(1), torch.arange(424))
    assert float(weights.diagonal().median()) > 0.99


def test_blocks_cover_all_components_once() -> None:
    for n in (1, 5, 214, 360, 424, 900):
        bounds = block_bounds(n, 12)
        assert bounds[0][0] == 0 and bounds[-1][1] == n
        assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))


def test_distances_to_the_visible() -> None:
    before, after = distance_to_visible(torch.tensor([[1.0, 0, 0, 1, 0]]))
    assert before.tolist() == [[0, 1, 2, 0, 1]]
    assert after.tolist() == [[0, 2, 1, 0, 5]]


def test_gates_learn_and_leave_the_prior_alone(small: KernelModel) -> None:
    model = random_model(SMALL.to_dict(), 3)
    signal, xyz, hidden = _window(30, 40)
    loss = (model.reconstruct(signal, xyz, hidden).predicted - signal)[hidden].square().mean()
    loss.backward()
    grads = {k for k, p in model.named_parameters() if p.grad is not None and float(p.grad.abs().sum()) > 0}
    assert "gates.outer.weight" in grads and "gates.log_temperature" in grads
    assert not any(k.startswith(("banks", "spectra", "embedding")) for k in grads)


def test_saved_model_comes_back(small: KernelModel, tmp_path: Path) -> None:
    save_folder(small, tmp_path)
    signal, xyz, hidden = _window(30, 40)
    again = load_folder(tmp_path)
    assert torch.equal(
        again.reconstruct(signal, xyz, hidden).predicted, small.reconstruct(signal, xyz, hidden).predicted
    )


@pytest.mark.parametrize(
    "change",
    [{"rounds": 0}, {"bank_sizes": []}, {"sharpness": ["a"]}, {"n_blocks": "12"}, {"patch_length": 7}],
)
def test_impossible_configurations_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError):
        KernelConfig.from_dict({**SMALL.to_dict(), **change})


def test_where_nothing_can_be_forecast_the_forecast_is_the_mean_of_what_was_seen() -> None:
    """White and skewed signals: the default model must not be worse than the mean, at any step."""
    from brainlm_core.base.recording import Provenance, Recording
    from brainlm_core.features.forecast.analysis import ForecastOptions, analyse
    from brainlm_core.inference.engine import get_engine

    signals = np.random.default_rng(0).exponential(size=(360, 320)).astype(np.float32)
    recording = Recording(signals, 0.72, a424_cortex(), Provenance("white"))
    race = analyse(get_engine("default"), recording, ForecastOptions(n_starts=6)).race
    assert (race.values["mse"]["model"] < race.values["mse"]["mean"] * 1.02).all()


def test_default_beats_its_random_twin_on_its_own_kind_of_signal(default: KernelModel) -> None:
    """Signals drawn from the group kernel: trained weights explain hidden entries, random ones hardly."""
    xyz = torch.from_numpy(a424().xyz.copy())
    loadings, _ = default._basis(xyz)
    generator = torch.Generator().manual_seed(0)
    slow = torch.randn(loadings.shape[1], 204, generator=generator).unfold(1, 5, 1).mean(-1)
    signal = (loadings @ slow)[None]
    hidden = (torch.rand(1, 424, 10, generator=generator) < 0.5).repeat_interleave(20, 2)
    config = json.loads((default_folder() / "config.json").read_text())
    errors = []
    for model in (default, random_model(config, 0)):
        predicted = model.reconstruct(signal, xyz, hidden).predicted.detach()
        errors.append(float((predicted - signal)[hidden].square().mean() / signal[hidden].square().mean()))
    assert errors[0] < 0.7
    assert errors[0] < errors[1] - 0.1
