"""Rows of arrays in an ``.npz``, read from disk when they are asked for: a pack need not fit into memory."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.library_warnings import quiet_old_headers

_PIECE = 1 << 20


@dataclass(frozen=True, eq=False)
class _Stored:
    """Where the numbers of one array lie in a file that is open."""

    file: IO[bytes]
    start: int
    shape: tuple[int, int]
    kind: np.dtype[Any]


class RowsOnDisk:
    """Arrays (rows, columns) of an archive side by side, of which some rows at a time are read.

    Uncompressed members are read where they lie; compressed ones are unpacked once, to a temporary file
    without a name that goes with this object. Either way all is read through once, checksums compared.

    Parameters
    ----------
    path : Path
        An ``.npz`` that :func:`brainlm_core.scans.limits.check_zip` has let pass.
    keys : sequence of str
        Its arrays.

    Raises
    ------
    ConfigError
        If an array is no table of numbers, they differ in length, or there is no space to unpack them.
    OSError, ValueError, and what else damaged archives raise
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._lock, self._name = threading.Lock(), path.name
        self._stored: list[_Stored] = []
        weakref.finalize(self, _close, self._stored)
        with zipfile.ZipFile(path) as archive:
            for key in keys:
                self._stored.append(_open(archive, path, f"{key}.npy"))
        rows = {s.shape[0] for s in self._stored}
        if len(rows) != 1:
            raise ConfigError(f"the arrays of {path.name} differ in length", "give arrays (time, parcels)")
        self.shape = (rows.pop(), sum(s.shape[1] for s in self._stored))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Return consecutive rows, (k, columns); ScanError when the file has changed meanwhile."""
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError("rows are read one after the other")
        pieces = [self._read(stored, start, max(start, stop)) for stored in self._stored]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def _read(self, stored: _Stored, start: int, stop: int) -> NDArray[Any]:
        width, size = stored.shape[1], stored.kind.itemsize
        place, length = stored.start + start * width * size, (stop - start) * width * size
        if hasattr(os, "pread"):  # leaves alone where the file stands, which processes that were forked share
            data = os.pread(stored.file.fileno(), length, place)
        else:
            with self._lock:
                stored.file.seek(place)
                data = stored.file.read(length)
        if len(data) != length:
            raise ScanError(f"{self._name} became shorter while it was read", "open it again")
        return np.frombuffer(data, dtype=stored.kind).reshape(stop - start, width)


def _open(archive: zipfile.ZipFile, path: Path, name: str) -> _Stored:
    member = archive.getinfo(name)
    with archive.open(member) as stream:
        shape, fortran, kind = _header(stream)
        header = stream.tell()
        if len(shape) != 2 or kind.kind not in "iufb":
            raise ConfigError(
                f"the array {name.removesuffix('.npy')} of {path.name} is no table of numbers",
                "give arrays (time, parcels)",
            )
        if fortran or member.compress_type != zipfile.ZIP_STORED:
            return _unpacked(archive, member, path, shape, fortran, kind, header)
        while stream.read(_PIECE):  # the checksum is compared at the end
            pass
    file = path.open("rb")
    file.seek(member.header_offset + 26)
    name_length, extra_length = np.frombuffer(file.read(4), dtype="<u2").tolist()
    return _Stored(file, member.header_offset + 30 + name_length + extra_length + header, shape, kind)


def _unpacked(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    path: Path,
    shape: tuple[int, int],
    fortran: bool,
    kind: np.dtype[Any],
    header: int,
) -> _Stored:
    file = tempfile.TemporaryFile(prefix="brainlm-pack-")  # noqa: SIM115 - it lives as long as its rows
    try:
        with archive.open(member) as stream:
            if fortran:  # column after column: turned round in memory, once
                values = npy_format.read_array(stream, allow_pickle=False)
                np.ascontiguousarray(values).tofile(file)
                header = 0
            else:
                while piece := stream.read(_PIECE):
                    file.write(piece)
        file.flush()
    except OSError as error:
        file.close()
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ConfigError(
            f"there is no space to unpack {path.name}",
            "free some in the folder for temporary files, or save the pack with numpy.savez",
        ) from error
    except BaseException:
        file.close()
        raise
    return _Stored(file, header, shape, kind)


def _close(stored: list[_Stored]) -> None:
    for one in stored:
        one.file.close()


def _header(stream: IO[bytes]) -> tuple[Any, bool, np.dtype[Any]]:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with quiet_old_headers():
        shape, fortran, kind = read(stream)
    return shape, fortran, kind
