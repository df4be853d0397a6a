"""What every result leaves on disk in the same way: JSON that any program reads, arrays without pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainlm_core.errors import ConfigError


def plain(value: Any) -> Any:
    """Return JSON-serialisable values: arrays as lists, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_json_and_arrays(
    folder: Path, stem: str, facts: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write ``stem.json`` and ``stem.npz`` into ``folder``; return their paths.

    Raises
    ------
    ConfigError
        If the folder cannot be written.
    """
    as_json, as_npz = folder / f"{stem}.json", folder / f"{stem}.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        as_json.write_text(json.dumps(plain(facts), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        with as_npz.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    except OSError as error:
        raise ConfigError(f"{folder.name} cannot be written", "choose another folder") from error
    return as_json, as_npz
