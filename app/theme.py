"""Colours, type and spacing of the dashboard: one place, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from brainlm_core.colour_maps import lookup_table

#: Colours of the field for the seven cortical networks, and two greys for what lies below.
NETWORK_COLOURS: dict[str, str] = {
    "Visual": "#781286",
    "Somatomotor": "#4682B4",
    "Dorsal Attention": "#00760E",
    "Ventral Attention": "#C43AFA",
    "Limbic": "#DCF8A4",
    "Frontoparietal": "#E69422",
    "Default": "#CD3E4E",
    "subcortex": "#8A9299",
    "cerebellum": "#5B646B",
    "cortex": "#B5BCC1",
    "unknown": "#B5BCC1",
}
#: Order in which groups of parcels are listed and plotted, everywhere.
GROUP_ORDER: tuple[str, ...] = (
    "Visual",
    "Somatomotor",
    "Dorsal Attention",
    "Ventral Attention",
    "Limbic",
    "Frontoparietal",
    "Default",
    "cortex",
    "subcortex",
    "cerebellum",
    "unknown",
)
#: Short names for narrow axes.
GROUP_SHORT: dict[str, str] = {
    "Visual": "Vis",
    "Somatomotor": "SomMot",
    "Dorsal Attention": "DorsAttn",
    "Ventral Attention": "VentAttn",
    "Limbic": "Limbic",
    "Frontoparietal": "FrontPar",
    "Default": "Default",
    "cortex": "Other cortex",
    "subcortex": "Subcortex",
    "cerebellum": "Cerebellum",
    "unknown": "Unknown",
}
#: In words, for legends and tables.
GROUP_WORDS: dict[str, str] = {
    "Dorsal Attention": "Dorsal attention",
    "Ventral Attention": "Ventral attention",
    "cortex": "Other cortex",
    "subcortex": "Subcortex",
    "cerebellum": "Cerebellum",
    "unknown": "Unknown",
}


def colour_stops(scale: str, n: int = 33) -> list[str]:
    """Return ``n`` colours of a map, low to high, as ``"#rrggbb"``.

    Parameters
    ----------
    scale : {"diverging", "sequential"}
        The maps of the brain view.
    n : int
        Few enough to send, enough for straight lines between them to be true to the map.
    """
    table = lookup_table(scale)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table[[round(i * 255 / (n - 1)) for i in range(n)]]]


@dataclass(frozen=True)
class Palette:
    """Colours that differ between light and dark.

    Parameters
    ----------
    name : {"light", "dark"}
        Which of the two.
    accent, text, muted, line, surface, background, warn, bad, good : str
        CSS colours.
    """

    name: str
    accent: str
    text: str
    muted: str
    line: str
    surface: str
    background: str
    warn: str
    bad: str
    good: str


LIGHT = Palette(
    "light",
    accent="#0B6B75",
    text="#15202B",
    muted="#55626C",
    line="#D6DCDE",
    surface="#F0F2F2",
    background="#FBFBFA",
    warn="#8A5A00",
    bad="#A3262F",
    good="#1F6B3A",
)
DARK = Palette(
    "dark",
    accent="#4CC2C4",
    text="#E6ECEF",
    muted="#9AA8B1",
    line="#2C373F",
    surface="#182026",
    background="#0E1317",
    warn="#E8B85A",
    bad="#F08A8F",
    good="#7CCB97",
)


def palette() -> Palette:
    """Return the palette of the theme that this visitor's browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def group_words(group: str) -> str:
    """Return the name of a parcel group as a reader expects it."""
    return GROUP_WORDS.get(group, group)


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


def inject_css(*, n_pages: int) -> None:
    """Add the house style sheet; call once per run, first thing.

    Parameters
    ----------
    n_pages : int
        Pages in the top bar; where it leaves room, the chips move up into it.
    """
    light, dark = LIGHT, DARK
    names = ("accent", "text", "muted", "line", "surface", "background", "warn", "bad", "good")
    variables = "".join(f"--b-{n}:light-dark({getattr(light, n)},{getattr(dark, n)});" for n in names)
    room = 1020 + 95 * n_pages  # px: name, pages, four chips
    in_bar = f"@media(min-width:{room}px){{.stApp .st-key-chips{{{_IN_BAR}}}}}"
    st.html(f"<style>.stApp{{{variables}}}{_style_sheet()}{in_bar}</style>")


_IN_BAR = "position:fixed;top:8px;right:64px;z-index:999995;width:auto;max-width:800px"


@cache
def _style_sheet() -> str:
    return (Path(__file__).parent / "static" / "house.css").read_text(encoding="utf-8")
