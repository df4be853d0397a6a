"""The first sheet of a spreadsheet workbook (.xlsx): its cells as text, and nothing else of it.

Formulas, links and macros are not looked at: a cell is the value that the program stored beside its formula.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.parsers import expat

from brainlm_core.base.errors import BrainLMError, ScanError

#: Bytes of a sheet and of the shared texts, unpacked.
MAX_BYTES = 200_000_000
MAX_CELLS = 1_100_000
#: More columns than any parcellation has parcels; rows are the format's own limit.
MAX_COLUMNS, MAX_ROWS = 20_000, 1_048_576
#: Most XML elements of a sheet or of the shared texts, and the longest one in bytes: time grows with both.
MAX_ELEMENTS, MAX_TOKEN = 3_500_000, 1 << 20
#: Longest text of a cell in characters (the program's own limit), and of all cells together.
MAX_TEXT, MAX_TEXTS = 32_767, 100_000_000
_SHEET = re.compile(r"xl/worksheets/sheet(\d+)\.xml$")
_BLOCK = 1 << 16


def is_workbook(path: Path) -> bool:
    """Whether a file is a workbook, or a damaged archive, told by its content."""
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"PK\x03\x04":
                return False
        with zipfile.ZipFile(path) as archive:
            return any(n == "xl/workbook.xml" for n in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return True  # reading it says that it is damaged


def read_workbook(path: Path, name: str, error: type[BrainLMError] = ScanError) -> list[list[str]]:
    """Return the rows of the first sheet, cells as text, empty cells as ``""``; rows may differ in length.

    Raises
    ------
    ScanError (or ``error``)
        If the workbook is damaged, protected, without a sheet, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = sorted((int(m[1]), n) for n in archive.namelist() if (m := _SHEET.match(n)) is not None)
            if not sheets:
                raise error(f"{name} is a workbook without a sheet", "export the table as .csv")
            texts = _shared_texts(archive, name, error)
            with archive.open(sheets[0][1]) as stream:
                return _Sheet(texts, name, error).read(stream)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as failure:
        raise error(f"{name} is a damaged or protected workbook", "export the table as .csv") from failure
    except (expat.ExpatError, ValueError, IndexError, UnicodeDecodeError) as failure:
        raise error(f"{name} is a damaged workbook", "export the table as .csv") from failure


def _shared_texts(archive: zipfile.ZipFile, name: str, error: type[BrainLMError]) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    out: list[str] = []
    part: list[str] = []
    inside = [False, False]  # in a text run, in a phonetic guide

    def start(tag: str, _attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "si":
            part.clear()
        elif tag == "rPh":
            inside[1] = True
        elif tag == "t" and not inside[1]:
            inside[0] = True

    def end(tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "t":
            inside[0] = False
        elif tag == "rPh":
            inside[1] = False
        elif tag == "si":
            out.append("".join(part).strip()[: MAX_TEXT + 1])

    def text(data: str) -> None:
        if inside[0]:
            part.append(data)

    with archive.open("xl/sharedStrings.xml") as stream:
        _parse(stream, start, end, text, name, error)
    return out


def _blocks(stream: IO[bytes], name: str, error: type[BrainLMError]) -> Iterator[bytes]:
    read = 0
    while block := stream.read(_BLOCK):
        read += len(block)
        if read > MAX_BYTES:
            raise error(f"{name} unpacks to more than {MAX_BYTES / 1e6:.0f} MB", "export the table as .csv")
        yield block


def _parse(stream, start, end, text, name: str, error: type[BrainLMError]) -> None:  # type: ignore[no-untyped-def]
    parser = expat.ParserCreate()

    def no_types(*_: object) -> None:
        raise error(f"{name} declares a document type, as no workbook does", "export the table as .csv")

    n_elements = fed = 0

    def counted(tag: str, attributes: dict[str, str]) -> None:
        nonlocal n_elements
        n_elements += 1
        if n_elements > MAX_ELEMENTS:
            raise _too_many(name, error)
        start(tag, attributes)

    parser.StartDoctypeDeclHandler = no_types
    parser.StartElementHandler, parser.EndElementHandler = counted, end
    parser.CharacterDataHandler = text
    parser.buffer_text = True
    for block in _blocks(stream, name, error):
        parser.Parse(block, False)
        fed += len(block)
        if fed - max(parser.CurrentByteIndex, 0) > MAX_TOKEN + _BLOCK:  # each block would read it all again
            raise error(f"{name} is a damaged workbook", "export the table as .csv")
    parser.Parse(b"", True)


def _too_many(name: str, error: type[BrainLMError]) -> BrainLMError:
    return error(f"{name} has more cells than a table of this kind", "export the table as .csv")


class _Sheet:
    """Cells of one sheet while it is parsed."""

    def __init__(self, texts: list[str], name: str, error: type[BrainLMError]) -> None:
        self._texts, self._name, self._error = texts, name, error
        self._rows: list[list[str]] = []
        self._kind = ""
        self._column = 0
        self._value: list[str] = []
        self._inside = False
        self._cells = self._n_chars = 0

    def read(self, stream: IO[bytes]) -> list[list[str]]:
        _parse(stream, self._start, self._end, self._text, self._name, self._error)
        while self._rows and not any(self._rows[-1]):
            self._rows.pop()
        return [row for row in self._rows if any(row)]

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "row":
            if len(self._rows) >= MAX_ROWS:
                raise _too_many(self._name, self._error)
            self._rows.append([])
        elif tag == "c":
            self._kind = attributes.get("t", "n")
            place = attributes.get("r", "")
            letters = re.match(r"[A-Z]{1,3}", place)
            self._column = _number(letters[0]) if letters else len(self._rows[-1])
            self._value.clear()
        elif tag in ("v", "t"):
            self._inside = True

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag in ("v", "t"):
            self._inside = False
        elif tag == "c":
            self._put("".join(self._value).strip())

    def _text(self, data: str) -> None:
        if self._inside:
            self._value.append(data)

    def _put(self, value: str) -> None:
        if self._kind == "s" and value:
            value = self._texts[int(value)]
        elif self._kind == "b":
            value = "True" if value == "1" else "False"
        elif self._kind == "e":
            value = ""
        self._n_chars += len(value)
        if len(value) > MAX_TEXT or self._n_chars > MAX_TEXTS:
            raise self._error(
                f"{self._name} holds longer texts than a table of this kind", "export the table as .csv"
            )
        row = self._rows[-1]
        self._cells += max(1, self._column + 1 - len(row))
        if self._column >= MAX_COLUMNS or self._cells > MAX_CELLS:
            raise _too_many(self._name, self._error)
        row.extend([""] * (self._column + 1 - len(row)))
        row[self._column] = value


def _number(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
