"""MATLAB files of version 5, element by element: what a variable claims is judged before it is unpacked.

The format is described in MathWorks, *MAT-File Format* (R2024b), "Level 5 MAT-Files". SciPy decodes the
values; it is handed a file in memory that holds only the variables that were asked for, unpacked and checked.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.limits import check_values

#: Most variables of one file, most elements inside one variable, deepest cell in a cell.
MAX_VARIABLES, MAX_ELEMENTS, MAX_DEPTH = 1000, 200_000, 8
_HEADER_BYTES, _HEAD_BYTES = 128, 4096
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8",
    9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64",
    16: "function", 17: "opaque",
}  # fmt: skip
_NUMERIC = range(6, 16)


@dataclass(frozen=True)
class MatVariable:
    """One variable as its header describes it; nothing of it is unpacked yet.

    Parameters
    ----------
    name : str
    kind : str
        MATLAB class: ``"double"``, ``"int16"``, ``"cell"``, ``"struct"``, …
    shape : tuple of int
    stored : int
        Bytes in the file.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    stored: int
    _offset: int
    _compressed: bool

    @property
    def is_numeric(self) -> bool:
        """Whether it is a full array of numbers."""
        return self.kind in {_CLASSES[k] for k in _NUMERIC}


class _Damage(ValueError):
    """The bytes are no elements; the door to this module says it in a sentence."""


def list_variables(path: Path, name: str) -> tuple[MatVariable, ...]:
    """Return what a file holds, from the first bytes of every variable.

    Raises
    ------
    ScanError
        If the file is damaged or holds more than :data:`MAX_VARIABLES`.
    """
    found: list[MatVariable] = []
    try:
        with path.open("rb") as stream:
            order = _byte_order(stream.read(_HEADER_BYTES))
            size = path.stat().st_size
            for offset, kind, n_bytes in _top_elements(stream, order, size):
                variable = _describe(stream, order, offset, kind, n_bytes)
                if variable is not None:
                    found.append(variable)
                if len(found) > MAX_VARIABLES:
                    raise ScanError(
                        f"{name} holds more than {MAX_VARIABLES} variables", "keep only the signal"
                    )
    except (_Damage, zlib.error, struct.error, OSError) as error:
        raise _damaged(name) from error
    return tuple(found)


def load_variables(path: Path, wanted: Iterable[MatVariable], name: str) -> dict[str, NDArray[Any]]:
    """Decode some variables.

    Raises
    ------
    ScanError
        If one is damaged, nested too deep, or larger than a scan or than its bytes can mean.
    """
    from scipy.io import loadmat

    wanted = tuple(wanted)
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
            order = _byte_order(head)
            plain = io.BytesIO()
            plain.write(head)
            for variable in wanted:
                if variable.is_numeric:
                    check_values(math.prod(variable.shape), variable.stored, f"an array in {name}")
                plain.write(_unpacked(stream, order, variable, name))
        plain.seek(0)
        content = loadmat(plain, mat_dtype=False)
    except ScanError:
        raise
    except Exception as error:  # scipy stumbles over damage in its own code, even over unset variables
        raise _damaged(name) from error
    return {k: np.asarray(v) for k, v in content.items() if not k.startswith("__")}


def _damaged(name: str) -> ScanError:
    return ScanError(f"{name} is a damaged MATLAB file", "save it again in MATLAB with save(..., '-v7')")


def _byte_order(head: bytes) -> str:
    mark = head[126:128]
    if len(head) < _HEADER_BYTES or mark not in (b"IM", b"MI"):
        raise _Damage("no header")
    return "<" if mark == b"IM" else ">"


def _top_elements(stream: IO[bytes], order: str, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (offset of the data, type, bytes) of every element of the file."""
    offset = _HEADER_BYTES
    while offset + 8 <= size:
        stream.seek(offset)
        kind, n_bytes = struct.unpack(f"{order}II", stream.read(8))
        if kind not in (_MATRIX, _COMPRESSED) or n_bytes == 0 or offset + 8 + n_bytes > size:
            raise _Damage("no variable")
        yield offset + 8, kind, n_bytes
        offset += 8 + n_bytes


def _describe(stream: IO[bytes], order: str, offset: int, kind: int, n_bytes: int) -> MatVariable | None:
    """Return a variable's description; None for the unnamed one in which MATLAB keeps its objects."""
    stream.seek(offset)
    head = stream.read(min(n_bytes, _HEAD_BYTES))
    if kind == _COMPRESSED:
        head = zlib.decompressobj().decompress(head, _HEAD_BYTES)
        if len(head) < 8 or struct.unpack_from(f"{order}I", head)[0] != _MATRIX:
            raise _Damage("no variable")
        head = head[8:]
    number, shape, text, _ = _matrix_head(head, 0, len(head), order)
    if not text:
        return None
    return MatVariable(text, _CLASSES.get(number, "unknown"), shape, n_bytes, offset, kind == _COMPRESSED)


def _matrix_head(data: bytes, at: int, end: int, order: str) -> tuple[int, tuple[int, ...], str, int]:
    """Return class, shape, name and where the content begins."""
    flags, at = _element(data, at, end, order)
    if len(flags) < 8:
        raise _Damage("no flags")
    number = struct.unpack_from(f"{order}I", flags)[0] & 0xFF
    if number == 17:  # opaque: no dimensions here
        return number, (0,), "", end
    dims, at = _element(data, at, end, order)
    if len(dims) % 4 or not 8 <= len(dims) <= 32 * 4:
        raise _Damage("no dimensions")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
    if min(shape) < 0:
        raise _Damage("negative dimensions")
    text, at = _element(data, at, end, order)
    return number, shape, text.decode("latin-1"), at


def _element(data: bytes, at: int, end: int, order: str) -> tuple[bytes, int]:
    """Return the data of the element at ``at`` and where the next one begins."""
    start, n_bytes, after = _tag(data, at, end, order)
    return data[start : start + n_bytes], after


def _tag(data: bytes, at: int, end: int, order: str) -> tuple[int, int, int]:
    """Return (first byte of the data, bytes, where the next element begins) of a small or a full element."""
    if at + 8 > end:
        raise _Damage("cut short")
    first = struct.unpack_from(f"{order}I", data, at)[0]
    if first >> 16:  # four bytes or fewer stand in the tag itself
        n_bytes = first >> 16
        if n_bytes > 4:
            raise _Damage("a small element of more than 4 bytes")
        return at + 4, n_bytes, at + 8
    n_bytes = struct.unpack_from(f"{order}I", data, at + 4)[0]
    if at + 8 + n_bytes > end:
        raise _Damage("an element longer than what holds it")
    pad = 0 if first == _COMPRESSED else -n_bytes % 8
    return at + 8, n_bytes, min(at + 8 + n_bytes + pad, end)


def _unpacked(stream: IO[bytes], order: str, variable: MatVariable, name: str) -> bytes:
    """Return one variable as an uncompressed element whose parts lie inside each other."""
    stream.seek(variable._offset)
    packed = stream.read(variable.stored)
    if not variable._compressed:
        whole = struct.pack(f"{order}II", _MATRIX, len(packed)) + packed
    else:
        engine = zlib.decompressobj()
        tag = engine.decompress(packed, 8)
        n_bytes = struct.unpack(f"{order}II", tag)[1]
        check_values(n_bytes // 8, variable.stored, f"an array in {name}")
        body = engine.decompress(engine.unconsumed_tail, n_bytes)
        if len(body) < n_bytes:
            raise _Damage("cut short")
        whole = tag + body
    _check_nesting(whole, order, name)
    return whole


def _check_nesting(data: bytes, order: str, name: str) -> None:
    """Walk through cells and fields: each inside its parent, not too deep, not too many, none lying."""
    waiting = [(8, len(data), 0)]
    seen = 0
    while waiting:
        start, end, depth = waiting.pop()
        seen += 1
        if depth > MAX_DEPTH or seen > MAX_ELEMENTS:
            raise ScanError(f"{name} nests cells in cells without end", "save one array of volumes × parcels")
        if start == end:
            continue  # an empty cell
        number, shape, _, at = _matrix_head(data, start, end, order)
        count = math.prod(shape)
        if number in _NUMERIC or number in (4, 5):
            if number != 5 and count > end - at:
                raise _Damage("fewer values than it claims")
            continue
        if number in (1, 2, 3) and count > (end - at) // 8:
            raise _Damage("fewer cells than it claims")
        while at < end:
            kind = struct.unpack_from(f"{order}I", data, at)[0] if at + 8 <= end else 0
            inner, n_bytes, at = _tag(data, at, end, order)
            if kind == _MATRIX:
                waiting.append((inner, inner + n_bytes, depth + 1))
            elif kind == _COMPRESSED:
                raise _Damage("packed inside a variable")
