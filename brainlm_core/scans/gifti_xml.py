"""GIFTI files, decoded here from their own bytes alone: no name in a file meets a path to be joined to.

What decides is what the XML parser has decoded, so that no spelling, character reference or character set of
a forbidden thing differs from another. Encodings and types are known by list; document types with content,
entities and names of other files are refused; every array is weighed by its dimensions before its values are
made. The format is described in the GIFTI Surface Data Format specification, version 1.0 (nitrc.org).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.limits import FREE_BYTES, MAX_VALUES, UNPACKED_PER_BYTE, in_words

_MAX_FILE_BYTES = 600_000_000
#: Most elements of one file, deepest nesting, longest tag or comment in bytes, longest text that is kept.
_MAX_ELEMENTS, _MAX_DEPTH, _MAX_TOKEN, _MAX_TEXT = 500_000, 16, 1 << 20, 1000
_BLOCK = 1 << 18
_SPACE = re.compile(r"\s")
_DAMAGED_FIX = "copy or export the file again"
_DAMAGE = (
    expat.ExpatError,
    binascii.Error,
    zlib.error,
    ValueError,
    OSError,
    EOFError,
    OverflowError,
    LookupError,
)
#: The document type that the standard's own software writes; it is never opened.
_KNOWN_DTD = re.compile(r"https?://[\w./:-]+/gifti\.dtd")
_CHARACTER_SETS = (None, "UTF-8", "US-ASCII", "ISO-8859-1", "UTF-16")
_TYPES = {
    f"NIFTI_TYPE_{name}": np.dtype(kind)
    for name, kind in (
        ("UINT8", "u1"), ("INT8", "i1"), ("UINT16", "u2"), ("INT16", "i2"), ("UINT32", "u4"), ("INT32", "i4"),
        ("UINT64", "u8"), ("INT64", "i8"), ("FLOAT32", "f4"), ("FLOAT64", "f8"),
    )
}  # fmt: skip
_ORDERS: dict[str, Literal["<", ">"]] = {"LittleEndian": "<", "BigEndian": ">"}
_INDEXING: dict[str, Literal["C", "F"]] = {"RowMajorOrder": "C", "ColumnMajorOrder": "F"}
_ENCODINGS = ("ASCII", "Base64Binary", "GZipBase64Binary")


@dataclass
class GiftiData:
    """What a file holds.

    Parameters
    ----------
    arrays : list of ndarray
        Values as stored, one or two axes each.
    meta : dict
        Metadata of the whole file.
    first_meta : dict
        Metadata of the first array.
    """

    arrays: list[NDArray[Any]] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)
    first_meta: dict[str, str] = field(default_factory=dict)


class _Refused(Exception):
    """Raised inside the parser, which passes it on."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.error = what, fix


def read_gifti_file(path: Path, name: str) -> GiftiData:
    """Decode a GIFTI file, gzip-compressed or not.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Display name.

    Raises
    ------
    ScanError
        If it is damaged, refers to anything outside itself, or claims or holds more than a surface run.
    """
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise _too_large(name)
    parser = _Parser()
    try:
        for block in _blocks(path):
            parser.feed(block)
        return parser.finish()
    except _Refused as refused:
        raise ScanError(f"{name} {refused.error[0]}", refused.error[1]) from None
    except _DAMAGE as error:
        raise ScanError(f"{name} is a damaged GIFTI file", _DAMAGED_FIX) from error


def _too_large(name: str) -> ScanError:
    return ScanError(f"{name} is larger than any surface run", "give one run and one hemisphere per file")


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the file's bytes, unpacked where it is gzip, and never more than a surface run has."""
    total = 0
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total += len(block)
            if total > _MAX_FILE_BYTES:
                raise _Refused("is larger than any surface run", "give one run and one hemisphere per file")
            yield block


@dataclass
class _Claim:
    """An array whose tag has been read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    encoding: str
    indexing: Literal["C", "F"]
    meta: dict[str, str] = field(default_factory=dict)
    text: list[str] | None = None
    room: int = 0

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class _Parser:
    def __init__(self) -> None:
        self.out = GiftiData()
        self.path: list[str] = []
        self.claim: _Claim | None = None
        self.claimed = self.unpacked = self.packed = self.fed = self.elements = 0
        self.words: list[str] | None = None
        self.key = ""
        self.expat = expat.ParserCreate()
        self.expat.buffer_text = True
        self.expat.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.expat.XmlDeclHandler = self._declaration
        self.expat.StartDoctypeDeclHandler = self._doctype
        for handler in ("EntityDecl", "UnparsedEntityDecl", "NotationDecl", "ExternalEntityRef"):
            setattr(self.expat, f"{handler}Handler", self._refuse_reference)
        self.expat.SkippedEntityHandler = self._refuse_reference
        self.expat.AttlistDeclHandler = self._refuse_reference  # gives an attribute a value from elsewhere
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._characters

    def feed(self, block: bytes) -> None:
        self.expat.Parse(block, False)
        self.fed += len(block)
        if self.fed - max(self.expat.CurrentByteIndex, 0) > _MAX_TOKEN + len(block):
            raise ValueError("a tag without end")

    def finish(self) -> GiftiData:
        self.expat.Parse(b"", True)
        return self.out

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() not in _CHARACTER_SETS:
            raise _Refused("is written in an unusual character set", "save it in UTF-8")

    def _doctype(self, name: str, system: str | None, public: str | None, has_content: int) -> None:
        known = system is None or _KNOWN_DTD.fullmatch(system)
        if name != "GIFTI" or has_content or public is not None or not known:
            self._refuse_reference()

    def _refuse_reference(self, *_arguments: Any) -> int:
        raise _Refused("refers to other files or entities", "save it with its data inside")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if self.elements > _MAX_ELEMENTS or len(self.path) >= _MAX_DEPTH:
            raise ValueError("elements without end")
        if not self.path and tag != "GIFTI":
            raise ValueError("another document")
        for key, value in attributes.items():
            self._check_attribute(key, value)
        parent = self.path[-1] if self.path else ""
        self.path.append(tag)
        if tag == "DataArray":
            if parent != "GIFTI":
                raise ValueError("an array inside something else")
            self.claim = self._array(attributes)
        elif tag == "Data":
            if parent != "DataArray" or self.claim is None or self.claim.text is not None:
                raise ValueError("data without an array")
            self.claim.text, self.claim.room = [], _text_room(self.claim)
        elif tag in ("Name", "Value") and parent == "MD":
            self.words = []

    def _check_attribute(self, key: str, value: str) -> None:
        """Refuse whatever names another file; an empty name is how some write that there is none."""
        plain = key.rpartition(":")[2].lower()
        if plain.startswith("external") and value.strip() not in ("", "0"):
            self._refuse_reference()

    def _array(self, about: dict[str, str]) -> _Claim:
        if about.get("Encoding") not in _ENCODINGS:
            raise _Refused(
                "keeps an array in an encoding other than ASCII, Base64Binary and GZipBase64Binary",
                "save it with its data inside",
            )
        dtype = _TYPES.get(about.get("DataType", ""))
        if dtype is None:
            raise _Refused("keeps an array of an unknown type", "save it as NIFTI_TYPE_FLOAT32")
        n_axes = _whole(about["Dimensionality"])
        if not 1 <= n_axes <= 2:
            raise _Refused(
                f"holds an array of {n_axes} axes, no functional data", "give a .func.gii time series"
            )
        shape = tuple(_whole(about[f"Dim{k}"]) for k in range(n_axes))
        if about["Encoding"] != "ASCII":
            dtype = dtype.newbyteorder(_ORDERS[about["Endian"]])
        claim = _Claim(dtype, shape, about["Encoding"], _INDEXING[about["ArrayIndexingOrder"]])
        self.claimed += claim.count
        if self.claimed > MAX_VALUES:
            raise _Refused(f"claims {in_words(self.claimed)} values, which no surface run has", _DAMAGED_FIX)
        return claim

    def _characters(self, text: str) -> None:
        tag = self.path[-1] if self.path else ""
        if tag == "Data" and self.claim is not None and self.claim.text is not None:
            self.claim.room -= len(text)
            if self.claim.room < 0:
                raise _Refused("holds more data than it claims to hold", "check where the file comes from")
            self.claim.text.append(text)
        elif self.words is not None and sum(map(len, self.words)) < _MAX_TEXT:
            self.words.append(text)

    def _end(self, tag: str) -> None:
        self.path.pop()
        if tag == "Data" and self.claim is not None:
            self.out.arrays.append(self._decode(self.claim))
        elif tag == "DataArray" and self.claim is not None:
            if self.claim.text is None:
                raise ValueError("an array without data")
            if len(self.out.arrays) == 1:
                self.out.first_meta = self.claim.meta
            self.claim = None
        elif self.words is not None:
            text, self.words = "".join(self.words)[:_MAX_TEXT], None
            if tag == "Name":
                self.key = text
            elif self.key in ("TimeStep", "AnatomicalStructurePrimary"):  # all else may name a person
                (self.out.meta if self.claim is None else self.claim.meta)[self.key] = text

    def _check_unpacked(self) -> None:
        if 8 * self.unpacked > FREE_BYTES + UNPACKED_PER_BYTE * self.packed:
            raise _Refused(
                f"unpacks {self.packed / 1e6:.3g} MB to {in_words(self.unpacked)} values, as no scan does",
                "check where the file comes from",
            )

    def _decode(self, claim: _Claim) -> NDArray[Any]:
        text, claim.text = "".join(claim.text or ()), []
        n_bytes = claim.count * claim.dtype.itemsize
        if claim.encoding == "ASCII":
            flat = _numbers(text, claim)
        else:
            raw = base64.b64decode(text)
            if claim.encoding == "GZipBase64Binary":
                self.unpacked, self.packed = self.unpacked + claim.count, self.packed + len(raw)
                self._check_unpacked()
                raw = _inflated(raw, n_bytes)
            if len(raw) > n_bytes:
                raise _Refused("holds more data than it claims to hold", "check where the file comes from")
            flat = np.frombuffer(raw, dtype=claim.dtype)
        if flat.size != claim.count:
            raise ValueError("fewer values than it claims")
        return flat.reshape(claim.shape, order=claim.indexing)


def _numbers(text: str, claim: _Claim) -> NDArray[Any]:
    """Return the numbers of a text, piece by piece: as Python objects they take ten times the room."""
    if len(text) < 2 * claim.count - 1:
        raise ValueError("fewer values than it claims")
    out, n, at = np.empty(claim.count, claim.dtype), 0, 0
    while at < len(text):
        edge = _SPACE.search(text, at + _BLOCK)
        end = edge.start() if edge else len(text)
        part = text[at:end].split()
        if n + len(part) > claim.count:
            raise _Refused("holds more data than it claims to hold", "check where the file comes from")
        out[n : n + len(part)] = np.array(part, dtype=claim.dtype) if part else 0
        n, at = n + len(part), end
    return out[:n]


def _whole(text: str) -> int:
    """Return a count; more digits than any has, or signs, are damage."""
    if not re.fullmatch(r"\s*[0-9]{1,15}\s*", text):
        raise ValueError("no count")
    return int(text)


def _text_room(claim: _Claim) -> int:
    """Return how long an array's text may be: its values, line breaks, and packing that gains nothing."""
    if claim.encoding == "ASCII":
        return 64 * claim.count + 4096
    return 2 * claim.count * claim.dtype.itemsize + 4096


def _inflated(packed: bytes, n_bytes: int) -> bytes:
    """Unpack an array, and not a byte more than it claims."""
    engine = zlib.decompressobj(47)  # zlib, or gzip as some write
    out = engine.decompress(packed, n_bytes + 1)
    if len(out) > n_bytes:
        raise _Refused("unpacks to more data than it claims to hold", "check where the file comes from")
    return out
