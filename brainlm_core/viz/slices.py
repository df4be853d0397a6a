"""Slices of the mean image with the borders of the parcels on them, as one drawing for page and report."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Recording
from brainlm_core.base.slices import SIDES, Slice, Slices

#: Below this share of a parcel inside the scan it is marked.
PARTIAL = 0.5
_GAP, _PAD = 3.0, 2.0
_LINE, _PARTIAL, _LOST, _WORDS = "#3FE0E2", "#E8B85A", "#F08A8F", "#E6ECEF"


def parcels_seen(recording: Recording) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which parcels hold no data, and which lie less than half inside the scan, (n_parcels,) each."""
    nothing: NDArray[np.bool_] = np.zeros(recording.n_parcels, bool)
    quality = recording.quality
    if quality is None:
        return nothing, nothing
    with np.errstate(invalid="ignore"):
        lost = quality.flat | (quality.coverage == 0)
        return lost, ~lost & (quality.coverage < PARTIAL)


def slices_of(recording: Recording) -> Slices | None:
    """Return the slices of a recording when they count in its parcels, else None."""
    found = recording.slices
    return found if found is not None and found.n_parcels == recording.n_parcels else None


def slices_words(slices: Slices, lost: NDArray[np.bool_], partial: NDArray[np.bool_]) -> str:
    """Say what the drawing shows."""
    what = "Mean" if slices.kind == "mean" else "Standard deviation"
    told = f"{what} of {slices.n_volumes} volumes with the borders of the parcels on it."
    if lost.any():
        told += f" Hatched: {int(lost.sum())} parcel{'s' if lost.sum() > 1 else ''} without data."
    if partial.any():
        told += f" Dashed: {int(partial.sum())} less than half inside the scan."
    return told


def slices_html(
    slices: Slices,
    lost: NDArray[np.bool_] | None = None,
    partial: NDArray[np.bool_] | None = None,
    *,
    first_only: bool = False,
) -> str:
    """Draw the slices: one row of planes a place, or only the first of each plane.

    Parameters
    ----------
    slices : Slices
    lost, partial : ndarray (n_parcels,), bool, optional
        Parcels that are hatched, and those with a dashed border.
    first_only : bool
        One slice a plane.
    """
    none: NDArray[np.bool_] = np.zeros(slices.n_parcels, bool)
    lost, partial = none if lost is None else lost, none if partial is None else partial
    rows = _rows(slices, first_only=first_only)
    sizes = [[_size(cut) for cut in row] for row in rows]
    columns = [max(row[i][0] for row in sizes if i < len(row)) for i in range(max(map(len, rows)))]
    heights = [max(h for _, h in row) for row in sizes]
    wide = sum(columns) + _GAP * (len(columns) - 1)
    high = sum(heights) + _GAP * (len(heights) - 1)
    parts, top = [], 0.0
    for row, tall in zip(rows, heights, strict=True):
        left = 0.0
        for cut, column in zip(row, columns, strict=False):
            parts.append(_tile(cut, left, top, column, tall, lost, partial, small=first_only))
            left += column + _GAP
        top += tall + _GAP
    drawing = (
        f'<svg viewBox="0 0 {wide:.1f} {high:.1f}" width="{4 * wide:.0f}" height="{4 * high:.0f}" '
        'xmlns="http://www.w3.org/2000/svg">'
        '<defs><pattern id="lost" width="4" height="4" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path d="M0 0V4" stroke="{_LOST}" stroke-width="2"/></pattern></defs>'
        f"{''.join(parts)}</svg>"
    )
    # As an image: Streamlit takes drawings out of HTML.
    packed = base64.b64encode(drawing.encode()).decode()
    said = html.escape(slices_words(slices, lost, partial))
    return (
        f'<img class="b-slices" alt="{said}" style="display:block;width:100%;height:auto" '
        f'src="data:image/svg+xml;base64,{packed}">'
    )


def _rows(slices: Slices, *, first_only: bool) -> list[list[Slice]]:
    by_plane: dict[str, list[Slice]] = {}
    for cut in slices.cuts:
        by_plane.setdefault(cut.plane, []).append(cut)
    n = 1 if first_only else max(map(len, by_plane.values()))
    return [[cuts[i] for cuts in by_plane.values() if i < len(cuts)] for i in range(n)]


def _size(cut: Slice) -> tuple[float, float]:
    """Return width and height of a tile, in mm."""
    h, w = cut.grey.shape
    return w * cut.step_mm[0] + 2 * _PAD, h * cut.step_mm[1] + 2 * _PAD


def _tile(
    cut: Slice,
    left: float,
    top: float,
    wide: float,
    high: float,
    lost: NDArray[np.bool_],
    partial: NDArray[np.bool_],
    *,
    small: bool,
) -> str:
    h, w = cut.grey.shape
    across, down = cut.step_mm
    x, y = left + (wide - w * across) / 2, top + (high - h * down) / 2
    hidden = np.r_[False, lost][np.minimum(cut.parcels, len(lost))]
    few = np.where(np.r_[False, partial][np.minimum(cut.parcels, len(partial))], cut.parcels, 0)
    line, size = (0.5, 13) if small else (1.1, 8)
    thin = 'fill="none" vector-effect="non-scaling-stroke"'
    marked = np.where(hidden, cut.parcels, 0)
    drawn = [
        (_cells(hidden), 'fill="url(#lost)" stroke="none"'),
        (borders(cut.parcels), f'{thin} stroke="{_LINE}" stroke-width="{line}"'),
        (borders(marked), f'{thin} stroke="{_LOST}" stroke-width="{1.5 * line}"'),
        (borders(few), f'{thin} stroke="{_PARTIAL}" stroke-width="{1.5 * line}" stroke-dasharray="3 2"'),
    ]
    shapes = "".join(f'<path d="{path}" {how}/>' for path, how in drawn if path)
    first, last, up = SIDES[cut.plane]
    axis = {"sagittal": "x", "coronal": "y", "axial": "z"}[cut.plane]
    mm = f"{axis} = {cut.at_mm:.0f} mm".replace("-", "\N{MINUS SIGN}")
    words = f'fill="{_WORDS}" font-size="{size}" font-family="Inter,system-ui,sans-serif"'
    middle = top + high / 2
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="3" fill="#000"/>'
        f'<g transform="translate({x:.2f} {y:.2f}) scale({across:.4g} {down:.4g})">'
        f'<image width="{w}" height="{h}" preserveAspectRatio="none" href="{_png(cut.grey)}"/>'
        f"{shapes}</g>"
        f'<text x="{left + 4:.1f}" y="{middle:.1f}" {words}>{first}</text>'
        f'<text x="{left + wide - 4:.1f}" y="{middle:.1f}" text-anchor="end" {words}>{last}</text>'
        f'<text x="{left + wide / 2:.1f}" y="{top + size + 2:.1f}" text-anchor="middle" {words}>{up}</text>'
        f'<text x="{left + 4:.1f}" y="{top + high - 4:.1f}" {words}>{mm}</text>'
    )


def borders(labels: NDArray[np.integer]) -> str:
    """Return the path of all edges between pixels of different labels, in pixels."""
    framed = np.pad(labels, 1)
    upright = framed[1:-1, 1:] != framed[1:-1, :-1]  # (h, w + 1): left of each pixel
    level = framed[1:, 1:-1] != framed[:-1, 1:-1]  # (h + 1, w): above each pixel
    out = [f"M{x} {y}v{n}" for x in range(upright.shape[1]) for y, n in _runs(upright[:, x])]
    out += [f"M{x} {y}h{n}" for y in range(level.shape[0]) for x, n in _runs(level[y])]
    return "".join(out)


def _cells(mask: NDArray[np.bool_]) -> str:
    return "".join(f"M{x} {y}h{n}v1h{-n}z" for y in range(len(mask)) for x, n in _runs(mask[y]))


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, length) of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, line, False].astype(np.int8)))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _png(grey: NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
