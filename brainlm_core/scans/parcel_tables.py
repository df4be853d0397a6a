"""Which axis is time, which parcellation the other one is, for any table of numbers."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.atlas import Parcellation, from_coordinates
from brainlm_core.errors import AtlasError, ScanError
from brainlm_core.recording import Step
from brainlm_core.scans.atlases import (
    KnownAtlas,
    atlas_parcellation,
    atlases_in_file_name,
    is_here,
    known_atlas,
    known_atlases,
)
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.timing import from_header
from brainlm_core.scans.types import MissingCoordinates, ParcelSignals, ReadRequest

#: A line of a coordinates table is not longer than this, in characters.
_MAX_LINE = 1 << 16


@dataclass(frozen=True)
class CoordinateTable:
    """A user's coordinates: one row per parcel.

    Parameters
    ----------
    xyz : ndarray (n, 3), float32
        Position in mm, MNI152.
    names : tuple of str
        Labels; ``"1"``, ``"2"``, … when the file has none.
    """

    xyz: NDArray[np.float32]
    names: tuple[str, ...]


def read_coordinates(path: str | Path) -> CoordinateTable:
    """Read a coordinates CSV: columns x, y, z in mm (any case), and optionally a label or name.

    Raises
    ------
    AtlasError
        If the file cannot be read or has no such columns.
    """
    path = Path(path)
    fix = "give a CSV with the columns x, y, z in mm (MNI) and one row per parcel"
    try:
        if path.stat().st_size > 50_000_000:
            raise AtlasError(f"{path.name} is too large for a coordinates table", fix)
        how = {"sep": _separator(path), "encoding": "utf-8-sig", "comment": "#", "low_memory": False}
        frame = pd.read_csv(path, **how)
    except (OSError, ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise AtlasError(f"the coordinates file {path.name} cannot be read", fix) from error
    columns = {str(c).strip().lower(): c for c in frame.columns}
    try:
        if {"x", "y", "z"} <= set(columns):
            xyz = frame[[columns[c] for c in "xyz"]].to_numpy(np.float32)
        else:  # no header: three numbers a row, or a label and three numbers
            bare = pd.read_csv(path, header=None, **how)
            if bare.shape[1] not in (3, 4):
                raise AtlasError(f"the coordinates file {path.name} has no columns x, y, z", fix)
            xyz, frame, columns = bare.iloc[:, -3:].to_numpy(np.float32), bare, {}
            if bare.shape[1] == 4:
                columns = {"label": bare.columns[0]}
    except ValueError as error:
        raise AtlasError(f"the coordinates in {path.name} are not all numbers", fix) from error
    label = next(
        (columns[k] for k in ("label", "name", "index", "parcel", "region", "roi") if k in columns), None
    )
    names = range(1, len(frame) + 1) if label is None else frame[label]
    return CoordinateTable(xyz, tuple(str(n).strip() for n in names))


def _separator(path: Path) -> str:
    """Tell what parts the columns, from the first line that says anything.

    ``csv.Sniffer``, which pandas would ask, takes minutes over a long line of brackets.
    """
    with path.open(encoding="utf-8-sig") as stream:
        while line := stream.readline(_MAX_LINE):
            if len(line) == _MAX_LINE:
                raise ValueError("no table of coordinates has lines like that")
            told = line.partition("#")[0].strip()
            if told:
                return next((s for s in ("\t", ";", ",") if s in told), r"\s+")
    raise pd.errors.EmptyDataError


@dataclass(frozen=True)
class _Match:
    """A parcellation that fits one axis of the table."""

    parcels_axis: int
    parcellation: Parcellation
    title: str
    notices: tuple[str, ...] = ()


def to_parcels(grid: Grid, request: ReadRequest) -> ParcelSignals:
    """Turn a table into parcel signals.

    Steps, in order: refuse a connectivity matrix; find the axis and the parcellation (user's
    coordinates, else the named parcellation, else the number of columns or rows); transpose if
    needed; reorder by parcel names when the header has them.

    Raises
    ------
    MissingCoordinates
        If no axis has the length of a known parcellation.
    ScanError, AtlasError
        If coordinates or the named parcellation do not fit.
    """
    values, name = grid.values, request.source.name
    _refuse_connectivity(values, name)
    _refuse_confounds(grid, name)
    match = _match(grid, request)
    names = grid.column_names
    rows = values.T
    notices = [*grid.notices, *match.notices]
    steps = list(grid.steps)
    if match.parcels_axis == 0:
        rows, names = values, grid.row_names
        notices.append(
            f"The table has one row per parcel ({values.shape[0]} parcels × {values.shape[1]} volumes)."
        )
    steps.append(
        Step("read table", {"parcels_in": "rows" if match.parcels_axis == 0 else "columns",
                            "n_parcels": rows.shape[0], "n_timepoints": rows.shape[1]})
    )  # fmt: skip
    order = None if names is None else _order_by_names(names, match.parcellation)
    if order is not None:
        rows = rows[order]
        steps.append(Step("reorder parcels", {"by": "names in the table"}))
        notices.append("The parcels were put in order by their names in the table.")
    tr = None if grid.tr_s is None else from_header(grid.tr_s, "sec")
    return ParcelSignals(
        signals=rows,
        parcellation=match.parcellation,
        tr_s=None if tr is None else tr.tr_s,
        atlas=match.title,
        steps=tuple(steps),
        notices=tuple(notices),
        tr_notices=() if tr is None else tr.notices,
    )


def _refuse_connectivity(values: NDArray[np.float64], name: str) -> None:
    if values.shape[0] == values.shape[1] and np.allclose(values, values.T, equal_nan=True):
        raise ScanError(
            f"{name} is a symmetric {values.shape[0]} × {values.shape[0]} matrix, a connectivity matrix",
            "give the signals over time that it was computed from",
        )


def _refuse_confounds(grid: Grid, name: str) -> None:
    if grid.column_names is not None and {"trans_x", "rot_x"} <= set(grid.column_names):
        raise ScanError(
            f"{name} is a confounds table, not a scan",
            "give it with --confounds beside the scan it belongs to",
        )


def _match(grid: Grid, request: ReadRequest) -> _Match:
    axes = (1, 0) if grid.parcels_axis is None else (grid.parcels_axis,)
    if request.coordinates is not None:
        return _match_coordinates(grid.values.shape, axes, request)
    if request.atlas is not None:
        known = known_atlas(request.atlas)
        axis = _axis_of(grid.values.shape, axes, known.n_parcels)
        if axis is None:
            raise AtlasError(
                f"{request.source.name} has {_shape(grid.values)} values, but {known.title} has "
                f"{known.n_parcels} parcels",
                "choose another parcellation or give coordinates (--coordinates)",
            )
        return _Match(axis, atlas_parcellation(known.key), known.title)
    return _match_known(grid, axes, request)


def _axis_of(shape: tuple[int, ...], axes: tuple[int, ...], n: int) -> int | None:
    return next((a for a in axes if shape[a] == n), None)


def _shape(values: NDArray[np.float64]) -> str:
    return f"{values.shape[0]} × {values.shape[1]}"


def _match_coordinates(shape: tuple[int, ...], axes: tuple[int, ...], request: ReadRequest) -> _Match:
    assert request.coordinates is not None  # checked by the caller
    table = read_coordinates(request.coordinates)
    axis = _axis_of(shape, axes, len(table.names))
    if axis is None:
        raise AtlasError(
            f"{request.source.name} has {shape[0]} rows and {shape[1]} columns, but there are "
            f"{len(table.names)} coordinates",
            "give one coordinate per parcel, in the order of the columns",
        )
    notices: tuple[str, ...] = ()
    if shape[0] == shape[1]:
        notices = ("The table is square; its columns were taken as parcels.",)
    parcellation = from_coordinates(None, table.names, table.xyz)
    return _Match(axis, parcellation, f"coordinates from {request.coordinates.name}", notices)


def _match_known(grid: Grid, axes: tuple[int, ...], request: ReadRequest) -> _Match:
    """Recognise a parcellation by its number of parcels; the largest that fits wins."""
    shape, name = grid.values.shape, request.source.name
    hinted = [k for k in atlases_in_file_name(name) if is_here(k) and k.key != "glasser-left-first"]
    certain = [known_atlas("a424"), known_atlas("a424-cortex")]
    for known in sorted([*hinted, *certain], key=lambda k: -k.n_parcels):
        axis = _axis_of(shape, axes, known.n_parcels)
        if axis is None:
            continue
        notices: tuple[str, ...] = ()
        if shape[1 - axis] in {k.n_parcels for k in certain}:
            words = "rows" if axis == 0 else "columns"
            notices = (
                f"Both axes could hold parcels; the {shape[axis]} {words} were taken as {known.title}.",
            )
        if known.n_parcels == 360:
            notices = (*notices, "360 parcels were taken as the cortical A424 parcels in order, right "
                       "hemisphere first; deep structures are absent.")  # fmt: skip
        if known not in certain:
            notices = (*notices, f"The file name says {known.title}; its parcel positions were used.")
        return _Match(axis, atlas_parcellation(known.key), known.title, notices)
    raise MissingCoordinates(
        f"{name} has {shape[0]} rows and {shape[1]} columns, neither of them the 424 parcels of A424",
        _hint(shape),
    )


def _hint(shape: tuple[int, ...]) -> str:
    same: list[KnownAtlas] = [k for k in known_atlases().values() if k.n_parcels in shape and not k.parts]
    if same:
        named = " or ".join(f"--atlas {k.key}" for k in same)
        return f"if the parcels are those of a known parcellation say {named}, else give --coordinates CSV"
    return "give the coordinates of its parcels (--coordinates CSV) or name the parcellation (--atlas)"


def _order_by_names(names: tuple[str, ...], parcellation: Parcellation) -> NDArray[np.intp] | None:
    """Return the order that brings the table's parcels into the parcellation's, or None.

    None as well when the names are in order already, or are no names of this parcellation.
    """
    wanted = [_plain(n) for n in parcellation.names]
    found = [_plain(n) for n in names]
    if set(found) != set(wanted):
        wanted = [str(i + 1) for i in range(parcellation.n_parcels)]  # numbered columns
    if len(set(found)) != len(found) or set(found) != set(wanted) or found == wanted:
        return None
    place = {n: i for i, n in enumerate(found)}
    return np.array([place[n] for n in wanted], dtype=np.intp)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "_", name.strip().lower())
