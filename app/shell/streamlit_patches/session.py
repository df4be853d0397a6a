"""Which session this run of a page belongs to, and what the server holds for it."""

from __future__ import annotations

from typing import Any

import streamlit as st


def context() -> Any | None:
    """Return Streamlit's context of this run; None outside a run, as in tests of functions."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    return get_script_run_ctx()


def session_id() -> str | None:
    """Return the name of the session whose page runs; None outside a run."""
    found = context()
    return None if found is None else str(found.session_id)


def runtime() -> Any | None:
    """Return Streamlit's server; None where there is none, as in its own page tests."""
    return st.runtime.get_instance() if st.runtime.exists() else None
