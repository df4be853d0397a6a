"""The house style sheet, with its colours as CSS variables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from brainlm_core.viz.palette import DARK, LIGHT

_NAMES = ("accent", "text", "muted", "line", "surface", "background", "warn", "bad", "good")


@cache
def house_css(root: str) -> str:
    """Return the rules of ``house.css`` with the variables that they use.

    Parameters
    ----------
    root : str
        CSS selector of the element that carries the variables; its ``color-scheme`` chooses between light
        and dark.
    """
    variables = "".join(f"--b-{n}:light-dark({getattr(LIGHT, n)},{getattr(DARK, n)});" for n in _NAMES)
    rules = (Path(__file__).parent / "house.css").read_text(encoding="utf-8")
    return f"{root}{{{variables}}}{rules}"
