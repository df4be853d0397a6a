"""What a figure of a report is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.strip import Row


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure.

    Parameters
    ----------
    name : str
        Key of :data:`brainlm_core.report.figures.FIGURES`; also the stem of its files.
    title, says, not_shown : str
        What it is, the one sentence, and what it does not show. Plain text.
    parcellation : Parcellation or None
        None for a figure without brains.
    panels : sequence of BrainPanel
        Linked brains; none for a chart.
    times_s : ndarray (n_frames,) or None
    seen_until_s : float or None
        Time up to which the model saw the data.
    start_frame : int
    drawing : str
        HTML of a chart or table, escaped.
    data : mapping of str to ndarray
        All numbers that are drawn.
    """

    name: str
    title: str
    says: str
    not_shown: str
    parcellation: Parcellation | None
    panels: Sequence[BrainPanel] = ()
    times_s: NDArray[np.float64] | None = None
    seen_until_s: float | None = None
    start_frame: int = 0
    drawing: str = ""
    data: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def brains_data(
    panels: Sequence[BrainPanel], times_s: NDArray[np.float64] | None = None
) -> dict[str, NDArray[Any]]:
    """Return the numbers of linked brains as a figure keeps them."""
    data: dict[str, NDArray[Any]] = {f"panel{i}": np.asarray(panel.values) for i, panel in enumerate(panels)}
    return data if times_s is None else {**data, "times_s": times_s}


def rows_data(name: str, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """Return the numbers of a baseline strip as a figure keeps them."""
    nothing = (np.nan, np.nan)
    return {
        f"{name}_method": np.array([row.method for row in rows], dtype=np.str_),
        f"{name}_value": np.array([np.nan if row.value is None else row.value for row in rows]),
        f"{name}_ci95": np.array([row.interval or nothing for row in rows], dtype=np.float64),
    }
