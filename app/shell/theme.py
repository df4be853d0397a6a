"""The house style as Streamlit and Plotly take it; the colours themselves are in ``brainlm_core.viz``."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from brainlm_core.viz.palette import (
    DARK,
    GROUP_ORDER,
    GROUP_SHORT,
    GROUP_WORDS,
    LIGHT,
    NETWORK_COLOURS,
    Palette,
    colour_stops,
    group_words,
)
from brainlm_core.viz.style import house_css

__all__ = [
    "DARK",
    "GROUP_ORDER",
    "GROUP_SHORT",
    "GROUP_WORDS",
    "LIGHT",
    "NETWORK_COLOURS",
    "Palette",
    "colour_stops",
    "follow_theme",
    "group_words",
    "inject_css",
    "palette",
    "plotly_layout",
]


def palette() -> Palette:
    """Return the palette of the theme that this visitor's browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def plotly_layout(*, height: int, **changes: Any) -> dict[str, Any]:
    """Return the layout that all Plotly figures share.

    Parameters
    ----------
    height : int
        In px.
    **changes
        Any further layout settings; nested axes are given whole.
    """
    colours = palette()
    axis = {
        "gridcolor": colours.line,
        "linecolor": colours.line,
        "zerolinecolor": colours.line,
        "tickfont": {"size": 12, "color": colours.muted},
        "title": {"font": {"size": 13, "color": colours.muted}},
        "automargin": True,
    }
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, system-ui, sans-serif", "size": 13, "color": colours.text},
        "xaxis": axis,
        "yaxis": axis,
        "hoverlabel": {
            "bgcolor": colours.surface,
            "bordercolor": colours.line,
            "font": {"color": colours.text, "family": "Inter, system-ui, sans-serif", "size": 13},
        },
        "showlegend": False,
    }
    for key, value in changes.items():
        base[key] = (
            {**base.get(key, axis if "axis" in key else {}), **value} if isinstance(value, dict) else value
        )
    return base


#: Legend at the bottom of a chart: placed by the axes it lies on their title until the first change of size.
LEGEND_BELOW: dict[str, Any] = {
    "orientation": "h",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "font": {"size": 12},
    "entrywidth": 128,
}


def inject_css(*, n_pages: int) -> None:
    """Add the house style sheet; call once per run, first thing.

    Parameters
    ----------
    n_pages : int
        Pages in the top bar; where it leaves room, the chips move up into it.
    """
    room = 1140 + 95 * n_pages  # px: name, pages, five chips
    in_bar = f"@media(min-width:{room}px){{.stApp .st-key-chips{{{_IN_BAR}}}}}"
    st.html(f"<style>{house_css(':root')}{_style_sheet()}{in_bar}</style>")


def follow_theme() -> None:
    """Run the page again when the browser turns dark or light; call once per run.

    Streamlit tells the server of the theme with the next run and not before, and figures hold colours.
    """
    with st.container(key="follow-theme"):
        _follower()(key="theme-now", data={"drawn": palette().name}, on_changed_change=_nothing)


@cache
def _follower() -> Any:
    script = Path(__file__).parents[1] / "static" / "follow_theme.js"
    return st.components.v2.component("brainlm_follow_theme", js=script.read_text(encoding="utf-8"))


def _nothing() -> None:
    """Do nothing: Streamlit wants a callback for every value that a component may send."""


_IN_BAR = "position:fixed;top:8px;right:64px;z-index:999995;width:auto;max-width:920px"


@cache
def _style_sheet() -> str:
    return (Path(__file__).parents[1] / "static" / "streamlit.css").read_text(encoding="utf-8")
