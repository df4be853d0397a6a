"""The image-token family (published as ``ViTMAEForPreTraining``, 111M and 650M): SPEC section 3.

A window is a picture: rows are parcels sorted from the back of the brain to the front, columns are
samples, padded to a square. A token is one square patch, so it mixes 14–16 parcels. Module names
follow the published state dict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.base.errors import EngineError
from brainlm_core.model.attention import GroupReader, Reader
from brainlm_core.model.base import AttentionMaps, Encoding, InputSpec, MaskedModel, Reconstruction
from brainlm_core.model.config import IMAGE_PARCELS, IMAGE_TIMEPOINTS, UKB_TR_S, ImageTokenConfig
from brainlm_core.model.image_layers import ImageBlock, PatchEmbeddings, position_table
from brainlm_core.model.masking import Visible, keep_visible, visible_from_hidden

#: The published code divides the robust-scaled signals by this.
IMAGE_SCALE = 5.6430855
#: Value of the padding around the picture.
PADDING = -1.0


@dataclass(frozen=True)
class NativeImageOutput:
    """What the published forward pass returns, and what it computes on the way.

    Parameters
    ----------
    loss : Tensor ()
        NaN when nothing is hidden, as published.
    logits : Tensor (B, rows, columns)
        Prediction without the padding, mean over channels.
    latent : Tensor (B, 1 + kept, D)
        Encoder output after the final norm, CLS first, kept tokens in noise order.
    mask : Tensor (B, rows, columns)
        1 for pixels that enter the loss.
    token_mask : Tensor (B, S)
        1 for hidden tokens.
    ids_restore : Tensor (B, S), int64
    kept : Tensor (B, kept), int64
        Token ids in the order of ``latent``.
    zeroed_columns : tuple of int
        Columns of the padded picture that were set to zero (``predict_last_pixel``).
    hidden_states : tuple of Tensor
        Encoder states (embedding output first; before the final norm) when asked for.
    """

    loss: Tensor
    logits: Tensor
    latent: Tensor
    mask: Tensor
    token_mask: Tensor
    ids_restore: Tensor
    kept: Tensor
    zeroed_columns: tuple[int, ...]
    hidden_states: tuple[Tensor, ...] = ()


class _Embeddings(nn.Module):
    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.hidden_size))
        table = position_table(config.grid, config.hidden_size)
        self.position_embeddings = nn.Parameter(table.to(self.cls_token.device), requires_grad=False)
        self.patch_embeddings = PatchEmbeddings(config)

    def forward(self, image: Tensor, visible: Visible) -> Tensor:
        """(B, C, R, R) → CLS and kept tokens (B, 1 + kept, D)."""
        x = self.patch_embeddings(image) + self.position_embeddings[:, 1:]  # (B, S, D)
        x = torch.gather(x, 1, visible.kept[:, :, None].expand(-1, -1, x.shape[-1]))
        cls = self.cls_token + self.position_embeddings[:, :1]
        return torch.cat([cls.expand(len(x), -1, -1).to(x.dtype), x], dim=1)


class _Encoder(nn.Module):
    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            ImageBlock(config.hidden_size, config.num_attention_heads, config.intermediate_size, config)
            for _ in range(config.num_hidden_layers)
        )


class _Vit(nn.Module):
    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = _Encoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        image: Tensor,
        visible: Visible,
        reader: Reader | None = None,
        states: list[Tensor] | None = None,
    ) -> Tensor:
        """(B, C, R, R) padded picture → latent (B, 1 + kept, D)."""
        x = self.embeddings(image, visible)
        for layer in self.encoder.layer:
            if states is not None:
                states.append(x)
            x = layer(x, reader)
        if states is not None:
            states.append(x)
        out: Tensor = self.layernorm(x)
        return out

    def read(self, image: Tensor, visible: Visible, reader: GroupReader) -> None:
        """Hand every layer's maps to ``reader``; the last layer stops after its maps."""
        x = self.embeddings(image, visible)
        for layer in self.encoder.layer[:-1]:
            x = layer(x, reader)
        last = self.encoder.layer[-1]
        assert isinstance(last, ImageBlock)
        last.attention.attention.read(last.layernorm_before(x), reader)


class _Decoder(nn.Module):
    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        table = position_table(config.grid, width)
        self.decoder_pos_embed = nn.Parameter(table.to(self.mask_token.device), requires_grad=False)
        self.decoder_embed = nn.Linear(config.hidden_size, width)
        self.decoder_layers = nn.ModuleList(
            ImageBlock(width, config.decoder_num_attention_heads, config.decoder_intermediate_size, config)
            for _ in range(config.decoder_num_hidden_layers)
        )
        self.decoder_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.decoder_pred = nn.Linear(width, config.patch_size**2 * config.num_channels)

    def forward(self, latent: Tensor, ids_restore: Tensor) -> Tensor:
        """(B, 1 + kept, D) → predicted patches (B, S, p·p·C), channel fastest."""
        b, s = ids_restore.shape
        width = self.mask_token.shape[-1]
        y = self.decoder_embed(latent)
        masked = self.mask_token.to(y.dtype).expand(b, s - (y.shape[1] - 1), width)
        x = torch.cat([y[:, 1:], masked], dim=1)  # (B, S, Dd) in noise order
        x = torch.gather(x, 1, ids_restore[:, :, None].expand(-1, -1, width))
        x = torch.cat([y[:, :1], x], dim=1) + self.decoder_pos_embed  # (B, 1 + S, Dd)
        for layer in self.decoder_layers:
            x = layer(x)
        out: Tensor = self.decoder_pred(self.decoder_norm(x)[:, 1:])
        return out


class ImageTokenModel(MaskedModel):
    """Masked autoencoder over the padded picture of a window of the 424 parcels.

    Parameters
    ----------
    config : ImageTokenConfig
    """

    family: ClassVar[str] = "image_token"

    def __init__(self, config: ImageTokenConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(
            n_parcels=IMAGE_PARCELS,
            n_timepoints=IMAGE_TIMEPOINTS,
            patch_length=config.patch_size,
            tr_s=UKB_TR_S,
            parcels_per_token=config.patch_size,
        )
        self.vit = _Vit(config)
        if not config.encoder_only:
            self.decoder = _Decoder(config)

    def tables(self) -> dict[str, Tensor]:
        """Return the frozen position tables, which a checkpoint may leave out."""
        grid = self.config.grid
        tables = {"vit.embeddings.position_embeddings": position_table(grid, self.config.hidden_size)}
        if not self.config.encoder_only:
            tables["decoder.decoder_pos_embed"] = position_table(grid, self.config.decoder_hidden_size)
        return tables

    def forward(
        self,
        pixel_values: Tensor,
        noise: Tensor | None = None,
        mask_ratio: float | None = None,
        train_mode: str | None = None,
        *,
        output_hidden_states: bool = False,
        reader: Reader | None = None,
    ) -> NativeImageOutput:
        """Run the published forward pass, random masking and padding included.

        Parameters
        ----------
        pixel_values : Tensor (B, C, rows, columns)
            Sorted parcels × samples, not padded.
        noise : Tensor (B, S) or None
            For ``auto_encode``: smallest values are kept. None draws from the global generator, which is what
            the published code does even when it is given one. Other modes build their own.
        mask_ratio : float or None
            The configured one when None.
        train_mode : str or None
            The configured one when None.
        output_hidden_states : bool
            Return every layer's state.
        reader : GroupReader or RowReader or None
            Receives the encoder's attention.
        """
        self.needs_decoder()
        mode = self.config.train_mode if train_mode is None else train_mode
        ratio = self.config.mask_ratio if mask_ratio is None else mask_ratio
        b, _, height, width = pixel_values.shape
        image = self.pad(pixel_values.float())
        s, columns = self.config.grid**2, range(0)
        if mode == "auto_encode":
            noise = torch.rand(b, s, device=image.device) if noise is None else noise
            visible = keep_visible(noise, int(s * (1 - ratio)))
        else:
            first, last, columns = self._hidden_columns(width, ratio, mode)
            hidden = torch.zeros(b, self.config.grid, self.config.grid, device=image.device)
            hidden[:, :, first:last] = 1
            visible = keep_visible(hidden.flatten(1), s - self.config.grid * (last - first))
            image[..., columns.start : columns.stop] = 0
        states: list[Tensor] | None = [] if output_hidden_states else None
        latent = self.vit(image, visible, reader, states)
        logits = self.crop(self.picture(self.decoder(latent, visible.ids_restore)), height, width)
        logits = logits.float().mean(dim=1)
        mask = self._pixels(visible.mask)  # (B, R, R)
        mask[..., columns.start : columns.stop] = 1
        mask = self.crop(mask, height, width)
        target = pixel_values.float().mean(dim=1)
        if self.config.norm_pix_loss:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
        loss = ((logits - target) ** 2 * mask).sum() / mask.sum()
        return NativeImageOutput(
            loss,
            logits,
            latent,
            mask,
            visible.mask,
            visible.ids_restore,
            visible.kept,
            tuple(columns),
            tuple(states or ()),
        )

    def reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Predict a window from its visible part; see :meth:`MaskedModel.reconstruct`.

        Signals come and go in file order and robust scaling; the picture's order and scale are inside.
        """
        self.needs_decoder()
        order, back = self._order(xyz)
        tokens = self._hidden_tokens(hidden, order)
        predicted = torch.empty_like(signal, dtype=torch.float32)
        image = self._image(signal, order)
        height, width = signal.shape[1:]
        for rows, visible in visible_from_hidden(tokens):
            patches = self.decoder(self.vit(image[rows], visible), visible.ids_restore)
            picture = self.crop(self.picture(patches), height, width).float().mean(dim=1)  # (b, P, T)
            predicted = predicted.index_copy(0, rows, picture[:, back] * IMAGE_SCALE)
        truly = self.crop(self._pixels(tokens), height, width)[:, back]
        return Reconstruction(predicted, truly)

    def encode(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> Encoding:
        """Embed a window; see :meth:`MaskedModel.encode`.

        Parcels that share tokens share an embedding: the mean over their row's tokens with data.
        """
        order, _ = self._order(xyz)
        image, tokens = self._image(signal, order), self._hidden_tokens(hidden, order, signal)
        b, width, grid = signal.shape[0], self.config.hidden_size, self.config.grid
        cls = image.new_zeros(b, width)
        rows_mean = image.new_zeros(b, grid, width)
        token_row = self._token_rows(signal.device)  # (S,), -1 for padding columns
        for rows, visible in visible_from_hidden(tokens):
            latent = self.vit(image[rows], visible).float()
            row = token_row[visible.kept]  # (b, kept)
            index = torch.where(row >= 0, row, grid)[:, :, None].expand(-1, -1, width)
            total = latent.new_zeros(len(rows), grid + 1, width).scatter_add(1, index, latent[:, 1:])
            ones = torch.ones_like(latent[:, 1:, :1])
            count = latent.new_zeros(len(rows), grid + 1, 1).scatter_add(1, index[:, :, :1], ones)
            cls = cls.index_copy(0, rows, latent[:, 0])
            rows_mean = rows_mean.index_copy(0, rows, (total / count.clamp(min=1))[:, :grid])
        return Encoding(cls, rows_mean[:, self._parcel_rows(order)])

    def attention(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> AttentionMaps:
        """Read the encoder's attention out; see :meth:`MaskedModel.attention`.

        Groups are token rows; only tokens that hold data count, attention to padding is left out.
        """
        order, _ = self._order(xyz)
        image, tokens = self._image(signal, order), self._hidden_tokens(hidden, order, signal)
        token_row = self._token_rows(signal.device)
        maps: list[Tensor] = [image.new_empty(0)] * len(image)
        cls: list[Tensor] = [image.new_empty(0)] * len(image)
        for rows, visible in visible_from_hidden(tokens, same_mask=True):
            group = torch.cat([token_row.new_tensor([-1]), token_row[visible.kept[0]]])
            reader = GroupReader(group, self.config.grid)
            self.vit.read(image[rows], visible, reader)
            read, read_cls = reader.stacked()
            for i, row in enumerate(rows.tolist()):
                maps[row], cls[row] = read[i], read_cls[i]
        return AttentionMaps(torch.stack(maps), torch.stack(cls), self._parcel_rows(order))

    def pad(self, image: Tensor) -> Tensor:
        """(B, C, rows, columns) → (B, C, R, R); odd sizes cannot be centred."""
        height, width = image.shape[-2:]
        down, across = self.config.image_size - height, self.config.image_size - width
        if min(down, across) < 0 or down % 2 or across % 2:
            raise EngineError(
                f"a picture of {height} × {width} cannot be centred in {self.config.image_size} × "
                f"{self.config.image_size}",
                f"give {IMAGE_PARCELS} parcels × {IMAGE_TIMEPOINTS} samples",
            )
        return F.pad(image, (across // 2, across // 2, down // 2, down // 2), value=PADDING)

    def crop(self, image: Tensor, height: int, width: int) -> Tensor:
        """Cut the padding: (…, R, R) → (…, rows, columns)."""
        top, left = (self.config.image_size - height) // 2, (self.config.image_size - width) // 2
        return image[..., top : top + height, left : left + width]

    def picture(self, patches: Tensor) -> Tensor:
        """(B, S, p·p·C) → (B, C, R, R)."""
        g, p = self.config.grid, self.config.patch_size
        x = patches.view(len(patches), g, g, p, p, -1)  # (B, row, column, py, px, C)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, g * p, g * p)

    def _pixels(self, tokens: Tensor) -> Tensor:
        """Repeat one value per token (B, S) over its patch: (B, R, R)."""
        g, p = self.config.grid, self.config.patch_size
        return tokens.view(-1, g, g).repeat_interleave(p, dim=1).repeat_interleave(p, dim=2)

    def _hidden_columns(self, width: int, ratio: float, mode: str) -> tuple[int, int, range]:
        """Token columns [first, last) that a predicting mode hides, and the pixels it zeroes (SPEC 3.3)."""
        p = self.config.patch_size
        left = (self.config.image_size - width) // 2
        end = left + width
        last = -(-end // p)
        hide = int(ratio * width)
        start = end - hide
        count = (last * p - start) // p
        if mode == "predict_last" and start % p:
            count += 1
        first = last - count
        extra = hide - (end - first * p)
        if mode == "predict_last_pixel" and extra > 0:
            return first, last, range(first * p - extra, first * p)
        return first, last, range(0)

    def _order(self, xyz: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stable order by y, back of the brain first, and its inverse."""
        order = torch.argsort(xyz[:, 1], stable=True)
        return order, torch.argsort(order)

    def _image(self, signal: Tensor, order: Tensor) -> Tensor:
        """(B, P, T) in file order → padded picture (B, C, R, R)."""
        if signal.shape[1:] != (IMAGE_PARCELS, IMAGE_TIMEPOINTS):
            raise EngineError(
                f"image-token models want windows of {IMAGE_PARCELS} parcels × {IMAGE_TIMEPOINTS} samples, "
                f"not {signal.shape[1]} × {signal.shape[2]}",
                "use a model that takes any parcels, such as default or 13m",
            )
        plane = signal.float()[:, order] / IMAGE_SCALE
        return self.pad(plane[:, None].expand(-1, self.config.num_channels, -1, -1))

    def _hidden_tokens(self, hidden: Tensor | None, order: Tensor, signal: Tensor | None = None) -> Tensor:
        """Token mask (B, S): True when any of the token's pixels with data is hidden."""
        g, p = self.config.grid, self.config.patch_size
        if hidden is None:
            assert signal is not None
            return torch.zeros(len(signal), g * g, dtype=torch.bool, device=signal.device)
        left, top = self.config.left, self.config.top
        picture = F.pad(hidden[:, order], (left, left, top, top), value=False)  # (B, R, R)
        return picture.view(-1, g, p, g, p).any(dim=4).any(dim=2).flatten(1)  # (B, S)

    def _token_rows(self, device: torch.device) -> Tensor:
        """Row of each token (S,), -1 for tokens that are padding in every column."""
        g, p = self.config.grid, self.config.patch_size
        first = self.config.left // p
        last = -(-(self.config.left + IMAGE_TIMEPOINTS) // p)
        token = torch.arange(g * g, device=device)
        column = token % g
        return torch.where((column >= first) & (column < last), token // g, -1)

    def _parcel_rows(self, order: Tensor) -> Tensor:
        """Token row of each parcel in file order (P,)."""
        rank = torch.argsort(order)
        return (rank + self.config.top) // self.config.patch_size
