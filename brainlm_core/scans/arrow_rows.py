"""Parquet and Arrow tables as in the published data set: one recording a row, in a nested column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from brainlm_core.errors import ScanError
from brainlm_core.recording import Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import MAX_VALUES
from brainlm_core.scans.source import how_to_choose

#: Columns of the published data set, the least processed first.
_PREFERRED = ("Raw_Recording", "signals", "recording", "timeseries")
_FIX = "give a row with one nested list of volumes × parcels"


def read_arrow(path: Path, name: str, row: int | None = None) -> Grid:
    """Read one row of a Parquet, Feather or Arrow stream file.

    Names of people and files in other columns are not kept.

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
    except ScanError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise ScanError(f"{name} is a damaged Parquet or Arrow file", "copy or export it again") from error
    try:
        values = np.array([np.asarray(v, dtype=np.float64) for v in value], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ScanError(f"the column {column} of {name} is no matrix of numbers", _FIX) from error
    if values.ndim != 2 or min(values.shape) < 2:
        raise ScanError(f"the column {column} of {name} is no matrix", _FIX)
    number = 0 if row is None else row
    return Grid(values, steps=(Step("choose row", {"column": column, "row": number, "of": n_rows}),))


def _pick(path: Path, name: str, row: int | None) -> tuple[str, int, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic[:4] == b"PAR1":
        file = pq.ParquetFile(path)
        column, n_rows = _column(file.schema_arrow, name), file.metadata.num_rows
        wanted = _row(row, n_rows, name)
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if wanted < size:
                if file.metadata.row_group(group).total_byte_size > MAX_VALUES * 32:
                    raise ScanError(f"{name} keeps too many recordings in one row group", "split the file")
                return column, n_rows, _value(file.iter_batches(1024, [group], [column]), column, wanted)
            wanted -= size
        raise ScanError(f"{name} holds no rows", _FIX)
    with pa.memory_map(str(path)) as source:
        reader: Any = pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)
        table = reader.read_all().select([_column(reader.schema, name)])
        wanted = _row(row, table.num_rows, name)
        return table.column_names[0], table.num_rows, table.column(0)[wanted].as_py()


def _value(batches: Any, column: str, wanted: int) -> Any:
    for batch in batches:
        if wanted < batch.num_rows:
            return batch.column(column)[wanted].as_py()
        wanted -= batch.num_rows
    raise ValueError("row groups are shorter than they claim")


def _column(schema: Any, name: str) -> str:
    import pyarrow.types as types

    def is_list(kind: Any) -> bool:
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

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
