"""Let Streamlit read its secrets files again at once.

It looks for changes now and then. Between two looks its login would go by an old file while the guard goes by
the new one.
"""

from __future__ import annotations

import streamlit as st


def forget_secrets() -> None:
    """Drop what Streamlit has read of its secrets; the next question reads the files."""
    st.secrets._reset()
