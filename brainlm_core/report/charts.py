"""Line charts as SVG: small, static, in the colours of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.features.embedding.figures import MISSING, PointColour

#: Drawing area in user units, and room for tick labels.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 720, 280, 56, 44, 12, 12


@dataclass(frozen=True, eq=False)
class Line:
    """One line.

    Parameters
    ----------
    name : str
    y : ndarray (n,)
        NaN leaves a gap.
    colour : (str, str)
        Light and dark, ``"#rrggbb"``.
    dash : str
        SVG dash pattern; empty for a solid line.
    width : float
    band : ndarray (n, 2) or None
        Interval around it.
    dots : bool
        Mark each point.
    """

    name: str
    y: NDArray[np.floating]
    colour: tuple[str, str]
    dash: str = ""
    width: float = 1.8
    band: NDArray[np.floating] | None = None
    dots: bool = False


def line_chart(
    x: ArrayLike,
    lines: Sequence[Line],
    *,
    x_title: str,
    y_title: str,
    said: str,
    y_limits: tuple[float, float] | None = None,
    legend: bool = True,
) -> str:
    """Return lines over a common x axis as HTML: the picture and, if asked for, a legend.

    Parameters
    ----------
    x : array_like (n,)
    lines : sequence of Line
        Drawn in order, the first at the back.
    x_title, y_title : str
        With units.
    said : str
        What a screen reader says.
    y_limits : (float, float) or None
        None takes the range of the data.
    legend : bool
    """
    places = np.asarray(x, dtype=np.float64)
    low, high = y_limits or _range(lines)
    left, right = float(places.min()), float(places.max())
    right = right if right > left else left + 1.0

    def at(px: float, py: float) -> str:
        across = _LEFT + (px - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        up = _HEIGHT - _BOTTOM - (min(max(py, low), high) - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)
        return f"{across:.1f},{up:.1f}"

    parts = [_axes(at, (left, right), (low, high), x_title, y_title)]
    for line in lines:
        colour = "light-dark({},{})".format(*line.colour)
        if line.band is not None and np.isfinite(line.band).all():
            ends = [at(a, b) for a, b in zip(places, line.band[:, 1], strict=True)]
            ends += [at(a, b) for a, b in zip(places[::-1], line.band[::-1, 0], strict=True)]
            parts.append(f'<polygon points="{" ".join(ends)}" style="fill:{colour};opacity:.18"/>')
        dash = f";stroke-dasharray:{line.dash}" if line.dash else ""
        style = f"fill:none;stroke:{colour};stroke-width:{line.width:g}{dash}"
        for piece in _pieces(line.y):
            points = " ".join(at(places[i], float(line.y[i])) for i in piece)
            parts.append(f'<polyline points="{points}" style="{style}"/>')
        if line.dots:
            for i in np.flatnonzero(np.isfinite(line.y)):
                cx, cy = at(places[i], float(line.y[i])).split(",")
                title = f"{line.name}, {places[i]:.3g}: {line.y[i]:.3f}"
                parts.append(
                    f'<circle cx="{cx}" cy="{cy}" r="3.5" style="fill:{colour}">'
                    f"<title>{html.escape(title)}</title></circle>"
                )
    picture = (
        f'<div class="r-scroll"><svg class="r-chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{html.escape(said, quote=True)}">{"".join(parts)}</svg></div>'
    )
    return picture + (_legend(lines) if legend else "")


def scatter_chart(
    points: NDArray[np.floating],
    own: NDArray[np.floating] | None,
    *,
    title: str,
    x_title: str,
    y_title: str,
    said: str,
    colour: PointColour | None = None,
) -> str:
    """Return points, one of them marked, as HTML.

    Parameters
    ----------
    points : ndarray (n, 2)
    own : ndarray (2,) or None
        The marked one.
    title, x_title, y_title : str
    said : str
        What a screen reader says.
    colour : PointColour or None
        One colour for all when None.
    """
    every = (points if own is None else np.vstack([points, own])).astype(np.float64)
    low, high = every.min(axis=0), every.max(axis=0)
    margin = 0.05 * np.where(high > low, high - low, 1.0)
    (left, bottom), (right, top) = low - margin, high + margin

    def at(px: float, py: float) -> str:
        across = _LEFT + (px - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT)
        up = _HEIGHT - _BOTTOM - (py - bottom) / (top - bottom) * (_HEIGHT - _BOTTOM - _TOP)
        return f"{across:.1f},{up:.1f}"

    parts = [_axes(at, (float(left), float(right)), (float(bottom), float(top)), x_title, y_title)]
    for i, (x, y) in enumerate(points):
        cx, cy = at(float(x), float(y)).split(",")
        style = "" if colour is None else _fill(colour, i)
        parts.append(f'<circle class="dot" cx="{cx}" cy="{cy}" r="2.5"{style}/>')
    if own is not None:
        cx, cy = at(float(own[0]), float(own[1])).split(",")
        parts.append(f'<circle class="own" cx="{cx}" cy="{cy}" r="7"><title>This recording</title></circle>')
    picture = (
        f'<p class="b-note"><b>{html.escape(title)}</b></p><div class="r-scroll"><svg class="r-chart" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{html.escape(said, quote=True)}">'
        f"{''.join(parts)}</svg></div>"
    )
    return picture if colour is None else picture + _colour_legend(colour)


def _fill(colour: PointColour, point: int) -> str:
    index = int(colour.index[point])
    return "" if index == MISSING else f' style="fill:{colour.palette[index]};opacity:.85"'


def _colour_legend(colour: PointColour) -> str:
    """Name the colours of categories, or the ends of a scale; points without a value are grey."""
    if colour.names:
        pairs = list(zip(colour.palette, colour.names, strict=True))
    else:
        low, high = colour.limits
        middle = (low + high) / 2
        at = (0, len(colour.palette) // 2, len(colour.palette) - 1)
        pairs = [(colour.palette[i], f"{v:.3g}") for i, v in zip(at, (low, middle, high), strict=True)]
    cells = "".join(
        f'<span><i style="background:{shade}"></i>{html.escape(name)}</span>' for shade, name in pairs
    )
    grey = "<span>grey: no value</span>" if (colour.index == MISSING).any() else ""
    return f'<div class="b-legend">{cells}{grey}</div>'


def _legend(lines: Sequence[Line]) -> str:
    cells = []
    for line in reversed(lines):
        colour = "light-dark({},{})".format(*line.colour)
        dash = f";stroke-dasharray:{line.dash}" if line.dash else ""
        mark = (
            f'<svg width="26" height="10" aria-hidden="true"><line x1="1" x2="25" y1="5" y2="5" '
            f'style="stroke:{colour};stroke-width:{line.width:g}{dash}"/></svg>'
        )
        cells.append(f"<span>{mark}{html.escape(line.name)}</span>")
    return f'<div class="b-legend">{"".join(cells)}</div>'


def _axes(
    at: Callable[[float, float], str],
    across: tuple[float, float],
    up: tuple[float, float],
    x_title: str,
    y_title: str,
) -> str:
    out = []
    for value in _ticks(up[0], up[1], 5):
        x1, y = at(across[0], value).split(",")
        x2 = at(across[1], value).split(",")[0]
        weight = "zero" if value == 0 else "grid"
        out.append(f'<line class="{weight}" x1="{x1}" x2="{x2}" y1="{y}" y2="{y}"/>')
        out.append(
            f'<text x="{float(x1) - 8:.1f}" y="{float(y) + 4:.1f}" class="end">{_number(value)}</text>'
        )
    for value in _ticks(across[0], across[1], 7):
        x, _ = at(value, up[0]).split(",")
        out.append(f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" class="mid">{_number(value)}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    out.append(f'<text x="{middle}" y="{_HEIGHT - 6}" class="mid">{html.escape(x_title)}</text>')
    centre = (_TOP + _HEIGHT - _BOTTOM) / 2
    turn = f"rotate(-90 14 {centre})"
    out.append(f'<text x="14" y="{centre}" class="mid" transform="{turn}">{html.escape(y_title)}</text>')
    return "".join(out)


def _ticks(low: float, high: float, n: int) -> list[float]:
    """Return round numbers between the ends, about ``n`` of them."""
    step = 10 ** math.floor(math.log10((high - low) / n))
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= n)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) + 0.0 for i in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _range(lines: Sequence[Line]) -> tuple[float, float]:
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines])
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _pieces(y: NDArray[np.floating]) -> list[NDArray[np.intp]]:
    """Return runs of known points."""
    known = np.flatnonzero(np.isfinite(y))
    return [p for p in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(p)]
