"""Building blocks of the image-token family: position tables, patches, pre-norm blocks (SPEC 3.2, 3.4)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.model.attention import GroupReader, Reader, attend, merge_heads, read_maps, split_heads
from brainlm_core.model.config import ImageTokenConfig
from brainlm_core.model.layers import activation


def position_table(grid: int, width: int) -> Tensor:
    """Return the frozen sin-cos table (1, 1 + grid², width): zeros for CLS, then tokens in raster order.

    The first half of the width encodes the column, the second the row; float64 arithmetic.
    """
    quarter = width // 4
    omega = 10000.0 ** (-np.arange(quarter) / quarter)

    def half(u: np.ndarray) -> np.ndarray:
        angle = u[:, None] * omega
        return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    row, column = np.divmod(np.arange(grid * grid), grid)
    table = np.concatenate([half(column), half(row)], axis=1)
    table = np.concatenate([np.zeros((1, width)), table])
    return torch.from_numpy(table.astype(np.float32))[None]


class _Projections(nn.Module):
    def __init__(self, width: int, n_heads: int, bias: bool) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor, reader: Reader | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.n_heads) for f in (self.query, self.key, self.value))
        return merge_heads(attend(q, k, v, reader))

    def read(self, x: Tensor, reader: GroupReader) -> None:
        """Hand the maps to ``reader`` and compute nothing else."""
        q, k = (split_heads(f(x), self.n_heads) for f in (self.query, self.key))
        read_maps(q, k, reader)


class _Dense(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.dense = nn.Linear(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dense(x)
        return out


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int, bias: bool) -> None:
        super().__init__()
        self.attention = _Projections(width, n_heads, bias)
        self.output = _Dense(width, width)

    def forward(self, x: Tensor, reader: Reader | None) -> Tensor:
        out: Tensor = self.output(self.attention(x, reader))
        return out


class ImageBlock(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int, n_heads: int, inner: int, config: ImageTokenConfig) -> None:
        super().__init__()
        self.attention = _Attention(width, n_heads, config.qkv_bias)
        self.intermediate = _Dense(width, inner)
        self.output = _Dense(inner, width)
        self.layernorm_before = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.act = config.hidden_act
        self.dropout = config.hidden_dropout_prob

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """(B, N, D) → (B, N, D); ``reader`` receives the attention."""
        y = self.attention(self.layernorm_before(x), reader)
        x = x + F.dropout(y, self.dropout, self.training)
        y = self.output(activation(self.act, self.intermediate(self.layernorm_after(x))))
        return x + F.dropout(y, self.dropout, self.training)


class PatchEmbeddings(nn.Module):
    """Patches of the picture to tokens, by a convolution with stride = kernel."""

    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        p = config.patch_size
        self.projection = nn.Conv2d(config.num_channels, config.hidden_size, p, stride=p)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, R, R) → (B, S, D), raster order."""
        out: Tensor = self.projection(image).flatten(2).transpose(1, 2)
        return out
