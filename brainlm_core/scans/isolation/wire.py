"""What passes between the program and the process that reads for it: lines of JSON, and one ``.npz``.

Nothing that a child sends is ever unpickled; names of errors come from a list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base import errors
from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.base.slices import Slices
from brainlm_core.scans.cleaning import CleaningOptions
from brainlm_core.scans.limits import check_zip
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.types import PATH_OPTIONS, MissingChoice

#: Longest line, in bytes; longest sentence; most bytes of a result.
MAX_LINE, _MAX_WORDS, MAX_RESULT = 1 << 16, 2000, 1 << 29
RESULT, FIRST_LOOK = "recording.npz", "first_look.npz"
#: Most bytes of the slices of a first look.
MAX_LOOK = 1 << 22
#: Most readings of a question; steps to one standard deviation of a preview, and the largest.
_MAX_READINGS, _STEPS, _STEP_LIMIT = 20, 20, 200
_DAMAGED = ScanError("the scan could not be read", "try again")


def encode_scan(source: ScanSource, options: Mapping[str, Any], folder: Path) -> bytes:
    """Return the line that asks for a scan."""
    cleaning = options.get("cleaning")
    plain = {k: v for k, v in options.items() if v is not None}
    plain |= {k: os.path.abspath(plain[k]) for k in PATH_OPTIONS if k in plain}
    atlas = plain.get("atlas")
    if atlas is not None and Path(atlas).is_file():
        plain["atlas"] = os.path.abspath(atlas)
    plain["cleaning"] = None if cleaning is None else asdict(cleaning)
    scan = {
        "paths": [os.path.abspath(p) for p in source.paths],
        "names": source.names,
        "uploaded": source.uploaded,
        "row": source.row,
        "roots": [str(r) for r in source.roots],
    }
    return _encode({"task": "scan", "scan": scan, "options": plain}, folder)


def encode_task(task: str, files: Mapping[str, Path], options: Mapping[str, Any], folder: Path) -> bytes:
    """Return the line that asks for work on files that are no scan."""
    handed = {name: os.path.abspath(path) for name, path in files.items()}
    return _encode({"task": task, "files": handed, "options": dict(options)}, folder)


def _encode(request: Mapping[str, Any], folder: Path) -> bytes:
    settings = {k: v for k, v in os.environ.items() if k.startswith(("BRAINLM_", "HF_HUB_"))}
    return json.dumps({**request, "folder": str(folder), "settings": settings}).encode() + b"\n"


def decode_scan(request: Mapping[str, Any]) -> tuple[ScanSource, dict[str, Any]]:
    """Return source and options of :func:`brainlm_core.scans.read_scan`."""
    scan, options = request["scan"], dict(request["options"])
    source = ScanSource(
        tuple(Path(p) for p in scan["paths"]),
        tuple(scan["names"]),
        uploaded=scan["uploaded"],
        row=scan["row"],
        roots=tuple(Path(p) for p in scan["roots"]),
    )
    if options["cleaning"] is not None:
        given = options["cleaning"]
        options["cleaning"] = CleaningOptions(**{**given, "strategy": tuple(given["strategy"])})
    return source, options


def encode_error(error: BrainLMError) -> dict[str, Any]:
    """Return what makes the same error on the other side."""
    more = {k: v for k, v in vars(error).items() if k not in ("what", "fix") and _is_plain(v)}
    if isinstance(error, MissingChoice):
        more["options"] = [[words, chosen] for words, chosen in error.options]
        more["previews"] = [_encode_preview(p) for p in error.previews]
    return {"error": type(error).__name__, "what": error.what, "fix": error.fix, "more": more}


def decode_error(message: Mapping[str, Any]) -> BrainLMError:
    """Return the error that a child met; what does not look like one becomes a plain sentence."""
    what, fix, more = message.get("what"), message.get("fix"), message.get("more")
    if not (isinstance(what, str) and isinstance(fix, str) and isinstance(more, dict)):
        return _DAMAGED
    kind = _known_errors().get(str(message.get("error")), ScanError)
    what, fix = what[:_MAX_WORDS], fix[:_MAX_WORDS]
    if kind is MissingChoice:
        return _decode_choice(what, fix, more)
    error = kind.__new__(kind)
    BrainLMError.__init__(error, what, fix)
    for key, value in list(more.items())[:8]:
        if key.isidentifier() and not key.startswith("_") and _is_plain(value):
            setattr(error, key, value)
    return error


def _decode_choice(what: str, fix: str, more: Mapping[str, Any]) -> BrainLMError:
    """Return the question with its readings; damaged previews are left out, damaged readings end it."""
    try:
        options = tuple(
            (str(words)[:_MAX_WORDS], {str(k): str(v)[:_MAX_WORDS] for k, v in chosen.items()})
            for words, chosen in more["options"][:_MAX_READINGS]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return _DAMAGED
    try:
        previews = tuple(_decode_preview(p) for p in more["previews"][:_MAX_READINGS])
    except (KeyError, TypeError, ValueError, OverflowError):
        previews = ()
    return MissingChoice(what, fix, options, previews if len(previews) == len(options) else ())


def _encode_preview(signals: NDArray[np.float32]) -> dict[str, Any]:
    """Return z-scored signals (parcels, volumes) in steps of a twentieth."""
    steps = np.clip(np.round(np.nan_to_num(signals) * _STEPS), -_STEP_LIMIT, _STEP_LIMIT)
    return {"shape": list(signals.shape), "steps": steps.astype(int).ravel().tolist()}


def _decode_preview(given: Mapping[str, Any]) -> NDArray[np.float32]:
    steps = np.array(given["steps"], dtype=np.int16)
    rows, columns = (int(n) for n in given["shape"])
    return (steps.reshape(rows, columns) / _STEPS).astype(np.float32)


def _is_plain(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float | bool) and len(str(value)) < _MAX_WORDS)


def _known_errors() -> dict[str, type[BrainLMError]]:
    """Return every kind of expected failure by name."""
    found: dict[str, type[BrainLMError]] = {}
    waiting: list[type[BrainLMError]] = [errors.BrainLMError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found


def save_look(folder: Path, slices: Slices) -> None:
    """Leave the slices of a first look for the program."""
    with (folder / FIRST_LOOK).open("wb") as stream:
        arrays: dict[str, Any] = dict(slices.to_arrays())
        np.savez(stream, **arrays)


def load_look(folder: Path) -> Slices | None:
    """Read a first look that a child left, checked like any file of a stranger; None when it is none."""
    path = folder / FIRST_LOOK
    if path.is_symlink() or not path.is_file():
        return None
    try:
        check_zip(path, "the first look", max_bytes=MAX_LOOK)
        with np.load(path, allow_pickle=False) as store:
            return Slices.from_arrays({k: store[k] for k in store.files})
    except BrainLMError:
        return None
    except errors.DAMAGED_ARRAYS:
        return None


def load_result(folder: Path, name: str) -> Recording:
    """Return the recording that a child left, checked like any file of a stranger.

    Raises
    ------
    ScanError
        If it is no recording.
    """
    return Recording.load(check_result(folder, name, MAX_RESULT))


def check_result(folder: Path, name: str, max_bytes: int) -> Path:
    """Return the ``.npz`` that a child left, once its list of members has been looked at.

    Raises
    ------
    ScanError
        If it is no archive of arrays, or larger than ``max_bytes``.
    """
    path = folder / RESULT
    if path.is_symlink() or not path.is_file():
        raise ScanError(f"{name} could not be read", "try again")
    check_zip(path, name, max_bytes=max_bytes)
    return path
