"""State dicts on disk: one file or several with an index, safetensors or pickle, whatever wrapped them.

Files are mapped into memory, not read: a tensor that is already float32 costs no second copy. A pickle is
opened with ``weights_only=True``, and its archive is looked at before.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainlm_core.base.errors import CheckpointError

CONFIG_NAME = "config.json"
SAFETENSORS_NAME = "model.safetensors"
PICKLE_NAME = "pytorch_model.bin"
_INDEX_SUFFIX = ".index.json"
#: An index is a list of names; anything larger is something else.
_MAX_INDEX_BYTES = 16 << 20
_MAX_SHARDS = 1000
#: What data-parallel training and compilation put in front of every name.
_WRAPPERS = ("module.", "_orig_mod.")
#: Names under which training scripts keep a state dict among other things.
_NESTED = ("state_dict", "model_state_dict", "model")
_NAMED = 6


def find_state_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that hold a checkpoint folder's weights, one or several shards.

    Raises
    ------
    CheckpointError
        If there are none, or an index is damaged or names what is not beside it.
    """
    for name in (SAFETENSORS_NAME, PICKLE_NAME):
        if (folder / name).is_file():
            return (folder / name,)
        index = folder / f"{name}{_INDEX_SUFFIX}"
        if index.is_file():
            return _shards(index)
    raise CheckpointError(
        f"{folder.name} has neither {SAFETENSORS_NAME} nor {PICKLE_NAME}, nor an index of several files",
        f"put the weights beside {CONFIG_NAME}",
    )


def has_state_files(folder: Path) -> bool:
    """Whether a folder holds weights, in one file or several."""
    names = (SAFETENSORS_NAME, PICKLE_NAME)
    return any((folder / name).is_file() or (folder / f"{name}{_INDEX_SUFFIX}").is_file() for name in names)


def read_state(files: Iterable[Path]) -> dict[str, Tensor]:
    """Return the tensors of all files by name, without the prefixes that wrappers put before them.

    Raises
    ------
    CheckpointError
        If a file is damaged, holds code or other things than tensors, or two files hold the same name.
    """
    state: dict[str, Tensor] = {}
    for path in files:
        part = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
        bad = [k for k, v in part.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
        if bad:
            raise CheckpointError(
                f"{path.name} holds other things than tensors: {some(map(str, bad))}", "save a state dict"
            )
        twice = state.keys() & part.keys()
        if twice:
            raise CheckpointError(
                f"{path.name} repeats tensors of another file: {some(sorted(twice))}", "save the model again"
            )
        state.update(part)
    return _unwrapped(state)


def some(keys: Iterable[str]) -> str:
    """Return the first names and how many more there are, for messages."""
    names = list(keys)
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _shards(index: Path) -> tuple[Path, ...]:
    damaged = CheckpointError(f"{index.name} is damaged", "get the file again")
    if index.stat().st_size > _MAX_INDEX_BYTES:
        raise damaged
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        wanted = sorted(set(names.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error
    if not wanted or len(wanted) > _MAX_SHARDS:
        raise damaged
    outside = [n for n in wanted if not isinstance(n, str) or Path(n).name != n or n in (".", "..")]
    if outside:
        raise CheckpointError(
            f"{index.name} names files outside its folder: {some(map(str, outside))}",
            "use the original index",
        )
    missing = [n for n in wanted if not (index.parent / n).is_file()]
    if missing:
        raise CheckpointError(
            f"{len(missing)} of the {len(wanted)} weight files that {index.name} names are missing: "
            f"{some(missing)}",
            "get them too",
        )
    return tuple(index.parent / n for n in wanted)


def _unwrapped(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take away a prefix that every name has."""
    names = dict(state)
    changed = True
    while names and changed:
        changed = False
        for prefix in _WRAPPERS:
            if all(name.startswith(prefix) for name in names):
                names = {name.removeprefix(prefix): value for name, value in names.items()}
                changed = True
    return names


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path.name} is damaged or incomplete", "get the file again") from error
    return state


def _read_pickle(path: Path) -> dict[Any, Any]:
    try:
        archive = zipfile.is_zipfile(path)
        if archive:
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # read or refused anyway
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} is damaged, or holds code and was not opened", "use model.safetensors instead"
        ) from error
    except (
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        AttributeError,
    ) as error:
        raise CheckpointError(f"{path.name} is damaged or incomplete", "get the file again") from error
    for name in _NESTED:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict):
        raise CheckpointError(f"{path.name} holds no state dict", "save a state dict")
    return dict(state)


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: torch stores tensors as they are."""
    with zipfile.ZipFile(path) as archive:
        if sum(item.file_size for item in archive.infolist()) > path.stat().st_size:
            raise CheckpointError(
                f"{path.name} unpacks to far more than it is, which no weights file does",
                "use the original file",
            )
