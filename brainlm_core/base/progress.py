"""Signatures through which long work says how far it is, hands parts over and is asked to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Called with a share of the whole, 0–1, and what is being done.
Progress = Callable[[float, str], None]
#: Asked now and then; True stops.
Cancel = Callable[[], bool]
#: Called with a name and a part of the result that is there before the rest.
Publish = Callable[[str, Any], None]


def portion(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Map a stage's own 0–1 onto its share of the whole; None stays None."""
    if progress is None:
        return None
    return lambda share, text: progress(start + (stop - start) * share, text)
