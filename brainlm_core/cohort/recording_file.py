"""One recording of a cohort store: a Parquet file that says all about itself.

One row per volume, one fixed-size list ``volume`` of all parcels, in row groups of 200 volumes. The schema's
metadata hold the repetition time, the provenance and the quality figures; the parcellation, which many
recordings share, lies beside them in the store and is named by its digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import DAMAGED_ARRAYS, BrainLMError, ScanError
from brainlm_core.base.recording import Provenance, Quality, Recording
from brainlm_core.base.writing import keep_private, private_folder

#: Version of the layout that is written.
FORMAT_VERSION = 1
#: Volumes per row group: a reader that wants one window reads one or two of them.
CHUNK_VOLUMES = 200
_META, _QUALITY = b"brainlm", b"brainlm_quality"
_DIGEST = re.compile("[0-9a-f]{16}")
_WORDS = ("verdict", "reasons", "template_overlap")


def parcellation_digest(parcellation: Parcellation) -> str:
    """Return 16 hexadecimal digits that stand for names, positions and vertex labels."""
    digest = hashlib.sha256("\n".join((parcellation.name, *parcellation.names)).encode())
    digest.update(parcellation.xyz.tobytes())
    digest.update(parcellation.vertex_labels.tobytes())
    return digest.hexdigest()[:16]


def content_digest(recording: Recording) -> str:
    """Return 32 hexadecimal digits of the signals, the repetition time and the parcellation."""
    digest = hashlib.sha256(recording.signals.tobytes())
    digest.update(f"{recording.signals.shape} {recording.tr_s!r}".encode())
    digest.update(parcellation_digest(recording.parcellation).encode())
    return digest.hexdigest()[:32]


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording under its final name in one move: beside, flushed to the disk, renamed.

    Signals that half precision holds exactly are kept in it.

    Raises
    ------
    OSError
        If the disk does not take it; nothing is left behind then.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    volumes = np.ascontiguousarray(recording.signals.T)  # (T, P)
    with np.errstate(over="ignore"):
        half = volumes.astype(np.float16)
    exact = bool((half.astype(np.float32) == volumes).all())
    values = pa.array((half if exact else volumes).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, recording.n_parcels)
    about = {
        "format_version": FORMAT_VERSION,
        "tr_s": recording.tr_s,
        "parcellation": parcellation_digest(recording.parcellation),
        "provenance": recording.provenance.to_dict(),
        "notices": list(recording.notices),
    }
    metadata = {_META: json.dumps(about).encode()}
    if recording.quality is not None:
        metadata[_QUALITY] = _quality_bytes(recording.quality)
    table = pa.table({"volume": column}).replace_schema_metadata(metadata)
    private_folder(path.parent)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            pq.write_table(
                table,
                stream,
                row_group_size=CHUNK_VOLUMES,
                compression="zstd",
                use_dictionary=False,
                use_byte_stream_split=not exact,
            )
            stream.flush()
            os.fsync(stream.fileno())
        keep_private(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_recording(path: Path) -> Recording:
    """Read a recording of a store; its parcellation lies in the store's folder.

    Raises
    ------
    ScanError
        If the file is missing, damaged, or of a newer version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from brainlm_core.cohort.files import vector_column

    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            about = json.loads(metadata[_META])
            json.dumps(about, allow_nan=False, ensure_ascii=False).encode()  # kept, so writable again
            if int(about["format_version"]) > FORMAT_VERSION:
                raise ScanError(f"{path.name} was written by a newer version", "update BrainLM Explorer")
            volumes = vector_column(file.read().column("volume"))
        return Recording(
            volumes.T,
            float(about["tr_s"]),
            load_parcellation(path.parents[2], about["parcellation"]),
            Provenance.from_dict(about["provenance"]),
            _quality(metadata[_QUALITY]) if _QUALITY in metadata else None,
            tuple(map(str, about["notices"])),
        )
    except BrainLMError:
        raise
    except (pa.ArrowException, *DAMAGED_ARRAYS) as error:
        raise ScanError(
            f"the recording {path.name} of the store is missing or damaged", "add the scan to the store again"
        ) from error


def save_parcellation(store: Path, parcellation: Parcellation) -> str:
    """Write a parcellation once; return its digest."""
    digest = parcellation_digest(parcellation)
    path = store / "parcellations" / f"{digest}.npz"
    if not path.is_file():
        private_folder(path.parent)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            with part.open("wb") as stream:
                np.savez_compressed(stream, **parcellation.to_arrays())
                stream.flush()
                os.fsync(stream.fileno())
            keep_private(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return digest


_LOADED: dict[tuple[str, str], Parcellation] = {}


def load_parcellation(store: Path, digest: str) -> Parcellation:
    """Read a parcellation of a store; kept, since thousands of recordings share it.

    Raises
    ------
    ScanError
        If it is missing or damaged, or ``digest`` is no digest: a store from elsewhere must not name files
        outside itself.
    """
    if not _DIGEST.fullmatch(digest):
        raise ScanError(f"the store {store.name} names no parcellation", "import the scans again")
    key = (str(store), digest)
    if key not in _LOADED:
        try:
            with np.load(store / "parcellations" / f"{digest}.npz", allow_pickle=False) as file:
                _LOADED[key] = Parcellation.from_arrays({k: file[k] for k in file.files})
        except DAMAGED_ARRAYS as error:
            raise ScanError(
                f"the parcellation {digest} of the store {store.name} is missing or damaged",
                "import the scans again",
            ) from error
    return _LOADED[key]


def _quality_bytes(quality: Quality) -> bytes:
    arrays: dict[str, Any] = {
        f.name: value
        for f in fields(quality)
        if f.name not in _WORDS and (value := getattr(quality, f.name)) is not None
    }
    words = {name: getattr(quality, name) for name in _WORDS}
    stream = io.BytesIO()
    np.savez_compressed(stream, words=np.array(json.dumps(words)), **arrays)
    return stream.getvalue()


def _quality(data: bytes) -> Quality:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays: dict[str, NDArray[Any]] = {k: file[k] for k in file.files if k != "words"}
        words = json.loads(str(file["words"]))
    return Quality(
        verdict=words["verdict"],
        reasons=tuple(words["reasons"]),
        template_overlap=words["template_overlap"],
        fd_mm=arrays.pop("fd_mm", None),
        **arrays,
    )
