"""Model families in pure torch: a registry, and one way to build any of them.

A family is one line in :data:`FAMILIES`; a new one lives in its own files and touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from brainlm_core.errors import CheckpointError
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
        Whether a ``config.json`` dictionary belongs to this family.
    description : str
        In words, for messages.
    """

    config: str
    module: str
    recognises: Callable[[Mapping[str, Any]], bool]
    description: str

    def config_class(self) -> Any:
        """Import and return the configuration class."""
        return _resolve(self.config)

    def module_class(self) -> Any:
        """Import and return the model class."""
        return _resolve(self.module)


#: Families by name; the first that recognises a configuration wins.
FAMILIES: dict[str, Family] = {
    "parcel_token": Family(
        "brainlm_core.model.config:ParcelTokenConfig",
        "brainlm_core.model.parcel_token:ParcelTokenModel",
        lambda c: "family" not in c and "timepoint_patching_size" in c,
        "parcel-token model (BrainLMForPretraining)",
    ),
    "image_token": Family(
        "brainlm_core.model.config:ImageTokenConfig",
        "brainlm_core.model.image_token:ImageTokenModel",
        lambda c: "family" not in c and "timepoint_patching_size" not in c and "patch_size" in c,
        "image-token model (ViTMAEForPreTraining)",
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
    for family in FAMILIES.values():
        if family.recognises(config):
            return family
    raise CheckpointError(
        "config.json describes no known model family",
        "use a BrainLM configuration (with timepoint_patching_size, patch_size, or family)",
    )


def build(config: Mapping[str, Any]) -> MaskedModel:
    """Build a model from a ``config.json`` dictionary; its weights are not initialised."""
    family = family_of(config)
    model: MaskedModel = family.module_class()(family.config_class().from_dict(config))
    return model
