"""BIDS JSON sidecars: what a scan's metadata say of its timing, inherited down the tree.

Source: BIDS 1.10, inheritance principle and "Timing parameters" of task imaging data. Only numbers about
time are ever taken from such a file; everything else in it may name a person.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

#: Endings of a scan's name that its sidecar's does not have.
_SCAN_ENDINGS = (
    ".gz", ".bz2", ".xz", ".nii", ".dtseries", ".ptseries", ".func", ".gii", ".mgz", ".tsv", ".csv", ".txt"
)  # fmt: skip
#: Files of one level that may describe a scan, levels above it, bytes of one file.
_MAX_FILES, _MAX_LEVELS, _MAX_BYTES = 20, 6, 1 << 20
#: Volumes whose distances differ by more than this share were not taken at a steady pace.
_UNEVEN = 0.01


@dataclass(frozen=True)
class SidecarTiming:
    """What the sidecars say of the time between volumes.

    Parameters
    ----------
    repetition_time : float or None
        ``RepetitionTime``, else the even step of ``VolumeTiming``, else 1 / ``SamplingFrequency``, as it
        stands: mostly s, sometimes ms.
    key : str
        The name of that entry; empty without one.
    uneven : bool
        Whether ``VolumeTiming`` says that the volumes were not taken at a steady pace.
    last_slice : float or None
        Latest entry of ``SliceTiming``: no volume is shorter.
    """

    repetition_time: float | None = None
    key: str = ""
    uneven: bool = False
    last_slice: float | None = None


def sidecar_timing(path: Path, may_open: Callable[[Path], bool] = lambda _: True) -> SidecarTiming:
    """Return what the JSON files that apply to a scan say of its timing.

    A file applies when it has the scan's name, or lies in the scan's folder or above it (up to the folder
    with ``dataset_description.json``), ends in the same suffix and has no entity that the scan has not.
    The nearer file wins, entry by entry.

    Parameters
    ----------
    path : Path
        The scan.
    may_open : callable
        Tells whether a file that was found may be opened; see :meth:`ScanSource.may_open`.
    """
    merged: dict[str, Any] = {}
    for sidecar in _applicable(path, may_open):
        for key, value in _content(sidecar).items():
            merged.setdefault(key, value)
    return _timing(merged)


def _timing(entries: dict[str, Any]) -> SidecarTiming:
    slices = _numbers(entries.get("SliceTiming"))
    last_slice = float(slices.max()) if slices.size else None
    volumes = _numbers(entries.get("VolumeTiming"))
    step = _number(entries.get("RepetitionTime"))
    if step is not None:
        return SidecarTiming(step, "RepetitionTime", last_slice=last_slice)
    if volumes.size > 2:
        steps = np.diff(volumes)
        even = float(np.median(steps))
        if even > 0 and np.abs(steps - even).max() <= _UNEVEN * even:
            return SidecarTiming(even, "VolumeTiming", last_slice=last_slice)
        return SidecarTiming(key="VolumeTiming", uneven=True, last_slice=last_slice)
    pace = _number(entries.get("SamplingFrequency"))
    if pace is not None:
        return SidecarTiming(1 / pace, "SamplingFrequency", last_slice=last_slice)
    return SidecarTiming(last_slice=last_slice)


def _number(value: Any) -> float | None:
    """Return a positive number; some programs write it as text or as a list of one."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 1e-12 < number < 1e12 else None


def _numbers(value: Any) -> np.ndarray:
    """Return a list of finite numbers (n,), empty when it is none."""
    plain = isinstance(value, list) and all(isinstance(v, int | float) for v in value)
    try:
        numbers = np.array(value if plain else [], dtype=np.float64)
    except OverflowError:
        return np.empty(0)
    return numbers if np.isfinite(numbers).all() else np.empty(0)


def _content(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():  # a pipe or a device has no size and no end
            return {}
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        content = json.loads(raw.decode("utf-8-sig")) if len(raw) <= _MAX_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _applicable(path: Path, may_open: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the sidecars of a scan, the one that weighs most first."""
    stem = _stem(path.name)
    tokens = stem.split("_")
    entities, suffix = {t for t in tokens[:-1] if "-" in t}, tokens[-1]
    folder = path.parent
    for level in range(_MAX_LEVELS):
        found = []
        for name in _json_names(folder):
            their = _stem(name.removesuffix(".json"))
            parts = their.split("_")
            fits = parts[-1] == suffix and set(parts[:-1]) <= entities and "-" not in parts[-1]
            if (level == 0 and their == stem) or fits:
                found.append((-len(parts), name))
        for _, name in sorted(found)[:_MAX_FILES]:
            if may_open(folder / name):
                yield folder / name
        parent = folder.parent
        if parent == folder or not entities or _is_dataset(folder) or not may_open(parent):
            return
        folder = parent


def _stem(name: str) -> str:
    while ending := next((e for e in _SCAN_ENDINGS if name.endswith(e)), ""):
        name = name.removesuffix(ending)
    return name


def _json_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if e.name.endswith(".json") and not e.name.startswith(".")]
    except OSError:
        return []


def _is_dataset(folder: Path) -> bool:
    return (folder / "dataset_description.json").is_file()
