"""Sliders and linked brains in one component: what is dragged never leaves the browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.components.brain_view.component import LOOK
from app.shell.streamlit_patches.components import component, publish
from brainlm_core.base.atlas import Parcellation
from brainlm_core.viz.transport import pack, parcellation_bytes, surface_bytes

#: Where the files of each component are.
FOLDERS = {"brain_view": LOOK, "perturb_view": Path(__file__).resolve().parent}


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
        "surface": publish(f"{key}/surface", surface_bytes()),
        "parcellation": publish(f"{key}/parcellation", parcellation_bytes(parcellation)),
    }
    result = component("perturb_view", FOLDERS)(
        key=key,
        data=pack(message, {name: np.ascontiguousarray(a) for name, a in arrays.items()}),
        on_release_change=heard,
        on_status_change=_nothing,
    )
    return bool(result.get("status") == "webgl-missing")


def _nothing() -> None:
    """Declare a state value of the component; reading it is enough."""
