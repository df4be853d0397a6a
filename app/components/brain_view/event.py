"""What a visitor did with a brain view."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BrainEvent:
    """What the brain view knows after a run of the script.

    Parameters
    ----------
    picked : int or None
        Parcel (0-based row) that is outlined now.
    changed : bool
        True in the one run that a click caused.
    frame : int
        Frame that was on screen at the last click; 0 before any.
    webgl_missing : bool
        The visitor's browser cannot draw with WebGL 2: show :func:`fallback_figure` instead.
    """

    picked: int | None = None
    changed: bool = False
    frame: int = 0
    webgl_missing: bool = False
