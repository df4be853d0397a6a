"""A person who must be nowhere, and a search that looks into every container."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

NAME, FIRST = "Qxmustermann", "Zyerika"
#: One birthday as headers write it.
DATES = ("19640812", "1964-08-12", "12.08.1964")
PERSON = f"{NAME}^{FIRST} {DATES[0]}"
NOTE = f"{FIRST} {NAME}, born {DATES[1]} ({DATES[2]})"
_MARKS = tuple(m.lower() for m in (NAME, FIRST, *DATES))
_PATTERNS = {
    m: [m.encode(e) for e in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")] for m in _MARKS
}
_DEPTH = 6


def marks_in(thing: Any, depth: int = _DEPTH) -> set[str]:
    """Return the marks in text, bytes of any container, a file, or a folder with the names of its files."""
    if isinstance(thing, Path):
        if thing.is_dir():
            return set().union(*(marks_in(p) | _in_text(p.name) for p in thing.rglob("*") if p.is_file()))
        return marks_in(thing.read_bytes())
    if isinstance(thing, bytes):
        return _in_bytes(thing, depth)
    return _in_text(str(thing))


def _in_text(text: str) -> set[str]:
    return {m for m in _MARKS if m in text.lower()}


def _in_bytes(data: bytes, depth: int) -> set[str]:
    small = data.lower()
    found = {m for m, patterns in _PATTERNS.items() if any(p in small for p in patterns)}
    if depth == 0:
        return found
    for inner in _inside(data):
        found |= _in_bytes(inner, depth - 1)
    return found


def _inside(data: bytes) -> list[bytes]:
    if data[:2] == b"\x1f\x8b":
        return [gzip.decompress(data)]
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [archive.read(name) for name in archive.namelist()]
    if data[:4] == b"PAR1":
        return _parquet(data)
    return []


def _parquet(data: bytes) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    out = [v for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"]
    for name, column in zip(table.column_names, table.columns, strict=True):
        out.append(name.encode())
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            out.append("\n".join(map(str, column.to_pylist())).encode())
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
            out.append("\n".join(f"{v:.0f}" for v in values if np.isfinite(v)).encode())
    return out
