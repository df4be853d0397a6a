"""Columns that stand before the signals: numbers of rows, and times."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Step
from brainlm_core.scans.grid import Grid

_TIME_NAMES = ("time", "t", "times", "seconds", "second", "sec", "secs", "onset", "zeit", "timestamp")
_INDEX_NAMES = (
    *("index", "idx", "volume", "volumes", "vol", "frame", "frames", "tr", "trs", "n", "nr", "no", "row"),
    *("rowname", "scan", "timepoint", "timepoints", "tp", "sample", "image", "brick", "subbrick", "id"),
    *("x", "v1", "unnamed0"),
)
#: Index and time stand in no more columns than this.
_MAX_ASIDE = 3


def set_index_aside(grid: Grid) -> Grid:
    """Drop leading columns that number the rows or hold times; a time column gives the repetition time.

    A column of strictly rising whole numbers numbers the rows, also where rows are missing; it says nothing
    of time unless it is called so. A column that rises in equal steps that are not whole is a time. No BOLD
    signal does either. What is dropped stays as the names of the rows.

    Parameters
    ----------
    grid : Grid
    """
    for _ in range(_MAX_ASIDE):
        after = _one_aside(grid)
        if after is grid:
            break
        grid = after
    return grid


def _one_aside(grid: Grid) -> Grid:
    values = grid.values
    if values.shape[0] < 3 or values.shape[1] < 3:
        return grid
    column = values[:, 0]
    label = grid.column_names[0].strip().lower() if grid.column_names else ""
    kind, step = _kind(column, re.sub(r"[^a-z0-9]", "", label))
    if kind is None:
        return grid
    if _kind(values[:, 1], "")[0] is not None and _kind(values[:, 2], "")[0] is not None:
        return grid  # a table of which all columns rise is no table of signals, whatever this one is
    how = "in equal steps" if _rises_evenly(column) else "in whole steps with gaps"
    numbers = tuple(f"{v:g}" for v in column)
    return replace(
        grid,
        values=values[:, 1:],
        column_names=None if grid.column_names is None else grid.column_names[1:],
        row_names=grid.row_names or numbers,
        tr_s=step if kind == "time" else grid.tr_s,
        steps=(*grid.steps, Step("drop column", {"column": 1, "because": f"{kind} {how}"})),
        notices=(*grid.notices, f"The first column rises {how} and was taken as {kind}, not signal."),
    )


def _kind(column: NDArray[np.float64], label: str) -> tuple[str | None, float]:
    """Return what a column is ("index", "time" or None) and the step of a time, in s."""
    if not np.isfinite(column).all():
        return None, 0.0
    steps = np.diff(column)
    if not (steps > 0).all():
        return None, 0.0
    whole = bool((np.mod(column, 1) == 0).all())
    named_time = label in _TIME_NAMES or (label.startswith("time") and label not in _INDEX_NAMES)
    if named_time:
        smallest = float(steps.min())
        ratio = steps / smallest
        if np.allclose(ratio, np.rint(ratio), atol=0.02):
            return "time", _in_seconds(float(f"{np.median(steps[ratio < 1.5]):.6g}"), label)
    if whole and (len(column) >= 10 or _rises_evenly(column)):
        return "index", 0.0
    if _rises_evenly(column):
        return ("index", 0.0) if label in _INDEX_NAMES else ("time", float(f"{np.median(steps):.6g}"))
    return None, 0.0


def _in_seconds(step: float, label: str) -> float:
    return step / 1000 if label.endswith(("ms", "msec", "milliseconds")) else step


def _rises_evenly(column: NDArray[np.float64]) -> bool:
    steps = np.diff(column)
    return bool(
        np.isfinite(column).all() and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=1e-9)
    )
