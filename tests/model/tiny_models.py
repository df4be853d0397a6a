"""Tiny configurations and files that the model tests share."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from brainlm_core.model.checkpoints import random_model, save_folder

PARCEL = {
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
    "initializer_range": 0.3,
}
IMAGE = {
    "hidden_size": 16,
    "decoder_hidden_size": 16,
    "num_hidden_layers": 2,
    "decoder_num_hidden_layers": 1,
    "num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_intermediate_size": 32,
    "initializer_range": 0.2,
}


def fine_tuned(folder: Path, *, drop: str = "", **settings: object) -> dict[str, torch.Tensor]:
    """Write an encoder with a head, as the published fine-tuning script saves them: no decoder."""
    model = random_model({**IMAGE, "patch_size": 16}, seed=0)
    save_folder(model, folder)
    (folder / "model.safetensors").unlink()
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("decoder.")}
    g = torch.Generator().manual_seed(3)
    for layer, (rows, columns) in {"lin1": (8, 16), "lin2": (8, 8), "lin3": (1, 8)}.items():
        state[f"mlp_pred_head.{layer}.weight"] = torch.randn(rows, columns, generator=g)
        state[f"mlp_pred_head.{layer}.bias"] = torch.randn(rows, generator=g)
    torch.save({k: v for k, v in state.items() if k != drop}, folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    config |= {"architectures": ["ViTMAEForFinetuning"], "use_mean_pooling": False, **settings}
    (folder / "config.json").write_text(json.dumps(config))
    return state
