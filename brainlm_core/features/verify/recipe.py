"""Rebuild weights and inputs of large cases: each is a pure function of its name and shape."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base.atlas import a424


def recipe_state(keys: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rebuild a state dict whose tensors are functions of their key and shape.

    The generator is NumPy's frozen Mersenne Twister seeded with the CRC-32 of the key. Norm gains are
    1 + 0.1 z, biases and norm shifts 0.1 z, learned tokens 0.5 z, coordinate projections 0.01 z,
    everything else z / √fan-in. Position tables are left to the model.
    """
    state = {}
    for key, entry in keys.items():
        if key.endswith(("pos_embedding.pe", "position_embeddings", "decoder_pos_embed")):
            continue
        shape = tuple(entry["shape"] if isinstance(entry, Mapping) else entry)
        state[key] = torch.from_numpy(_recipe_tensor(key, shape))
    return state


def _recipe_tensor(key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    stream = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
    z = stream.standard_normal(size=shape)
    is_norm = "layernorm" in key.lower() or "decoder_norm" in key.lower()
    coordinates = "xyz_projection" in key or "xyz_embedding_projection" in key
    if is_norm and key.endswith("weight"):
        z = 1.0 + 0.1 * z
    elif key.endswith("bias"):
        z = 0.1 * z
    elif key.endswith(("cls_token", "mask_token")):
        z = 0.5 * z
    elif coordinates and key.endswith("weight"):
        z = 0.01 * z
    else:
        z = z / math.sqrt(math.prod(shape[1:]))
    return np.asarray(z, dtype=np.float32)


def recipe_inputs(told: str) -> dict[str, NDArray[np.float32]]:
    """Rebuild inputs from a description such as ``signal('real424',424,200); noise('real424',4240)``.

    ``signal``: moving sum of 9 normal numbers, divided by 3. ``noise``: a permutation, shifted and
    scaled into (0, 1). ``pixels``: 0.7 z on a grid of quarters within ±2, one plane or three.
    Coordinates are the published ones of the A424 parcels.
    """
    out: dict[str, NDArray[np.float32]] = {}
    if match := re.search(r"signal\('([^']+)', *(\d+), *(\d+)\)", told):
        parcels, length = int(match[2]), int(match[3])
        walk = _stream(f"signal/{match[1]}").standard_normal(size=(parcels, length + 8))
        smooth = np.stack([np.convolve(row, np.ones(9) / 3.0, mode="valid") for row in walk])
        out["signal"] = smooth.astype(np.float32)[None]
        out["xyz"] = np.asarray(a424().xyz[:parcels], dtype=np.float32)[None]
    if match := re.search(r"pixels\('([^']+)'(?:, *(?:distinct=)?(True|False))?\)", told):
        planes = 1 if match[2] == "False" else 3
        values = _stream(f"pixels/{match[1]}").standard_normal(size=(planes, 424, 200)) * 0.7
        coarse = np.clip(np.round(values * 4) / 4, -2, 2).astype(np.float32)
        out["pixel_values"] = np.repeat(coarse, 3 // planes, axis=0)[None]
    if match := re.search(r"noise\('([^']+)', *(\d+)\)", told):
        n = int(match[2])
        order = _stream(f"noise/{match[1]}").permutation(n)
        out["noise"] = ((order + 0.5) / n).astype(np.float32)[None]
    return out


def _stream(tag: str) -> np.random.RandomState:
    """Return NumPy's frozen legacy generator, seeded with the CRC-32 of a name."""
    return np.random.RandomState(zlib.crc32(tag.encode()) & 0xFFFFFFFF)
