"""The same weights through Hugging Face transformers' own layers, as the published code runs them.

Only the transformer layers are theirs; embeddings, masks and heads are the same few operations on
both sides.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainlm_core.base.errors import ConfigError
from brainlm_core.model.config import ImageTokenConfig, ParcelTokenConfig
from brainlm_core.model.image_token import ImageTokenModel
from brainlm_core.model.masking import visible_from_hidden
from brainlm_core.model.parcel_token import ParcelTokenModel, position_table


class ParcelPeer(nn.Module):
    """A parcel-token model whose layers are transformers' ``NystromformerLayer``."""

    def __init__(self, model: ParcelTokenModel) -> None:
        super().__init__()
        self.model = model
        c = model.config
        self.encoder = _nystrom_layers(
            model.vit.encoder.layer, c, c.hidden_size, c.num_attention_heads, c.intermediate_size
        )
        self.decoder = _nystrom_layers(
            model.decoder.decoder_layers,
            c,
            c.decoder_hidden_size,
            c.decoder_num_attention_heads,
            c.decoder_intermediate_size,
        )

    def encode(self, signal: Tensor, xyz: Tensor, attentions: bool = False) -> tuple[Tensor, list[Tensor]]:
        """(B, P, T), (B, P, 3) → latent (B, 1 + P·n, D) and N × N attentions of all layers if asked."""
        b, p, t = signal.shape
        length = self.model.config.timepoint_patching_size
        patches = signal.reshape(b, p, t // length, length)
        x = self.model.vit.embeddings(patches, xyz)
        x = torch.cat([self.model.vit.embeddings.cls_token.expand(b, -1, -1), x], dim=1)
        kept: list[Tensor] = []
        for layer in self.encoder:
            out = layer(x, output_attentions=attentions)
            x = out[0]
            if attentions:
                kept.append(out[1])
        latent: Tensor = self.model.vit.layernorm(x)
        return latent, kept

    def forward(self, signal: Tensor, xyz: Tensor, attentions: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Full forward pass with nothing hidden: logits (B, P, n, L) and the encoder's attentions."""
        latent, kept = self.encode(signal, xyz, attentions)
        d = self.model.decoder
        y = d.decoder_embed(latent)
        b, p = xyz.shape[:2]
        x = y[:, 1:].reshape(b, p, -1, y.shape[-1])  # (B, P, n, D)
        x = x + d.decoder_xyz_projection(xyz)[:, :, None] + position_table(x.shape[2], x.shape[3])
        x = torch.cat([y[:, :1], x.flatten(1, 2)], dim=1)
        for layer in self.decoder:
            x = layer(x)[0]
        x = d.decoder_norm(x)[:, 1:]
        x = d.decoder_pred2(F.leaky_relu(d.decoder_pred1(x), 0.1))
        return x.view(b, p, -1, x.shape[-1]), kept


class ImagePeer(nn.Module):
    """An image-token model whose layers are transformers' ``ViTMAELayer`` (eager attention)."""

    def __init__(self, model: ImageTokenModel) -> None:
        super().__init__()
        self.model = model
        c = model.config
        self.encoder = _vit_layers(
            model.vit.encoder.layer, c, c.hidden_size, c.num_attention_heads, c.intermediate_size
        )
        self.decoder = _vit_layers(
            model.decoder.decoder_layers,
            c,
            c.decoder_hidden_size,
            c.decoder_num_attention_heads,
            c.decoder_intermediate_size,
        )

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Full forward pass with nothing hidden: (B, 3, 424, 200) → (B, 424, 200)."""
        c = self.model.config
        hidden = torch.zeros(len(pixel_values), c.grid**2, dtype=torch.bool)
        _, visible = next(visible_from_hidden(hidden))
        x = self.model.vit.embeddings(self.model.pad(pixel_values), visible)
        for layer in self.encoder:
            x = layer(x)
        d = self.model.decoder
        x = d.decoder_embed(self.model.vit.layernorm(x)) + d.decoder_pos_embed
        for layer in self.decoder:
            x = layer(x)
        patches = d.decoder_pred(d.decoder_norm(x)[:, 1:])
        picture: Tensor = self.model.crop(self.model.picture(patches), *pixel_values.shape[-2:]).mean(dim=1)
        return picture


def _nystrom_layers(ours: Any, c: ParcelTokenConfig, width: int, heads: int, inner: int) -> nn.ModuleList:
    try:
        from transformers import NystromformerConfig
        from transformers.models.nystromformer.modeling_nystromformer import NystromformerLayer
    except ImportError as error:
        raise _no_peer() from error
    settings: dict[str, Any] = {
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "num_landmarks": c.num_landmarks,
        "segment_means_seq_len": c.segment_means_seq_len,
        "conv_kernel_size": c.conv_kernel_size,
        "hidden_act": c.hidden_act,
        "layer_norm_eps": c.layer_norm_eps,
        "inv_coeff_init_option": False,
    }
    config = NystromformerConfig(**settings)
    layers = []
    for block in ours:
        layer = NystromformerLayer(config)
        layer.load_state_dict(block.state_dict(), strict=True, assign=True)  # shares the memory
        layers.append(layer.eval())
    return nn.ModuleList(layers)


_VIT_NAMES = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}


def _vit_layers(ours: Any, c: ImageTokenConfig, width: int, heads: int, inner: int) -> nn.ModuleList:
    try:
        from transformers import ViTMAEConfig
        from transformers.models.vit_mae.modeling_vit_mae import ViTMAELayer
    except ImportError as error:
        raise _no_peer() from error
    config = ViTMAEConfig(
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=inner,
        hidden_act=c.hidden_act,
        layer_norm_eps=c.layer_norm_eps,
        qkv_bias=c.qkv_bias,
    )
    config._attn_implementation = "eager"  # what the published code's own classes do
    layers = []
    for block in ours:
        state = {}
        for key, value in block.state_dict().items():
            module, _, kind = key.rpartition(".")
            state[f"{_VIT_NAMES.get(module, module)}.{kind}"] = value
        layer = ViTMAELayer(config)
        layer.load_state_dict(state, strict=True, assign=True)
        layers.append(layer.eval())
    return nn.ModuleList(layers)


def _no_peer() -> ConfigError:
    return ConfigError(
        "the benchmark compares with Hugging Face transformers, which is not installed",
        "install it with `pip install transformers`",
    )
