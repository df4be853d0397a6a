"""Healthy small files, cut into parts that can be damaged while the container around them stays right."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import nibabel as nib
import numpy as np

from tests.fuzz.mutations import Part

#: A coarse grid over the MNI brain: small files, every lobe inside.
AFFINE = np.array([[-18.0, 0, 0, 90], [0, 18, 0, -126], [0, 0, 18, -72], [0, 0, 0, 1]])
SHAPE = (11, 13, 11)
N_VOLUMES = 24

_STRUCT = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "f4": "f", "f8": "d", "u1": "b"}


def signals(n_parcels: int = 424, n_timepoints: int = N_VOLUMES, seed: int = 0) -> np.ndarray:
    """Return whole numbers (time, parcels) that vary; few digits keep the files small."""
    return np.random.default_rng(seed).integers(900, 1100, (n_timepoints, n_parcels)).astype(np.float64)


def header_fields(dtype: np.dtype) -> dict[str, tuple[int, str]]:
    """Return where the numbers of a binary header lie."""
    out: dict[str, tuple[int, str]] = {}
    for name in dtype.names or ():
        kind, at = dtype.fields[name][:2]  # type: ignore[index]
        base = kind.base
        if base.str[1:] not in _STRUCT:
            continue
        for k in range(int(np.prod(kind.shape, dtype=int)) if kind.shape else 1):
            out[f"{name}{k}"] = (at + k * base.itemsize, "<" + _STRUCT[base.str[1:]])
    return out


def nifti(
    data: np.ndarray, cls: type = nib.Nifti1Image, *, units: str = "sec", affine: np.ndarray = AFFINE
) -> bytes:
    """Return an uncompressed NIfTI file."""
    image = cls(data, affine)
    image.header.set_xyzt_units("mm", units)
    if data.ndim == 4:
        image.header.set_zooms((*image.header.get_zooms()[:3], 2.0))
    image.set_sform(affine, 4)
    image.header["descrip"] = b"a scan"
    return bytes(image.to_bytes())


def brain(dtype: Any = np.int16, n: int = N_VOLUMES) -> np.ndarray:
    """Return 4D data that are bright inside the MNI brain and vary there."""
    from brainlm_core.scans.space import brain_mask, sample_nearest

    template, affine = brain_mask()
    inside = sample_nearest(template, affine, SHAPE, AFFINE).astype(bool)
    noise = np.random.default_rng(1).integers(0, 60, (*SHAPE, n))
    return np.where(inside[..., None], 1000 + noise, 0).astype(dtype)


def gz(data: bytes) -> bytes:
    """Compress quickly."""
    return gzip.compress(data, 1, mtime=0)


def npy(array: np.ndarray) -> bytes:
    """Return an ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npy_parts(data: bytes, wrap: Callable[[bytes], bytes] = bytes) -> tuple[Part, ...]:
    """Return the header text of an ``.npy`` file, and the whole file."""
    length = struct.unpack("<H", data[8:10])[0]
    text, rest = data[10 : 10 + length], data[10 + length :]

    def rebuilt(header: bytes) -> bytes:
        header = header[:65535]
        return wrap(data[:8] + struct.pack("<H", len(header)) + header + rest)

    words = (b"'|O'", b"'<U100000000'", b"'<c16'", b"'|b1'", b"'<M8[s]'", b"'|V0'", b"'<f2'", b"(24,)", b"()",
             b"(0, 424)", b"(-1, 424)", b"(9999999999, 9999999999)", b"[('a', '<f8')]")  # fmt: skip
    return Part(text.rstrip(), rebuilt, words=words), Part(data, wrap)


def npz(members: Mapping[str, bytes], **changed: bytes) -> bytes:
    """Return a ``.npz`` of ready ``.npy`` members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in {**members, **changed}.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data, zipfile.ZIP_DEFLATED, 1)
    return stream.getvalue()


def npz_parts(arrays: Mapping[str, np.ndarray], json_member: str | None = None) -> tuple[Part, ...]:
    """Return every member's parts, the JSON text in one of them, and the archive as it is."""
    members = {name: npy(np.asarray(value)) for name, value in arrays.items()}
    parts: list[Part] = []
    for name in members:
        parts += npy_parts(members[name], lambda data, name=name: npz(members, **{name: data}))
    if json_member is not None:
        text = str(arrays[json_member])

        def with_text(data: bytes) -> bytes:
            return npz(members, **{json_member: npy(np.array(data.decode("utf-8", "replace")))})

        parts += [Part(text.encode(), with_text, is_json=True)] * 6
    parts.append(Part(npz(members)))
    return tuple(parts)


def gifti(encoding: str = "GZipBase64Binary", n: int = N_VOLUMES) -> bytes:
    """Return a left hemisphere on fsaverage5 with one small array a volume."""
    rows = np.arange(10242)
    arrays = []
    for t in range(n):
        values = ((rows // 40 * 7 + t * (1 + rows // 400) * 5) % 11).astype(np.uint8)
        if encoding == "GZipBase64Binary":
            text = base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()
        elif encoding == "Base64Binary":
            text = base64.b64encode(values.tobytes()).decode()
        else:
            text = " ".join(map(str, values))
        arrays.append(
            f'<DataArray Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_UINT8" '
            f'ArrayIndexingOrder="RowMajorOrder" Dimensionality="1" Dim0="10242" Encoding="{encoding}" '
            f'Endian="LittleEndian" ExternalFileName="" ExternalFileOffset=""><MetaData></MetaData>'
            f"<Data>{text}</Data></DataArray>"
        )
    meta = "".join(
        f"<MD><Name>{k}</Name><Value>{v}</Value></MD>"
        for k, v in (("AnatomicalStructurePrimary", "CortexLeft"), ("TimeStep", "2.0"))
    )
    head = f'<?xml version="1.0" encoding="UTF-8"?><GIFTI Version="1.0" NumberOfDataArrays="{n}">'
    return f"{head}<MetaData>{meta}</MetaData><LabelTable/>{''.join(arrays)}</GIFTI>".encode()


def grayordinates(deep: bool = False) -> Any:
    """Return a few hundred vertices of each cortex, and a few voxels."""
    from nibabel import cifti2

    mask = np.zeros(32492, bool)
    mask[::130] = True
    axis = cifti2.BrainModelAxis.from_mask(mask, "CortexLeft") + cifti2.BrainModelAxis.from_mask(
        mask, "CortexRight"
    )
    if deep:
        inside = np.zeros((91, 109, 91), bool)
        inside[40:44, 60:63, 30:33] = True
        affine = np.diag([-2.0, 2, 2, 1])
        affine[:3, 3] = 90, -126, -72
        axis += cifti2.BrainModelAxis.from_mask(inside, "thalamus_left", affine)
    return axis


def cifti_dense(deep: bool = False) -> bytes:
    """Return a dtseries of some grayordinates."""
    axis = grayordinates(deep)
    return _cifti(axis, signals(len(axis)))


def cifti_labels() -> bytes:
    """Return a dlabel with the numbers of A424."""
    from nibabel import cifti2

    axis = grayordinates(deep=True)
    values = 1 + np.arange(len(axis))[None] % 424
    names = {int(v): (f"parcel {v}", (1, 0, 0, 1)) for v in range(425)}
    return _cifti(axis, values, cifti2.LabelAxis(["A424"], [names]))


def cifti_parcels(n: int = 360) -> bytes:
    """Return a ptseries named like the cortical parcels."""
    from nibabel import cifti2

    from brainlm_core.base.atlas import a424_cortex

    names = a424_cortex().names[:n]
    vertices = [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([k])} for k in range(n)]
    axis = cifti2.ParcelsAxis(
        list(names), [np.zeros((0, 3), int)] * n, vertices, np.eye(4), (2, 2, 2),
        {"CIFTI_STRUCTURE_CORTEX_LEFT": 32492},
    )  # fmt: skip
    return _cifti(axis, signals(n))


def _cifti(axis: Any, values: np.ndarray, rows: Any = None) -> bytes:
    from nibabel import cifti2

    rows = cifti2.SeriesAxis(0, 2, len(values)) if rows is None else rows
    image = cifti2.Cifti2Image(values.astype(np.float32), (rows, axis))
    image.nifti_header.set_intent("ConnDenseSeries")
    stream = io.BytesIO()
    image.to_file_map({"image": nib.FileHolder(fileobj=stream)})
    return stream.getvalue()


def cifti_parts(data: bytes) -> tuple[Part, ...]:
    """Return the XML, the header and the whole of a CIFTI file."""
    size, _code = struct.unpack("<ii", data[544:552])
    offset = int(np.frombuffer(data[168:176], "<i8")[0])
    xml, values = data[552 : 544 + size].rstrip(b"\0"), data[offset:]

    def rebuilt(text: bytes) -> bytes:
        full = 8 + len(text) + (-(8 + len(text))) % 16
        head = bytearray(data[:544])
        struct.pack_into("<q", head, 168, 544 + full)
        return bytes(head) + struct.pack("<ii", full, 32) + text.ljust(full - 8, b"\0") + values

    words = (b"CIFTI_STRUCTURE_CORTEX_LEFT", b"CIFTI_STRUCTURE_CEREBELLUM", b"HERTZ", b"RADIAN", b"METER",
             b"CIFTI_INDEX_TYPE_LABELS", b"CIFTI_INDEX_TYPE_SCALARS", b"CIFTI_MODEL_TYPE_VOXELS")  # fmt: skip
    return (
        Part(xml, rebuilt, words=words),
        Part(xml, rebuilt, words=words),
        Part(data, fields=header_fields(nib.Nifti2Header.template_dtype)),
    )


def parquet(columns: Mapping[str, Any], metadata: Mapping[bytes, bytes] | None = None) -> bytes:
    """Return an uncompressed Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    if metadata is not None:
        table = table.replace_schema_metadata(dict(metadata))
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="none")
    return stream.getvalue()


def to_json(value: Any) -> bytes:
    """Return readable JSON."""
    return json.dumps(value).encode()


def parquet_parts(data: bytes, wrap: Callable[[bytes], bytes] = bytes) -> tuple[Part, ...]:
    """Return a Parquet file as it is, its footer, and the JSON texts and arrays in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    footer = struct.unpack("<I", data[-8:-4])[0] + 8
    parts = [Part(data, wrap), Part(data[-footer:], lambda tail: wrap(data[:-footer] + tail))]
    table = pq.read_table(pa.BufferReader(data))
    for key, value in (table.schema.metadata or {}).items():
        if key == b"pandas":
            continue

        def with_value(changed: bytes, key: bytes = key) -> bytes:
            stream = io.BytesIO()
            other = table.replace_schema_metadata({**table.schema.metadata, key: changed})
            pq.write_table(other, stream, compression="none")
            return wrap(stream.getvalue())

        if value[:2] == b"PK":
            with np.load(io.BytesIO(value), allow_pickle=False) as store:
                arrays = {name: store[name] for name in store.files}
            for part in npz_parts(arrays, "words" if "words" in arrays else None):
                inner = part.wrap
                parts.append(
                    Part(part.content, lambda d, inner=inner, w=with_value: w(inner(d)), part.fields,
                         part.is_json, part.words)
                )  # fmt: skip
        else:
            parts += [Part(value, with_value, is_json=True)] * 8
    for name in table.column_names:  # a column of another kind under the same name
        kinds = (pa.array(["x"] * len(table)), pa.array([None] * len(table)), pa.array([[1.0]] * len(table)))
        for kind in kinds:
            stream = io.BytesIO()
            at = table.column_names.index(name)
            pq.write_table(table.set_column(at, name, kind), stream, compression="none")
            parts.append(Part(stream.getvalue(), wrap))
        stream = io.BytesIO()
        pq.write_table(table.drop_columns([name]), stream, compression="none")
        parts.append(Part(stream.getvalue(), wrap))
    return tuple(parts)
