"""Array files that are small on the disk and claim, or unpack to, far more."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import savemat

#: Values of a bomb: 75 MB of float64, more than what a file of no size may claim.
N = 9 << 20


def _rows(n: int = N, fixed: bool = False) -> pa.Table:
    width = n // 32
    flat = pa.array(np.zeros(width * 32))
    if fixed:
        lines: Any = pa.FixedSizeListArray.from_arrays(flat, width)
    else:
        lines = pa.ListArray.from_arrays(np.arange(0, n + 1, width, dtype=np.int32), flat)
    return pa.table({"Raw_Recording": pa.ListArray.from_arrays(np.array([0, 32], np.int32), lines)})


def _parquet(**options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(_rows(), folder / "b.parquet", **options)
        return folder / "b.parquet"

    return make


def _arrow(codec: str, new: Callable[..., Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        table = _rows()
        with new(
            str(folder / "b.arrow"), table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)
        ) as out:
            out.write_table(table)
        return folder / "b.arrow"

    return make


def parquet_page_that_lies(folder: Path) -> Path:
    """The description is modest; the header of the page claims more."""
    pq.write_table(_rows(4096), folder / "b.parquet", compression="zstd", use_dictionary=False)
    raw = bytearray((folder / "b.parquet").read_bytes())
    unpacked = raw.index(b"\x15", 4 + 2)  # field 2 of the page header, after its type
    length = next(k for k in range(unpacked + 1, unpacked + 6) if raw[k] < 128) - unpacked
    raw[unpacked + 1 : unpacked + 1 + length] = b"\xff" * (length - 1) + b"\x7e"
    (folder / "b.parquet").write_bytes(bytes(raw))
    return folder / "b.parquet"


def parquet_of_columns(folder: Path) -> Path:
    """A description of 20,000 columns."""
    pq.write_table(pa.table({f"c{i}": [0.0] for i in range(20_000)}), folder / "b.parquet")
    return folder / "b.parquet"


def _mat(content: Mapping[str, Any], *, packed: bool = True) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        savemat(folder / "b.mat", dict(content), do_compression=packed)
        return folder / "b.mat"

    return make


def _cells(depth: int) -> np.ndarray:
    inner: np.ndarray = np.zeros((2, 2))
    for _ in range(depth):
        outer = np.empty((1, 1), object)
        outer[0, 0] = inner
        inner = outer
    return inner


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def _mat_file(*variables: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(variables)


def _matrix(shape: tuple[int, ...], body: bytes, name: bytes = b"data", n_bytes: int | None = None) -> bytes:
    flags = _element(6, struct.pack("<II", 6, 0))
    dims = _element(5, struct.pack(f"<{len(shape)}i", *shape))
    inner = flags + dims + _element(1, name) + body
    return struct.pack("<II", 14, len(inner) if n_bytes is None else n_bytes) + inner


def _packed(data: bytes) -> bytes:
    packed = zlib.compress(data, 1)
    return struct.pack("<II", 15, len(packed)) + packed


def mat_claim(folder: Path) -> Path:
    """Dimensions of 10^18 values in 100 bytes."""
    (folder / "b.mat").write_bytes(_mat_file(_packed(_matrix((10**9, 10**9), _element(9, bytes(64))))))
    return folder / "b.mat"


def mat_long_element(folder: Path) -> Path:
    """Modest dimensions, but the element says that it is 2 GB long, and unpacks to 80 MB."""
    inner = _matrix((30, 424), b"", n_bytes=2**31 - 8) + struct.pack("<II", 9, 2**31 - 200)
    (folder / "b.mat").write_bytes(_mat_file(_packed(inner + bytes(80_000_000))))
    return folder / "b.mat"


def mat_double_as_bytes(folder: Path) -> Path:
    """Doubles that are stored as one byte each."""
    body = _element(2, bytes(424 * 60_000))
    (folder / "b.mat").write_bytes(_mat_file(_packed(_matrix((60_000, 424), body))))
    return folder / "b.mat"


def mat_big_endian_claim(folder: Path) -> Path:
    """The same in the other byte order, unpacked."""
    inner = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 2**31 - 1, 2**31 - 1)
    inner += struct.pack(">II", 1, 4) + b"data" + bytes(4) + struct.pack(">II", 9, 16) + bytes(16)
    raw = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(inner)) + inner
    (folder / "b.mat").write_bytes(raw)
    return folder / "b.mat"


def _npy(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def _zip(
    names: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, mode: int = 0
) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "b.npz", "w", method) as archive:
            for name, data in names.items():
                about = zipfile.ZipInfo(name)
                about.external_attr, about.compress_type = mode << 16, method
                archive.writestr(about, data)
        return folder / "b.npz"

    return make


def npz_of_zeros(folder: Path) -> Path:
    """A healthy archive whose only fault is that it unpacks a thousandfold."""
    np.savez_compressed(folder / "b.npz", signals=np.zeros((424, N // 424)))
    return folder / "b.npz"


def npz_list_of_names(folder: Path) -> Path:
    """A list of 60,000 members."""
    data = _npy((0, 0))
    with zipfile.ZipFile(folder / "b.npz", "w") as archive:
        for i in range(60_000):
            archive.writestr(zipfile.ZipInfo(f"{i}.npy"), data)
    return folder / "b.npz"


def npz_twice(folder: Path) -> Path:
    """One name for two members: which one is checked, and which one read?"""
    first, second = _npy((30, 424)) + bytes(30 * 424 * 8), _npy((10**6, 10**6))
    with zipfile.ZipFile(folder / "b.npz", "w") as archive:
        archive.writestr("signals.npy", first)
        archive.writestr("signalz.npy", second)
    raw = (folder / "b.npz").read_bytes().replace(b"signalz.npy", b"signals.npy")
    (folder / "b.npz").write_bytes(raw)
    return folder / "b.npz"


def npz_negative(folder: Path) -> Path:
    """Two negative sizes make a positive product."""
    with zipfile.ZipFile(folder / "b.npz", "w") as archive:
        archive.writestr("signals.npy", _npy((-30, -424)) + bytes(30 * 424 * 8))
    return folder / "b.npz"


def npy_negative(folder: Path) -> Path:
    """The same without an archive."""
    (folder / "b.npy").write_bytes(_npy((-30, -424)) + bytes(30 * 424 * 8))
    return folder / "b.npy"


_ARRAY = _npy((30, 424)) + bytes(30 * 424 * 8)
_LINK = 0o120777
#: Every attack, and what its sentence says.
ATTACKS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "parquet dictionary of zeros": (_parquet(compression="none"), "would unpack"),
    "parquet zstd": (_parquet(compression="zstd", use_dictionary=False), "would unpack"),
    "parquet brotli, pages of version 2": (
        _parquet(compression="brotli", use_dictionary=False, data_page_version="2.0"),
        "would unpack",
    ),
    "parquet gzip, one page": (
        _parquet(compression="gzip", use_dictionary=False, data_page_size=1 << 30),
        "would unpack",
    ),
    "parquet page that lies": (parquet_page_that_lies, "damaged|would unpack"),
    "parquet of columns": (parquet_of_columns, "columns|damaged"),
    "arrow zstd": (_arrow("zstd", pa.ipc.new_file), "would unpack"),
    "arrow lz4 stream": (_arrow("lz4", pa.ipc.new_stream), "would unpack"),
    "mat": (_mat({"data": np.zeros((N // 424, 424))}), "as no scan does"),
    "mat of 20": (_mat({f"x{i}": np.zeros((424, 900)) for i in range(20)}), "20 matrices"),
    "mat of 20, one of them named": (
        _mat({"data": np.zeros((424, 21_000), np.uint8)} | {f"x{i}": np.ones((9, 9)) for i in range(20)}),
        "as no scan does",
    ),
    "mat of cells in cells": (_mat({"data": _cells(200)}), "nests cells in cells"),
    "mat of 2000 variables": (_mat({f"x{i}": 1.0 for i in range(2000)}), "more than 1000 variables"),
    "mat claim": (mat_claim, "claims 1e\\+18 values"),
    "mat element without end": (mat_long_element, "claims .* values|damaged"),
    "mat of doubles as bytes": (mat_double_as_bytes, "as no scan does"),
    "mat claim, big-endian": (mat_big_endian_claim, "claims .* values"),
    "npz of zeros": (npz_of_zeros, "would unpack"),
    "npz list of names": (npz_list_of_names, "more than 1000 files"),
    "npz with one name twice": (npz_twice, "a name twice"),
    "npz packed with lzma": (_zip({"signals.npy": _ARRAY}, zipfile.ZIP_LZMA), "numpy does not use"),
    "npz packed with bzip2": (_zip({"signals.npy": _ARRAY}, zipfile.ZIP_BZIP2), "numpy does not use"),
    "npz with a link": (_zip({"signals.npy": b"/etc/passwd"}, mode=_LINK), "a link"),
    "npz of an absolute path": (_zip({"/etc/signals.npy": _ARRAY}), "leads elsewhere"),
    "npz of a path above": (_zip({"../../signals.npy": _ARRAY}), "leads elsewhere"),
    "npz of a path above, Windows": (_zip({"..\\signals.npy": _ARRAY}), "leads elsewhere"),
    "npz in an npz": (_zip({"signals.npz": b"PK\x03\x04"}), "a ZIP archive, not a scan"),
    "npz of negative sizes": (npz_negative, "damaged"),
    "npy of negative sizes": (npy_negative, "cut short|damaged"),
}  # fmt: skip
