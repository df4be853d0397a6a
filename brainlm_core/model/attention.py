"""Attention for all families: the plain pass, and the pass that reads maps out on the way.

Exact attention is softmax(q kᵀ / √d) v. Without a reader it is PyTorch's fused kernel. With a
:class:`GroupReader` the same product is computed in blocks of query rows; each block of
probabilities is reduced from tokens to groups of tokens (parcels) before the next one overwrites
it, so that an N × N matrix never exists.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.errors import EngineError

#: Bytes of one block of probabilities; small enough for a processor's last cache level.
BLOCK_BYTES = 8 * 2**20


@dataclass
class GroupReader:
    """Collects attention between groups of tokens, layer by layer.

    Parameters
    ----------
    group : Tensor (N,), int64
        Group of each token, non-decreasing where it is not -1; -1 for tokens outside every group.
        Token 0 is the summary token and has -1.
    n_groups : int
        Number of groups G; a group without tokens keeps rows and columns of zeros.
    """

    group: Tensor
    n_groups: int

    def __post_init__(self) -> None:
        self.maps: list[Tensor] = []
        self.cls: list[Tensor] = []
        self._token = torch.nonzero(self.group >= 0).squeeze(1)  # (M,)
        self._index = self.group[self._token]
        self.count = torch.bincount(self._index, minlength=self.n_groups).clamp(min=1)

    def stacked(self) -> tuple[Tensor, Tensor]:
        """Return maps (B, layers, heads, G, G) and cls (B, layers, heads, G)."""
        return torch.stack(self.maps, dim=1), torch.stack(self.cls, dim=1)

    def sum_keys(self, rows: Tensor) -> Tensor:
        """Sum the last axis (N tokens) within groups: (…, N) → (…, G)."""
        out = rows.new_zeros(*rows.shape[:-1], self.n_groups)
        return out.index_add_(-1, self._index.to(rows.device), rows[..., self._token.to(rows.device)])


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, N, D) → (B, heads, N, d)."""
    b, n, width = x.shape
    return x.view(b, n, n_heads, width // n_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, N, d) → (B, N, D)."""
    b, heads, n, d = x.shape
    return x.transpose(1, 2).reshape(b, n, heads * d)


def attend(query: Tensor, key: Tensor, value: Tensor, reader: GroupReader | None = None) -> Tensor:
    """Exact attention, with the maps handed to ``reader`` when there is one.

    Parameters
    ----------
    query, key, value : Tensor (B, heads, N, d)
    reader : GroupReader or None
        Receives this layer's maps.

    Returns
    -------
    Tensor (B, heads, N, d)
    """
    if reader is None:
        return F.scaled_dot_product_attention(query, key, value)
    return _attend_in_blocks(query, key, value, reader)


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, reader: GroupReader) -> Tensor:
    b, heads, n, d = query.shape
    g = reader.n_groups
    device = query.device
    q = (query.float() / math.sqrt(d)).reshape(b * heads, n, d)  # (B·heads, N, d)
    k = key.float().reshape(b * heads, n, d).transpose(1, 2)  # (B·heads, d, N)
    v = value.float().reshape(b * heads, n, d)
    out = torch.empty_like(q)
    by_query = q.new_zeros(b * heads, g + 1, n)  # row g gathers the queries outside every group
    group = torch.where(reader.group >= 0, reader.group, g).to(device)
    cls = q.new_empty(b * heads, n)
    rows = max(16, BLOCK_BYTES // (4 * n * b * heads))
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        p = torch.softmax(torch.bmm(q[:, start:stop], k), dim=-1)  # (B·heads, rows, N)
        out[:, start:stop] = torch.bmm(p, v)
        by_query.index_add_(1, group[start:stop], p)
        if start == 0:
            cls = p[:, 0].clone()
    maps = reader.sum_keys(by_query[:, :g]) / reader.count.to(device)[:, None]  # (B·heads, G, G)
    reader.maps.append(maps.view(b, heads, g, g))
    reader.cls.append(reader.sum_keys(cls).view(b, heads, g))
    return out.view(b, heads, n, d).to(query.dtype)


def attention_rows(query: Tensor, key: Tensor, rows: slice) -> Tensor:
    """Return attention probabilities of some query rows, (B, heads, rows, N); for parity checks."""
    scores = query[:, :, rows] @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return torch.softmax(scores, dim=-1)


def nystrom_attend(
    query: Tensor, key: Tensor, value: Tensor, landmarks: int, segment: int
) -> tuple[Tensor, Tensor]:
    """Nyström approximation of attention (Xiong et al. 2021), as in the published code.

    Steps: scale q and k by d^(-1/4); landmarks are means over consecutive groups of tokens;
    K1 = softmax(q k̃ᵀ), K2 = softmax(q̃ k̃ᵀ), K3 = softmax(q̃ kᵀ); context = K1 K2⁺ (K3 v) with six
    Newton–Schulz steps for the pseudo-inverse K2⁺, started from one scalar for the whole batch.

    Parameters
    ----------
    query, key, value : Tensor (B, heads, N, d)
    landmarks, segment : int
        Number of landmarks m and ``segment_means_seq_len`` s; the grouping exists only when
        N = m · (s // m).

    Returns
    -------
    context : Tensor (B, heads, N, d)
    probabilities : Tensor (B, heads, N, m)
        K1 K2⁺; may be negative.
    """
    b, heads, n, d = query.shape
    per_landmark = segment // landmarks
    if n != landmarks * per_landmark:
        raise EngineError(
            f"the Nyström branch needs {landmarks * per_landmark} tokens and got {n}",
            "use a model with exact attention, as all released ones are",
        )
    q, k = query * d**-0.25, key * d**-0.25
    q_mean = q.reshape(b, heads, landmarks, per_landmark, d).mean(dim=3)  # (B, heads, m, d)
    k_mean = k.reshape(b, heads, landmarks, per_landmark, d).mean(dim=3)
    k1 = torch.softmax(q @ k_mean.transpose(-1, -2), dim=-1)  # (B, heads, N, m)
    k2 = torch.softmax(q_mean @ k_mean.transpose(-1, -2), dim=-1)  # (B, heads, m, m)
    k3 = torch.softmax(q_mean @ k.transpose(-1, -2), dim=-1)  # (B, heads, m, N)
    a = k1 @ _pseudo_inverse(k2)  # (B, heads, N, m)
    return a @ (k3 @ value), a


def group_nystrom(
    probabilities: Tensor, query: Tensor, key: Tensor, landmarks: int, reader: GroupReader
) -> None:
    """Hand the effective attention K1 K2⁺ K3 of a Nyström layer to ``reader``, reduced to groups."""
    b, heads, n, d = query.shape
    q_mean = (query * d**-0.25).reshape(b, heads, landmarks, n // landmarks, d).mean(dim=3)
    k3 = torch.softmax(q_mean @ (key * d**-0.25).transpose(-1, -2), dim=-1)  # (B, heads, m, N)
    to_groups = reader.sum_keys(k3)  # (B, heads, m, G)
    by_query = reader.sum_keys(probabilities.transpose(-1, -2)).transpose(-1, -2)  # (B, heads, G, m)
    reader.maps.append((by_query / reader.count[:, None]) @ to_groups)
    reader.cls.append((probabilities[:, :, :1] @ to_groups)[:, :, 0])


class TokenConvolution(nn.Module):
    """Depth-wise convolution along the token axis, one kernel per head for all its channels.

    Parameters
    ----------
    n_heads : int
    taps : int
        Odd; zero padding keeps the length.
    """

    def __init__(self, n_heads: int, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_heads, 1, taps, 1))

    def forward(self, value: Tensor) -> Tensor:
        """(B, heads, N, d) → (B, heads, N, d), cross-correlation."""
        heads, _, taps, _ = self.weight.shape
        return F.conv2d(value, self.weight, padding=(taps // 2, 0), groups=heads)


def _pseudo_inverse(matrix: Tensor, steps: int = 6) -> Tensor:
    """Newton–Schulz pseudo-inverse with the published start: one global scalar."""
    eye = torch.eye(matrix.shape[-1], device=matrix.device, dtype=matrix.dtype)
    z = matrix.transpose(-1, -2) / matrix.sum(dim=-2).max()
    for _ in range(steps):
        kz = matrix @ z
        z = 0.25 * z @ (13 * eye - kz @ (15 * eye - kz @ (7 * eye - kz)))
    return z
