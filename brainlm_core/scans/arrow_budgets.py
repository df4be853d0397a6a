"""What a Parquet or Arrow file unpacks to, summed from its page and message headers before any is read.

The library claims memory for whatever a header says. A run of zeros in a dictionary, a page packed with zstd
or a lying count make gigabytes of a few hundred bytes; here the headers that decide are read first. The
formats are described in the Apache Parquet specification (``parquet.thrift``, Thrift compact protocol) and in
that of the Arrow columnar format (``Message.fbs``, FlatBuffers).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Any

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.limits import FREE_BYTES, UNPACKED_PER_BYTE

#: Longest description of a file (schema, row groups), in bytes; most columns; most pages or messages.
MAX_METADATA_BYTES, MAX_COLUMNS, MAX_BLOCKS = 4 << 20, 10_000, 200_000
_PAGE_HEADER_BYTES, _MAX_THRIFT_DEPTH, _MAX_THRIFT_FIELDS = 1 << 16, 8, 1000
_OLD_FIX = "write it again with Arrow 1.0 or later"


class Budget:
    """Bytes that a file may still unpack to; a bomb ends it.

    Parameters
    ----------
    stored : int
        Bytes as stored.
    name : str
        Display name.
    """

    def __init__(self, stored: int, name: str) -> None:
        self.left, self.stored, self.name = FREE_BYTES + UNPACKED_PER_BYTE * stored, stored, name

    def take(self, n_bytes: int) -> None:
        """Count bytes that will be claimed.

        Raises
        ------
        ScanError
            When there are more than such a file can mean.
        """
        if n_bytes < 0:
            raise ValueError("a negative count")
        self.left -= n_bytes
        if self.left < 0:
            raise ScanError(
                f"{self.name} would unpack from {self.stored / 1e6:.3g} MB to more than "
                f"{(FREE_BYTES + UNPACKED_PER_BYTE * self.stored) / 1e6:.0f} MB, as no scan does",
                "check where the file comes from",
            )


def check_footer(path: Path, name: str) -> None:
    """Refuse a Parquet file whose description alone would fill the memory.

    Raises
    ------
    ScanError
        If it is longer than :data:`MAX_METADATA_BYTES`.
    ValueError
        If the file is cut short.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(size - 8, 0))
        tail = stream.read(8)
    if len(tail) < 8 or tail[4:] != b"PAR1" or int.from_bytes(tail[:4], "little") > size:
        raise ValueError("no footer")
    if int.from_bytes(tail[:4], "little") > MAX_METADATA_BYTES:
        raise ScanError(f"{name} describes more columns or groups than any recording has", "keep one column")


def check_chunk(path: Path, chunk: Any, name: str) -> None:
    """Sum up the pages of one column of one row group.

    Parameters
    ----------
    path : Path
        The file.
    chunk : pyarrow.parquet.ColumnChunkMetaData
        What the file's description says of the column.
    name : str
        Display name.

    Raises
    ------
    ScanError
        If it would unpack to more than its bytes can mean.
    ValueError
        If the pages are damaged.
    """
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        starts.append(chunk.dictionary_page_offset)
    at, stored = min(starts), chunk.total_compressed_size
    end = at + stored
    if at < 4 or stored < 0 or end > path.stat().st_size:
        raise ValueError("a column outside the file")
    values, pages = Budget(stored, name), Budget(stored, name)
    values.take(8 * chunk.num_values)
    seen = n_pages = 0
    with path.open("rb") as stream:
        while at < end and seen < chunk.num_values:
            n_pages += 1
            if n_pages > MAX_BLOCKS:
                raise ScanError(f"{name} is cut into more pages than any recording needs", "write it again")
            unpacked, packed, n_values, is_data, length = _page(stream, at, end)
            pages.take(unpacked)
            if is_data:
                seen += n_values
            Budget(stored, name).take(8 * max(n_values, seen))
            at += length + packed


def _page(stream: IO[bytes], at: int, end: int) -> tuple[int, int, int, bool, int]:
    """Return unpacked bytes, packed bytes, values, whether they are data, and the bytes of the header."""
    stream.seek(at)
    reader = _Thrift(stream.read(min(_PAGE_HEADER_BYTES, end - at)))
    fields = reader.struct()
    unpacked, packed = fields.get(2, -1), fields.get(3, -1)
    about: dict[int, Any] = next((fields[k] for k in (5, 8, 7) if isinstance(fields.get(k), dict)), {})
    n_values = about.get(1, 0)
    if not all(isinstance(n, int) and n >= 0 for n in (unpacked, packed, n_values)):
        raise ValueError("a damaged page header")
    return unpacked, packed, n_values, 5 in fields or 8 in fields, reader.at


class _Thrift:
    """Reads one struct of the compact protocol: whole numbers and structs are kept, all else is skipped."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_THRIFT_DEPTH:
            raise ValueError("nested without end")
        out: dict[int, Any] = {}
        number = 0
        for _ in range(_MAX_THRIFT_FIELDS):
            head = self._byte()
            if head == 0:
                return out
            step = head >> 4
            number = number + step if step else self._signed()
            if number in out:
                raise ValueError("a field twice")
            out[number] = self._value(head & 15, depth)
        raise ValueError("fields without end")

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._unsigned())
        if kind == 12:
            return self.struct(depth + 1)
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 != 15 else self._unsigned()
            if count > len(self.data):
                raise ValueError("a list without end")
            for _ in range(count):
                self._value(head & 15, depth + 1)
            return None
        raise ValueError("an unknown kind of field")

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise ValueError("cut short")
        self.at += 1
        return self.data[self.at - 1]

    def _unsigned(self) -> int:
        out = shift = 0
        while shift < 64:
            byte = self._byte()
            out |= (byte & 127) << shift
            if byte < 128:
                return out
            shift += 7
        raise ValueError("a number without end")

    def _signed(self) -> int:
        zigzag = self._unsigned()
        return (zigzag >> 1) ^ -(zigzag & 1)

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > len(self.data) - self.at:
            raise ValueError("cut short")
        self.at += n_bytes


def check_messages(source: Any, stored: int, name: str) -> int:
    """Sum up the buffers of every message of an Arrow stream.

    Parameters
    ----------
    source : pyarrow.NativeFile
        At the first message.
    stored : int
        Bytes of the file.
    name : str
        Display name.

    Returns
    -------
    int
        Rows of all record batches together.

    Raises
    ------
    ScanError
        If they would unpack to more than their bytes can mean.
    ValueError
        If a message is damaged.
    """
    import pyarrow as pa

    budget, n_rows = Budget(stored, name), 0
    for number, message in enumerate(pa.ipc.MessageReader.open_stream(source)):
        if number > MAX_BLOCKS:
            raise ScanError(f"{name} is cut into more pieces than any recording needs", "write it again")
        if message.metadata.size > MAX_METADATA_BYTES:
            raise ScanError(
                f"{name} describes more columns or groups than any recording has", "keep one column"
            )
        table = _Table(message.metadata.to_pybytes()).child(0)
        kind, header = table.number(1, "B"), table.table(2)
        if kind == 2 and header is not None:  # a dictionary: its batch lies inside
            header = header.table(1)
        if kind not in (2, 3) or header is None:
            continue
        if table.number(0, "h") != 4 and table.has(4):
            raise ScanError(f"{name} is packed in a way that only Arrow 0.17 used", _OLD_FIX)
        if kind == 3:
            n_rows += header.number(0, "q")
        _take_buffers(header, message.body, budget)
    return n_rows


def _take_buffers(batch: _Table, body: Any, budget: Budget) -> None:
    packed = batch.has(3)
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > (body.size if body is not None else 0):
            raise ValueError("a buffer outside its message")
        claim = length
        if packed and length >= 8:
            claim = struct.unpack("<q", body.slice(offset, 8).to_pybytes())[0]
            claim = length if claim == -1 else claim
        budget.take(claim)


class _Table:
    """A FlatBuffers table; every place is checked by :mod:`struct`."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def child(self, at: int) -> _Table:
        """Return the table to which the offset at a place leads."""
        place = at + struct.unpack_from("<I", self.data, at)[0]
        if place >= len(self.data):
            raise ValueError("a place outside the message")
        return _Table(self.data, place)

    def _place(self, slot: int) -> int | None:
        vtable = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        if not 0 <= vtable < len(self.data):
            raise ValueError("a place outside the message")
        if 4 + 2 * slot >= struct.unpack_from("<H", self.data, vtable)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * slot)[0]
        return self.at + offset if offset else None

    def has(self, slot: int) -> bool:
        return self._place(slot) is not None

    def number(self, slot: int, kind: str) -> int:
        place = self._place(slot)
        return 0 if place is None else int(struct.unpack_from(f"<{kind}", self.data, place)[0])

    def table(self, slot: int) -> _Table | None:
        place = self._place(slot)
        return None if place is None else self.child(place)

    def pairs(self, slot: int) -> list[tuple[int, int]]:
        """Return a vector of structs of two 64-bit numbers."""
        place = self._place(slot)
        if place is None:
            return []
        vector = self.child(place).at
        count = struct.unpack_from("<I", self.data, vector)[0]
        if 16 * count > len(self.data) - vector:
            raise ValueError("a vector longer than the message")
        numbers = struct.unpack_from(f"<{2 * count}q", self.data, vector + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))
