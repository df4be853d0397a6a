"""Recordings and small models that the engine tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainlm_core.base.atlas import a424, from_coordinates
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.model.checkpoints import random_model, save_folder

TINY = {
    "hidden_size": 16,
    "decoder_hidden_size": 16,
    "num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_intermediate_size": 32,
    "conv_kernel_size": 5,
    "timepoint_patching_size": 20,
}
TINY_IMAGE = {k: v for k, v in TINY.items() if k not in ("conv_kernel_size", "timepoint_patching_size")}


def save_tiny(folder: Path, *, image: bool = False) -> str:
    config = {**TINY_IMAGE, "patch_size": 16} if image else TINY
    save_folder(random_model(config, seed=0), folder)
    return str(folder)


def recording(
    n_timepoints: int = 450, tr_s: float = 0.735, n_parcels: int = 12, *, seed: int = 0, flat: int = 0
) -> Recording:
    rng = np.random.default_rng(seed)
    signals = np.cumsum(rng.standard_normal((n_parcels, n_timepoints)), axis=1) + 1000
    if flat:
        signals[:flat] = 5.0
    if n_parcels == 424:
        parcellation = a424()
    else:
        xyz = rng.uniform(-60, 60, (n_parcels, 3))
        parcellation = from_coordinates("test", tuple(f"p{i}" for i in range(n_parcels)), xyz)
    return Recording(signals.astype(np.float32), tr_s, parcellation, Provenance("test"))
