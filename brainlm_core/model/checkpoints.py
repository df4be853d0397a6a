"""Checkpoints on disk: ``config.json`` beside ``model.safetensors`` or ``pytorch_model.bin``.

Loading is strict: every missing, unexpected or misshapen tensor is named, nothing keeps random
values silently, and a pickle is opened with ``weights_only=True`` after its size has been checked.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainlm_core.base.errors import CheckpointError
from brainlm_core.base.writing import whole_files
from brainlm_core.model import HEAD_PREFIX, build, family_of, with_tensors
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.state_files import CONFIG_NAME, SAFETENSORS_NAME, find_state_files, read_state, some

#: A configuration is a page of text; anything larger is something else.
MAX_CONFIG_BYTES = 1 << 20
#: A weights file may hold this many times the bytes that its configuration calls for.
MAX_SIZE_FACTOR = 4
_SLACK_BYTES = 64 << 20


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return ``config.json`` of a checkpoint folder.

    Raises
    ------
    CheckpointError
        If the folder or the file is missing, or is not a JSON object.
    """
    folder = Path(folder).resolve()
    path = folder / CONFIG_NAME
    if not folder.is_dir():
        raise CheckpointError(f"there is no model folder {folder}", "check the path")
    if not path.is_file():
        raise CheckpointError(
            f"{folder.name} has no {CONFIG_NAME}", "put the configuration beside the weights"
        )
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise CheckpointError(f"{CONFIG_NAME} of {folder.name} is too large", "use the original file")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"{CONFIG_NAME} of {folder.name} is not readable JSON", "use the original file"
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{CONFIG_NAME} of {folder.name} is not a JSON object", "use the original file")
    return config


def load_folder(path: str | Path) -> MaskedModel:
    """Load a checkpoint folder strictly, in ``eval`` mode, float32, on the CPU.

    Parameters
    ----------
    path : str or Path
        Folder with ``config.json`` and ``model.safetensors`` or ``pytorch_model.bin``.

    Returns
    -------
    MaskedModel

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, the tensors do not fit the configuration, or one is not finite.
    """
    folder = Path(path).resolve()
    config = read_config(folder)
    files = find_state_files(folder)
    _check_size(files, _expected_bytes(_empty(config)))
    state = read_state(files)
    state = {**_process_beside(folder, config, state), **state}
    model = _empty(with_tensors(config, state.keys()))
    state = {name: value for name, value in state.items() if not name.startswith(HEAD_PREFIX)}
    return load_state(model, state, folder.name)


def _empty(config: Mapping[str, Any]) -> MaskedModel:
    """Build a model that takes no memory yet."""
    with torch.device("meta"):
        return build(config)


def _process_beside(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the process of a context model from the folder beside its own; empty where it has one itself.

    Raises
    ------
    CheckpointError
        If the folder is named but is not there, or the name is a path.
    """
    name = config.get("process_folder")
    if not name or any(key.startswith("process.") for key in state):
        return {}
    if not isinstance(name, str) or name in (".", "..") or Path(name).name != name:
        raise CheckpointError(
            f"{CONFIG_NAME} of {folder.name} names a process that is no folder beside it",
            "use the config.json that came with the weights",
        )
    other = folder.parent / name
    expected, files = _expected_bytes(_empty(read_config(other))), find_state_files(other)
    _check_size(files, expected)
    return {f"process.{key}": value for key, value in read_state(files).items()}


def load_state(model: MaskedModel, state: Mapping[str, Tensor], name: str) -> MaskedModel:
    """Put ``state`` into a model built on the meta device; strict, see :func:`load_folder`."""
    ignored = set(getattr(model, "ignored_keys", ()))
    wanted = {k: v.shape for k, v in model.state_dict().items()}
    given = {k: v for k, v in state.items() if k in wanted or k not in ignored}
    given = {**{k: v for k, v in model.tables().items() if k not in given}, **given}
    missing = [k for k in wanted if k not in given and k not in ignored]
    unexpected = [k for k in given if k not in wanted]
    if missing or unexpected:
        parts = [
            f"{word} {some(keys)}"
            for word, keys in (("missing", missing), ("unexpected", unexpected))
            if keys
        ]
        raise CheckpointError(
            f"the weights of {name} do not fit the {_family_words(model)} that its {CONFIG_NAME} names: "
            + ", ".join(parts),
            f"use the weights and the {CONFIG_NAME} of the same model",
        )
    wrong = [f"{k} {tuple(given[k].shape)} for {tuple(s)}" for k, s in wanted.items() if given[k].shape != s]
    if wrong:
        raise CheckpointError(
            f"tensors of {name} have another shape than {CONFIG_NAME} says: {some(wrong)}",
            f"use the weights and the {CONFIG_NAME} of the same model",
        )
    broken = [k for k, v in given.items() if not bool(torch.isfinite(v).all())]
    if broken:
        raise CheckpointError(
            f"the weights of {name} hold NaN or infinite values: {some(broken)}", "get the file again"
        )
    frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
    model.load_state_dict({k: v.float().contiguous() for k, v in given.items()}, strict=True, assign=True)
    for key, parameter in model.named_parameters():
        parameter.requires_grad_(key not in frozen)
    return model.eval()


def random_model(config: Mapping[str, Any], seed: int = 0) -> MaskedModel:
    """Build a model with the statistics of a fresh training start, from a seed.

    The numbers come from a generator on the CPU, so that they are the same on every device.
    """
    model = build(config)
    model.initialise(torch.Generator().manual_seed(seed))
    return model.eval()


def save_folder(model: MaskedModel, path: str | Path) -> None:
    """Write ``config.json`` and ``model.safetensors``; the folder is made when it is missing.

    Raises
    ------
    ConfigError
        If the disk is full or the place cannot be written; a model that was there stays as it was.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with whole_files(path) as part:
        save_tensors(state, part / SAFETENSORS_NAME)
        text = json.dumps(model.config.to_dict(), indent=1) + "\n"
        (part / CONFIG_NAME).write_text(text, encoding="utf-8")


def save_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Write a ``.safetensors`` file; a disk that does not take it is an OSError, as everywhere else."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(state, path, metadata={"format": "pt"})
    except SafetensorError as error:
        full = f"os error {errno.ENOSPC}" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def _expected_bytes(model: MaskedModel) -> int:
    return 4 * sum(v.numel() for v in model.state_dict().values())


def _check_size(files: tuple[Path, ...], expected: int) -> None:
    if sum(path.stat().st_size for path in files) > MAX_SIZE_FACTOR * expected + _SLACK_BYTES:
        raise CheckpointError(
            f"{files[0].name} of {files[0].parent.name} is far larger than the model that {CONFIG_NAME} "
            "describes",
            "use the weights and the configuration of the same model",
        )


def _family_words(model: MaskedModel) -> str:
    return family_of({**model.config.to_dict()}).description
