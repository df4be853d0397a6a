"""Configurations of the two published families, read from their ``config.json``.

Keys that a Hugging Face configuration carries besides (``architectures``, ``torch_dtype`` …) are
ignored; values that would make the architecture impossible, or absurdly large, are refused before
anything is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from brainlm_core.base.errors import CheckpointError

#: Parcels and samples of the windows that the image-token models were trained on.
IMAGE_PARCELS, IMAGE_TIMEPOINTS = 424, 200
#: Side of the padded square image by patch size; other patch sizes do not exist.
IMAGE_SIDE = {16: 432, 14: 434}
#: Sampling interval of the UK Biobank recordings that the published weights saw, in s.
UKB_TR_S = 0.735

#: Activations by the names that Hugging Face configurations use; all released models have "gelu".
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")

_LIMITS = {
    "hidden_size": 16384,
    "decoder_hidden_size": 16384,
    "intermediate_size": 65536,
    "decoder_intermediate_size": 65536,
    "num_hidden_layers": 128,
    "decoder_num_hidden_layers": 128,
    "num_attention_heads": 256,
    "decoder_num_attention_heads": 256,
    "num_brain_voxels": 100_000,
    "num_timepoints_per_voxel": 100_000,
    "timepoint_patching_size": 10_000,
    "conv_kernel_size": 4097,
}

C = TypeVar("C", "ParcelTokenConfig", "ImageTokenConfig")


@dataclass(frozen=True)
class ParcelTokenConfig:
    """Shape of a parcel-token model (``BrainLMForPretraining``), SPEC section 2.

    Parameters
    ----------
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        Encoder width, depth, heads and MLP width.
    decoder_hidden_size, decoder_num_hidden_layers, decoder_num_attention_heads : int
    decoder_intermediate_size : int
        The same for the decoder; its width must equal the encoder's.
    num_brain_voxels : int
        Parcels in training; any number is accepted at run time.
    num_timepoints_per_voxel, timepoint_patching_size : int
        Samples per window and per token.
    num_landmarks, segment_means_seq_len : int
        Equal in all released models, which means exact attention; the Nyström approximation otherwise.
    conv_kernel_size : int or None
        Taps of the depth-wise convolution over tokens (odd); None for no convolution.
    mask_ratio : float
        Default share of hidden tokens of the native forward pass.
    loss_fn : {"mse", "mae"}
        Training loss.
    use_tanh_decoder : bool
        Whether the prediction passes a tanh.
    encoder_only : bool
        Whether the decoder is missing, as in files of fine-tuned models.
    inv_coeff_init_option : bool
        Broken in the published code, hence refused when True.
    """

    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    decoder_hidden_size: int = 256
    decoder_num_hidden_layers: int = 2
    decoder_num_attention_heads: int = 4
    decoder_intermediate_size: int = 1024
    num_brain_voxels: int = 424
    num_timepoints_per_voxel: int = 200
    timepoint_patching_size: int = 20
    num_landmarks: int = 64
    segment_means_seq_len: int = 64
    conv_kernel_size: int | None = 65
    mask_ratio: float = 0.2
    loss_fn: str = "mse"
    use_tanh_decoder: bool = False
    encoder_only: bool = False
    inv_coeff_init_option: bool = False
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        _check_common(self)
        if self.decoder_hidden_size != self.hidden_size:
            _refuse(
                f"decoder_hidden_size {self.decoder_hidden_size} differs from hidden_size {self.hidden_size}"
            )
        if self.num_timepoints_per_voxel % self.timepoint_patching_size:
            _refuse(
                f"{self.num_timepoints_per_voxel} samples do not divide into patches of "
                f"{self.timepoint_patching_size}"
            )
        if self.conv_kernel_size is not None and self.conv_kernel_size % 2 == 0:
            _refuse(f"conv_kernel_size {self.conv_kernel_size} is even")
        if self.loss_fn not in ("mse", "mae"):
            _refuse(f"loss_fn is {self.loss_fn!r}, known are mse and mae")
        if self.inv_coeff_init_option:
            _refuse("inv_coeff_init_option is set, which the published code cannot run either")
        if self.num_landmarks < 1 or self.segment_means_seq_len < 1:
            _refuse("num_landmarks and segment_means_seq_len must be positive")

    @property
    def exact_attention(self) -> bool:
        """Whether attention is plain softmax attention (all released models)."""
        return self.num_landmarks == self.segment_means_seq_len

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ParcelTokenConfig:
        """Read a ``config.json`` dictionary; raise CheckpointError when it cannot be built."""
        return _read(cls, data)

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary for ``config.json``."""
        return {"architectures": ["BrainLMForPretraining"], **asdict(self)}


@dataclass(frozen=True)
class ImageTokenConfig:
    """Shape of an image-token model (``ViTMAEForPreTraining`` with padding), SPEC section 3.

    Parameters
    ----------
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        Encoder width, depth, heads and MLP width.
    decoder_hidden_size, decoder_num_hidden_layers, decoder_num_attention_heads : int
    decoder_intermediate_size : int
        The same for the decoder.
    patch_size : {16, 14}
        Side of a token's square: that many parcels × that many samples.
    image_size : int
        Side of the padded image; follows from ``patch_size``.
    num_channels : int
        Channels of the image; the plane is repeated.
    mask_ratio : float
        Default share of hidden tokens of the native forward pass.
    train_mode : str
        ``auto_encode`` (also when missing), ``predict_last``, ``predict_last_pixel`` or another name.
    norm_pix_loss : bool
        Whether the loss normalises each parcel row first.
    qkv_bias : bool
        Whether queries, keys and values have biases.
    encoder_only : bool
        Whether the decoder is missing, as in files of fine-tuned models.
    """

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    decoder_hidden_size: int = 512
    decoder_num_hidden_layers: int = 8
    decoder_num_attention_heads: int = 16
    decoder_intermediate_size: int = 2048
    patch_size: int = 16
    image_size: int = 432
    num_channels: int = 3
    mask_ratio: float = 0.75
    train_mode: str = "auto_encode"
    norm_pix_loss: bool = False
    qkv_bias: bool = True
    encoder_only: bool = False
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        _check_common(self)
        if self.patch_size not in IMAGE_SIDE:
            _refuse(f"patch_size is {self.patch_size}, known are 14 and 16")
        if self.image_size != IMAGE_SIDE[self.patch_size]:
            _refuse(f"image_size {self.image_size} does not fit patch_size {self.patch_size}")
        if self.hidden_size % 4 or self.decoder_hidden_size % 4:
            _refuse("the widths must be multiples of 4 for the position tables")
        if not 0 < self.num_channels <= 16:
            _refuse(f"num_channels is {self.num_channels}")

    @property
    def grid(self) -> int:
        """Tokens per side."""
        return self.image_size // self.patch_size

    @property
    def top(self) -> int:
        """Padding rows above the data."""
        return (self.image_size - IMAGE_PARCELS) // 2

    @property
    def left(self) -> int:
        """Padding columns before the data."""
        return (self.image_size - IMAGE_TIMEPOINTS) // 2

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageTokenConfig:
        """Read a ``config.json`` dictionary; raise CheckpointError when it cannot be built."""
        values = dict(data)
        patch = values.get("patch_size", 16)
        patch = patch[0] if isinstance(patch, list) and patch else patch
        size = values.get("image_size")
        if isinstance(size, list | tuple):
            if not size or any(side != size[0] for side in size):
                _refuse(f"image_size {size} is not a square")
            size = size[0]
        values["patch_size"] = patch
        values["image_size"] = IMAGE_SIDE.get(patch, 0) if size is None and isinstance(patch, int) else size
        if values.get("train_mode") is None:
            values["train_mode"] = "auto_encode"
        return _read(cls, values)

    def to_dict(self) -> dict[str, Any]:
        """Return the dictionary for ``config.json``."""
        side = [self.image_size, self.image_size]
        return {"architectures": ["ViTMAEForPreTraining"], **asdict(self), "image_size": side}


def _refuse(what: str) -> None:
    raise CheckpointError(
        f"config.json is not usable: {what}", "use the config.json that came with the weights"
    )


def _read(cls: type[C], data: Mapping[str, Any]) -> C:
    """Pick the known keys and check their types; int is accepted for float."""
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name not in data:
            continue
        value, kind = data[field.name], type(field.default)
        if value is None and field.name == "conv_kernel_size":
            values[field.name] = None
            continue
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is bool and value in (0, 1):
            value = bool(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            _refuse(f"{field.name} is {value!r}")
        values[field.name] = value
    return cls(**values)


def _check_common(config: ParcelTokenConfig | ImageTokenConfig) -> None:
    for name, limit in _LIMITS.items():
        value = getattr(config, name, 1)
        if value is None:  # only conv_kernel_size may be
            continue
        if not 0 < value <= limit:
            _refuse(f"{name} is {value}")
    if config.hidden_size % config.num_attention_heads:
        _refuse(f"hidden_size {config.hidden_size} does not divide into {config.num_attention_heads} heads")
    if config.decoder_hidden_size % config.decoder_num_attention_heads:
        _refuse(
            f"decoder_hidden_size {config.decoder_hidden_size} does not divide into "
            f"{config.decoder_num_attention_heads} heads"
        )
    if not 0 <= config.mask_ratio < 1:
        _refuse(f"mask_ratio is {config.mask_ratio}")
    if config.hidden_act not in ACTIVATIONS:
        _refuse(f"hidden_act is {config.hidden_act!r}, known are {', '.join(ACTIVATIONS)}")
    if not 0 <= config.layer_norm_eps < 1 or not 0 <= config.hidden_dropout_prob < 1:
        _refuse("layer_norm_eps and hidden_dropout_prob must lie between 0 and 1")
