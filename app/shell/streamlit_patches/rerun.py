"""Let a session's page run again from outside, so that it can say what the server has just refused."""

from __future__ import annotations

import contextlib
from typing import Any

import streamlit as st


def ask_page(session: str) -> None:
    """Run a session's page again, where there is such a session; call on the server's own thread."""
    if not st.runtime.exists():
        return
    runtime: Any = st.runtime.get_instance()
    info = runtime._session_mgr.get_active_session_info(session)
    if info is not None:
        with contextlib.suppress(RuntimeError):  # it is just closing
            info.session.request_rerun(None)
