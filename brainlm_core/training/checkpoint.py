"""Checkpoints that survive ``kill -9`` and a full disk: written beside, flushed, then renamed."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from brainlm_core.base.errors import CheckpointError, ConfigError
from brainlm_core.base.writing import keep_private, private_folder

NAME = "checkpoint.pt"
LOG_NAME = "metrics.jsonl"


def save(state: dict[str, Any], folder: Path) -> None:
    """Replace the run's checkpoint in one move.

    Raises
    ------
    ConfigError
        If it cannot be written; the previous checkpoint is untouched.
    """
    private_folder(folder)
    part = folder / f"{NAME}.part"
    try:
        with part.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        keep_private(part)
        part.replace(folder / NAME)
    except (OSError, RuntimeError) as error:  # torch reports a failed write as RuntimeError
        part.unlink(missing_ok=True)
        raise ConfigError(
            f"the checkpoint cannot be written to {folder.name} (is the disk full?)",
            "free space and run the same command: it goes on from the last checkpoint",
        ) from error


def load(folder: Path) -> dict[str, Any] | None:
    """Return the run's checkpoint, None when there is none; CheckpointError when it is damaged."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path.name} of {folder.name} is damaged", "start in a new folder") from error
    return state


def trim_log(folder: Path, step: int) -> None:
    """Drop log lines of steps after ``step``, which will be done again, and a torn last line."""
    path = folder / LOG_NAME
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if int(json.loads(line)["step"]) <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    part = path.with_suffix(".part")
    part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    part.replace(path)
