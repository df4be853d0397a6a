"""GIFTI and CIFTI files that name other files, expand entities, or claim and unpack without end.

What makes each GIFTI forbidden is spelt in many ways: by nibabel's aliases, in single quotes, as character
references, in other character sets, with a prefix.
"""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

Maker = Callable[[Path], Path]
#: Ten kilobytes that no recording may show.
SECRET = "secret.bin"


def array(
    encoding: str = "Base64Binary", data: str = "", dim0: str = '"10242"', more: str = "", shape: str = ""
) -> str:
    """Return one ``DataArray``; values come with their quotes."""
    sizes = shape or f'Dimensionality="1" Dim0={dim0}'
    return (
        f'<DataArray Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_UINT8" '
        f'ArrayIndexingOrder="RowMajorOrder" {sizes} '
        f'Encoding="{encoding}" Endian="LittleEndian" {more}><Data>{data}</Data></DataArray>'
    )


def document(body: str, head: str = '<?xml version="1.0" encoding="UTF-8"?>', root: str = "") -> str:
    """Return a GIFTI document."""
    return f'{head}<GIFTI Version="1.0" NumberOfDataArrays="20" {root}>{body}</GIFTI>'


def _text(text: str, code: str = "utf-8", pack: Callable[[bytes], bytes] = bytes) -> Maker:
    def make(folder: Path) -> Path:
        (folder / SECRET).write_bytes(np.random.default_rng(3).bytes(250_000))
        path = folder / "lh.func.gii"
        path.write_bytes(pack(text.replace("SECRET", str(folder / SECRET)).encode(code)))
        return path

    return make


_NAME = 'ExternalFileName="SECRET" ExternalFileOffset="0"'
_ENCODINGS = {
    "as in the standard": "ExternalFileBinary",
    "code of the C library": "GIFTI_ENCODING_EXTBIN",
    "short": "External",
    "character reference": "ExternalFile&#66;inary",
    "hexadecimal reference": "&#x45;xternalFileBinary",
    "number": "4",
    "spaces": " ExternalFileBinary ",
}


def _outside() -> dict[str, Maker]:
    """Return documents that name another file, twenty volumes each."""
    made = {
        f"gifti that names a file, {how}": _text(document(array(code, more=_NAME) * 20))
        for how, code in _ENCODINGS.items()
    }
    once = array("ExternalFileBinary", more=_NAME) * 20
    plain = base64.b64encode(bytes(10242)).decode()
    made |= {
        "gifti in single quotes": _text(document(once).replace('"', "'")),
        "gifti in UTF-16": _text(document(once, '<?xml version="1.0" encoding="UTF-16"?>'), "utf-16"),
        "gifti in UTF-16, big-endian, unsaid": _text("\ufeff" + document(once, ""), "utf-16-be"),
        "gifti in UTF-7": _text(
            document(once.replace("External", "+AEU-xternal"), '<?xml version="1.0" encoding="UTF-7"?>')
        ),
        "gifti in EBCDIC, half": _text(document(once, '<?xml version="1.0" encoding="cp037"?>')),
        "gifti that is packed": _text(document(once), pack=gzip.compress),
        "gifti with data and a name": _text(document(array(data=plain, more=_NAME) * 20)),
        "gifti with an offset only": _text(document(array(data=plain, more='ExternalFileOffset="64"') * 20)),
        "gifti with a prefix": _text(
            document(array(data=plain, more='g:ExternalFileName="SECRET"') * 20, root='xmlns:g="urn:x"')
        ),
        "gifti in other letters": _text(document(array(data=plain, more='externalfilename="SECRET"') * 20)),
        "gifti with a default attribute": _text(
            document(
                array(data=plain) * 20,
                '<!DOCTYPE GIFTI [<!ATTLIST DataArray ExternalFileName CDATA "/etc/passwd">]>',
            )
        ),
        "gifti with a default encoding": _text(
            document(
                array(data=plain).replace('Encoding="Base64Binary"', "") * 20,
                '<!DOCTYPE GIFTI [<!ATTLIST DataArray Encoding CDATA "ExternalFileBinary">]>',
            )
        ),
    }
    return made


def _entities() -> dict[str, Maker]:
    laughs = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
    bodies = {
        "laughing": (f'<!DOCTYPE GIFTI [<!ENTITY l0 "ha">{laughs}]>', "&l9;"),
        "of a file": ('<!DOCTYPE GIFTI [<!ENTITY x SYSTEM "file://SECRET">]>', "&x;"),
        "of a parameter": ('<!DOCTYPE GIFTI [<!ENTITY % x SYSTEM "file://SECRET"> %x;]>', ""),
        "in a document type elsewhere": ('<!DOCTYPE GIFTI SYSTEM "file://SECRET">', "&x;"),
        "nobody declared": ('<!DOCTYPE GIFTI SYSTEM "http://www.nitrc.org/gifti.dtd">', "&x;"),
        "public": ('<!DOCTYPE GIFTI PUBLIC "-//X//EN" "http://www.nitrc.org/gifti.dtd">', ""),
    }
    out = {f"gifti entity {how}": _text(document(body, head)) for how, (head, body) in bodies.items()}
    head, body = bodies["of a file"]
    said = f'<?xml version="1.0" encoding="UTF-16"?>{head}'
    return out | {"gifti entity in UTF-16": _text(document(body, said), "utf-16")}


def _packed(n_bytes: int) -> str:
    return base64.b64encode(zlib.compress(bytes(n_bytes), 9)).decode()


def _bombs() -> dict[str, Maker]:
    zeros, large = _packed(10242), _packed(1 << 26)
    matrix = 'Dimensionality="2" Dim0="20000" Dim1="10242"'
    return {
        "gifti that unpacks beyond its claim": _text(document(array("GZipBase64Binary", large) * 20)),
        "gifti of many small bombs": _text(document(array("GZipBase64Binary", zeros) * 4000)),
        "gifti of one large bomb": _text(
            document(array("GZipBase64Binary", large, shape='Dimensionality="2" Dim0="6000" Dim1="10242"'))
        ),
        "gifti claim": _text(document(array(dim0='"99999999999"'))),
        "gifti claim in single quotes": _text(document(array(dim0="'99999999999'"))),
        "gifti claim in references": _text(document(array(dim0='"9&#57;99999999"'))),
        "gifti claim of a matrix": _text(document(array("GZipBase64Binary", large, shape=matrix))),
        "gifti negative": _text(document(array(dim0='"-10242"') * 20)),
        "gifti of text that is too long": _text(document(array("ASCII", "0 " * 3_000_000))),
        "gifti of axes": _text(document(array(shape='Dimensionality="200" Dim0="1"'))),
        "gifti nested": _text(document("<MetaData>" * 100_000)),
        "gifti of elements": _text(document("<a/>" * 600_000)),
        "gifti tag without end": _text(document(f'<a b="{"x" * 30_000_000}"/>')),
        "gifti comment without end": _text(document(f"<!--{'x' * 30_000_000}-->")),
    }


def _cifti(change: Callable[[bytes], bytes], code: int = 32) -> Maker:
    """A healthy dtseries whose XML is changed."""

    def make(folder: Path) -> Path:
        models = nib.cifti2.BrainModelAxis.from_surface(np.arange(500), 32492, "CIFTI_STRUCTURE_CORTEX_LEFT")
        series = nib.cifti2.SeriesAxis(0, 2.0, 30)
        path = folder / "b.dtseries.nii"
        nib.save(nib.Cifti2Image(np.ones((30, 500), np.float32), (series, models)), path)
        raw = path.read_bytes()
        start = struct.unpack_from("<q", raw, 168)[0]
        xml = change(raw[552:start].rstrip(b"\0"))
        size = (len(xml) + 8 + 15) // 16 * 16
        head = bytearray(raw[:544])
        struct.pack_into("<q", head, 168, 544 + size)
        whole = bytes(head) + struct.pack("<ii", size, code) + xml.ljust(size - 8, b"\0") + raw[start:]
        path.write_bytes(whole)
        return path

    return make


def _swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(xml: bytes) -> bytes:
        assert old in xml, old
        return xml.replace(old, new)

    return change


_ENTITY = '<!DOCTYPE CIFTI [<!ENTITY a "b">]>'


def _with_entity(code: str) -> Callable[[bytes], bytes]:
    return lambda xml: (_ENTITY + xml[xml.index(b"<CIFTI") :].decode()).encode(code)


_CIFTI: dict[str, tuple[Maker, str]] = {
    "cifti of entities": (
        _cifti(_with_entity("utf-8")),
        "other files or entities",
    ),
    "cifti in UTF-16 of entities": (
        _cifti(_with_entity("utf-16")),
        "other files or entities",
    ),
    "cifti count": (
        _cifti(_swap(b'IndexCount="500"', b'IndexCount="50000000000"')),
        "another matrix",
    ),
    "cifti count in single quotes": (
        _cifti(_swap(b'IndexCount="500"', b"IndexCount='5000000&#48;000'")),
        "another matrix",
    ),
    "cifti offset": (_cifti(_swap(b'IndexOffset="0"', b'IndexOffset="4000000000"')), "another matrix"),
    "cifti surface": (_cifti(_swap(b'"32492"', b'"99999999999"')), "no brain has"),
    "cifti nested": (_cifti(_swap(b"<Matrix>", b"<Matrix>" + b"<MetaData>" * 1000)), "without end"),
    "cifti extension of another kind": (_cifti(lambda x: x, code=2), "damaged"),
}  # fmt: skip

_OUTSIDE = "other files or entities|in an encoding|character set|damaged"
_BOMB = "claims|claim to hold|as no scan does|damaged|axes"

ATTACKS: dict[str, tuple[Maker, str]] = {
    **{title: (make, _OUTSIDE) for title, make in _outside().items()},
    **{title: (make, "other files or entities") for title, make in _entities().items()},
    **{title: (make, _BOMB) for title, make in _bombs().items()},
    **_CIFTI,
}
