"""A kernel model that is small enough for every test."""

from __future__ import annotations

import pytest

from brainlm_core.model.checkpoints import random_model
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_model import KernelModel

SMALL = KernelConfig(
    bank_sizes=(30, 20), n_timepoints=40, patch_length=10, n_blocks=4, n_regimes=2, n_landmarks=10, width=80
)


@pytest.fixture(scope="module")
def small() -> KernelModel:
    model = random_model(SMALL.to_dict(), 3)
    assert isinstance(model, KernelModel)
    return model
