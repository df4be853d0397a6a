"""Files whose container is right and whose content is packed a thousandfold: what they claim is damaged."""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from pathlib import Path

from tests.fuzz.mutations import Part
from tests.fuzz.targets import Target

_ZEROS = 8 << 20
#: Spellings of what a GIFTI file must not do, and of what it claims.
GIFTI_WORDS = (
    b"GIFTI_ENCODING_EXTBIN", b"External", b"ExternalFile&#66;inary", b"&#x45;xternalFileBinary",
    b"'", b"GIFTI_ENCODING_B64GZ",
    b"GZipBase64Binary", b'ExternalFileName="/etc/passwd"', b"ExternalFileName='/etc/passwd'",
    b'ExternalFileOffset="8"',
    b'g:ExternalFileName="x"', b"Dim0='99999999999'", b'Dim1="99999999"', b'Dimensionality="9"', b"&lol;",
    b'<!DOCTYPE GIFTI [<!ENTITY lol "a">]>', b'<!DOCTYPE GIFTI SYSTEM "file:///etc/passwd">',
    b"encoding='UTF-16'", b"encoding='UTF-7'", b"<Data>" * 50, b"<MetaData>" * 200,
    b"<![CDATA[", b"<!--", b"<?x",
)  # fmt: skip


def _read(path: Path, option: int) -> None:
    from brainlm_core.scans import read_scan

    read_scan(path, tr_s=2.0 + option % 2)


def _gifti_parts() -> tuple[Part, ...]:
    packed = base64.b64encode(zlib.compress(bytes(_ZEROS), 1))
    head = (
        b'<?xml version="1.0" encoding="UTF-8"?><GIFTI Version="1.0" NumberOfDataArrays="24"><DataArray '
        b'Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_FLOAT32" ArrayIndexingOrder="RowMajorOrder" '
        b'Dimensionality="2" Dim0="204" Dim1="10242" Encoding="GZipBase64Binary" Endian="LittleEndian"><Data>'
    )
    end = b"</Data></DataArray></GIFTI>"
    return (Part(head, lambda h: h + packed + end, words=GIFTI_WORDS),)


def _mat_parts() -> tuple[Part, ...]:
    from tests.hostile import arrays

    inner = arrays._matrix((_ZEROS // 8 // 424, 424), b"")
    return (Part(inner, lambda h: arrays._mat_file(arrays._packed(h + arrays._element(9, bytes(_ZEROS))))),)


def _npz_parts() -> tuple[Part, ...]:
    from tests.hostile import arrays

    def wrap(head: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("signals.npy", head + bytes(_ZEROS))
        return stream.getvalue()

    return (Part(arrays._npy((_ZEROS // 8 // 424, 424)), wrap),)


def _arrow_parts() -> tuple[Part, ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tests.hostile import arrays

    table, parts = arrays._rows(1 << 20), []
    for options in ({"compression": "zstd", "use_dictionary": False}, {"compression": "none"}):
        flow = pa.BufferOutputStream()
        pq.write_table(table, flow, **options)
        parts.append(Part(flow.getvalue().to_pybytes()))
    flow = pa.BufferOutputStream()
    with pa.ipc.new_stream(flow, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(table)
    whole = flow.getvalue().to_pybytes()
    parts += [Part(whole), Part(whole[:900], lambda head: head + whole[900:])]
    return tuple(parts)


BOMB_TARGETS = (
    Target("gifti-bomb", "scan.L.func.gii", _gifti_parts, _read),
    Target("mat-bomb", "table.mat", _mat_parts, _read),
    Target("npz-bomb", "table.npz", _npz_parts, _read),
    Target("arrow-bomb", "rows.parquet", _arrow_parts, _read),
)
