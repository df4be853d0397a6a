"""Components whose files Streamlit serves itself, and constant bytes that a browser fetches once.

The manifest that Streamlit wants is given here and not in ``pyproject.toml``: it looks for that file only
beside a package named like its distribution, which an editable checkout of this project does not have.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest
from streamlit.components.v2.types import ComponentRenderer

_PACKAGE = "brainlm-explorer"
_REGISTRATION = threading.Lock()


@cache
def _declared(name: str) -> ComponentRenderer:
    return st.components.v2.component(f"{_PACKAGE}.{name}", js="main.js", css="style.css")


def component(name: str, folders: Mapping[str, Path]) -> ComponentRenderer:
    """Return the mounting command of a component, known to the Streamlit runtime of this run.

    Parameters
    ----------
    name : str
        One of ``folders``.
    folders : mapping of str to Path
        Component to the folder that holds its ``frontend/``; all of them are served, because one may import
        another's files.
    """
    with _REGISTRATION:
        manager = get_bidi_component_manager()
        for each, folder in folders.items():
            if manager.get_component_asset_root(f"{_PACKAGE}.{each}") is None:
                entry = ComponentConfig(name=each, asset_dir="frontend")
                manager.register_from_manifest(ComponentManifest(_PACKAGE, "1", [entry]), folder)
        return _declared(name)


def publish(coordinates: str, content: bytes) -> str:
    """Return the address, relative to the app, at which the browser fetches constant bytes once.

    Streamlit sends a component's whole data again whenever a part of it changes. Its media
    store is content-addressed, so the surface and the parcels travel once per browser tab.
    """
    media = st.runtime.get_instance().media_file_mgr
    return media.add(content, "application/octet-stream", coordinates).lstrip("/")
