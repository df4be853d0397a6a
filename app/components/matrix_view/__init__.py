"""Two small pictures one can click: a parcel × parcel matrix, and a grid of attention heads.

Streamlit's Plotly element reports no click on a heatmap (it listens to selections, and heatmap
cells cannot be selected), so both are canvases of their own, a few hundred kilobytes lighter
than the same matrix as a Plotly figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from brainlm_core.viz.transport import pack

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Band:
    """Consecutive rows that belong together.

    Parameters
    ----------
    name : str
        Shown beside the matrix.
    colour : str
        CSS colour.
    start, stop : int
        First row and one past the last, in display order.
    """

    name: str
    colour: str
    start: int
    stop: int


@cache
def _component(name: str) -> Any:
    return st.components.v2.component(
        f"brainlm_{name}",
        html=(_HERE / f"{name}.html").read_text("utf-8"),
        css=(_HERE / "style.css").read_text("utf-8"),
        js=(_HERE / "common.js").read_text("utf-8") + (_HERE / f"{name}.js").read_text("utf-8"),
    )


def matrix_view(
    values: NDArray[np.floating],
    *,
    key: str,
    names: Sequence[str],
    order: NDArray[np.intp],
    bands: Sequence[Band],
    limits: tuple[float, float],
    unit: str,
    colours: Sequence[str],
    picked: int | None,
    alt: str,
) -> int | None:
    """Draw a square matrix, query by row, and return the row that was just clicked.

    Parameters
    ----------
    values : ndarray (n, n), float32
        Query × key, in the order of ``names``.
    key : str
        Identity of the element.
    names : sequence of str, length n
        Row names.
    order : ndarray (n,), int
        Row to show at each position.
    bands : sequence of Band
        Coloured margins, covering all positions.
    limits : (float, float)
        Values that the colour scale spans.
    unit : str
        Shown on the colour bar and in the hover line.
    colours : sequence of str
        Stops of the colour map, low to high.
    picked : int or None
        Row to mark, index into ``names``.
    alt : str
        What the picture shows, for those who do not see it.

    Returns
    -------
    int or None
        Index into ``names`` of a row clicked since the last run.
    """
    shown = np.asarray(values, dtype=np.float32)[np.ix_(order, order)]
    low, high = float(shown.min()), float(shown.max())
    span = (high - low) or 1.0
    quantised = np.round((shown - low) / span * 65535).astype("<u2")  # half the bytes, error < 0.001 %
    result = _component("matrix")(
        key=key,
        data=pack(
            {
                "n": int(shown.shape[0]),
                "low": low,
                "span": span,
                "limits": [float(v) for v in limits],
                "unit": unit,
                "colours": list(colours),
                "names": [names[i] for i in order],
                "bands": [vars(band) for band in bands],
                "picked": -1 if picked is None else int(np.flatnonzero(order == picked)[0]),
                "alt": alt,
            },
            {"values": quantised},
        ),
        on_picked_change=_nothing,
    )
    position = result.get("picked")
    return None if position is None else int(order[int(position)])


def head_grid(
    thumbnails: NDArray[np.float32],
    *,
    key: str,
    colours: Sequence[str],
    picked: tuple[int, int] | None,
    alt: str,
) -> tuple[int, int] | None:
    """Draw one thumbnail per layer (row) and head (column); return the one just clicked.

    Parameters
    ----------
    thumbnails : ndarray (layers, heads, m, m), float32
        Each scaled to 0–1 by itself.
    key : str
        Identity of the element.
    colours : sequence of str
        Stops of the colour map, low to high.
    picked : (int, int) or None
        Layer and head to mark, 0-based.
    alt : str
        What the picture shows.

    Returns
    -------
    (int, int) or None
        Layer and head clicked since the last run, 0-based.
    """
    layers, heads, size = thumbnails.shape[:3]
    result = _component("grid")(
        key=key,
        data=pack(
            {
                "layers": layers,
                "heads": heads,
                "size": size,
                "colours": list(colours),
                "picked": -1 if picked is None else picked[0] * heads + picked[1],
                "alt": alt,
            },
            {"values": np.round(np.clip(thumbnails, 0, 1) * 255).astype(np.uint8)},
        ),
        on_picked_change=_nothing,
    )
    position = result.get("picked")
    return None if position is None else divmod(int(position), heads)


def _nothing() -> None:
    """Do nothing: Streamlit wants a callback for every value that a component may send."""
