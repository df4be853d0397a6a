"""What every result leaves on disk in the same way: JSON that any program reads, arrays without pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainlm_core.writing import whole_files


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
    with whole_files(folder) as part:
        text = json.dumps(plain(facts), indent=2, allow_nan=False) + "\n"
        (part / as_json.name).write_text(text, encoding="utf-8")
        with (part / as_npz.name).open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    return as_json, as_npz
