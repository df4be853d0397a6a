"""Colours and names of networks, and the colours of the house, light and dark: one place."""

from __future__ import annotations

from dataclasses import dataclass

from brainlm_core.viz.colour_maps import lookup_table

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


def group_words(group: str) -> str:
    """Return the name of a parcel group as a reader expects it."""
    return GROUP_WORDS.get(group, group)
