"""Where the bundled files and the per-user cache live."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def assets_dir() -> Path:
    """Return the folder of the bundled assets (checkout first, then installed wheel)."""
    beside = _PACKAGE.parent / "assets"
    return beside if beside.is_dir() else _PACKAGE / "assets"


def cache_dir() -> Path:
    """Return the per-user cache folder, ``$BRAINLM_CACHE`` or the platform's usual place.

    The folder is not created here: a read-only machine must stay usable.
    """
    override = os.environ.get("BRAINLM_CACHE")
    if override:
        return Path(override).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base).expanduser() if base else Path.home() / ".cache"
    return root / "brainlm-explorer"
