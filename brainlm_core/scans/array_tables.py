"""Arrays: .npy, .npz (one array, a named one, or a pack of runs) and MATLAB .mat (version 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.errors import DAMAGED_ARRAYS, ScanError
from brainlm_core.recording import Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import MAX_VALUES, check_zip, in_words, read_npy_header
from brainlm_core.scans.source import how_to_choose

#: Names that say "this is the signal" when a file holds several arrays.
_SIGNAL_NAMES = ("signals", "signal", "data", "timeseries", "time_series", "ts", "bold", "roi", "rois")
_TR_NAMES = ("tr_s", "tr", "t_r", "repetitiontime", "repetition_time")


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
    count = int(np.prod([int(n) for n in shape], dtype=object))
    if count > MAX_VALUES:
        raise ScanError(
            f"{name} claims {in_words(count)} values, which no table of signals has", "give one run"
        )
    if count * dtype.itemsize > available:
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
        with np.load(path, allow_pickle=False) as store:
            arrays = {key: store[key] for key in store.files}
    except DAMAGED_ARRAYS as error:
        raise ScanError(f"{name} is a damaged .npz file", "save it again") from error
    return _choose(arrays, name, row)


def read_mat(path: Path, name: str) -> Grid:
    """Read a MATLAB file of version 5 or 4 (not 7.3, which is HDF5).

    Raises
    ------
    ScanError
        If it is damaged or it is unclear which variable is meant.
    """
    from scipy.io import loadmat, whosmat

    try:
        with path.open("rb") as stream:
            listed = whosmat(stream)
        _check_variables(listed, name)
        wanted = [
            n for n, shape, kind in listed if kind not in ("cell", "struct", "char", "object", "function")
        ]
        with path.open("rb") as stream:
            content = loadmat(stream, variable_names=wanted, mat_dtype=False)
    except ScanError:
        raise
    except Exception as error:  # scipy stumbles over damage in its own code, even over unset variables
        raise ScanError(
            f"{name} is a damaged MATLAB file", "save it again in MATLAB with save(..., '-v7')"
        ) from error
    arrays = {k: np.asarray(v) for k, v in content.items() if not k.startswith("__")}
    return _choose(arrays, name)


def _check_variables(listed: list[tuple[str, tuple[int, ...], str]], name: str) -> None:
    for _, shape, _ in listed:
        count = int(np.prod([int(n) for n in shape], dtype=object))
        if count > MAX_VALUES:
            raise ScanError(
                f"an array in {name} claims {in_words(count)} values, which no table of signals has",
                "give one run",
            )


def _choose(arrays: Mapping[str, NDArray[Any]], name: str, row: int | None = None) -> Grid:
    """Pick the signal among the arrays of a file, and the repetition time if one is there."""
    tr_s = next(
        (
            float(np.asarray(v).reshape(-1)[0])
            for k, v in arrays.items()
            if k.lower() in _TR_NAMES and np.asarray(v).size == 1 and np.issubdtype(v.dtype, np.number)
        ),
        None,
    )
    matrices = {
        k: v
        for k, v in arrays.items()
        if np.issubdtype(v.dtype, np.number) and np.squeeze(v).ndim == 2 and min(np.squeeze(v).shape) > 1
    }
    if not matrices:
        raise ScanError(f"{name} holds no matrix of numbers", "save one array of volumes × parcels")
    named = [k for k in matrices if k.lower() in _SIGNAL_NAMES]
    chosen = named[0] if named else next(iter(matrices))
    if not named and len(matrices) > 1:
        raise ScanError(
            f"{name} holds {len(matrices)} matrices, none of them called like a signal",
            'keep only the signal, or call it "signals"',
        )
    others = len(matrices) > 1
    # A name of the file's own may be a person's: only those of our list are repeated.
    shown = chosen.lower() if named else "the only matrix"
    note = (f"Of the arrays in the file, {shown!r} was read.",) if others else ()
    values = _run_of(_matrix(matrices[chosen], name), arrays.get("offsets"), row, name)
    return Grid(values, tr_s=tr_s, steps=(Step("choose array", {"name": shown}),), notices=note)


def _run_of(
    values: NDArray[np.float64], offsets: NDArray[Any] | None, row: int | None, name: str
) -> NDArray[np.float64]:
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
