"""The short way into the future gives the numbers of the long one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_forecast import past_kernels, past_mean, step_ahead
from brainlm_core.model.kernel_model import KernelModel
from brainlm_core.model.kernel_prior import Kernels


@pytest.fixture(scope="module")
def kernels() -> Kernels:
    generator = torch.Generator().manual_seed(0)
    spectra = torch.rand(2, 41, generator=generator) + 5 * torch.exp(-torch.arange(41.0) / 3)
    return Kernels.from_spectra(spectra, 40, [(0, 3), (3, 8)])


def test_it_is_the_gaussian_conditional(kernels):
    """Against the dense covariance of everything, solved directly."""
    generator = torch.Generator().manual_seed(1)
    parcels, seen = 12, torch.arange(40) < 33
    loadings = torch.randn(parcels, 8, generator=generator)
    noise = 0.3 + torch.rand(parcels, generator=generator)
    values = torch.randn(2, parcels, 40, generator=generator)
    time = kernels.vectors.double() * kernels.values.double()[:, None] @ kernels.vectors.double().mT
    blocks = [0] * 3 + [1] * 5
    covariance = torch.zeros(parcels, 40, parcels, 40, dtype=torch.float64)
    for k, block in enumerate(blocks):
        f = loadings[:, k].double()
        covariance += torch.einsum("p,q,st->psqt", f, f, time[block])
    past = covariance[:, seen][:, :, :, seen].reshape(parcels * 33, -1)
    past = past + torch.diag(noise.double().repeat_interleave(33))
    cross = covariance[:, ~seen][:, :, :, seen].reshape(parcels * 7, -1)
    for window in values:
        exact = (cross @ torch.linalg.solve(past, window[:, seen].double().reshape(-1))).reshape(parcels, 7)
        mine = past_kernels(kernels, seen)
        z = past_mean(
            window[None, :, seen], (1 / noise)[None], loadings[None], mine, iterations=300, tolerance=1e-6
        )
        ours = loadings @ step_ahead(z, mine)[0]
        torch.testing.assert_close(ours.double(), exact, atol=2e-4, rtol=2e-3)


@pytest.fixture(scope="module")
def model() -> KernelModel:
    config = KernelConfig(
        bank_sizes=(30,), n_timepoints=100, n_blocks=4, n_regimes=2, n_landmarks=20, width=240, gate_width=8,
        iterations=200, tolerance=1e-5,
    )  # fmt: skip
    out = KernelModel(config).eval()
    out.initialise(torch.Generator().manual_seed(2))
    with torch.no_grad():
        for bias in (out.gates.inner.bias, out.gates.outer.bias):
            bias.normal_(0, 0.3, generator=torch.Generator().manual_seed(3))
    return out


def test_batched_forecasts_equal_reconstruction_of_each_window(model):
    rng = np.random.default_rng(0)
    signal = torch.tensor(rng.normal(size=(5, 25, 100)).cumsum(axis=2) * 0.2, dtype=torch.float32)
    signal[3, 7] = 0.0  # a parcel that does not vary
    xyz = torch.tensor(rng.normal(size=(25, 3)) * 40, dtype=torch.float32)
    hidden = torch.zeros(5, 25, 100, dtype=torch.bool)
    hidden[:, :, 80:] = True
    hidden[2, :, :30] = True  # a shorter context
    hidden[4, :10, 40:60] = True  # no pure forecast: the long way
    with torch.inference_mode():
        long = model.reconstruct(signal, xyz, hidden).predicted
        short = model.reconstruct_hidden(signal, xyz, hidden).predicted
    scale = float(long[hidden].square().mean().sqrt())
    gap = (long - short)[:, :, 80:].square().mean(dim=(1, 2)).sqrt() / scale
    assert (gap < 0.02).all(), gap
    assert float(gap[4]) == 0
    assert scale > 0.01


def test_hidden_parcels_are_answered_at_seen_moments_too(model):
    """Whole parcels hidden beside the future: the short way would leave them at zero."""
    rng = np.random.default_rng(1)
    signal = torch.tensor(rng.normal(size=(1, 25, 100)).cumsum(axis=2) * 0.2, dtype=torch.float32)
    xyz = torch.tensor(rng.normal(size=(25, 3)) * 40, dtype=torch.float32)
    hidden = torch.zeros(1, 25, 100, dtype=torch.bool)
    hidden[:, :, 80:] = True
    hidden[:, 3:6] = True
    with torch.inference_mode():
        long = model.reconstruct(signal, xyz, hidden).predicted
        short = model.reconstruct_hidden(signal, xyz, hidden).predicted
    torch.testing.assert_close(short[hidden], long[hidden])
    assert float(long[0, 3:6, :80].abs().max()) > 0
