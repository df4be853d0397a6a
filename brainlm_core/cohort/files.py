"""``embeddings.parquet``: written a chunk at a time, described inside, readable by any Parquet library.

One row per recording. Vectors are fixed-size lists; the schema's metadata ``brainlm`` (JSON) holds the format
version, the provenance and which columns are phenotypes, ``brainlm_parcellation`` the parcellation (NPZ).
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import DAMAGED_ARRAYS, BrainLMError, ConfigError
from brainlm_core.base.library_warnings import quiet_old_headers
from brainlm_core.base.writing import cannot_write, keep_private, private_folder
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings
from brainlm_core.cohort.personal import leave_out_personal, sentence

#: Version of the layout that is written.
FORMAT_VERSION = 1
_META, _PARCELS = b"brainlm", b"brainlm_parcellation"
_KEYS = ("recording_id", "subject_id", "site")
#: Vector columns and the precision they are kept in; half precision errs by less than .0005 of the value.
_VECTORS = {
    "cls": np.float32,
    "mean": np.float32,
    "twin_cls": np.float32,
    "twin_mean": np.float32,
    "autocorrelation": np.float32,
    "amplitude": np.float32,
    "parcels": np.float16,
    "connectivity": np.float16,
}


class EmbeddingsWriter:
    """Write embeddings chunk by chunk; the file appears under its name only when all of it is there.

    Parameters
    ----------
    path : str or Path
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._writer: Any = None
        self._schema: Any = None
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=_folder(self.path))
        os.close(handle)
        self._temporary = Path(name)

    def __enter__(self) -> EmbeddingsWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
            if kind is None:
                if self._writer is None:
                    raise ConfigError("there is nothing to write", "embed at least one recording")
                keep_private(self._temporary)
                self._temporary.replace(self.path)
        except OSError as failure:
            raise cannot_write(self.path, failure) from failure
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, chunk: Embeddings) -> None:
        """Append a chunk; all chunks of a file have the same columns.

        Raises
        ------
        ConfigError
            If the disk is full or the chunk has other columns than the first.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = _to_arrow(chunk, self._schema)
        try:
            if self._writer is None:
                self._schema = table.schema
                split = [f"{c}.list.element" for c in _VECTORS if c in table.column_names]
                self._writer = pq.ParquetWriter(
                    self._temporary,
                    table.schema,
                    compression="zstd",
                    use_dictionary=[c for c in table.column_names if c not in _VECTORS],
                    use_byte_stream_split=split,
                )
            self._writer.write_table(table)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        except (pa.ArrowInvalid, ValueError) as error:
            raise ConfigError("the chunks of the embeddings differ", "embed the cohort again") from error


def write_embeddings(embeddings: Embeddings, path: str | Path) -> Path:
    """Write all at once; see :class:`EmbeddingsWriter`."""
    with EmbeddingsWriter(path) as writer:
        for start in range(0, len(embeddings), 256):
            writer.write(embeddings.subset(np.arange(start, min(start + 256, len(embeddings)))))
    return Path(path)


def read_embeddings(
    path: str | Path | io.BytesIO,
    *,
    name: str | None = None,
    connectivity: bool = True,
    parcels: bool = True,
) -> Embeddings:
    """Read embeddings.

    Parameters
    ----------
    path : path or binary stream
        Written by :func:`write_embeddings` or ``brainlm embed``.
    name : str, optional
        For sentences, when the path is a temporary file.
    connectivity, parcels : bool
        Whether to read these large columns, where the file has them.

    Raises
    ------
    ConfigError
        If the file is missing, no embeddings, damaged, or of a newer version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    shown = name or (Path(path).name if isinstance(path, str | Path) else "the file")
    if isinstance(path, str | Path) and not Path(path).is_file():
        raise ConfigError(f"there is no file {shown}", "check the path")
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            about = _about(metadata, shown)
            left_out = {
                c for c, wanted in (("connectivity", connectivity), ("parcels", parcels)) if not wanted
            }
            table = file.read(columns=[c for c in file.schema_arrow.names if c not in left_out])
        return _from_arrow(table, about, metadata.get(_PARCELS))
    except BrainLMError:
        raise
    except (pa.ArrowException, *DAMAGED_ARRAYS) as error:
        raise ConfigError(f"{shown} is a damaged embeddings file", "copy it or embed again") from error


def _about(metadata: dict[bytes, bytes], shown: str) -> dict[str, Any]:
    if _META not in metadata:
        raise ConfigError(f"{shown} holds no embeddings", "make them with `brainlm embed COHORT -o FILE`")
    about: dict[str, Any] = json.loads(metadata[_META])
    if int(about["format_version"]) > FORMAT_VERSION:
        raise ConfigError(
            f"{shown} was written by a newer version (format {about['format_version']})",
            "update BrainLM Explorer",
        )
    return about


def _to_arrow(embeddings: Embeddings, schema: Any) -> Any:
    import pyarrow as pa

    columns: dict[str, Any] = {
        "recording_id": pa.array(embeddings.ids, pa.string()),
        "subject_id": pa.array(embeddings.subjects, pa.string()),
        "site": pa.array(embeddings.sites, pa.string()),
    }
    for column in ACQUISITION:
        columns[column] = pa.array(embeddings.acquisition[column].to_numpy(np.float64))
    for column, kind in _VECTORS.items():
        values = getattr(embeddings, column)
        if values is not None:
            flat = values.reshape(len(values), -1).astype(kind)
            columns[column] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    for column in embeddings.phenotypes:
        wanted = None if schema is None else schema.field(f"phenotype.{column}").type
        columns[f"phenotype.{column}"] = _phenotype(embeddings.phenotypes[column], wanted)
    about = {"format_version": FORMAT_VERSION, "provenance": embeddings.provenance.to_dict()}
    metadata = {_META: json.dumps(about).encode()}
    if embeddings.parcellation is not None:
        stream = io.BytesIO()
        np.savez_compressed(stream, **embeddings.parcellation.to_arrays())
        metadata[_PARCELS] = stream.getvalue()
    table = pa.table(columns)
    return table.replace_schema_metadata(metadata) if schema is None else table.cast(schema)


def _phenotype(column: pd.Series, wanted: Any) -> Any:
    import pyarrow as pa

    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        column = column.astype(object)
        text = [None if pd.isna(v) else str(v) for v in column]
        return pa.array(text, wanted or pa.string())
    return pa.array(column.astype("float64"), wanted or pa.float64(), from_pandas=True)


def _from_arrow(table: Any, about: dict[str, Any], parcellation: bytes | None) -> Embeddings:
    n = table.num_rows
    arrays: dict[str, NDArray[Any]] = {
        column: vector_column(table.column(column)) for column in _VECTORS if column in table.column_names
    }
    parcels = None
    if parcellation is not None:
        with quiet_old_headers(), np.load(io.BytesIO(parcellation), allow_pickle=False) as store:
            parcels = Parcellation.from_arrays({k: store[k] for k in store.files})
    if "parcels" in arrays:
        arrays["parcels"] = arrays["parcels"].reshape(n, -1, arrays["cls"].shape[1])
    marked = [c for c in table.column_names if c.startswith("phenotype.")]
    phenotypes = table.select(marked).to_pandas()
    phenotypes.columns = [c.removeprefix("phenotype.") for c in marked]
    if not marked:
        phenotypes = pd.DataFrame(index=range(n))
    phenotypes, left_out = leave_out_personal(phenotypes)  # files from before, or from elsewhere
    provenance = EmbeddingProvenance.from_dict(about["provenance"])
    if left_out:
        told = f"Columns {sentence(left_out)}."
        provenance = replace(provenance, notices=(*provenance.notices, told))
    keys = [tuple(map(str, table.column(k).to_pylist())) for k in _KEYS]
    return Embeddings(
        keys[0],
        keys[1],
        keys[2],
        phenotypes,
        table.select(list(ACQUISITION)).to_pandas(),
        provenance=provenance,
        parcellation=parcels,
        **arrays,
    )


def vector_column(column: Any) -> NDArray[np.float32]:
    """Return a fixed-size list column as (n, width), float32."""
    pieces: Sequence[Any] = column.chunks
    width = column.type.list_size
    flat = [np.asarray(p.flatten().to_numpy(zero_copy_only=False), dtype=np.float32) for p in pieces]
    if not flat:
        return np.zeros((0, width), dtype=np.float32)
    return np.concatenate(flat).reshape(-1, width)


def _folder(path: Path) -> Path:
    folder = path.parent
    try:
        private_folder(folder)
    except OSError as error:
        raise cannot_write(path, error) from error
    return folder
