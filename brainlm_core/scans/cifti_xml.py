"""The XML inside a CIFTI-2 file, weighed before nibabel builds anything of it.

nibabel makes arrays as long as the counts in the XML say, and hands extensions to whoever knows their code;
here one pass over what the parser decodes refuses document types, entities, and counts beyond the matrix.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

from brainlm_core.base.errors import ScanError

_HEADER_BYTES, _CIFTI_CODE, _KNOWN_CODES = 540, 32, (0, 6, 32)
#: Largest XML (91,282 grayordinates take 1.5 MB), most elements, deepest nesting, longest tag, in bytes.
_MAX_XML, _MAX_ELEMENTS, _MAX_DEPTH, _MAX_TAG = 32 << 20, 200_000, 16, 1 << 20
_MAX_VOXELS, _MAX_VERTICES = 1 << 27, 1 << 20
_BLOCK = 1 << 16
_FIX = "copy or export the file again"
_COUNTS = ("IndexOffset", "IndexCount", "SurfaceNumberOfVertices", "NumberOfSeriesPoints")


class _Refused(Exception):
    """Raised inside the parser, which passes it on."""


def check_cifti(path: Path, name: str) -> None:
    """Refuse a file whose XML or extensions are hostile.

    Parameters
    ----------
    path : Path
        A file that begins with a NIfTI-2 header.
    name : str
        Display name.

    Raises
    ------
    ScanError
        If the XML is damaged, refers to entities, or counts more than the matrix holds.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEADER_BYTES)
            order = "<" if int.from_bytes(head[:4], "little") == _HEADER_BYTES else ">"
            dims = struct.unpack_from(f"{order}8q", head, 16)
            longest = max(dims[5:8])
            end = min(struct.unpack_from(f"{order}q", head, 168)[0], path.stat().st_size)
            for block in _extensions(stream, order, end, name):
                _check_xml(block, longest)
    except _Refused as refused:
        raise ScanError(f"the CIFTI header of {name} {refused}", _FIX) from None
    except (expat.ExpatError, ValueError, struct.error, OverflowError, LookupError, OSError) as error:
        raise ScanError(f"{name} is a damaged CIFTI file", _FIX) from error


def _extensions(stream: IO[bytes], order: str, end: int, name: str) -> list[bytes]:
    """Return the XML extensions; everything that is no CIFTI is refused, as nibabel may hand it on."""
    flag, found = stream.read(4), []
    at = _HEADER_BYTES + 4
    while flag[:1] not in (b"", b"\0") and end - at >= 16:
        size, code = struct.unpack(f"{order}ii", stream.read(8))
        if not 16 <= size <= end - at or code not in _KNOWN_CODES:
            raise ValueError("an extension of another kind or size")
        if size > _MAX_XML:
            raise ScanError(f"the header of {name} is {size / 1e6:.0f} MB long", "give one run on fs_LR 32k")
        data = stream.read(size - 8)
        if code == _CIFTI_CODE:
            found.append(data.rstrip(b"\0"))
        at += size
    if len(found) != 1:
        raise ValueError("not one CIFTI header")
    return found


def _check_xml(data: bytes, longest: int) -> None:
    parser = expat.ParserCreate()
    depth = elements = counted = 0

    def refuse(*_arguments: Any) -> int:
        raise _Refused("refers to other files or entities")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements, counted
        depth, elements = depth + 1, elements + 1
        if depth > _MAX_DEPTH or elements > _MAX_ELEMENTS:
            raise _Refused("nests or repeats elements without end")
        counts = {k: _count(attributes[k]) for k in _COUNTS if k in attributes}
        counted += counts.get("IndexCount", 0)
        here = counts.get("IndexOffset", 0) + counts.get("IndexCount", 0)
        if max(counted, here, counts.get("NumberOfSeriesPoints", 0)) > longest:
            raise _Refused("describes another matrix than it holds")
        if counts.get("SurfaceNumberOfVertices", 0) > _MAX_VERTICES:
            raise _Refused("claims a surface that no brain has")
        if "VolumeDimensions" in attributes:
            sizes = [_count(n) for n in attributes["VolumeDimensions"].split(",")]
            if math.prod(sizes) > _MAX_VOXELS:
                raise _Refused("claims a volume that no brain has")

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = refuse
    for handler in ("EntityDecl", "UnparsedEntityDecl", "NotationDecl", "ExternalEntityRef"):
        setattr(parser, f"{handler}Handler", refuse)
    parser.SkippedEntityHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda _text: None
    for at in range(0, len(data), _BLOCK):
        parser.Parse(data[at : at + _BLOCK], False)
        if at - max(parser.CurrentByteIndex, 0) > _MAX_TAG:
            raise ValueError("a tag without end")
    parser.Parse(b"", True)


def _count(text: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 16):
        raise ValueError("no count")
    return int(text)
