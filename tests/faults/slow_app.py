"""The dashboard with a model pass that goes on until somebody stops it, and a window into the server.

``$STATUS_FILE`` says several times a second which jobs run and how many uploaded files the server holds.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import threading
import time
from pathlib import Path
from typing import Any

import streamlit as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def endless(engine: Any, recording: Any, options: Any, progress: Any, cancel: Any) -> None:
    """Stand in for one pass of a slow model."""
    from brainlm_core.inference.engine import Cancelled

    while not cancel():
        progress(0.5, "working slowly")
        time.sleep(0.05)
    raise Cancelled


@st.cache_resource(show_spinner=False)
def watch() -> None:
    from brainlm_core.features.networks import analysis as networks

    networks.attention_of = endless  # type: ignore[assignment]
    threading.Thread(target=report, args=(Path(os.environ["STATUS_FILE"]),), daemon=True).start()


def report(path: Path) -> None:
    manager: Any = st.runtime.get_instance()._uploaded_file_mgr
    while True:
        jobs = [t.name for t in threading.enumerate() if t.name.startswith("job: ")]
        files = sum(len(files) for files in manager.file_storage.values())
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"jobs": jobs, "files": files}))
        part.replace(path)
        time.sleep(0.1)


watch()
runpy.run_path(str(ROOT / "app" / "main.py"), run_name="__main__")
