"""Which axis of a table holds the parcels, which parcellation they are of, and where each column belongs.

In this order: the user's coordinates; the parcellation that the user names; names of columns or rows;
positions that the file states; what the file name says; the number of columns or rows. What stays open is
asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, from_coordinates
from brainlm_core.base.errors import AtlasError
from brainlm_core.scans.atlases import (
    KnownAtlas,
    NameMatch,
    UnknownNames,
    atlas_parcellation,
    atlases_in_file_name,
    column_rows,
    is_here,
    known_atlas,
    known_atlases,
    match_names,
)
from brainlm_core.scans.atlases.names import numbers_in
from brainlm_core.scans.coordinates import CoordinateTable, find_rows, read_coordinates
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.parcel_questions import (
    AXIS_WORDS,
    has_words,
    names_along,
    names_differ,
    names_unknown,
    nothing_fits,
    positions_missing,
    which_atlas,
    which_axis,
)
from brainlm_core.scans.types import ReadRequest

#: A number of columns smaller than this says nothing of the parcellation.
MIN_COUNT = 100
#: No parcel lies further from the origin of MNI space, in mm.
MAX_HEAD_MM = 150.0
#: Difference of smoothness along both axes that tells which is time.
_CLEAR = 0.1
#: Axis, parcellation, place of each column, notices (None: numbers decided).
_Fit = tuple[int, KnownAtlas, NDArray[np.intp], tuple[str, ...] | None]


@dataclass(frozen=True, eq=False)
class ColumnsFound:
    """Where the parcels of a table belong.

    Parameters
    ----------
    axis : {0, 1}
        Axis of the table that holds the parcels.
    rows : ndarray (n_columns,), intp
        Row of ``parcellation`` of each.
    parcellation : Parcellation
    title : str
        For the provenance.
    by : {"names", "numbers", "order"}
    older_names : bool
        Whether the names are those of an earlier release.
    notices : tuple of str
    """

    axis: int
    rows: NDArray[np.intp]
    parcellation: Parcellation
    title: str
    by: str
    older_names: bool = False
    notices: tuple[str, ...] = field(default=())


def find_columns(grid: Grid, request: ReadRequest) -> ColumnsFound:
    """Find axis, parcellation and place of each column.

    Raises
    ------
    MissingChoice
        If two parcellations, or both axes, fit.
    MissingCoordinates
        If the parcels are of no known parcellation, or of one whose positions do not come along.
    AtlasError
        If coordinates or the named parcellation do not fit.
    """
    axes = (1, 0) if grid.parcels_axis is None else (grid.parcels_axis,)
    if request.rows_are is not None:
        axes = (0,) if request.rows_are == "parcels" else (1,)
    if request.coordinates is not None:
        table = read_coordinates(request.coordinates)
        return _at_coordinates(grid, axes, table, request.coordinates.name, request.source.name)
    if request.atlas is not None and Path(request.atlas).is_file():
        return _in_label_volume(grid, axes, request)
    if request.atlas is not None:
        return _in_named(grid, axes, known_atlas(request.atlas), request)
    return _in_any(grid, axes, request)


def _at_coordinates(
    grid: Grid, axes: tuple[int, ...], table: CoordinateTable, file: str, scan: str
) -> ColumnsFound:
    """Place columns at the user's coordinates: by name where both have names, else by number, or in order."""
    title = f"coordinates from {file}"
    failure: AtlasError | None = None
    for axis in axes:
        names = names_along(grid, axis)
        by_number = table.numbers is not None and numbers_in(names) is not None if names else False
        if not table.labelled or not names or not (has_words(grid, axis) or by_number):
            continue
        if has_words(grid, axis) and numbers_in(table.names) is not None:
            continue  # words here, numbers there: order decides
        try:
            rows, by = find_rows(names, table, AXIS_WORDS[axis], file)
        except AtlasError as error:
            failure = failure or (error if has_words(grid, axis) else None)
            continue
        order = np.sort(rows)
        made = from_coordinates(None, tuple(table.names[i] for i in order), table.xyz[order])
        return ColumnsFound(axis, np.searchsorted(order, rows), made, title, by)
    if failure is not None:
        raise failure
    shape = grid.values.shape
    fitting = [a for a in axes if shape[a] == len(table.names)]
    if not fitting:
        raise AtlasError(
            f"{scan} has {shape[0]} rows and {shape[1]} columns, but there are {len(table.names)} "
            "coordinates",
            "give one coordinate per parcel, in the order of the columns",
        )
    axis = fitting[0]
    notices = [
        "The coordinates were taken in the order of the parcels, since names do not tell which is which."
    ]
    if len(fitting) > 1 and grid.column_names is None:
        notices.append("The table is square; its columns were taken as parcels.")
    names = table.names if table.labelled or not has_words(grid, axis) else names_along(grid, axis)
    made = from_coordinates(None, names, table.xyz)
    return ColumnsFound(axis, np.arange(len(names)), made, title, "order", notices=tuple(notices))


def _in_label_volume(grid: Grid, axes: tuple[int, ...], request: ReadRequest) -> ColumnsFound:
    """Place columns at the labels of a volume of the user's."""
    from brainlm_core.scans.volume_atlas import load_volume_atlas

    atlas = load_volume_atlas(request.atlas, lookup=request.labels)
    parcels = atlas.parcellation
    numbers = numbers_in(parcels.names)
    table = CoordinateTable(parcels.xyz, parcels.names, True, numbers)
    found = _at_coordinates(grid, axes, table, atlas.title, request.source.name)
    return ColumnsFound(
        found.axis, found.rows, found.parcellation, atlas.title, found.by, notices=found.notices
    )


def _in_named(grid: Grid, axes: tuple[int, ...], known: KnownAtlas, request: ReadRequest) -> ColumnsFound:
    """Place columns in the parcellation that the user names; naming it allows to fetch it."""
    from brainlm_core.scans.atlases.places import fetch_atlas

    fetch_atlas(known, request.progress)
    shape, name = grid.values.shape, request.source.name
    unknown: UnknownNames | None = None
    for axis in axes:
        if has_words(grid, axis):
            found = match_names(names_along(grid, axis), [known])
            if isinstance(found, NameMatch):
                return _of_names(axis, found)
            if unknown is None or found.n_found > unknown.n_found:
                unknown = found
    if unknown is not None and unknown.n_found >= 3:
        raise names_differ(unknown, known, name)
    for axis in axes:
        rows, notices = _by_number(names_along(grid, axis), shape[axis], known, certain=True)
        if rows is not None:
            return _of_rows(axis, rows, known, "numbers" if notices is None else "order", notices or ())
    raise AtlasError(
        f"{name} has {shape[0]} × {shape[1]} values, but {known.title} has {known.n_parcels} parcels",
        "choose another parcellation or give coordinates (--coordinates)",
    )


def _of_names(axis: int, found: NameMatch) -> ColumnsFound:
    atlas = found.atlas
    rows = column_rows(atlas.key)[found.rows]
    made = atlas_parcellation(atlas.key)
    notices = []
    if found.older_names:
        notices.append(
            f"The names are those of {atlas.title} before September 2019; they were matched as such."
        )
    if len(rows) < 0.5 * atlas.n_parcels:
        order = np.sort(rows)
        made = made.subset(order, f"{atlas.title} ({len(order)} of {made.n_parcels})")
        rows = np.searchsorted(order, rows)
    if atlas.key.startswith("4s-"):
        notices.append("The 56 deep parcels of 4S are drawn near their structure, not at their own centre.")
    return ColumnsFound(axis, rows, made, atlas.title, "names", found.older_names, tuple(notices))


def _of_rows(
    axis: int, rows: NDArray[np.intp], known: KnownAtlas, by: str, notices: tuple[str, ...]
) -> ColumnsFound:
    placed = column_rows(known.key)[rows]
    return ColumnsFound(axis, placed, atlas_parcellation(known.key), known.title, by, notices=notices)


def _by_number(
    names: Sequence[str], size: int, known: KnownAtlas, *, certain: bool
) -> tuple[NDArray[np.intp] | None, tuple[str, ...] | None]:
    """Place columns by their numbers, or in order when there are as many as parcels.

    Returns
    -------
    rows : ndarray or None
        None when they do not fit.
    notices : tuple of str or None
        None when numbers decided.
    """
    n = known.n_parcels
    numbers = numbers_in(names) if names else None
    if numbers is None or len(set(numbers)) != len(numbers):
        return (np.arange(n, dtype=np.intp), ()) if size == n else (None, None)
    found = np.array(numbers, dtype=np.intp)
    if size == n and set(numbers) in (set(range(1, n + 1)), set(range(n))):
        return found - found.min(), None
    if size == n and certain and bool((np.diff(found) > 0).all()):
        return np.arange(n, dtype=np.intp), (
            f"The header numbers the parcels from {found[0]} to {found[-1]} with gaps; they were taken in "
            "order.",
        )
    if certain and 0.5 * n <= size < n and found.min() >= 1 and found.max() <= n:
        return found - 1, None
    return None, None


def _in_any(grid: Grid, axes: tuple[int, ...], request: ReadRequest) -> ColumnsFound:
    name = request.source.name
    near: UnknownNames | None = None
    for axis in axes:
        if not has_words(grid, axis):
            continue
        found = match_names(names_along(grid, axis))
        if isinstance(found, NameMatch):
            if is_here(found.atlas):
                return _of_names(axis, found)
            if grid.column_xyz is None:
                raise positions_missing(found.atlas, name)
        elif found.atlas is not None and (near is None or found.n_found > near.n_found):
            near = found
    if grid.column_xyz is not None and 1 in axes:
        return _at_own_positions(grid, grid.column_xyz, name)
    if near is not None:
        raise names_differ(near, None, name)
    if any(has_words(grid, a) for a in axes if a == 1 or has_words(grid, 0)) and not _only_rows_named(
        grid, axes
    ):
        raise names_unknown(grid, name)
    return _unnamed(grid, axes, request)


def _at_own_positions(grid: Grid, xyz: NDArray[np.float64], name: str) -> ColumnsFound:
    """Place columns at the positions that the file states."""
    if not np.isfinite(xyz).all() or np.abs(xyz).max() > MAX_HEAD_MM or len(np.unique(xyz, axis=0)) < 2:
        raise AtlasError(
            f"{name} states positions of its parcels that lie in no head",
            "give the coordinates of its parcels (--coordinates CSV)",
        )
    names = names_along(grid, 1) or tuple(str(i + 1) for i in range(len(xyz)))
    made = from_coordinates(None, names, xyz.astype(np.float32))
    said = "The parcels were placed where the file says that they are (vertices, or mm taken as MNI)."
    return ColumnsFound(1, np.arange(len(xyz)), made, "positions in the file", "order", notices=(said,))


def _only_rows_named(grid: Grid, axes: tuple[int, ...]) -> bool:
    """Whether words stand beside the rows only, as names of volumes do (``vol0``, ``rest.nii[3]``)."""
    return not has_words(grid, 1) and 1 in axes


def _unnamed(grid: Grid, axes: tuple[int, ...], request: ReadRequest) -> ColumnsFound:
    """Recognise numbered or unlabelled columns by the file name, else by how many they are."""
    shape, name = grid.values.shape, request.source.name
    hinted = (known_atlas(grid.atlas),) if grid.atlas else atlases_in_file_name(name)
    for candidates, certain in ((hinted, True), (tuple(known_atlases().values()), False)):
        fits: list[_Fit] = []
        for atlas in candidates:
            if not certain and atlas.n_parcels < MIN_COUNT:
                continue
            for axis in axes:
                rows, notices = _by_number(names_along(grid, axis), shape[axis], atlas, certain=certain)
                if rows is not None:
                    fits.append((axis, atlas, rows, notices))
        if fits:
            return _the_one(grid, fits, request, certain)
    raise nothing_fits(grid, axes, name)


def _the_one(grid: Grid, fits: list[_Fit], request: ReadRequest, certain: bool) -> ColumnsFound:
    name = request.source.name
    leaning = _lean(grid.values)
    if len({axis for axis, *_ in fits}) > 1:
        axis = 1 if leaning > _CLEAR else 0 if leaning < -_CLEAR else _by_convention(fits, grid)
        if axis is None:
            raise which_axis(grid, name)
        fits = [fit for fit in fits if fit[0] == axis]
    atlases = {atlas.key: atlas for _, atlas, *_ in fits}
    if len(atlases) > 1:
        raise which_atlas(list(atlases.values()), grid.values.shape[fits[0][0]], fits[0][0], name)
    axis, atlas, rows, notices = fits[0]
    if not is_here(atlas):
        raise positions_missing(atlas, name, certain=certain)
    if axis == 0 and not certain and leaning > _CLEAR:
        raise which_axis(grid, name)
    said = list(notices or ())
    how = "The file name says so" if certain and not grid.atlas else "Their number says so"
    if atlas.key != "a424":
        said.append(f"The {grid.values.shape[axis]} {AXIS_WORDS[axis]} were taken as {atlas.title}. {how}.")
    return _of_rows(axis, rows, atlas, "numbers" if notices is None else "order", tuple(said))


def _by_convention(fits: list[_Fit], grid: Grid) -> int | None:
    """Return the axis of 424 columns, which no other parcellation has and this program writes; else None."""
    n_rows, n_columns = grid.values.shape
    own = any(axis == 1 and atlas.key == "a424" for axis, atlas, *_ in fits)
    return 1 if own and n_columns != n_rows and n_rows != 360 else None


def _lean(values: NDArray[np.float64]) -> float:
    """Return by how much neighbouring rows are more alike than neighbouring columns.

    Difference of the lag-1 autocorrelations along both axes after row and column means were taken off. In 145
    ABIDE, 15 HCP and 40 task recordings neighbouring volumes were always the more alike, by .02 to .6, and by
    more than .1 in 19 of 20; noise has 0.
    """
    part = values[:2000, :2000]
    finite = np.isfinite(part)
    if not finite.any():
        return 0.0
    part = part / max(float(np.abs(part[finite]).max()), 1e-300)  # of any size, squared below
    x = np.where(finite, part, part[finite].mean())
    x = x - x.mean(axis=0) - x.mean(axis=1, keepdims=True) + x.mean()
    total = float((x * x).sum())
    if not 0 < total < np.inf:
        return 0.0
    return float((x[1:] * x[:-1]).sum() - (x[:, 1:] * x[:, :-1]).sum()) / total
