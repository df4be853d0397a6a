"""Attention for all families: the plain pass, and the passes that read maps out on the way.

Exact attention is softmax(q kᵀ / √d) v. Without a reader it is PyTorch's fused kernel, or, for
bf16 on a processor, blocks of query rows (the fused kernel gains nothing from bf16 there). With a
:class:`GroupReader` the product is computed in such blocks too; each block of probabilities is
reduced from tokens to groups of tokens (parcels) before the next one overwrites it, so that an
N × N matrix never exists.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.base.errors import EngineError

#: Probabilities per block: 256 rows of 4,241 stay in a processor's cache; a GPU wants few launches.
_BLOCK_CPU, _BLOCK_GPU = 1_100_000, 64_000_000
#: Keys per tile of a block on a processor: 256 × 512 scores are half a megabyte.
_COLUMNS_CPU = 512
#: Tokens per block of the convolution; the banded matrix is then 64 × 128 for 65 taps.
_CONVOLUTION_BLOCK = 64


@dataclass
class GroupReader:
    """Collects attention between groups of tokens, layer by layer.

    Parameters
    ----------
    group : Tensor (N,), int64
        Group of each token; -1 for tokens outside every group, such as the summary token 0.
    n_groups : int
        Number of groups G; a group without tokens keeps rows and columns of zeros.
    """

    group: Tensor
    n_groups: int
    maps: list[Tensor] = field(default_factory=list)
    cls: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._token = torch.nonzero(self.group >= 0).squeeze(1)  # (M,)
        self._index = self.group[self._token]
        self.count = torch.bincount(self._index, minlength=self.n_groups).clamp(min=1)
        #: Row that each query adds to; row G gathers the queries outside every group.
        self.query_row = torch.where(self.group >= 0, self.group, self.n_groups)

    def stacked(self) -> tuple[Tensor, Tensor]:
        """Return maps (B, layers, heads, G, G) and cls (B, layers, heads, G)."""
        return torch.stack(self.maps, dim=1), torch.stack(self.cls, dim=1)

    def sum_keys(self, rows: Tensor) -> Tensor:
        """Sum the last axis (N tokens) within groups: (…, N) → (…, G), float32."""
        by_token = rows.movedim(-1, 0)[self._token].float()  # (M, …)
        out = by_token.new_zeros(self.n_groups, *by_token.shape[1:])
        return out.index_add_(0, self._index, by_token).movedim(0, -1)


@dataclass
class RowReader:
    """Keeps full attention rows, to hold them against the published code.

    Parameters
    ----------
    rows : int or None
        The first so many query rows; None keeps all (N × N, large).
    layers : collection of int or None
        Layers to keep; None keeps all.
    """

    rows: int | None = None
    layers: Collection[int] | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)
    _seen: int = 0

    def keep(self, probabilities: Tensor) -> None:
        """Take the probabilities (B, heads, N, keys) of the next layer."""
        if self.wanted:
            self.kept[self._seen] = probabilities[:, :, : self.rows]
        self._seen += 1

    def compute(self, query: Tensor, key: Tensor) -> None:
        """Compute and take the rows of the next layer from q and k (B, heads, N, d)."""
        if self.wanted:
            scores = query[:, :, : self.rows] @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
            self.kept[self._seen] = torch.softmax(scores, dim=-1)
        self._seen += 1

    @property
    def wanted(self) -> bool:
        """Whether the next layer is to be kept."""
        return self.layers is None or self._seen in self.layers


Reader = GroupReader | RowReader


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """(B, N, D) → (B, heads, N, d)."""
    b, n, width = x.shape
    return x.view(b, n, n_heads, width // n_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, heads, N, d) → (B, N, D)."""
    b, heads, n, d = x.shape
    return x.transpose(1, 2).reshape(b, n, heads * d)


def attend(query: Tensor, key: Tensor, value: Tensor, reader: Reader | None = None) -> Tensor:
    """Exact attention, with the maps handed to ``reader`` when there is one.

    Parameters
    ----------
    query, key, value : Tensor (B, heads, N, d)
    reader : GroupReader or RowReader or None
        Receives this layer's maps.

    Returns
    -------
    Tensor (B, heads, N, d)
    """
    tracked = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if isinstance(reader, GroupReader):
        if tracked:  # maps are read out, never differentiated
            read_maps(query.detach(), key.detach(), reader)
            return F.scaled_dot_product_attention(query, key, value)
        return _in_blocks(query, key, value, reader)
    if reader is not None:
        reader.compute(query, key)
    if query.dtype == torch.bfloat16 and query.device.type == "cpu" and not tracked:
        return _in_blocks(query, key, value, None)
    return F.scaled_dot_product_attention(query, key, value)


@torch.no_grad()
def read_maps(query: Tensor, key: Tensor, reader: GroupReader) -> None:
    """Hand this layer's maps to ``reader`` without computing the attention's output."""
    _in_blocks(query, key, None, reader)


@torch.no_grad()
def _in_blocks(query: Tensor, key: Tensor, value: Tensor | None, reader: GroupReader | None) -> Tensor:
    """Attention in blocks of query rows, one head at a time; see the module for why.

    Returns the output (B, heads, N, d), or the scaled queries when there is no value.
    """
    b, heads, n, d = query.shape
    q = (query / math.sqrt(d)).reshape(b * heads, n, d).contiguous()
    k = key.reshape(b * heads, n, d).contiguous()
    v = None if value is None else value.reshape(b * heads, n, d).contiguous()
    out = q if v is None else torch.empty_like(v)
    blocks = _Blocks(q, reader is not None)
    maps: list[Tensor] = []
    cls: list[Tensor] = []
    for pair in range(b * heads):
        if reader is not None:
            by_query = torch.zeros(reader.n_groups + 1, n, device=q.device)
        for start in range(0, n, blocks.rows):
            stop = min(start + blocks.rows, n)
            p = blocks.probabilities(q[pair, start:stop], k[pair])  # (rows, N)
            if reader is not None:
                by_query.index_add_(0, reader.query_row[start:stop], p)
                if start == 0:
                    cls.append(reader.sum_keys(p[0]))
            if v is not None:
                torch.mm(blocks.like_values(p), v[pair], out=out[pair, start:stop])
        if reader is not None:
            maps.append(reader.sum_keys(by_query[:-1]) / reader.count[:, None])  # (G, G)
    if reader is not None:
        g = reader.n_groups
        reader.maps.append(torch.stack(maps).view(b, heads, g, g))
        reader.cls.append(torch.stack(cls).view(b, heads, g))
    return out.view(b, heads, n, d)


class _Blocks:
    """Buffers of one block of probabilities, used again for every block.

    Parameters
    ----------
    query : Tensor (pairs, N, d)
    exact : bool
        Probabilities in float32 whatever the precision, because maps are summed from them.
    """

    def __init__(self, query: Tensor, exact: bool) -> None:
        n = query.shape[1]
        self.on_cpu = query.device.type == "cpu"
        self.rows = min(n, max(16, (_BLOCK_CPU if self.on_cpu else _BLOCK_GPU) // n))
        self.columns = _COLUMNS_CPU if self.on_cpu and query.dtype == torch.float32 else n
        self.scores = query.new_empty(self.rows, n)
        same = query.dtype == torch.float32 or not exact
        self.low = None if same else torch.empty_like(self.scores)
        # A processor's softmax works in place; elsewhere that is not promised.
        kind = query.dtype if same else torch.float32
        self.result = self.scores if same and self.on_cpu else torch.empty_like(self.scores, dtype=kind)

    def probabilities(self, query: Tensor, key: Tensor) -> Tensor:
        """softmax(q kᵀ) of a block: (rows, d), (N, d) → (rows, N), valid until the next call."""
        scores, result = self.scores[: len(query)], self.result[: len(query)]
        for start in range(0, len(key), self.columns):  # narrow tiles stay in a core's own cache
            stop = start + self.columns
            torch.mm(query, key[start:stop].t(), out=scores[:, start:stop])
        return torch.softmax(scores, dim=-1, dtype=result.dtype, out=result)

    def like_values(self, probabilities: Tensor) -> Tensor:
        """Bring probabilities to the precision of the values."""
        if self.low is None:
            return probabilities
        return self.low[: len(probabilities)].copy_(probabilities)


def nystrom_attend(
    query: Tensor, key: Tensor, value: Tensor, landmarks: int, segment: int, reader: Reader | None = None
) -> Tensor:
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
    reader : GroupReader or RowReader or None
        A RowReader gets K1 K2⁺ (N × m, may be negative) as the published code returns it; a
        GroupReader the effective attention K1 K2⁺ K3.

    Returns
    -------
    Tensor (B, heads, N, d)

    Raises
    ------
    EngineError
        If the tokens do not form the landmarks.
    """
    b, heads, n, d = query.shape
    per_landmark = segment // landmarks
    if n != landmarks * per_landmark:
        raise EngineError(
            f"the Nyström branch needs {landmarks * per_landmark} tokens and got {n}",
            "use a model with exact attention, as all released ones are",
        )
    root = math.sqrt(math.sqrt(d))
    q, k = query / root, key / root
    q_mean = q.reshape(b, heads, landmarks, per_landmark, d).mean(dim=3)  # (B, heads, m, d)
    k_mean = k.reshape(b, heads, landmarks, per_landmark, d).mean(dim=3)
    k1 = torch.softmax(q @ k_mean.transpose(-1, -2), dim=-1)  # (B, heads, N, m)
    k2 = torch.softmax(q_mean @ k_mean.transpose(-1, -2), dim=-1)  # (B, heads, m, m)
    k3 = torch.softmax(q_mean @ k.transpose(-1, -2), dim=-1)  # (B, heads, m, N)
    a = k1 @ _pseudo_inverse(k2)  # (B, heads, N, m)
    if isinstance(reader, RowReader):
        reader.keep(a)
    elif reader is not None:
        to_groups = reader.sum_keys(k3)  # (B, heads, m, G)
        by_query = reader.sum_keys(a.transpose(-1, -2)).transpose(-1, -2)  # (B, heads, G, m)
        reader.maps.append((by_query / reader.count[:, None]) @ to_groups)
        reader.cls.append((a[:, :, :1].float() @ to_groups)[:, :, 0])
    return a @ (k3 @ value)


def _pseudo_inverse(matrix: Tensor, steps: int = 6) -> Tensor:
    """Newton–Schulz pseudo-inverse with the published start: one global scalar."""
    eye = torch.eye(matrix.shape[-1], device=matrix.device, dtype=matrix.dtype)
    z = 1 / matrix.sum(dim=-2).max() * matrix.transpose(-1, -2)  # order of operations as published
    for _ in range(steps):
        kz = matrix @ z
        z = (0.25 * z) @ (13 * eye - kz @ (15 * eye - kz @ (7 * eye - kz)))
    return z


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
        """(B, heads, N, d) → (B, heads, N, d), cross-correlation.

        Written as products of a banded matrix with overlapping blocks of tokens, several times
        faster than a grouped convolution on a processor. The blocks are views and the result lies
        token by token, as attention leaves its output: adding the two copies nothing.
        """
        b, heads, n, d = value.shape
        taps = self.weight.shape[2]
        block = min(_CONVOLUTION_BLOCK, n)
        n_blocks, span = -(-n // block), block + taps - 1
        padded = F.pad(value.transpose(1, 2), (0, 0, 0, 0, taps // 2, n_blocks * block - n + taps // 2))
        overlapping = padded.unfold(1, span, block).transpose(-1, -2)  # (B, blocks, heads, span, d)
        shift = torch.arange(span, device=value.device) - torch.arange(block, device=value.device)[:, None]
        taken = self.weight[:, 0, :, 0].to(value.dtype)[:, shift.clamp(0, taps - 1)]
        band = taken * ((shift >= 0) & (shift < taps))  # (heads, block, span)
        parts = []
        for h in range(heads):
            blocks = overlapping[:, :, h].reshape(b * n_blocks, span, d)  # a view for one window
            parts.append(torch.bmm(band[h].expand(b * n_blocks, -1, -1), blocks))
        out = torch.stack(parts, dim=2)  # (B · blocks, block, heads, d)
        return out.view(b, n_blocks * block, heads, d)[:, :n].transpose(1, 2)
