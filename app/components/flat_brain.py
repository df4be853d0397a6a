"""What a visitor sees whose browser cannot draw with WebGL: the same values on flat drawings."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components.brain_view import BrainPanel, fallback_figure
from app.shell.theme import palette
from brainlm_core.base.atlas import Parcellation


def flat_brains(panels: Sequence[BrainPanel], parcellation: Parcellation, frame: int = 0) -> None:
    """Draw each panel as a flat figure with names and values on hover.

    Parameters
    ----------
    panels : sequence of BrainPanel
        As given to the brain view.
    parcellation : Parcellation
        Their parcels.
    frame : int
        Which frame of moving panels.
    """
    for panel in panels:
        st.plotly_chart(
            fallback_figure(panel, parcellation, min(frame, panel.n_frames - 1), theme=palette().name),
            config={"displayModeBar": False},
            alt=panel.alt or panel.title,
        )
