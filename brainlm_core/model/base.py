"""What every model family offers to the floors above, in pure torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from brainlm_core.base.errors import EngineError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe


@dataclass(frozen=True)
class InputSpec:
    """What a model was trained on, as far as it matters for feeding it.

    Parameters
    ----------
    n_parcels : int or None
        Fixed number of parcels; None when any number with coordinates will do.
    n_timepoints : int
        Length of a window in samples.
    patch_length : int
        Samples per token along time; masks are drawn in these units.
    tr_s : float or None
        Sampling interval in s that the model was trained at; None when unknown.
    recipe : InputRecipe
        How the signals are scaled, see :mod:`brainlm_core.inference.windows`.
    parcels_per_token : int
        1 for parcel-token models; 14 or 16 for image-token models.
    seen_by_mean : bool
        Centre the seen part of a forecast at its mean instead of the scaling's centre: a forecast falls
        back to the centre, and the mean is the better guess there.
    context : {"window", "recording"}
        What is read beside the window: nothing, or the rest of the recording.
    """

    n_parcels: int | None
    n_timepoints: int = 200
    patch_length: int = 20
    tr_s: float | None = None
    recipe: InputRecipe = DEFAULT_RECIPE
    parcels_per_token: int = 1
    seen_by_mean: bool = False
    context: str = "window"


@dataclass(frozen=True)
class Reconstruction:
    """Model output for a masked window.

    Parameters
    ----------
    predicted : Tensor (B, P, T)
        Model output at every entry, in the scaling of the input.
    hidden : Tensor (B, P, T), bool
        Entries that the model truly did not see. A superset of what was asked to be hidden when
        tokens are coarser than the request.
    """

    predicted: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class Encoding:
    """Embeddings of a window.

    Parameters
    ----------
    cls : Tensor (B, D)
        Summary token.
    tokens : Tensor (B, P, D)
        Mean over the tokens of each parcel.
    """

    cls: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class AttentionMaps:
    """Encoder attention, reduced from tokens to parcels while it is computed.

    Parameters
    ----------
    maps : Tensor (B, layers, heads, G, G), float32
        Query × key. Sum over the tokens of the key group, mean over the tokens of the query
        group; a row sums to one minus the attention to the summary token (and to padding).
    cls : Tensor (B, layers, heads, G), float32
        Attention of the summary token to each group, summed over the group's tokens.
    group : Tensor (P,), int64
        Row of ``maps`` that each parcel belongs to: ``arange(P)`` for parcel-token models, the
        token row for image-token models, where one token mixes 14–16 parcels.
    """

    maps: Tensor
    cls: Tensor
    group: Tensor


class MaskedModel(nn.Module, ABC):
    """A masked autoencoder over parcel signals.

    Subclasses are deterministic in ``eval`` mode: tokens keep their natural order and no mask is
    drawn that was not asked for.
    """

    family: ClassVar[str]
    #: Keys that a checkpoint may hold or lack without meaning anything.
    ignored_keys: ClassVar[tuple[str, ...]] = ()
    #: Whether bf16/fp16 leaves the numbers good enough; automatic precision stays at fp32 otherwise.
    low_precision: ClassVar[bool] = True
    #: How many times more windows fit into a batch when only hidden entries are wanted.
    hidden_only_batch: ClassVar[int] = 1
    #: Whether a pass is many small operations: on a CPU, passes then run beside each other, one core each.
    small_steps: ClassVar[bool] = False
    #: Whether the model's methods take a ``context``: what the recording holds outside the window.
    reads_recording: ClassVar[bool] = False
    spec: InputSpec
    config: Any

    @abstractmethod
    def reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Predict a window from its visible part.

        Parameters
        ----------
        signal : Tensor (B, P, T)
            Scaled signals; values under ``hidden`` are never read.
        xyz : Tensor (P, 3)
            Parcel coordinates in mm, MNI152.
        hidden : Tensor (B, P, T), bool
            True where the model must not look. A token is hidden when any of its entries is.
        """

    def reconstruct_hidden(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Predict hidden entries only; arguments as in :meth:`reconstruct`.

        What ``predicted`` holds at visible entries is undefined. The same numbers as
        :meth:`reconstruct`; a family overrides this where it has a shorter way.
        """
        return self.reconstruct(signal, xyz, hidden)

    @abstractmethod
    def encode(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> Encoding:
        """Embed a window; arguments as in :meth:`reconstruct`, ``hidden=None`` shows everything."""

    @abstractmethod
    def attention(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> AttentionMaps:
        """Read the encoder's attention out; arguments as in :meth:`encode`."""

    def tables(self) -> dict[str, Tensor]:
        """Return constant entries of the state dict that a checkpoint may leave out."""
        return {}

    def needs_decoder(self) -> None:
        """Say so where the weights are an encoder alone.

        Raises
        ------
        EngineError
            If nothing can be filled in.
        """
        if getattr(self.config, "encoder_only", False):
            raise EngineError(
                "these weights are an encoder without decoder, as fine-tuned models are: they give attention "
                "and embeddings, and cannot fill in, forecast or answer a perturbation",
                "use the weights before fine-tuning, or the default model",
            )

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the weights as a fresh training start would, from ``generator``.

        Matrices, convolutions and learned tokens: normal with standard deviation
        ``config.initializer_range`` (0.02 when the configuration has none); biases 0; norms 1
        and 0. Frozen tables stay as constructed.
        """
        std = float(getattr(self.config, "initializer_range", 0.02))
        with torch.no_grad():
            for module in self.modules():
                is_norm = isinstance(module, nn.LayerNorm)
                for name, parameter in module.named_parameters(recurse=False):
                    if not parameter.requires_grad:
                        continue
                    if "bias" in name:
                        parameter.zero_()
                    elif is_norm:
                        parameter.fill_(1.0)
                    else:
                        parameter.normal_(0.0, std, generator=generator)

    def n_parameters(self) -> int:
        """Return the number of trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def default_device() -> torch.device:
    """Return the best device present: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
