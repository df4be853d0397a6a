"""An array in memory becomes a recording, with the checks and the questions of a table in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Provenance, Recording, Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.intake import fill_missing
from brainlm_core.scans.limits import check_length
from brainlm_core.scans.parcel_tables import to_parcels
from brainlm_core.scans.quality import judge
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.timing import from_user
from brainlm_core.scans.types import MissingChoice, ReadRequest

#: What an array is called in messages and in the provenance.
NAME = "the array"
#: A repetition time in s has this type; an array given in its place has not.
_PLAIN_NUMBERS = (int, float, np.integer, np.floating)


def from_array(
    values: ArrayLike,
    *,
    tr_s: float,
    atlas: str | None = None,
    names: Sequence[str] | None = None,
    rows_are: str | None = None,
) -> Recording:
    """Make a recording of parcel signals in memory.

    Parameters
    ----------
    values : array_like (n_parcels, n_timepoints) or (n_timepoints, n_parcels)
        Parcel means. The axis of the parcels is found as in a table: by names, by the atlas, by number.
        A pandas table brings its column names along.
    tr_s : float
        Repetition time in s.
    atlas : str, optional
        Name of a known parcellation, such as ``A424`` or ``Schaefer400``.
    names : sequence of str, optional
        One name per parcel; they decide the order, not the position.
    rows_are : {"volumes", "parcels"}, optional
        What the rows are, where both could be.

    Returns
    -------
    Recording

    Raises
    ------
    ScanError
        If the array is no table of finite numbers, arguments are swapped, or an axis or parcellation is not
        certain.
    AtlasError
        If the parcellation is unknown or does not fit.
    """
    if not isinstance(tr_s, _PLAIN_NUMBERS) or isinstance(tr_s, bool):
        raise ScanError(
            f"the repetition time is {type(tr_s).__name__}, not a number",
            "give from_array(values, tr_s=2.0): the signals first, TR in seconds by name",
        )
    seconds, told = from_user(float(tr_s))
    table, columns, rows = _numbers(values)
    if names is not None:
        columns, rows = _named(tuple(map(str, names)), table.shape)
    grid = Grid(table, columns, rows)
    request = ReadRequest(source=ScanSource((Path(NAME),), (NAME,)), atlas=atlas, rows_are=rows_are)
    try:
        found = to_parcels(grid, request)
    except MissingChoice as error:  # its advice is for the command line
        ways = [f'{key}="{value}"' for _words, chosen in error.options for key, value in chosen.items()]
        what = error.what.partition("; say which")[0]
        raise MissingChoice(what, f"give {' or '.join(ways)}", error.options, error.previews) from error
    check_length(found.signals.shape[1], NAME)
    signals, gaps = fill_missing(found.signals, NAME)
    quality = judge(signals, seconds, reasons=found.reasons)
    if quality.flat.all():
        raise ScanError(f"the signals in {NAME} never change", "give a time series")
    digest = hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()
    steps = (Step("read", {"tr_s": seconds, "tr_from": "user"}), *found.steps)
    return Recording(
        signals=signals,
        tr_s=seconds,
        parcellation=found.parcellation,
        provenance=Provenance(NAME, digest, steps, atlas=found.atlas),
        quality=quality,
        notices=(*found.notices, *told, *gaps),
        columns=found.columns,
    )


def _numbers(
    values: Any,
) -> tuple[np.ndarray[Any, np.dtype[np.float64]], tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return the numbers of an array or table (rows, columns), and the names of its columns."""
    names = None
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
        plain = all(isinstance(c, int | np.integer) for c in values.columns)
        names = None if plain else tuple(map(str, values.columns))
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ScanError(
            f"the signals are {type(values).__name__}, not a table of numbers",
            "give an array with parcels along one axis and volumes along the other",
        ) from error
    if table.ndim != 2:
        raise ScanError(
            f"the signals have {table.ndim} axes", "give two: parcels along one, volumes along the other"
        )
    return table, names, None


def _named(
    names: tuple[str, ...], shape: tuple[int, ...]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return names of the columns and of the rows: they belong to the axis of their number."""
    if len(names) == shape[1] != shape[0]:
        return names, None
    if len(names) == shape[0] != shape[1]:
        return None, names
    if len(names) == shape[0]:
        raise ScanError(
            f"{len(names)} names fit both axes of the square table", "give a table from pandas with columns"
        )
    raise ScanError(
        f"{len(names)} names do not fit an array of {shape[0]} × {shape[1]}", "give one name per parcel"
    )
