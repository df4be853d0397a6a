"""Lines and cells of any text table: character set, compression, budgets, delimiter, decimal sign.

The one place where bytes of a table become cells, for scans, confounds, coordinates and people alike.
Everything is bounded before it is held: bytes as they are unpacked, the length of a line, columns, values;
the time taken grows with the bytes alone.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from brainlm_core.base.errors import BrainLMError, ScanError

#: Largest text table in bytes, unpacked (an hour at 1,000 parcels is about 50 MB).
MAX_BYTES = 400_000_000
#: Longest line in characters; 20,000 numbers at full precision.
MAX_LINE = 500_000
#: Most cells of a line: more than any parcellation has parcels, or any run volumes.
MAX_COLUMNS = 20_000
#: Most lines, empty ones and comments among them: ten times the volumes of a day, or twice a national cohort.
MAX_LINES = 1_000_000
#: Most cells of a table: two hours of 1,000 parcels at TR 0.72 s.
MAX_CELLS = 12_000_000
#: Lines that are looked at to find delimiter, decimal sign and header.
HEAD_LINES = 60
MISSING = frozenset(
    (
        *(
            "",
            "n/a",
            "na",
            "nan",
            "null",
            "none",
            ".",
            "-",
            "--",
            "missing",
            "#n/a",
            "#na",
            "#num!",
            "#div/0!",
        ),
        *(
            "#value!",
            "#null!",
            "inf",
            "+inf",
            "-inf",
            "infinity",
            "+infinity",
            "-infinity",
            "1.#qnan",
            "-nan",
        ),
    )
)
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eEdD][+-]?\d+)?$")
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+([eEdD][+-]?\d+)?$")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"|\'([^\']*)\'|(\S+)')
_FIX = "give one row per volume and one column per parcel, numbers only"


@dataclass(frozen=True)
class Dialect:
    """How the lines of a table are cut.

    Parameters
    ----------
    delimiter : str or None
        None: runs of blanks.
    decimal : {".", ","}
        Sign before the fraction.
    head : tuple of tuple of str
        Cells of the first lines that are no comments.
    comments : tuple of str
        Comment lines above them, without their mark.
    skip : int
        Lines that only describe the file (``sep=;``), to be passed over.
    """

    delimiter: str | None
    decimal: str
    head: tuple[tuple[str, ...], ...]
    comments: tuple[str, ...] = ()
    skip: int = 0


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with either decimal sign, also as Fortran writes it (``1.5D+02``)."""
    return bool(_NUMBER.match(cell))


def is_value(cell: str) -> bool:
    """Whether a cell is a number or says that one is missing."""
    return is_number(cell) or cell.lower() in MISSING


def to_number(cell: str, decimal: str = ".") -> float:
    """Return a cell as a number; NaN where it says that one is missing.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if cell.lower() in MISSING:
        return float("nan")
    if not is_number(cell):
        raise ValueError(cell)
    text = cell.replace(",", ".") if decimal == "," else cell
    return float(text.replace("D", "e").replace("d", "e"))


class TableFile:
    """A text table on the disk, read line by line.

    Parameters
    ----------
    path : Path
        The file; may be compressed by gzip.
    name : str
        Display name for errors.
    error : type
        What is raised: :class:`ScanError`, or another of the family.

    Raises
    ------
    ScanError (or ``error``)
        If it is no text, or larger than any table of its kind.
    """

    def __init__(self, path: Path, name: str, error: type[BrainLMError] = ScanError) -> None:
        self.path, self.name, self.error = path, name, error
        with path.open("rb") as stream:
            self._gzip = stream.read(2) == b"\x1f\x8b"
        if path.stat().st_size > MAX_BYTES:
            raise self._too_large()
        with self._open() as raw:
            try:
                sample = raw.read(1 << 16)
            except (OSError, EOFError, zlib.error) as damage:
                raise self._damaged() from damage
        self._encoding = self._character_set(sample)

    def _too_large(self) -> BrainLMError:
        return self.error(
            f"{self.name} holds more than {MAX_BYTES / 1e6:.0f} MB of text, as no table of one run does",
            "give one run, or convert it to .npy",
        )

    def _damaged(self) -> BrainLMError:
        return self.error(
            f"{self.name} is compressed data that cannot be unpacked; it is damaged or cut short",
            "copy or download the file again",
        )

    def _open(self) -> IO[bytes]:
        return cast(IO[bytes], gzip.open(self.path, "rb") if self._gzip else self.path.open("rb"))

    def _character_set(self, sample: bytes) -> str:
        for mark, encoding in (
            (codecs.BOM_UTF8, "utf-8-sig"),
            (codecs.BOM_UTF32_LE, "utf-32"),
            (codecs.BOM_UTF32_BE, "utf-32"),
            (codecs.BOM_UTF16_LE, "utf-16"),
            (codecs.BOM_UTF16_BE, "utf-16"),
        ):
            if sample.startswith(mark):
                return encoding
        if b"\x00" in sample:
            even, odd = sample[::2].count(0), sample[1::2].count(0)
            half = len(sample) // 2
            if half > 4 and even < 0.1 * half and odd > 0.7 * half:
                return "utf-16-le"
            if half > 4 and odd < 0.1 * half and even > 0.7 * half:
                return "utf-16-be"
            raise self.error(
                f"{self.name} is in no format that is known here",
                "give NIfTI, CIFTI, GIFTI, .csv, .tsv, .txt, .1D, .npy, .npz, .mat or .parquet",
            )
        return "utf-8"

    def lines(self) -> Iterator[str]:
        """Yield the lines without their ends, whichever ends they have; again from the first at each call.

        Raises
        ------
        ScanError (or ``error``)
            If a line or the file is too long, or its characters or its compression are damaged.
        """
        try:
            yield from self._lines()
        except UnicodeDecodeError as damage:
            if self._encoding != "utf-8":
                raise self.error(f"{self.name} is damaged text", "save the table again as UTF-8") from damage
            self._encoding = "cp1252"  # what programs on Windows wrote before UTF-8
            raise
        except (EOFError, zlib.error, OSError) as damage:
            raise self._damaged() from damage

    def _lines(self) -> Iterator[str]:
        read = n_lines = 0
        errors = "replace" if self._encoding == "cp1252" else "strict"
        with self._open() as raw, io.TextIOWrapper(raw, self._encoding, errors, newline=None) as text:
            while line := text.readline(MAX_LINE + 1):
                read += len(line)
                n_lines += 1
                if n_lines > MAX_LINES:
                    raise self.error(
                        f"{self.name} has more than {MAX_LINES:,} lines, as no table of one run or of people "
                        "has",
                        "give one run",
                    )
                if len(line) > MAX_LINE:
                    raise self.error(
                        f"a line of {self.name} has more than {MAX_LINE:,} characters, as no table of "
                        "parcels by volumes has",
                        "give one line per volume, or convert it to .npy",
                    )
                if read > MAX_BYTES:
                    raise self._too_large()
                yield line.rstrip("\n")


def is_comment(line: str) -> bool:
    """Whether a line is one of those that programs skip."""
    start = line.lstrip()[:2]
    return start[:1] in ("#", "%") or start == "//"


def split(line: str, delimiter: str | None) -> list[str]:
    """Cut a line into cells without quotes and outer blanks."""
    if '"' in line or (delimiter is None and "'" in line):
        if delimiter is None:
            return [m[1] or m[2] or m[3] or "" for m in _QUOTED.finditer(line)]
        try:
            return [c.strip().strip("'") for c in next(csv.reader([line], delimiter=delimiter))]
        except (csv.Error, StopIteration):
            return [c.strip().strip('"') for c in line.split(delimiter)]
    return [c.strip() for c in line.split(delimiter)] if delimiter is not None else line.split()


def find_dialect(table: TableFile) -> Dialect:
    """Look at the first lines of a table.

    Raises
    ------
    ScanError (or the table's own)
        If they hold nothing, or more cells than a table has.
    """
    head: list[str] = []
    comments: list[str] = []
    skip, forced = 0, None
    for line in table.lines():
        if not line.strip():
            continue
        if not head and (found := re.fullmatch(r'"?sep=(.)"?', line.strip(), re.IGNORECASE)):
            skip, forced = 1, found[1]
            continue
        if is_comment(line):
            if not head:
                comments.append(line)
            continue
        head.append(line)
        if len(head) >= HEAD_LINES or sum(map(len, head)) > 2 * MAX_LINE:
            break
    if not head:
        # A table whose only lines begin with a mark: its header, perhaps, but nothing below.
        raise table.error(f"{table.name} holds no numbers", _FIX)
    delimiter = forced or _delimiter(head)
    most = max(line.count(delimiter) if delimiter else line.count(" ") + line.count("\t") for line in head)
    cells = tuple(tuple(split(line, delimiter)) for line in head[: 3 if most > MAX_COLUMNS else None])
    widest = max(map(len, cells))
    if widest > MAX_COLUMNS:
        raise table.error(
            f"a line of {table.name} has {widest:,} cells; no parcellation has as many parcels and no run as "
            "many volumes",
            _FIX,
        )
    return Dialect(delimiter, _decimal(cells, delimiter), cells, tuple(comments), skip)


def _delimiter(head: list[str]) -> str | None:
    bare = [re.sub(r'"[^"]*"', "", line) if '"' in line else line for line in head]
    for delimiter in ("\t", ";", ",", "|"):
        if not all(delimiter in line for line in bare):
            continue
        if delimiter == ",":
            cells = bare[-1].split()
            if len(cells) > 1 and all(is_number(c) for c in cells) and not bare[-1].rstrip().endswith(","):
                return None  # "0,5 0,7": blanks part the columns, the comma is a decimal sign
        return delimiter
    # A name above may lack the delimiter that parts all else, as in a list with a title.
    rest = bare[1:] if len(bare) > 2 else []
    return next((d for d in ("\t", ";", ",") if rest and all(d in line for line in rest)), None)


def _decimal(cells: tuple[tuple[str, ...], ...], delimiter: str | None) -> str:
    if delimiter == ",":
        return "."
    body = [c for line in cells[1:] or cells for c in line[:200]][:4000]
    commas = sum(bool(_COMMA_NUMBER.match(c)) for c in body)
    points = sum("." in c and is_number(c) for c in body)
    return "," if commas > points else "."


def names_in_comment(dialect: Dialect, n_columns: int) -> tuple[str, ...] | None:
    """Return the header that the last comment line above the data is, if it has as many cells as these.

    Marks stand before the line, or before each name (``#1  #2``).
    """
    if not dialect.comments or n_columns < 2:
        return None
    line = dialect.comments[-1]
    for text in (line.lstrip().lstrip("#%/"), line):
        cells = [c.lstrip("#").strip() for c in split(text.strip(), dialect.delimiter)]
        if len(cells) == n_columns:
            return tuple(cells)
        spare = [c for c in cells if c]
        if len(spare) == n_columns:
            return tuple(spare)
    return None
