"""A small context model, and recordings whose people differ from the group."""

from __future__ import annotations

import pytest
import torch

from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.context.model import ContextModel
from tests.training.conftest import SMALL


@pytest.fixture
def tiny() -> ContextModel:
    """A model of windows of 40 samples whose gains are at their start and serve every regime."""
    process = SMALL.to_dict()
    config = {
        "family": "context",
        "process": process,
        "filter_reach": 10,
        "inference_of_regime": [0] * SMALL.n_regimes,
    }
    model = random_model(config, seed=0)
    assert isinstance(model, ContextModel)
    for inference in model.inferences:
        inference.reset()  # type: ignore[operator]
    return model


def person(seed: int, n_parcels: int = 24, length: int = 640) -> tuple[torch.Tensor, torch.Tensor]:
    """Return coordinates (P, 3) and a recording (P, length) of five sources that no group knows."""
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.randn(n_parcels, 3, generator=generator) * 40
    sources = torch.randn(n_parcels, 5, generator=generator) @ torch.randn(5, length, generator=generator)
    signal = sources / sources.std() + 0.3 * torch.randn(n_parcels, length, generator=generator)
    return xyz, signal


def hidden_tokens(n_parcels: int = 24, length: int = 40, share: float = 0.5, seed: int = 0) -> torch.Tensor:
    """Return what is hidden (1, P, length), in tokens of ten samples."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.rand(1, n_parcels, length // 10, generator=generator) < share
    return tokens.repeat_interleave(10, dim=2)
