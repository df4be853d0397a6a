"""The parcel-token family (published as ``BrainLMForPretraining``, 13M): SPEC section 2.

A token is one patch of samples of one parcel; tokens lie parcel-major. Module names follow the
published state dict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.base.errors import EngineError
from brainlm_core.model.attention import (
    GroupReader,
    Reader,
    TokenConvolution,
    attend,
    merge_heads,
    nystrom_attend,
    read_maps,
    split_heads,
)
from brainlm_core.model.base import AttentionMaps, Encoding, InputSpec, MaskedModel, Reconstruction
from brainlm_core.model.config import UKB_TR_S, ParcelTokenConfig
from brainlm_core.model.layers import activation, add_to
from brainlm_core.model.masking import Visible, keep_visible, visible_from_hidden


@dataclass(frozen=True)
class NativeOutput:
    """What the published forward pass returns, and what it computes on the way.

    Parameters
    ----------
    loss : Tensor ()
        NaN when nothing is hidden, as published.
    logits : Tensor (B, P, n, L)
        Prediction per parcel and patch.
    latent : Tensor (B, 1 + kept, D)
        Encoder output after the final norm, kept tokens in noise order.
    mask : Tensor (B, P, n)
        1 for hidden.
    mask_flat : Tensor (B, P·n)
    ids_restore : Tensor (B, P·n), int64
        Rank of each token in the noise order.
    hidden_states : tuple of Tensor (B, 1 + kept, D)
        Embedding output, then each encoder layer's output (before the final norm).
    """

    loss: Tensor
    logits: Tensor
    latent: Tensor
    mask: Tensor
    mask_flat: Tensor
    ids_restore: Tensor
    hidden_states: tuple[Tensor, ...] = ()


@lru_cache(maxsize=16)
def position_table(length: int, width: int) -> Tensor:
    """Interleaved sin/cos table (length, width), float32 arithmetic as published."""
    step = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(length)[:, None] * step
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(angle)
    table[:, 1::2] = torch.cos(angle)[:, : width // 2]
    return table


class _SelfAttention(nn.Module):
    def __init__(self, width: int, n_heads: int, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.landmarks = None if config.exact_attention else config.num_landmarks
        self.segment = config.segment_means_seq_len
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.conv = (
            None if config.conv_kernel_size is None else TokenConvolution(n_heads, config.conv_kernel_size)
        )

    def forward(self, x: Tensor, reader: Reader | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.n_heads) for f in (self.query, self.key, self.value))
        if self.landmarks is None:
            context = attend(q, k, v, reader)  # (B, heads, N, d)
        else:
            context = nystrom_attend(q, k, v, self.landmarks, self.segment, reader)
        if self.conv is not None:
            context = add_to(context, self.conv(v))
        return merge_heads(context)

    def read(self, x: Tensor, reader: GroupReader) -> None:
        """Hand the maps to ``reader`` and compute nothing else, where that is possible."""
        if self.landmarks is not None:
            self(x, reader)
            return
        q, k = (split_heads(f(x), self.n_heads) for f in (self.query, self.key))
        read_maps(q, k, reader)


class _Output(nn.Module):
    """Projection, residual, norm (post-norm)."""

    def __init__(self, n_in: int, width: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(n_in, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = dropout

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(add_to(F.dropout(self.dense(x), self.dropout, self.training), residual))


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(width, n_heads, config)
        self.output = _Output(width, width, config.layer_norm_eps, config.hidden_dropout_prob)

    def forward(self, x: Tensor, reader: Reader | None) -> Tensor:
        return self.output(self.self(x, reader), x)


class _Intermediate(nn.Module):
    def __init__(self, width: int, inner: int, name: str) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return activation(self.name, self.dense(x))


class ParcelBlock(nn.Module):
    """Post-norm transformer block with a token convolution beside the attention."""

    def __init__(self, width: int, n_heads: int, inner: int, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.attention = _Attention(width, n_heads, config)
        self.intermediate = _Intermediate(width, inner, config.hidden_act)
        self.output = _Output(inner, width, config.layer_norm_eps, config.hidden_dropout_prob)

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """(B, N, D) → (B, N, D); ``reader`` receives the attention."""
        x = self.attention(x, reader)
        return self.output(self.intermediate(x), x)


class _Embeddings(nn.Module):
    def __init__(self, config: ParcelTokenConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.signal_embedding_projection = nn.Linear(config.timepoint_patching_size, width)
        self.xyz_embedding_projection = nn.Linear(3, width)

    def forward(self, patches: Tensor, xyz: Tensor) -> Tensor:
        """(B, P, n, L), (B, P, 3) → (B, P·n, D), parcel-major, CLS not included."""
        b, p, n, _ = patches.shape
        width = self.cls_token.shape[-1]
        x = self.signal_embedding_projection(patches)  # (B, P, n, D)
        x = x + self.xyz_embedding_projection(xyz)[:, :, None]
        x = x + position_table(n, width).to(x.device)
        return F.dropout(x, 0.1, self.training).reshape(b, p * n, width)  # 0.1 is fixed as published


class _Encoder(nn.Module):
    def __init__(self, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            ParcelBlock(config.hidden_size, config.num_attention_heads, config.intermediate_size, config)
            for _ in range(config.num_hidden_layers)
        )


class _Vit(nn.Module):
    def __init__(self, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        x: Tensor,
        reader: Reader | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """(B, 1 + kept, D) embedded tokens with CLS in front → the same shape."""
        for layer in self.encoder.layer:
            if states is not None:
                states.append(x)
            x = layer(x, reader)
        if states is not None:
            states.append(x)
        out: Tensor = self.layernorm(x)
        return out

    def read(self, x: Tensor, reader: GroupReader) -> None:
        """Hand every layer's maps to ``reader``; the last layer stops after its maps."""
        for layer in self.encoder.layer[:-1]:
            x = layer(x, reader)
        last = self.encoder.layer[-1]
        assert isinstance(last, ParcelBlock)
        last.attention.self.read(x, reader)


class _Decoder(nn.Module):
    def __init__(self, config: ParcelTokenConfig) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.use_tanh = config.use_tanh_decoder
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.decoder_embed = nn.Linear(config.hidden_size, width)
        self.decoder_xyz_projection = nn.Linear(3, config.hidden_size)
        self.decoder_layers = nn.ModuleList(
            ParcelBlock(width, config.decoder_num_attention_heads, config.decoder_intermediate_size, config)
            for _ in range(config.decoder_num_hidden_layers)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.decoder_pred1 = nn.Linear(width, width // 2)
        self.decoder_pred2 = nn.Linear(width // 2, config.timepoint_patching_size)

    def forward(self, latent: Tensor, ids_restore: Tensor, xyz: Tensor) -> Tensor:
        """(B, 1 + kept, D), (B, S), (B, P, 3) → predictions (B, P, n, L)."""
        b, s = ids_restore.shape
        p, width = xyz.shape[1], self.mask_token.shape[-1]
        y = self.decoder_embed(latent)
        masked = self.mask_token.to(y.dtype).expand(b, s - (y.shape[1] - 1), width)
        x = torch.cat([y[:, 1:], masked], dim=1)  # (B, S, D) in noise order
        x = torch.gather(x, 1, ids_restore[:, :, None].expand(-1, -1, width))
        x = x.view(b, p, s // p, width)  # (B, P, n, D)
        x = x + self.decoder_xyz_projection(xyz)[:, :, None]
        x = x + position_table(s // p, width).to(x.device)
        x = F.dropout(x, 0.1, self.training)
        x = torch.cat([y[:, :1].to(x.dtype), x.view(b, s, width)], dim=1)  # (B, 1 + S, D)
        for layer in self.decoder_layers:
            x = layer(x)
        x = self.decoder_norm(x)[:, 1:]
        x = self.decoder_pred2(F.leaky_relu(self.decoder_pred1(x), 0.1))
        if self.use_tanh:
            x = torch.tanh(x)
        return x.view(b, p, s // p, -1)  # (B, P, n, L)


class ParcelTokenModel(MaskedModel):
    """Masked autoencoder with one token per parcel and patch, for any number of parcels.

    Parameters
    ----------
    config : ParcelTokenConfig
    """

    family: ClassVar[str] = "parcel_token"
    ignored_keys: ClassVar[tuple[str, ...]] = (
        "vit.embeddings.pos_embedding.pe",
        "decoder.pos_embedding.pe",
        "decoder.decoder_pred.weight",
        "decoder.decoder_pred.bias",
    )

    def __init__(self, config: ParcelTokenConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(
            n_parcels=None,
            n_timepoints=config.num_timepoints_per_voxel,
            patch_length=config.timepoint_patching_size,
            tr_s=UKB_TR_S,
        )
        self.vit = _Vit(config)
        if not config.encoder_only:
            self.decoder = _Decoder(config)

    def forward(
        self,
        signal_vectors: Tensor,
        xyz_vectors: Tensor,
        noise: Tensor | None = None,
        mask_ratio: float | None = None,
        *,
        output_hidden_states: bool = False,
        reader: Reader | None = None,
    ) -> NativeOutput:
        """Run the published forward pass, random masking included.

        Parameters
        ----------
        signal_vectors : Tensor (B, P, T)
            Robust-scaled signals.
        xyz_vectors : Tensor (B, P, 3)
            Coordinates in mm.
        noise : Tensor (B, P·n) or None
            The smallest values are kept, in their order; drawn at random when None.
        mask_ratio : float or None
            Share of tokens to hide; the configured one when None.
        output_hidden_states : bool
            Return every layer's state.
        reader : GroupReader or RowReader or None
            Receives the encoder's attention.
        """
        self.needs_decoder()
        patches = self._patches(signal_vectors)  # (B, P, n, L)
        b, p, n, length = patches.shape
        ratio = self.config.mask_ratio if mask_ratio is None else mask_ratio
        if noise is None:
            noise = torch.rand(b, p * n, device=patches.device)
        visible = keep_visible(noise, int(p * n * (1 - ratio)))
        states: list[Tensor] | None = [] if output_hidden_states else None
        latent = self.vit(self._embed(patches, xyz_vectors, visible), reader, states)
        logits = self.decoder(latent, visible.ids_restore, xyz_vectors)
        mask = visible.mask.view(b, p, n)
        error = logits.float() - patches
        error = error.abs() if self.config.loss_fn == "mae" else error**2
        weight = mask[..., None].expand(b, p, n, length)
        loss = (error * weight).sum() / weight.sum()
        return NativeOutput(
            loss, logits, latent, mask, visible.mask, visible.ids_restore, tuple(states or ())
        )

    def reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Predict a window from its visible part; see :meth:`MaskedModel.reconstruct`."""
        self.needs_decoder()
        patches = self._patches(signal)
        tokens = self._hidden_tokens(hidden)
        predicted = torch.empty_like(signal, dtype=torch.float32)
        for rows, visible in visible_from_hidden(tokens):
            place = xyz.expand(len(rows), -1, -1)
            latent = self.vit(self._embed(patches[rows], place, visible))
            logits = self.decoder(latent, visible.ids_restore, place)  # (b, P, n, L)
            predicted = predicted.index_copy(0, rows, logits.float().flatten(2))  # keeps gradients
        b, p, t = signal.shape
        truly = tokens.view(b, p, -1, 1).expand(-1, -1, -1, self.config.timepoint_patching_size)
        return Reconstruction(predicted, truly.reshape(b, p, t))

    def encode(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> Encoding:
        """Embed a window; see :meth:`MaskedModel.encode`."""
        patches = self._patches(signal)
        b, p, n, _ = patches.shape
        width = self.config.hidden_size
        cls = patches.new_zeros(b, width, dtype=torch.float32)
        tokens = patches.new_zeros(b, p, width, dtype=torch.float32)
        for rows, visible in visible_from_hidden(self._hidden_tokens(hidden, patches)):
            latent = self.vit(self._embed(patches[rows], xyz.expand(len(rows), -1, -1), visible)).float()
            index = (visible.kept // n)[:, :, None].expand(-1, -1, width)  # parcel of each kept token
            total = latent.new_zeros(len(rows), p, width).scatter_add(1, index, latent[:, 1:])
            count = latent.new_zeros(len(rows), p, 1).scatter_add(
                1, index[:, :, :1], torch.ones_like(latent[:, 1:, :1])
            )
            cls = cls.index_copy(0, rows, latent[:, 0])
            tokens = tokens.index_copy(0, rows, total / count.clamp(min=1))
        return Encoding(cls, tokens)

    def attention(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> AttentionMaps:
        """Read the encoder's attention out; see :meth:`MaskedModel.attention`."""
        patches = self._patches(signal)
        b, p, n, _ = patches.shape
        maps: list[Tensor] = [patches.new_empty(0)] * b
        cls: list[Tensor] = [patches.new_empty(0)] * b
        for rows, visible in visible_from_hidden(self._hidden_tokens(hidden, patches), same_mask=True):
            parcel = visible.kept[0] // n  # one mask for all these rows
            reader = GroupReader(torch.cat([parcel.new_tensor([-1]), parcel]), p)
            self.vit.read(self._embed(patches[rows], xyz.expand(len(rows), -1, -1), visible), reader)
            read, read_cls = reader.stacked()
            for i, row in enumerate(rows.tolist()):
                maps[row], cls[row] = read[i], read_cls[i]
        return AttentionMaps(torch.stack(maps), torch.stack(cls), torch.arange(p, device=signal.device))

    def _patches(self, signal: Tensor) -> Tensor:
        b, p, t = signal.shape
        length = self.config.timepoint_patching_size
        if t == 0 or t % length or p == 0:
            raise EngineError(
                f"a window of {p} parcels × {t} samples does not divide into patches of {length} samples",
                f"cut windows to a multiple of {length} samples",
            )
        return signal.float().reshape(b, p, t // length, length)  # (B, P, n, L)

    def _embed(self, patches: Tensor, xyz: Tensor, visible: Visible) -> Tensor:
        """Embed the kept tokens only and put CLS in front: (B, 1 + kept, D)."""
        x = self.vit.embeddings(patches, xyz.float())  # (B, S, D)
        x = torch.gather(x, 1, visible.kept[:, :, None].expand(-1, -1, x.shape[-1]))
        cls = self.vit.embeddings.cls_token.to(x.dtype).expand(len(x), -1, -1)
        return torch.cat([cls, x], dim=1)

    def _hidden_tokens(self, hidden: Tensor | None, patches: Tensor | None = None) -> Tensor:
        """Token mask (B, P·n): True when any entry of the token is hidden."""
        length = self.config.timepoint_patching_size
        if hidden is None:
            assert patches is not None
            return torch.zeros(
                patches.shape[0], patches.shape[1] * patches.shape[2], dtype=torch.bool, device=patches.device
            )
        b, p, t = hidden.shape
        return hidden.reshape(b, p, t // length, length).any(dim=-1).flatten(1)  # (B, P·n)
