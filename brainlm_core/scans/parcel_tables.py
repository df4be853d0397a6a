"""A table of numbers becomes parcel signals: each column at the parcel that its name or number says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import ColumnMatch, Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.parcel_match import ColumnsFound, find_columns
from brainlm_core.scans.timing import from_header
from brainlm_core.scans.types import ParcelSignals, ReadRequest

#: Columns that programs put beside the parcels: motion, tissue signals, quality, numbers of volumes.
_NO_PARCEL = re.compile(
    r"framewise_?displacement|fd(_?(power|jenkinson|mm))?|(std_)?r?dvars|rmsd|global_?signal|gs|gsr|csf|wm"
    r"|white_?matter|(trans|rot)_[xyz](_.*)?|time(_?s)?|seconds|frame|volume|vol|index|tr|censor(ed)?|outlier"
    r"|scrub(bed)?|tmask|[atwc]_comp_cor_\d+|cosine_?\d+|motion_outlier_?\d+|unnamed:?_?\d*|subject|sub|session"
    r"|ses|run|background|gr[ae]y_?matter|realignment|scrubbing|effect_of_.*|q[ac]_.*|timeseries_gs"
)


def to_parcels(grid: Grid, request: ReadRequest) -> ParcelSignals:
    """Turn a table into parcel signals.

    Steps, in order: refuse a connectivity matrix; set columns aside that are called what no parcel is; find
    the axis of the parcels, the parcellation and the place of each column
    (:mod:`brainlm_core.scans.parcel_match`); put each signal at its parcel, parcels without a column stay
    empty; drop or bridge volumes without any value.

    Raises
    ------
    MissingChoice, MissingCoordinates
        If the parcellation or the axis is not certain.
    ScanError, AtlasError
        If coordinates or the named parcellation do not fit.
    """
    name = request.source.name
    grid, aside = _set_strangers_aside(grid, name)
    _refuse_connectivity(grid.values, name)
    found = find_columns(grid, request)
    values = grid.values if found.axis == 0 else grid.values.T  # (columns, volumes)
    names = grid.row_names if found.axis == 0 else grid.column_names
    signals = np.full((found.parcellation.n_parcels, values.shape[1]), np.nan)
    signals[found.rows] = values
    signals, bridged = _bridge_volumes(signals, name)
    notices = [*grid.notices, *found.notices]
    if found.axis == 0:
        notices.append(
            f"The table has one row per parcel ({values.shape[0]} parcels × {values.shape[1]} volumes)."
        )
    match = _describe(found, names, aside)
    notices += _told(found, match, names)
    steps = [
        *grid.steps,
        Step("read table", {"parcels_in": "rows" if found.axis == 0 else "columns",
                            "n_parcels": signals.shape[0], "n_timepoints": values.shape[1]}),
        Step("match parcels", match.summary()),
    ]  # fmt: skip
    if not np.array_equal(found.rows, np.arange(len(found.rows))):
        steps.append(Step("reorder parcels", {"by": f"{found.by} in the table"}))
    tr = None if grid.tr_s is None else from_header(grid.tr_s, "sec")
    return ParcelSignals(
        signals=signals,
        parcellation=found.parcellation,
        tr_s=None if tr is None else tr.tr_s,
        atlas=found.title,
        steps=tuple(steps),
        notices=(*notices, *bridged),
        tr_notices=() if tr is None else tr.notices,
        columns=match,
        reasons=bridged,
    )


def _set_strangers_aside(grid: Grid, name: str) -> tuple[Grid, tuple[str, ...]]:
    """Drop columns that are called what no parcel is; refuse a table that has no others."""
    names = grid.column_names
    if names is None or len(names) != grid.values.shape[1]:
        return grid, ()
    strange = np.array([_NO_PARCEL.fullmatch(n.strip().lower().replace(" ", "_")) is not None for n in names])
    if {"trans_x", "rot_x"} <= {n.strip().lower() for n in names} and strange.sum() > 0.5 * len(names):
        raise ScanError(
            f"{name} is a confounds table, not a scan",
            "give it with --confounds beside the scan it belongs to",
        )
    if not strange.any() or strange.sum() > 0.2 * len(names):
        return grid, ()
    aside = tuple(n.strip() for n, s in zip(names, strange, strict=True) if s)
    step = Step("drop column", {"names": list(aside), "because": "no parcel is called so"})
    what = "Column" if len(aside) == 1 else "Columns"
    notice = f"{what} {', '.join(aside[:5])} set aside: no parcel is called so."
    kept = replace(
        grid,
        values=grid.values[:, ~strange],
        column_names=tuple(n for n, s in zip(names, strange, strict=True) if not s),
        column_xyz=None if grid.column_xyz is None else grid.column_xyz[~strange],
        steps=(*grid.steps, step),
        notices=(*grid.notices, notice),
    )
    return kept, aside


def _refuse_connectivity(values: NDArray[np.float64], name: str) -> None:
    if values.shape[0] == values.shape[1] and np.allclose(values, values.T, equal_nan=True):
        raise ScanError(
            f"{name} is a symmetric {values.shape[0]} × {values.shape[0]} matrix, a connectivity matrix",
            "give the signals over time that it was computed from",
        )


def _describe(found: ColumnsFound, names: Sequence[str] | None, aside: tuple[str, ...]) -> ColumnMatch:
    own = found.parcellation.names
    as_written = [""] * len(own)
    for row, text in zip(found.rows, names or (), strict=False):
        as_written[row] = text.strip()
    present = np.zeros(len(own), bool)
    present[found.rows] = True
    return ColumnMatch(
        by=found.by,
        atlas=found.title,
        names=tuple(as_written) if names is not None else (),
        lost=tuple(n for n, p in zip(own, present, strict=True) if not p),
        left_out=aside,
        older_names=found.older_names,
    )


def _told(found: ColumnsFound, match: ColumnMatch, names: Sequence[str] | None) -> list[str]:
    out = []
    moved = not np.array_equal(found.rows, np.sort(found.rows))
    if found.by == "names":
        other = sum(w != n for w, n in zip(match.names, found.parcellation.names, strict=True) if w)
        order = " The parcels were put in order by their names in the table." if moved else ""
        spelled = f" ({other} spelled otherwise)" if other else ""
        out.append(f"{len(found.rows)} names in the table were matched to {found.title}{spelled}.{order}")
    elif moved:
        out.append("The parcels were put in order by their numbers in the table.")
    if match.lost:
        out.append(
            f"{len(match.lost)} of {found.parcellation.n_parcels} parcels are not in the table "
            f"({', '.join(match.lost[:3])}{', …' if len(match.lost) > 3 else ''}) and stay empty."
        )
    return out


def _bridge_volumes(signals: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Drop volumes without any value at start and end, and bridge those between in a straight line.

    Programs mark so what they dropped or censored. More than a third between is refused.
    """
    finite = np.isfinite(signals)
    there = finite[finite.any(axis=1)]
    gone: NDArray[np.bool_] = np.zeros(signals.shape[1], bool)
    if len(there):
        gone = np.logical_not(there.any(axis=0))
    if not gone.any() or gone.all():
        return signals, ()
    first, last = int(np.argmin(gone)), len(gone) - int(np.argmin(gone[::-1]))
    told = []
    n_edge = first + len(gone) - last
    if n_edge:
        told.append(f"{n_edge} volumes at the {'start' if first else 'end'} hold no value and were dropped.")
    signals, gone = signals[:, first:last], gone[first:last]
    if gone.any():
        if gone.mean() > 1 / 3:
            raise ScanError(
                f"{int(gone.sum())} of {len(gone)} volumes in {name} hold no value",
                "give a run with more volumes",
            )
        told.append(f"{int(gone.sum())} volumes without a value were bridged in a straight line.")
        at, known = np.flatnonzero(gone), np.flatnonzero(~gone)
        filled = signals.copy()
        for row in np.flatnonzero(np.isfinite(signals).any(axis=1)):
            filled[row, at] = np.interp(at, known, signals[row, known])
        signals = filled
    return signals, tuple(told)
