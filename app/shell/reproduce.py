"""Reproduce: for every picture of a page, a short script that makes it again from the core alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.shell.words import note

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.cohort.embeddings import Embeddings
    from brainlm_core.inference.results import EngineInfo


def reproduce(
    page: str,
    asked: Mapping[str, Any],
    *,
    model: EngineInfo | None = None,
    recording: Recording | None = None,
    cohort: Embeddings | None = None,
) -> None:
    """Offer the scripts of a page's pictures, with what is set there now.

    Parameters
    ----------
    page : str
        Prefix of the widgets' keys.
    asked : mapping
        Key of :data:`brainlm_core.report.figures.FIGURES` to what that picture was asked, as in
        :func:`brainlm_core.report.script_of`.
    model, recording, cohort
        What the pictures are made from.
    """
    from brainlm_core.report import script_of
    from brainlm_core.report.figures import FIGURES

    st.subheader("Reproduce")
    names = [name for name in FIGURES if name in asked]
    if not names:
        note("There is no picture yet.")
        return
    name = names[0]
    if len(names) > 1:
        name = st.selectbox(
            "Picture",
            names,
            format_func=lambda key: FIGURES[key].title,
            key=f"{page}-reproduce",
            width=360,
        )
    code = script_of(name, asked[name], model=model, recording=recording, cohort=cohort)
    st.code(code, language="python", wrap_lines=True)  # what scrolls inside is out of reach of a keyboard
    st.download_button(
        "Script (.py)",
        code,
        f"reproduce-{name}.py",
        "text/x-python",
        key=f"{page}-script",
        on_click="ignore",
    )
    given = [
        words
        for words, there in (
            ("the embeddings (.parquet) from here", "open_embeddings(" in code),
            ("the recording (.npz) from Export on the Scan page", "open_recording(" in code),
        )
        if there
    ]
    note(f"Makes this picture and its numbers again without the dashboard. Give it {' and '.join(given)}.")
