"""A user's coordinates: centroid tables as atlases ship them, and a scan's columns found in them by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AtlasError
from brainlm_core.scans.atlases.names import fold_name, numbers_in, strip_common
from brainlm_core.scans.named_tables import read_named_table

_FIX = "give a CSV with the columns x, y, z in mm (MNI) and one row per parcel"
#: Words around x, y, z that say no more than that these are positions.
_AROUND = re.compile(
    r"mni152|mni|mm|coordinates?|coords?|coord|centroids?|cent(?:er|re)s?|com|cog|means?|pos(?:ition)?|roi|peak|ras"
)
_LABELS = (
    *("roiname", "labelname", "regionname", "parcelname", "nodename", "fullname", "name", "names", "label"),
    *(
        "labels",
        "region",
        "regions",
        "parcel",
        "roi",
        "rois",
        "area",
        "structure",
        "node",
        "roilabel",
        "index",
    ),
    *("idx", "id", "number", "no", "value", "key", "parcelid", "labelid", "roiid", "regionid", "roinumber"),
)
_SIDES = ("hemisphere", "hemi", "side", "hem", "lr")


@dataclass(frozen=True)
class CoordinateTable:
    """A user's coordinates: one row per parcel.

    Parameters
    ----------
    xyz : ndarray (n, 3), float32
        Position in mm, MNI152.
    names : tuple of str
        Labels; ``"1"``, ``"2"``, … when the file has none.
    labelled : bool
        Whether the labels stand in the file.
    numbers : tuple of int or None
        Numbers of the parcels, where the file has such a column beside or instead of the names.
    """

    xyz: NDArray[np.float32]
    names: tuple[str, ...]
    labelled: bool = False
    numbers: tuple[int, ...] | None = None


def read_coordinates(path: str | Path) -> CoordinateTable:
    """Read the coordinates of parcels as atlases ship them.

    Columns ``x, y, z``, also as ``x.mni``, ``mni_x``, ``x_mm`` or ``R, A, S``; any delimiter, decimal points
    or commas; a column of names or numbers if there is one. Without a header: three numbers a row, or a label
    and three numbers.

    Raises
    ------
    AtlasError
        If the file cannot be read or has no such columns.
    """
    path = Path(path)
    frame = read_named_table(path, error=AtlasError)
    axes = _axes(list(frame.columns))
    if axes is None and all(isinstance(c, int) for c in frame.columns) and frame.shape[1] in (3, 4):
        axes = tuple(frame.columns[-3:])
        frame = frame.rename(columns={0: "label"}) if frame.shape[1] == 4 else frame
    if axes is None and frame.shape[1] == 4 and _numeric(frame.iloc[:, 1:]):
        # A first row of a name and three numbers was taken for a header.
        first = pd.DataFrame([list(frame.columns)])
        frame = pd.concat([first, frame.set_axis(range(4), axis=1)], ignore_index=True)
        frame, axes = frame.rename(columns={0: "label"}), (1, 2, 3)
    if axes is None:
        raise AtlasError(f"the coordinates file {path.name} has no columns x, y, z", _FIX)
    try:
        xyz = frame[list(axes)].apply(pd.to_numeric).to_numpy(np.float32)
    except (ValueError, TypeError) as error:
        raise AtlasError(f"the coordinates in {path.name} are not all numbers", _FIX) from error
    if not len(xyz):
        raise AtlasError(f"the coordinates file {path.name} has no rows", _FIX)
    return _labelled(frame, xyz)


def _numeric(frame: pd.DataFrame) -> bool:
    try:
        frame.apply(pd.to_numeric)
        return bool(all(float(c) is not None for c in frame.columns))
    except (ValueError, TypeError):
        return False


def _axes(columns: Sequence[object]) -> tuple[object, ...] | None:
    """Return the columns that hold x, y, z: those called so, of several sets the one that says MNI."""
    found: dict[str, list[object]] = {a: [] for a in "xyz"}
    bare: dict[str, object] = {}
    for column in columns:
        text = re.sub(r"[^a-z0-9]", "", str(column).lower())
        bare.setdefault(text, column)
        core = _AROUND.sub("", text)
        if core in found:
            found[core].append(column)
    if all(found.values()):
        for certain in (lambda c: "mni" in str(c).lower(), lambda _c: True):
            sets = {a: [c for c in found[a] if certain(c)] for a in "xyz"}
            if all(sets.values()):
                return tuple(sets[a][0] for a in "xyz")
    for names in (("r", "a", "s"), ("coordr", "coorda", "coords")):
        if all(n in bare for n in names):
            return tuple(bare[n] for n in names)
    return None


def _labelled(frame: pd.DataFrame, xyz: NDArray[np.float32]) -> CoordinateTable:
    plain = {re.sub(r"[^a-z0-9]", "", str(c).lower()): c for c in reversed(list(frame.columns))}
    labels = [plain[k] for k in _LABELS if k in plain]
    words = [c for c in labels if not pd.api.types.is_numeric_dtype(frame[c])]
    counts = [c for c in labels if pd.api.types.is_numeric_dtype(frame[c])]
    numbers = None
    for column in counts:
        values = frame[column].to_numpy(float)
        if (
            np.isfinite(values).all()
            and (values == np.rint(values)).all()
            and len(set(values)) == len(values)
        ):
            numbers = tuple(int(v) for v in values)
            break
    if words:
        names = [str(v).strip() for v in frame[words[0]].fillna("")]
        side = next((plain[k] for k in _SIDES if k in plain), None)
        if len(set(names)) < len(names) and side is not None:
            names = [f"{s}_{n}" for s, n in zip(frame[side].fillna(""), names, strict=True)]
        return CoordinateTable(xyz, tuple(names), True, numbers)
    if numbers is not None:
        return CoordinateTable(xyz, tuple(map(str, numbers)), True, numbers)
    return CoordinateTable(xyz, tuple(str(i) for i in range(1, len(xyz) + 1)))


def find_rows(
    names: Sequence[str], table: CoordinateTable, what: str, file: str
) -> tuple[NDArray[np.intp], str]:
    """Return the row of the coordinates that each column of a scan has, and by what it was found.

    Names are matched one to one however they are spelled, numbers by number.

    Parameters
    ----------
    names : sequence of str, length n
        Of the scan's columns; empty when there are none.
    table : CoordinateTable
    what : str
        "columns" or "rows", for the sentence.
    file : str
        Name of the coordinates file.

    Returns
    -------
    rows : ndarray (n,), intp
    by : {"names", "numbers"}

    Raises
    ------
    AtlasError
        If some names have no coordinates, or two have the same.
    """
    counted = numbers_in(names)
    if counted is not None:
        known = {n: i for i, n in enumerate(table.numbers or ())}
        if len(known) and all(n in known for n in counted) and len(set(counted)) == len(counted):
            return np.array([known[n] for n in counted], dtype=np.intp), "numbers"
    best: list[str] = list(names)
    for text, own in ((list(names), list(table.names)), (strip_common(names), strip_common(table.names))):
        for glued in (False, True):
            place: dict[str, int] = {}
            for i, name in enumerate(own):
                place.setdefault(fold_name(name, glued=glued).key, i)
            keys = [fold_name(n, glued=glued).key for n in text]
            missing = [n for n, k in zip(names, keys, strict=True) if k not in place]
            if not missing and len(set(keys)) == len(keys) and len(place) == len(own):
                return np.array([place[k] for k in keys], dtype=np.intp), "names"
            if len(missing) < len(best):
                best = missing or best[:1]
    raise AtlasError(
        f"the names of {len(best)} of {len(names)} {what} are not in {file} (first: {', '.join(best[:3])}; "
        f"there: {', '.join(table.names[:2])})",
        "give coordinates with the same names, or without names in the order of the columns",
    )
