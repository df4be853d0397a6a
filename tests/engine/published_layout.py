"""Weights of the published shapes in the layout of the real repository; numbers by the names."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from brainlm_core.features.verify.recipe import recipe_state
from brainlm_core.model import build
from brainlm_core.model.config import ImageTokenConfig, ParcelTokenConfig
from tests.engine.hub_stand_in import RECORDED

#: What the real files hold besides, and the models do not use: SPEC 2.6.
LEGACY_ROWS = 768


def published_state(config: ParcelTokenConfig | ImageTokenConfig) -> dict[str, Tensor]:
    """Return every tensor of a published file, legacy entries included."""
    with torch.device("meta"):
        model = build(config.to_dict())
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    width = config.hidden_size
    if isinstance(config, ParcelTokenConfig):
        shapes["decoder.decoder_pred.weight"] = [LEGACY_ROWS, width]
        shapes["decoder.decoder_pred.bias"] = [LEGACY_ROWS]
    state = {**model.tables(), **recipe_state(shapes)}
    if isinstance(config, ParcelTokenConfig):
        state["vit.embeddings.pos_embedding.pe"] = torch.zeros(5000, width)
        state["decoder.pos_embedding.pe"] = torch.zeros(5000, width)
    return state


def published_config(config: ParcelTokenConfig | ImageTokenConfig) -> dict:
    """Return ``config.json`` as the authors' scripts save it: with keys that belong to the other family."""
    left_over = (
        {"image_size": 224, "patch_size": 16, "num_channels": 3, "norm_pix_loss": False, "qkv_bias": True}
        if isinstance(config, ParcelTokenConfig)
        else {"timepoint_patching_size": 20, "num_timepoints_per_voxel": 200, "model_type": "vit_mae"}
    )
    return {**left_over, **config.to_dict(), "torch_dtype": "float32", "transformers_version": "4.28.0"}


def write_published(
    root: Path, folder: str, config: ParcelTokenConfig | ImageTokenConfig
) -> dict[str, Tensor]:
    """Write one folder of the repository; what training left behind is there as empty files."""
    place = root / folder
    place.mkdir(parents=True)
    for name in RECORDED["folders"][folder]:
        (place / name).write_bytes(b"")
    state = published_state(config)
    torch.save(state, place / "pytorch_model.bin")
    (place / "config.json").write_text(json.dumps(published_config(config)))
    return state
