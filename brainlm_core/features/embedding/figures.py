"""Points of a map: their colours, and the names of the axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.features.embedding.analysis import EmbeddingMap
from brainlm_core.viz.palette import colour_stops

#: Colour index of a point without a value.
MISSING = 255
#: Ten colours that stay apart for the colour-blind (after Okabe and Ito), then again with another shape.
CATEGORY_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9",
    "#D55E00", "#7A4B12", "#5A4FA3", "#8DA000", "#A3262F",
)  # fmt: skip
#: More values of a text column than this cannot be told apart by colour and shape; the rarest share one grey.
MAX_CATEGORIES = 20
_OTHERS = "#5F6B73"


@dataclass(frozen=True, eq=False)
class PointColour:
    """What the points are coloured by.

    Parameters
    ----------
    name : str
        In words, with unit.
    index : ndarray (n,), uint8
        Into ``palette``; :data:`MISSING` for points without a value.
    palette : sequence of str
        ``"#rrggbb"``, at most 255.
    names : sequence of str
        One per colour for categories, drawn with a shape each; empty for a continuous scale.
    values : ndarray (n,), float32, or None
        Told on hover on a continuous scale.
    limits : (float, float)
        Ends of a continuous scale.
    """

    name: str
    index: NDArray[np.uint8]
    palette: Sequence[str]
    names: Sequence[str] = ()
    values: NDArray[np.float32] | None = None
    limits: tuple[float, float] = (0.0, 1.0)


def point_colour(column: pd.Series, name: str) -> PointColour:
    """Return what points are coloured by: a scale for numbers, a colour and shape each for groups."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy(np.float64)
        known = np.isfinite(values)
        low, high = (float(v) for v in np.percentile(values[known], [1, 99]))
        if high <= low:
            low, high = float(values[known].min()), float(values[known].max())
        share = np.clip((np.where(known, values, low) - low) / ((high - low) or 1.0), 0, 1)
        index = np.where(known, np.round(share * 254), MISSING).astype(np.uint8)
        stops = colour_stops("sequential", 255)
        return PointColour(name, index, stops, values=values.astype(np.float32), limits=(low, high))
    text = column.replace("", np.nan).map(str, na_action="ignore")
    counts = text.value_counts()
    rare = counts.index[MAX_CATEGORIES - 1 :] if len(counts) > MAX_CATEGORIES else counts.index[:0]
    names = sorted(counts.index.difference(rare))
    colours = [CATEGORY_COLOURS[k % len(CATEGORY_COLOURS)] for k in range(len(names))]
    if len(rare):
        names.append(f"{len(rare)} others")
        colours.append(_OTHERS)
    lookup = {**{n: k for k, n in enumerate(names)}, **dict.fromkeys(rare, len(names) - 1)}
    index = text.map(lookup).fillna(MISSING).to_numpy(np.uint8)
    return PointColour(name, index, colours, names)


def axis_names(made: EmbeddingMap) -> tuple[str, str]:
    """Return the names of the two axes, with what they explain; none where axes mean nothing."""
    if not made.explained:
        return ("", "")
    one, two = made.explained
    return (f"Axis 1, {one:.0%} of the variance", f"Axis 2, {two:.0%}")
