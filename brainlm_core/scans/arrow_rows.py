"""Parquet and Arrow tables as in the published data set: one recording a row, in a nested column."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import DAMAGED_ARRAYS, ScanError
from brainlm_core.base.recording import Step
from brainlm_core.scans.arrow_budgets import (
    MAX_COLUMNS,
    MAX_METADATA_BYTES,
    check_chunk,
    check_footer,
    check_messages,
)
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import check_values
from brainlm_core.scans.source import how_to_choose

#: Columns of the published data set, the least processed first.
_PREFERRED = ("Raw_Recording", "signals", "recording", "timeseries")
_FIX = "give a row with one nested list of volumes × parcels"


def read_arrow(path: Path, name: str, row: int | None = None) -> Grid:
    """Read one row of a Parquet, Feather or Arrow stream file.

    Names of people and files in other columns are not kept, nor is the name of a column that is none of
    :data:`_PREFERRED`.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Display name.
    row : int, optional
        Which recording, from 0; needed when there are several.

    Raises
    ------
    ScanError
        If the file is damaged, has no nested column of numbers, or several rows and none chosen.
    """
    import pyarrow as pa

    try:
        column, n_rows, value = _pick(path, name, row)
        shown = column if column in _PREFERRED else "of nested lists"
        values = _matrix(value, shown, path.stat().st_size, name)
    except ScanError:
        raise
    except (pa.ArrowException, *DAMAGED_ARRAYS, struct.error) as error:
        raise ScanError(f"{name} is a damaged Parquet or Arrow file", "copy or export it again") from error
    number = 0 if row is None else row
    return Grid(values, steps=(Step("choose row", {"column": shown, "row": number, "of": n_rows}),))


def _matrix(value: Any, column: str, stored: int, name: str) -> NDArray[np.float64]:
    """Return one row's nested list as (volumes, parcels); missing numbers are NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    lines = value.values  # None for a missing row
    kind = None if lines is None else lines.type.value_type
    numbers = kind is not None and any(
        test(kind) for test in (types.is_floating, types.is_integer, types.is_boolean)
    )
    if not numbers:
        raise ScanError(f"the column {column} of {name} is no matrix of numbers", _FIX)
    widths = pc.list_value_length(lines).to_numpy(zero_copy_only=False)
    flat = lines.flatten()
    if lines.null_count or len(widths) < 2 or widths.min() < 2 or widths.min() != widths.max():
        raise ScanError(f"the column {column} of {name} is no matrix of numbers", _FIX)
    check_values(len(flat), stored, f"a row of {name}")
    if not types.is_floating(kind):
        flat = flat.cast(pa.float64())
    with np.errstate(invalid="ignore"):  # any bit pattern may stand in a file
        values = np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float64)
    return values.reshape(len(widths), -1)


def _pick(path: Path, name: str, row: int | None) -> tuple[str, int, Any]:
    import pyarrow as pa

    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic[:4] == b"PAR1":
        return _from_parquet(path, name, row)
    # A file is a stream between a mark and a table of contents; what the table says does not matter then.
    start = 8 if magic == b"ARROW1" else 0
    with pa.memory_map(str(path)) as source:
        source.seek(start)
        n_rows = check_messages(source, path.stat().st_size, name)
        source.seek(start)
        schema = pa.ipc.open_stream(source).schema
        column = _column(schema, name)
        wanted = _row(row, n_rows, name)
        source.seek(start)
        number = schema.names.index(column)
        options = pa.ipc.IpcReadOptions(included_fields=[number], use_threads=False)
        return column, n_rows, _value(pa.ipc.open_stream(source, options=options), column, wanted)


def _from_parquet(path: Path, name: str, row: int | None) -> tuple[str, int, Any]:
    import pyarrow.parquet as pq

    check_footer(path, name)
    file = pq.ParquetFile(
        path,
        pre_buffer=False,
        buffer_size=1 << 20,
        thrift_string_size_limit=MAX_METADATA_BYTES,
        thrift_container_size_limit=MAX_COLUMNS,
    )
    column, n_rows = _column(file.schema_arrow, name), file.metadata.num_rows
    wanted = _row(row, n_rows, name)
    for group in range(file.num_row_groups):
        about = file.metadata.row_group(group)
        if wanted < about.num_rows:
            for chunk in map(about.column, range(about.num_columns)):
                if f"{chunk.path_in_schema}.".startswith(f"{column}."):
                    check_chunk(path, chunk, name)
            batches = file.iter_batches(1, [group], [column], use_threads=False)
            return column, n_rows, _value(batches, column, wanted)
        wanted -= about.num_rows
    raise ScanError(f"{name} holds no rows", _FIX)


def _value(batches: Iterable[Any], column: str, wanted: int) -> Any:
    for batch in batches:
        if wanted < batch.num_rows:
            batch.validate(full=True)  # a wrong offset would end the whole process
            return batch.column(column)[wanted]
        wanted -= batch.num_rows
    raise ValueError("row groups are shorter than they claim")


def _column(schema: Any, name: str) -> str:
    import pyarrow.types as types

    def is_list(kind: Any) -> bool:
        if types.is_fixed_size_list(kind):  # even a missing one takes its whole length
            check_values(kind.list_size, 0, f"a list in {name}")
            return True
        return bool(types.is_list(kind) or types.is_large_list(kind))

    if len(schema) > MAX_COLUMNS:
        raise ScanError(f"{name} has {len(schema):,} columns", "keep the one with the recordings")
    nested = [f.name for f in schema if is_list(f.type) and is_list(f.type.value_type)]
    chosen = next((c for c in _PREFERRED if c in nested), None)
    if chosen is not None:
        return chosen
    if len(nested) != 1:
        raise ScanError(
            f"{name} has {len(nested)} columns of nested lists", "keep one, or call it Raw_Recording"
        )
    return str(nested[0])


def _row(row: int | None, n_rows: int, name: str) -> int:
    if n_rows == 0:
        raise ScanError(f"{name} holds no rows", _FIX)
    if row is None and n_rows > 1:
        raise ScanError(f"{name} holds {n_rows} recordings", how_to_choose(name, n_rows))
    if row is not None and not 0 <= row < n_rows:
        raise ScanError(f"{name} has no row {row}", f"choose 0 to {n_rows - 1}")
    return row or 0
