"""Points on one or two linked maps in WebGL: hover, lasso, box, click; one selection for both.

Plotly's ``scattergl`` would be resent whole, and forget zoom and lasso, with every change of the selection;
here the selection is drawn in the browser at once and only row numbers travel back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.embedding.figures import PointColour
from brainlm_core.viz.transport import pack

_HERE = Path(__file__).parent


@dataclass(frozen=True, eq=False)
class PointMap:
    """Places of the same points on one map.

    Parameters
    ----------
    title : str
        Above the map.
    xy : ndarray (n, 2), float
        Any unit; both axes are drawn to one scale. NaN leaves a point out.
    axes : (str, str)
        Names of the axes; empty for maps whose axes mean nothing.
    here : (float, float) or None
        Where the scan in hand lies, marked with a cross.
    near : sequence of int
        Points to which the scan in hand is joined by a line.
    """

    title: str
    xy: NDArray[np.floating]
    axes: tuple[str, str] = ("", "")
    here: tuple[float, float] | None = None
    near: Sequence[int] = ()


@dataclass(frozen=True, eq=False)
class PointsEvent:
    """What a visitor has just done.

    Parameters
    ----------
    selected : ndarray (k,), int, or None
        Rows of a new selection (none when it was cleared); None when it did not change.
    picked : int or None
        Row of a point that was just clicked.
    turn : int
        How often the hand had selected or picked by then; 0 when it did nothing since the last run.
    """

    selected: NDArray[np.intp] | None = None
    picked: int | None = None
    turn: int = 0


@cache
def _component() -> Any:
    return st.components.v2.component(
        "brainlm_points",
        html=(_HERE / "points.html").read_text("utf-8"),
        css=(_HERE / "style.css").read_text("utf-8"),
        js="".join((_HERE / name).read_text("utf-8") for name in ("draw.js", "points.js")),
    )


def points_view(
    maps: Sequence[PointMap],
    colour: PointColour,
    *,
    key: str,
    ids: Sequence[str],
    selected: NDArray[np.intp],
    picked: int | None,
    turn: int,
    alt: str,
    height: int = 460,
) -> PointsEvent:
    """Draw one or two linked maps; return what was selected or clicked since the last run.

    Parameters
    ----------
    maps : sequence of PointMap
        All with ``n`` points.
    colour : PointColour
    key : str
        Identity of the element; zoom and tool survive as long as it stays.
    ids : sequence of str, length n
        Told on hover.
    selected : ndarray (k,), int
        Rows that are selected now.
    picked : int or None
        Row to mark.
    turn : int
        The last turn that ``selected`` and ``picked`` know of: what the hand did since is not undone by them.
    alt : str
        What the picture shows, for those who do not see it.
    height : int
        Of a map, in px.

    Raises
    ------
    ConfigError
        If maps and points differ in number.
    """
    n = len(ids)
    if not maps or any(len(m.xy) != n for m in maps) or len(colour.index) != n:
        raise ConfigError(f"the maps do not fit {n} points", "give one place and one colour per point")
    header = {
        "ids": list(ids),
        "maps": [_header(m) for m in maps],
        "colour": {
            "name": colour.name,
            "palette": list(colour.palette),
            "names": list(colour.names),
            "limits": [float(v) for v in colour.limits],
        },
        "picked": -1 if picked is None else int(picked),
        "turn": turn,
        "alt": alt,
        "height": height,
    }
    mask = np.zeros(n, dtype=np.uint8)
    mask[np.asarray(selected, dtype=np.intp)] = 1
    arrays: dict[str, NDArray[Any]] = {"index": colour.index.astype(np.uint8), "selected": mask}
    if colour.values is not None:
        arrays["values"] = colour.values.astype(np.float32)
    for k, one in enumerate(maps):
        arrays[f"xy{k}"] = np.asarray(one.xy, dtype=np.float32)
    result = _component()(
        key=key, data=pack(header, arrays), on_selected_change=_nothing, on_picked_change=_nothing
    )
    selection, click = (_told(result.get(name)) for name in ("selected", "picked"))
    rows, point = selection.get("rows"), click.get("row")
    chosen = None
    if isinstance(rows, list):
        chosen = np.array([r for r in rows if isinstance(r, int) and 0 <= r < n], dtype=np.intp)
    turns = [part["turn"] for part in (selection, click) if isinstance(part.get("turn"), int)]
    hit = int(point) if isinstance(point, int | float) and 0 <= point < n else None
    return PointsEvent(chosen, hit, max(turns, default=0))


def _told(value: Any) -> Mapping[str, Any]:
    """Return what a browser sent, nothing where it is no such message."""
    return value if isinstance(value, Mapping) else {}


def _header(one: PointMap) -> dict[str, Any]:
    return {
        "title": one.title,
        "axes": list(one.axes),
        "here": None if one.here is None else [float(v) for v in one.here],
        "near": [int(i) for i in one.near],
    }


def _nothing() -> None:
    """Do nothing: Streamlit wants a callback for every value that a component may send."""
