from __future__ import annotations

import numpy as np
import pytest
from forecast_recordings import recording_of

from brainlm_core.base.recording import Recording
from brainlm_core.inference.engine import Engine
from brainlm_core.model.checkpoints import random_model, save_folder
from brainlm_core.model.config import ParcelTokenConfig


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A parcel-token model with a window of 100 samples, patches of 10."""
    config = ParcelTokenConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        timepoint_patching_size=10,
        num_timepoints_per_voxel=100,
    )
    folder = tmp_path_factory.mktemp("tiny")
    save_folder(random_model(config.to_dict(), 1), folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder) -> Engine:
    return Engine.load(str(tiny_folder), device="cpu", precision="fp32")


@pytest.fixture
def recording() -> Recording:
    """12 parcels, 160 volumes of slow noise, away from zero and with unequal spreads."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(12, 161))
    signals = noise[:, 1:] + 0.8 * noise[:, :-1]
    return recording_of(500 + np.arange(1, 13)[:, None] * signals)
