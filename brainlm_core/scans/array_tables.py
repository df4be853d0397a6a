"""Arrays: .npy, .npz (one array, a named one, or a pack of runs) and MATLAB .mat of version 5."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import DAMAGED_ARRAYS, ScanError
from brainlm_core.base.library_warnings import quiet_old_headers
from brainlm_core.base.recording import Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import check_values, check_zip, read_npy_header, read_npy_members
from brainlm_core.scans.mat_layouts import (
    SIGNAL_NAMES,
    TR_NAMES,
    Tree,
    Values,
    find_signals,
    plain,
    says_connectivity,
)
from brainlm_core.scans.source import how_to_choose


def read_npy(path: Path, name: str) -> Grid:
    """Read one ``.npy`` array, never a pickle.

    Raises
    ------
    ScanError
        If it holds objects, is no matrix, is cut short, or claims more values than a scan has.
    """
    try:
        with path.open("rb") as stream:
            shape, dtype = read_npy_header(stream)
            _check_header(shape, dtype, path.stat().st_size - stream.tell(), name)
        with quiet_old_headers():
            values = np.load(path, allow_pickle=False)
    except DAMAGED_ARRAYS as error:
        raise ScanError(f"{name} is a damaged .npy file", "save it again with numpy.save") from error
    return Grid(_matrix(values, name))


def _check_header(shape: tuple[int, ...], dtype: np.dtype[Any], available: int, name: str) -> None:
    if dtype.hasobject:
        raise ScanError(
            f"{name} holds Python objects, which could run code and are never opened",
            "save a plain array of numbers",
        )
    count = math.prod(int(n) for n in shape)
    check_values(count, available, name)
    if min(shape, default=0) < 0 or count * dtype.itemsize > available:
        raise ScanError(f"{name} is cut short", "copy or save it again")


def read_npz(path: Path, name: str, row: int | None = None) -> Grid:
    """Read a ``.npz`` with one matrix, a matrix called like a signal, or a pack with ``offsets``.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Display name.
    row : int, optional
        Which run of a pack, from 0.

    Raises
    ------
    ScanError
        If the archive is unsafe, or it is unclear which array or run is meant.
    """
    check_zip(path, name)
    try:
        listed = [_Listed(key, shape, dtype.kind in "iufc") for key, shape, dtype in read_npy_members(path)]
        with quiet_old_headers(), np.load(path, allow_pickle=False) as store:
            return _choose(listed, lambda keys: {k: store[k] for k in keys}, path.stat().st_size, name, row)
    except DAMAGED_ARRAYS as error:
        raise ScanError(f"{name} is a damaged .npz file", "save it again") from error


def read_mat(path: Path, name: str) -> Grid:
    """Read a MATLAB file of version 5: a matrix, a cell of columns, or a structure that holds them.

    Raises
    ------
    ScanError
        If it is damaged or it is unclear which variable is meant.
    """
    from brainlm_core.scans.mat_elements import MatVariable, list_variables, load_variables

    def load(variable: MatVariable) -> NDArray[Any]:
        return load_variables(path, [variable], name)[variable.name]

    tree: dict[str, Tree] = {}
    for variable in list_variables(path, name):
        if variable.is_numeric:
            check_values(math.prod(variable.shape), variable.stored, f"an array in {name}")
            tree[variable.name] = Values(variable.shape, partial(_real, load, variable, name))
        elif variable.kind in ("cell", "struct", "char"):
            tree[variable.name] = _of_scipy(load(variable))
    return find_signals(tree, name)


def _real(load: Callable[[Any], NDArray[Any]], variable: Any, name: str) -> NDArray[Any]:
    values = load(variable)
    if np.iscomplexobj(values):
        raise ScanError(f"{name} holds complex numbers", "save the magnitude")
    return values


def _of_scipy(value: Any) -> Tree:
    """Return what SciPy makes of a MATLAB variable as a tree."""
    values = np.asarray(value)
    if values.dtype.names is not None:
        each: list[Tree] = [
            {str(key): _of_scipy(one[key]) for key in values.dtype.names} for one in values.ravel(order="F")
        ]
        return each[0] if len(each) == 1 else each
    if values.dtype == object:
        return [_of_scipy(v) for v in values.ravel(order="F")]
    if values.dtype.kind in "US":
        words = [str(v).rstrip() for v in values.ravel()]
        return words[0] if len(words) == 1 else words
    return Values(values.shape, lambda: values) if values.dtype.kind in "biuf" else None


@dataclass(frozen=True)
class _Listed:
    """An array that a file says it holds; nothing of it is read yet."""

    name: str
    shape: tuple[int, ...]
    is_numeric: bool

    @property
    def is_matrix(self) -> bool:
        sizes = [n for n in self.shape if n != 1]
        return self.is_numeric and len(sizes) == 2 and min(sizes) > 1


def _choose(
    listed: list[_Listed],
    load: Callable[[list[str]], Mapping[str, NDArray[Any]]],
    stored: int,
    name: str,
    row: int | None = None,
) -> Grid:
    """Pick the signal among the arrays of a file, and the repetition time if one is there; read no other."""
    matrices = [a for a in listed if a.is_matrix]
    if not matrices:
        raise ScanError(f"{name} holds no matrix of numbers", "save one array of volumes × parcels")
    others = len(matrices) > 1
    matrices = [a for a in matrices if not says_connectivity(a.name)] or matrices
    named = [a for a in matrices if plain(a.name) in SIGNAL_NAMES]
    chosen = named[0] if named else matrices[0]
    if not named and len(matrices) > 1:
        raise ScanError(
            f"{name} holds {len(matrices)} matrices, none of them called like a signal",
            'keep only the signal, or call it "signals"',
        )
    times = [a for a in listed if a.is_numeric and math.prod(a.shape) == 1 and plain(a.name) in TR_NAMES]
    offsets = [a for a in listed if a.is_numeric and len(a.shape) == 1 and a.name == "offsets"]
    wanted = [chosen, *times[:1], *offsets]
    for array in wanted:
        check_values(math.prod(array.shape), stored, f"an array in {name}")
    arrays = load([a.name for a in wanted])
    # A name of the file's own may be a person's: only those of our list are repeated.
    shown = chosen.name.lower() if named else "the only matrix"
    note = (f"Of the arrays in the file, {shown!r} was read.",) if others else ()
    values = _matrix(_run_of(arrays[chosen.name], arrays.get("offsets"), row, name), name)
    tr_s = float(arrays[times[0].name].reshape(-1)[0].real) if times else None
    pack = arrays.get("offsets")
    atlas = "a424-cortex" if pack is not None and values.shape[1] == 360 else None  # packs are in A424 order
    steps = (Step("choose array", {"name": shown}),)
    return Grid(values, tr_s=tr_s, steps=steps, notices=note, atlas=atlas)


def _run_of(values: NDArray[Any], offsets: NDArray[Any] | None, row: int | None, name: str) -> NDArray[Any]:
    """Cut one run out of a pack, whose ``offsets`` say where each begins."""
    if offsets is None or offsets.ndim != 1 or len(offsets) < 2 or offsets[-1] != len(values):
        return values
    n_runs = len(offsets) - 1
    if row is None and n_runs > 1:
        raise ScanError(f"{name} is a pack of {n_runs} runs", how_to_choose(name, n_runs))
    if row is not None and not 0 <= row < n_runs:
        raise ScanError(f"{name} has no run {row}", f"choose 0 to {n_runs - 1}")
    return values[int(offsets[row or 0]) : int(offsets[(row or 0) + 1])]


def _matrix(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_):
        raise ScanError(f"{name} does not hold numbers", "save an array of volumes × parcels")
    if np.iscomplexobj(values):
        raise ScanError(f"{name} holds complex numbers", "save the magnitude")
    squeezed = np.squeeze(values)
    if squeezed.ndim != 2:
        raise ScanError(
            f"{name} holds an array with {squeezed.ndim} axes {values.shape}",
            "save one run as a matrix of volumes × parcels",
        )
    return squeezed.astype(np.float64)
