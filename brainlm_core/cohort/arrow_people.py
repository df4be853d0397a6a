"""What an Arrow or Parquet file of recordings says of each: the columns of single values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from brainlm_core.base.errors import DAMAGED_ARRAYS, ScanError


def read_flat_columns(file: Path) -> pd.DataFrame:
    """Return the columns of single values of an Arrow file; signals stay where they are.

    A damaged file may end the process: see :func:`brainlm_core.cohort.isolated.read_arrow_people`.

    Raises
    ------
    ScanError
        If it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.open("rb") as stream:
            magic = stream.read(6)
        if magic[:4] == b"PAR1":
            with pq.ParquetFile(file) as parquet:
                return parquet.read(columns=_flat(parquet.schema_arrow)).to_pandas()
        with pa.memory_map(str(file)) as source:
            reader: Any = pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)
            table = reader.read_all().select(_flat(reader.schema))
            table.validate(full=True)  # a wrong offset would end the whole process
            return table.to_pandas()
    except (pa.ArrowException, *DAMAGED_ARRAYS) as error:
        raise ScanError(
            f"{file.name} is a damaged Parquet or Arrow file", "copy or export it again"
        ) from error


def _flat(schema: Any) -> list[str]:
    import pyarrow.types as types

    return [
        f.name
        for f in schema
        if types.is_string(f.type)
        or types.is_large_string(f.type)
        or types.is_integer(f.type)
        or types.is_floating(f.type)
        or types.is_boolean(f.type)
    ]
