"""Model families in pure torch: a registry, and one way to build any of them.

A family is one line in :data:`FAMILIES`; a new one lives in its own files and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from brainlm_core.base.errors import CheckpointError
from brainlm_core.model.base import MaskedModel


@dataclass(frozen=True)
class Family:
    """How to recognise and build one model family.

    Parameters
    ----------
    config : str
        ``module:class`` of the configuration, with ``from_dict`` and ``to_dict``.
    module : str
        ``module:class`` of the :class:`MaskedModel`.
    recognises : callable (dict) -> bool
        Whether a ``config.json`` dictionary that names no architecture belongs to this family.
    description : str
        In words, for messages.
    architectures : tuple of str
        As Hugging Face configurations name them under ``architectures``.
    model_types : tuple of str
        As they name them under ``model_type``; only what belongs to this family alone.
    tensor : str
        A tensor that every state dict of this family has and no other's.
    """

    config: str
    module: str
    recognises: Callable[[Mapping[str, Any]], bool]
    description: str
    architectures: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()
    tensor: str = ""

    def config_class(self) -> Any:
        """Import and return the configuration class."""
        return _resolve(self.config)

    def module_class(self) -> Any:
        """Import and return the model class."""
        return _resolve(self.module)


#: Only configurations of parcel-token models have these. Notebooks add the patch length and the number of
#: samples to those of image-token models too, so that these two tell nothing.
_PARCEL_KEYS = ("num_brain_voxels", "num_landmarks", "segment_means_seq_len", "conv_kernel_size")
_LENGTH_KEY = "timepoint_patching_size"
#: Tensors of a decoder begin so, and those of the head that published fine-tuned files carry instead.
_DECODER, HEAD_PREFIX = "decoder.", "mlp_pred_head."

#: Families by name; the first that recognises a configuration wins.
FAMILIES: dict[str, Family] = {
    "parcel_token": Family(
        "brainlm_core.model.config:ParcelTokenConfig",
        "brainlm_core.model.parcel_token:ParcelTokenModel",
        lambda c: any(key in c for key in _PARCEL_KEYS) or ("patch_size" not in c and _LENGTH_KEY in c),
        "parcel-token model (BrainLMForPretraining)",
        ("BrainLMForPretraining",),
        ("brainlm",),
        "vit.embeddings.signal_embedding_projection.weight",
    ),
    "image_token": Family(
        "brainlm_core.model.config:ImageTokenConfig",
        "brainlm_core.model.image_token:ImageTokenModel",
        lambda c: "patch_size" in c,
        "image-token model (ViTMAEForPreTraining)",
        ("ViTMAEForPreTraining", "ViTMAEForFinetuning"),
        (),
        "vit.embeddings.patch_embeddings.projection.weight",
    ),
    "kernel": Family(
        "brainlm_core.model.kernel_config:KernelConfig",
        "brainlm_core.model.kernel_model:KernelModel",
        lambda c: c.get("family") == "kernel",
        "kernel model (adaptive Gaussian process with attention)",
    ),
    "context": Family(
        "brainlm_core.model.context.config:ContextConfig",
        "brainlm_core.model.context.model:ContextModel",
        lambda c: c.get("family") == "context",
        "context model (kernel attention network that reads the recording)",
    ),
}


def _resolve(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)


def family_of(config: Mapping[str, Any]) -> Family:
    """Return the family that a ``config.json`` dictionary belongs to.

    Raises
    ------
    CheckpointError
        If no family recognises it.
    """
    named = config.get("family")
    if isinstance(named, str) and named in FAMILIES:
        return FAMILIES[named]
    if named is None:
        family = _named_family(config)
        if family is not None:
            return family
        for family in FAMILIES.values():
            if family.recognises(config):
                return family
    raise CheckpointError(
        "config.json describes no known model family",
        "use a BrainLM configuration (with architectures, timepoint_patching_size, patch_size, or family)",
    )


def with_tensors(config: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a configuration that also says what only the tensors of a checkpoint tell.

    Which family it is where ``config.json`` names no architecture, and whether it is a fine-tuned file, which
    has no decoder.

    Parameters
    ----------
    config : dict
        ``config.json``.
    names : collection of str
        Names of the checkpoint's tensors.

    Raises
    ------
    CheckpointError
        If the architecture that the configuration names is not the one of the tensors.
    """
    family = family_of(config)
    found = next((f for f in FAMILIES.values() if f.tensor and f.tensor in names), None)
    if found is None or not family.tensor:
        return dict(config)
    if found is not family:
        if _named_family(config) is not None:
            raise CheckpointError(
                f"config.json names the {family.description}, "
                f"the weights beside it are of the {found.description}",
                "use the weights and the config.json of the same model",
            )
        config = {**config, "architectures": [found.architectures[0]]}
    headed = any(name.startswith(HEAD_PREFIX) for name in names)
    return {**config, "encoder_only": headed and not any(name.startswith(_DECODER) for name in names)}


def _named_family(config: Mapping[str, Any]) -> Family | None:
    """Return the family that a configuration names, by ``architectures`` before ``model_type``."""
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else [architectures]
    for family in FAMILIES.values():
        if any(isinstance(name, str) and name in family.architectures for name in names):
            return family
    for family in FAMILIES.values():
        if config.get("model_type") in family.model_types:
            return family
    return None


#: Numbers of the largest model that is built, 4 GB of them: the largest published one has 650 million.
MAX_PARAMETERS = 1_000_000_000


def build(config: Mapping[str, Any]) -> MaskedModel:
    """Build a model from a ``config.json`` dictionary; its weights are not initialised.

    Raises
    ------
    CheckpointError
        If no family recognises it, or it describes more than :data:`MAX_PARAMETERS`.
    """
    family = family_of(config)
    return build_family(family, family.config_class().from_dict(config))


def build_family(family: Family, settings: Any) -> MaskedModel:
    """Build a model of a family from its settings; its numbers are counted before any is allocated.

    Raises
    ------
    CheckpointError
        If they are more than :data:`MAX_PARAMETERS`.
    """
    import torch

    with torch.device("meta"):
        shape: MaskedModel = family.module_class()(settings)
    n = sum(tensor.numel() for tensor in (*shape.parameters(), *shape.buffers()))
    if n > MAX_PARAMETERS:
        raise CheckpointError(
            f"the configuration describes a model of {n / 1e6:,.0f} million parameters",
            f"{MAX_PARAMETERS / 1e6:,.0f} million are the most that are built here, the largest published "
            "model has 650",
        )
    model: MaskedModel = family.module_class()(settings)
    return model
