"""MATLAB 7.3 and other HDF5 files: signals, names and repetition time.

A file of a stranger: no link but to the file's own objects is followed, no data lies outside it, no filter
unpacks but the three that come with HDF5, and every array is judged by what it claims before it is read.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import check_values
from brainlm_core.scans.mat_layouts import Tree, Values, find_signals

#: Deflate, shuffle, Fletcher's checksum.
_FILTERS = {1, 2, 3}
_MAX_OBJECTS, _MAX_DEPTH, _MAX_TEXT = 50_000, 8, 10_000
_FIX = "save it again with save(..., '-v7'), or export .csv or .npy"


def read_hdf5(path: Path, name: str) -> Grid:
    """Read the signals of an HDF5 file.

    Raises
    ------
    ScanError
        If the file is damaged, points outside itself, claims more than a scan has, or holds no signal.
    """
    try:
        with h5py.File(path, "r") as file:
            return find_signals(_Reader(name).group(file, 0), name)
    except ScanError:
        raise
    except Exception as error:  # h5py passes on whatever HDF5 stumbles over, as errors of many kinds
        raise ScanError(f"{name} is a damaged HDF5 file (MATLAB 7.3)", _FIX) from error


class _Reader:
    """The contents of one file as a tree; counts what it opens.

    Parameters
    ----------
    name : str
        Display name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_opened = 0

    def group(self, group: h5py.Group, depth: int) -> dict[str, Tree]:
        """Return the members of a group, but those in which MATLAB keeps the contents of its cells."""
        if depth > _MAX_DEPTH:
            raise ScanError(f"{self.name} nests groups without end", _FIX)
        out: dict[str, Tree] = {}
        for key in group:
            if key.startswith("#"):
                continue
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ScanError(f"{self.name} points to other places or files, which are not opened", _FIX)
            out[key] = self.node(group[key], depth)
        return out

    def node(self, found: Any, depth: int) -> Tree:
        """Return a group or an array as a node of the tree."""
        self.n_opened += 1
        if self.n_opened > _MAX_OBJECTS:
            raise ScanError(f"{self.name} holds more than {_MAX_OBJECTS:,} objects", "keep only the signal")
        if isinstance(found, h5py.Group):
            return self.group(found, depth + 1)
        if not isinstance(found, h5py.Dataset) or "MATLAB_empty" in found.attrs or found.shape is None:
            return None
        self._check(found)
        kind = _text(found.attrs.get("MATLAB_class", b""))
        if h5py.check_ref_dtype(found.dtype) is h5py.Reference:
            if depth >= _MAX_DEPTH:
                raise ScanError(f"{self.name} nests cells without end", _FIX)
            # MATLAB counts down columns, HDF5 along rows of the turned array: the order is the same.
            return [self.node(found.file[ref], depth + 1) if ref else None for ref in found[()].ravel()]
        if kind == "char" or h5py.check_string_dtype(found.dtype) is not None:
            return self._words(found, kind)
        if found.dtype.kind not in "iufb" and found.dtype != np.dtype(bool):
            return None
        turned = bool(kind)
        return Values(found.shape[::-1] if turned else found.shape, lambda: _load(found, turned))

    def _check(self, found: h5py.Dataset) -> None:
        plist = found.id.get_create_plist()
        filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if found.external or found.is_virtual:
            raise ScanError(f"{self.name} keeps its numbers in other files, which are not opened", _FIX)
        if filters - _FILTERS:
            raise ScanError(f"{self.name} is packed by a filter that MATLAB does not use", _FIX)
        stored = found.id.get_storage_size()
        what = f"an array in {self.name}"
        check_values(math.prod(found.shape), stored, what)
        if found.chunks is not None:
            check_values(math.prod(found.chunks), stored, what)

    def _words(self, found: h5py.Dataset, kind: str) -> Tree:
        """Return text: MATLAB's code units, one row of text per column, or strings of HDF5."""
        if math.prod(found.shape) > _MAX_TEXT * 200:
            return None
        values = found[()]
        if kind != "char":
            words = [_text(v) for v in np.ravel(values)]
            return words[0] if found.shape == () else words
        lines = ["".join(map(chr, line)).rstrip() for line in np.atleast_2d(values).T.astype(int)]
        return lines[0] if len(lines) == 1 else lines


def _load(found: h5py.Dataset, turned: bool) -> NDArray[Any]:
    values = np.asarray(found[()])
    return values.T if turned else values


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
