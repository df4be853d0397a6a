"""Colours, type and spacing of the dashboard: one place, light and dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

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
#: Perceptual maps, dark to light or negative over neutral to positive (crameri-like, own stops).
DIVERGING: tuple[str, ...] = ("#1D4E89", "#5B8FC0", "#B3CBE0", "#F3F1EE", "#EDBFA0", "#D07C4A", "#8F3D12")
SEQUENTIAL: tuple[str, ...] = (
    "#440154",
    "#46327E",
    "#365C8D",
    "#277F8E",
    "#1FA187",
    "#4AC16D",
    "#A0DA39",
    "#FDE725",
)


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
        base[key] = {**base.get(key, axis if "axis" in key else {}), **value} if isinstance(value, dict) else value
    return base


def inject_css() -> None:
    """Add the house style sheet; call once per run, first thing."""
    light, dark = LIGHT, DARK
    names = ("accent", "text", "muted", "line", "surface", "background", "warn", "bad", "good")
    variables = "".join(f"--b-{n}:light-dark({getattr(light, n)},{getattr(dark, n)});" for n in names)
    st.html(f"<style>.stApp{{{variables}}}{_CSS}</style>")


_CSS = """
.stApp{font-variant-numeric:tabular-nums;font-feature-settings:"cv05","ss03"}
[data-testid="stDecoration"],[data-testid="stStatusWidget"],footer{display:none}
[data-testid="stHeader"]{border-bottom:1px solid var(--b-line);background:var(--b-background)}
[data-testid="stMainBlockContainer"]{max-width:1760px;padding-left:clamp(12px,2vw,32px);
  padding-right:clamp(12px,2vw,32px)}
.b-chips{display:flex;flex-wrap:wrap;gap:8px;align-items:center;min-height:40px}
.b-chip{display:inline-flex;align-items:center;gap:6px;padding:4px 10px;border:1px solid var(--b-line);
  border-radius:999px;font-size:.875rem;line-height:1.25rem;color:var(--b-text);background:var(--b-surface);
  max-width:28ch;white-space:nowrap}
.b-chip span{overflow:hidden;text-overflow:ellipsis}
.b-chip.warn{border-color:var(--b-warn);color:var(--b-warn)}
.b-chip i{width:7px;height:7px;border-radius:50%;background:currentColor;flex:none}
.b-one{font-size:1.25rem;line-height:1.75rem;font-weight:500;margin:0 0 8px;text-wrap:pretty}
.b-note{font-size:.875rem;line-height:1.35rem;color:var(--b-muted);margin:0 0 4px;text-wrap:pretty}
.b-note b{color:var(--b-text);font-weight:600}
.b-bad{border-left:3px solid var(--b-bad);padding:8px 12px;background:var(--b-surface);border-radius:0 8px 8px 0}
.b-bad b{display:block;color:var(--b-bad)}
.b-verdict{display:inline-flex;gap:8px;align-items:baseline;font-weight:600}
.b-verdict.good{color:var(--b-good)}.b-verdict.usable{color:var(--b-warn)}.b-verdict.poor{color:var(--b-bad)}
.b-facts{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;font-size:.875rem;line-height:1.35rem}
.b-facts dt{color:var(--b-muted);margin:0}.b-facts dd{margin:0;overflow-wrap:anywhere}
.b-legend{display:flex;flex-wrap:wrap;gap:4px 14px;font-size:.875rem;color:var(--b-text)}
.b-legend span{display:inline-flex;align-items:center;gap:6px}
.b-legend i{width:12px;height:12px;border-radius:3px;border:1px solid color-mix(in srgb,var(--b-text) 35%,transparent)}
.b-strip{display:grid;grid-template-columns:minmax(9ch,max-content) 1fr 7ch;gap:0 12px;align-items:center;
  font-size:.875rem;line-height:1.25rem}
.b-strip .t{position:relative;height:28px;background:linear-gradient(var(--b-line),var(--b-line)) center/100% 1px no-repeat}
.b-strip .r{position:absolute;top:0;bottom:0;border-left:1px dashed var(--b-muted)}
.b-strip .i{position:absolute;top:12px;height:4px;border-radius:2px;opacity:.45;background:currentColor}
.b-strip .d{position:absolute;top:8px;width:12px;height:12px;margin-left:-6px;background:currentColor;border:2px solid currentColor}
.b-strip .d.circle{border-radius:50%}.b-strip .d.hollow{border-radius:50%;background:var(--b-background)}
.b-strip .d.diamond{transform:rotate(45deg) scale(.85)}
.b-strip .d.bar{width:6px;margin-left:-3px;border-radius:2px}
.b-strip .v{text-align:right}
.b-strip .n{overflow-wrap:anywhere}
.b-strip .main{font-weight:600}
.b-strip .axis{color:var(--b-muted);position:relative;height:20px}
.b-strip .axis span{position:absolute;transform:translateX(-50%)}
.b-strip .axis span:first-child{transform:none}.b-strip .axis span:last-child{transform:translateX(-100%)}
.st-key-chips button{border-radius:999px;min-height:32px;padding:2px 12px}
@media (max-width:640px){.b-one{font-size:1.125rem}.b-chip{max-width:42ch}}
@media (prefers-reduced-motion:reduce){*{animation-duration:.01ms !important;transition-duration:.01ms !important}}
"""
