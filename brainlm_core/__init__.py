"""BrainLM core: a scan in, parcel signals, one model pass, honest analyses out.

>>> import brainlm_core as bl
>>> recording = bl.demo()
>>> bl.networks(recording).save("networks")  # doctest: +SKIP

Names are loaded when they are used: importing the package costs nothing.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

#: Where each public name lives.
_PLACES = {
    **dict.fromkeys(
        (
            "compare",
            "demo",
            "embed",
            "forecast",
            "load_model",
            "networks",
            "perturb",
            "read",
            "reconstruct",
            "write_report",
        ),
        "brainlm_core.library",
    ),
    "Recording": "brainlm_core.base.recording",
}
__all__ = [
    "Recording",
    "__version__",
    "compare",
    "demo",
    "embed",
    "forecast",
    "load_model",
    "networks",
    "perturb",
    "read",
    "reconstruct",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'brainlm_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
