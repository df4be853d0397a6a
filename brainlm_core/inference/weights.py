"""Weights by name: the bundled default, the published models, a folder, or a random twin."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from brainlm_core.base.errors import CheckpointError, ConfigError
from brainlm_core.base.paths import assets_dir, cache_dir
from brainlm_core.inference import hub
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, random_model, read_config
from brainlm_core.model.config import ImageTokenConfig, ParcelTokenConfig
from brainlm_core.model.context.model import ContextModel

PUBLISHED_LICENCE = "CC BY-NC-ND 4.0"
LICENCE_URL = "https://creativecommons.org/licenses/by-nc-nd/4.0/"
RANDOM_PREFIX = "random:"
#: Models that come with the program: what they are, in words.
BUNDLED = {
    "default": "Gaussian process with attention",
    "context": "kernel attention network that reads the recording",
}
#: Seed of the random twins.
RANDOM_SEED = 0


@dataclass(frozen=True)
class Published:
    """One model of the published repository.

    Parameters
    ----------
    folder : str
        Folder in the hub repository.
    config : ParcelTokenConfig or ImageTokenConfig
        Its architecture, so that a random twin needs no download.
    parameters : str
        Size in words.
    size_mb : float
        Of the weights file, in 10⁶ bytes: four for each number of the architecture.
    """

    folder: str
    config: ParcelTokenConfig | ImageTokenConfig
    parameters: str
    size_mb: float


#: The published models; SPEC section 1 says where each number comes from.
PUBLISHED: dict[str, Published] = {
    "13m": Published(
        "old_13M", ParcelTokenConfig(hidden_size=512, decoder_hidden_size=512), "13 million parameters", 74
    ),
    "111m": Published("vitmae_111M", ImageTokenConfig(), "111 million parameters", 450),
    "650m": Published(
        "vitmae_650M",
        ImageTokenConfig(
            hidden_size=1280,
            num_hidden_layers=32,
            num_attention_heads=16,
            intermediate_size=5120,
            patch_size=14,
            image_size=434,
        ),
        "650 million parameters",
        2633,
    ),
}


@dataclass(frozen=True)
class LoadedModel:
    """A model and where it came from.

    Parameters
    ----------
    model : MaskedModel
        In ``eval`` mode, float32, on the CPU.
    name : str
        The name it was asked for.
    licence : str
        Of the weights.
    source : str
        In words.
    revision : str or None
        Pinned revision of a download.
    is_random : bool
        True for a twin that was never trained.
    """

    model: MaskedModel
    name: str
    licence: str
    source: str
    revision: str | None = None
    is_random: bool = False


def default_folder() -> Path:
    """Return the folder of the default model's weights."""
    return bundled_folder("default")


def bundled_folder(name: str) -> Path:
    """Return the folder of the weights of one of :data:`BUNDLED`."""
    return assets_dir() / "weights" / name


def config_of(name: str) -> dict[str, Any]:
    """Return the architecture of a model as a ``config.json`` dictionary, without a download."""
    if name in PUBLISHED:
        return PUBLISHED[name].config.to_dict()
    return read_config(_folder(name))


def family_of(name: str) -> str:
    """Return the family of a model, or of the model whose random twin is named, without a download.

    Raises
    ------
    ConfigError, CheckpointError
        As :func:`config_of`.
    """
    return str(config_of(name.strip().removeprefix(RANDOM_PREFIX)).get("family", ""))


def load(
    name: str = "default", *, progress: hub.Progress | None = None, accept_licence: bool = False
) -> LoadedModel:
    """Load a model by name.

    Parameters
    ----------
    name : str
        ``default``, ``context``, ``13m``, ``111m``, ``650m``, a folder, or ``random:`` and one of these.
    progress : callable or None
        Called with a share 0–1 and a sentence.
    accept_licence : bool
        Accept the licence of the published weights for good (remembered in the cache folder).

    Returns
    -------
    LoadedModel

    Raises
    ------
    CheckpointError
        If files are missing, damaged, or do not fit together.
    ConfigError
        If the licence has not been accepted, or the name means nothing.
    DownloadError
        If the published weights cannot be fetched now.
    """
    name = name.strip()
    name = name.lower() if name.lower() in {*PUBLISHED, *BUNDLED} else name
    if name.startswith(RANDOM_PREFIX):
        return _random_twin(name)
    if name in PUBLISHED:
        return _load_published(name, progress, accept_licence)
    folder = _folder(name)
    model = load_folder(folder)
    if name in BUNDLED:
        return LoadedModel(model, name, bundled_licence(name), "bundled with BrainLM Explorer")
    return LoadedModel(model, name, "as stated by its author", f"local folder {folder.name}")


def _random_twin(name: str) -> LoadedModel:
    """Return a twin without training; of a context network the group's statistics, not trained, are kept."""
    base = name.removeprefix(RANDOM_PREFIX)
    config = config_of(base)
    if config.get("family") != ContextModel.family:
        model = random_model(config, RANDOM_SEED)
        source = f"random weights, seed {RANDOM_SEED}"
        return LoadedModel(model, name, "none (random numbers)", source, None, True)
    model = load_folder(_folder(base))
    assert isinstance(model, ContextModel)
    model.unlearn(torch.Generator().manual_seed(RANDOM_SEED))
    licence = bundled_licence(base) if base in BUNDLED else "as stated by its author"
    source = f"group statistics of {base}, gains as before training, seed {RANDOM_SEED}"
    return LoadedModel(model, name, licence, source, None, True)


def digest(name: str) -> str | None:
    """Return the SHA-256 of a model's weights file; None for random twins, which have none.

    Raises
    ------
    ConfigError, CheckpointError
        If the name means nothing or the bundled weights are missing.
    """
    if name.startswith(RANDOM_PREFIX):
        return None
    published = PUBLISHED.get(name.lower())
    folder = _folder(name) if published is None else hub.cached(published.folder)
    files = [folder / f for f in ("model.safetensors", "pytorch_model.bin")] if folder is not None else []
    for path in files:
        if path.is_file():
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
    return None


def licence_accepted() -> bool:
    """Whether the licence of the published weights was accepted on this machine."""
    try:
        return bool(json.loads(_acceptance_file().read_text(encoding="utf-8")).get(PUBLISHED_LICENCE))
    except (OSError, ValueError, AttributeError):
        return False


def accept_published_licence() -> None:
    """Remember that the licence of the published weights was accepted; silent when the cache is read-only."""
    path = _acceptance_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({PUBLISHED_LICENCE: True}) + "\n", encoding="utf-8")
    except OSError:
        return


def _acceptance_file() -> Path:
    return cache_dir() / "accepted_licences.json"


def _folder(name: str) -> Path:
    if name in BUNDLED:
        folder = default_folder() if name == "default" else bundled_folder(name)
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                "the bundled weights are missing", "reinstall BrainLM Explorer or choose another model"
            )
        return folder
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise ConfigError(
            f"there is no model or folder named {name!r}",
            f"choose {', '.join([*BUNDLED, *PUBLISHED])}, random:NAME, or a folder with config.json",
        )
    return folder


def bundled_licence(name: str = "default") -> str:
    """Return the licence of bundled weights, first line of their ``LICENCE.txt``."""
    path = bundled_folder(name) / "LICENCE.txt"
    return (
        path.read_text(encoding="utf-8").splitlines()[0].strip() if path.is_file() else "see its model card"
    )


def _load_published(name: str, progress: hub.Progress | None, accept_licence: bool) -> LoadedModel:
    if accept_licence:
        accept_published_licence()
    elif not licence_accepted():
        raise ConfigError(
            f"the published weights are under {PUBLISHED_LICENCE} (no commercial use, no changed copies) "
            "and that has not been accepted here",
            f"read {LICENCE_URL} and accept it (--accept-licence), or use the default model",
        )
    published = PUBLISHED[name]
    here = hub.fetch(published.folder, progress, size_mb=published.size_mb)
    source = f"{hub.REPOSITORY}/{published.folder}"
    if here.origin == "by hand":
        source += ", brought by hand"
    return LoadedModel(load_folder(here.folder), name, PUBLISHED_LICENCE, source, here.revision)
