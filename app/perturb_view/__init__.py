"""Sliders and linked brains in one component: what is dragged never leaves the browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest
from streamlit.components.v2.types import ComponentRenderer
from streamlit.runtime import get_instance as get_runtime

from app.brain_view.component import LOOK
from brainlm_core.atlas import Parcellation
from brainlm_core.look.transport import pack, parcellation_bytes, surface_bytes

#: Where the files of each component are.
_FOLDERS = {"brain_view": LOOK, "perturb_view": Path(__file__).resolve().parent}
_PACKAGE = "brainlm-explorer"
_REGISTRATION = threading.Lock()


def perturb_view(
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    parcellation: Parcellation,
    *,
    key: str,
    on_release: Callable[[dict[str, Any]], None],
) -> bool:
    """Draw sliders and brains.

    Parameters
    ----------
    header : mapping
        What ``frontend/perturb.js`` documents in use: rows, limits, texts.
    arrays : mapping
        ``bank_effects``, ``bank_frames``, ``bank_scales``, ``exact_effect``, ``exact_frames``, …
    parcellation : Parcellation
    key : str
        Identity of the element.
    on_release : callable
        Gets the browser's message before the script runs again.

    Returns
    -------
    bool
        True when this browser cannot draw with WebGL 2.
    """

    def heard() -> None:
        event = (st.session_state.get(key) or {}).get("release")
        if isinstance(event, dict):
            on_release(event)

    message = {
        **header,
        "key": key,
        "surface": _publish(f"{key}/surface", surface_bytes()),
        "parcellation": _publish(f"{key}/parcellation", parcellation_bytes(parcellation)),
    }
    result = _component()(
        key=key,
        data=pack(message, {name: np.ascontiguousarray(a) for name, a in arrays.items()}),
        on_release_change=heard,
        on_status_change=_nothing,
    )
    return bool(result.get("status") == "webgl-missing")


def _nothing() -> None:
    """Declare a state value of the component; reading it is enough."""


def _publish(coordinates: str, content: bytes) -> str:
    """Return the address at which the browser fetches constant bytes once; see the brain view."""
    media = get_runtime().media_file_mgr
    return media.add(content, "application/octet-stream", coordinates).lstrip("/")


@cache
def _declared() -> ComponentRenderer:
    return st.components.v2.component(f"{_PACKAGE}.perturb_view", js="main.js", css="style.css")


def _component() -> ComponentRenderer:
    """Return the mounting command; the brain view's files are served too, this one imports them."""
    with _REGISTRATION:
        manager = get_bidi_component_manager()
        for name, folder in _FOLDERS.items():
            if manager.get_component_asset_root(f"{_PACKAGE}.{name}") is None:
                entry = ComponentConfig(name=name, asset_dir="frontend")
                manager.register_from_manifest(ComponentManifest(_PACKAGE, "1", [entry]), folder)
        return _declared()
