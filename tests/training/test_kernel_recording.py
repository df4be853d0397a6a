"""A window reconstructed with the rest of its recording: what it must gain, and what it must not read."""

from __future__ import annotations

from dataclasses import replace

import torch

from brainlm_core.model.kernel_model import KernelModel
from brainlm_core.model.kernel_recording import reconstruct_in_recording, towards_recording


def _recording(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return coordinates, a recording (24, 640) of five sources that the model does not know, and a mask."""
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.randn(24, 3, generator=generator) * 40
    sources = torch.randn(24, 5, generator=generator) @ torch.randn(5, 640, generator=generator)
    signal = sources / sources.std() + 0.3 * torch.randn(24, 640, generator=generator)
    hidden = torch.rand(24, 4, generator=generator) < 0.5
    return xyz, signal, hidden.repeat_interleave(10, dim=1)


def test_a_recording_that_is_like_the_group_leaves_the_loadings(small: KernelModel) -> None:
    xyz, signal, _ = _recording(0)
    prior = small.group_prior(signal[:, :40], torch.ones(24, 40), xyz)
    prior = replace(prior, noise=torch.full_like(prior.noise, 0.4))
    same = towards_recording(prior, prior.loadings @ prior.loadings.T + torch.diag(prior.noise))
    torch.testing.assert_close(same.loadings, prior.loadings, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(same.noise, prior.noise, atol=1e-3, rtol=1e-3)


def test_the_rest_of_a_recording_helps(small: KernelModel) -> None:
    alone_error = helped_error = power = 0.0
    for seed in range(3):
        xyz, signal, hidden = _recording(seed)
        window, rest = signal[:, :40], signal[:, 40:]
        with torch.no_grad():
            alone = small.reconstruct(window[None], xyz, hidden[None]).predicted[0]
        helped = reconstruct_in_recording(small, window, xyz, hidden, rest @ rest.T / rest.shape[1])
        alone_error += float((alone - window)[hidden].square().sum())
        helped_error += float((helped - window)[hidden].square().sum())
        power += float(window[hidden].square().sum())
    assert helped_error < 0.9 * alone_error, (helped_error, alone_error, power)


def test_hidden_values_are_never_read(small: KernelModel) -> None:
    xyz, signal, hidden = _recording(1)
    window, rest = signal[:, :40], signal[:, 40:]
    moments = rest @ rest.T / rest.shape[1]
    spoilt = torch.where(hidden, torch.full_like(window, 1e6), window)
    torch.testing.assert_close(
        reconstruct_in_recording(small, window, xyz, hidden, moments),
        reconstruct_in_recording(small, spoilt, xyz, hidden, moments),
    )
