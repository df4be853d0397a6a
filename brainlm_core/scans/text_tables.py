"""Text tables of signals: .csv .tsv .txt .dat .1D .netts, with or without header, index or time column."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.leading_columns import set_index_aside
from brainlm_core.scans.table_lines import (
    HEAD_LINES,
    MAX_CELLS,
    Dialect,
    TableFile,
    find_dialect,
    is_comment,
    is_value,
    names_in_comment,
    split,
    to_number,
)
from brainlm_core.scans.workbook import is_workbook, read_workbook

_FIX = "give one row per volume and one column per parcel, numbers only"
#: Words before the numbers of a row stand in this many columns at most (file, sub-brick, region, network).
_MAX_LEAD = 8
#: A header has this many lines at most (networks above regions).
_MAX_HEADER = 3


@dataclass(frozen=True)
class _Shape:
    """What stands where in the lines of a table.

    Parameters
    ----------
    n_header : int
        Lines of names above the data.
    names : tuple of str or None
        Of all columns.
    lead : int
        Columns of words before the numbers.
    width : int
        Columns of numbers.
    spare : bool
        Whether each line ends in one delimiter too many.
    """

    n_header: int
    names: tuple[str, ...] | None
    lead: int
    width: int
    spare: bool


def read_text(path: Path, name: str) -> Grid:
    """Read a text table.

    Steps, in order: find character set, delimiter, comments, header and decimal sign from the first lines;
    cut and convert line by line; keep leading columns of words as row names; set a leading index or time
    column aside (a time column gives the repetition time).

    Raises
    ------
    ScanError
        If the file is not text, not rectangular, larger than a table of one run, or holds words among the
        numbers.
    """
    table = TableFile(path, name)
    try:
        grid = _read(table)
    except UnicodeDecodeError:
        grid = _read(table)  # now as text of Windows before UTF-8
    return set_index_aside(grid)


def read_workbook_grid(path: Path, name: str) -> Grid:
    """Read the first sheet of a workbook as a table of signals.

    Raises
    ------
    ScanError
        As :func:`read_text`, and if the workbook is damaged, or is another document in the same container.
    """
    if not is_workbook(path):
        raise ScanError(f"{name} is an Office document, not a table", "export the signals as .csv")
    rows = [r for r in read_workbook(path, name) if not (r[0].startswith(("#", "%")) and not any(r[1:]))]
    if not rows:
        raise ScanError(f"{name} holds no numbers", _FIX)
    width = max(map(len, rows))
    rows = [[*r, *[""] * (width - len(r))] for r in rows]
    head = tuple(map(tuple, rows[:HEAD_LINES]))
    shape = _find_shape(Dialect(",", ".", head), name)
    values = array("d")
    words: list[list[str]] = [[] for _ in range(shape.lead)]
    for number, row in enumerate(rows[shape.n_header :], 1):
        for column, cell in zip(words, row, strict=False):
            column.append(cell)
        _append(values, row[shape.lead : shape.lead + shape.width], ".", name, number, shape.lead)
    numbers = np.frombuffer(values, dtype=np.float64).reshape(-1, shape.width).copy()
    names = None if shape.names is None else shape.names[shape.lead :]
    return set_index_aside(Grid(numbers, names, _row_names(words)))


def _read(table: TableFile) -> Grid:
    dialect = find_dialect(table)
    shape = _find_shape(dialect, table.name)
    values, words = _body(table, dialect, shape)
    names = shape.names
    if names is None:
        names = names_in_comment(dialect, shape.lead + shape.width)
    row_names = _row_names(words)
    return Grid(
        values,
        None if names is None else names[shape.lead :],
        row_names,
        parcels_axis=0 if table.name.lower().endswith(".netts") else None,
    )


def _find_shape(dialect: Dialect, name: str) -> _Shape:
    head = [list(cells) for cells in dialect.head]
    n_header = _header_lines(head)
    body = head[n_header:]
    if not body:
        raise ScanError(f"{name} holds no numbers", _FIX)
    width = len(body[0])
    names: tuple[str, ...] | None = None
    if n_header:
        names = tuple(_best_header(head[:n_header], width))
    spare = width > 1 and dialect.delimiter is not None and all(len(r) == width and not r[-1] for r in body)
    if spare and names is not None and len(names) == width and names[-1]:
        spare = False  # a named parcel without a value
    width -= spare
    if names is not None:
        names = ("", *names) if len(names) == width - 1 else names  # R writes no name above the row names
        names = names[:width] if len(names) == width + 1 and not names[-1] else names
        if len(names) != width:
            raise ScanError(
                f"the header of {name} has {len(names)} names for {width} columns", "give one name per column"
            )
    lead = _leading_words(body, width)
    if lead == width or (lead > _MAX_LEAD and lead > 0.5 * width):
        raise ScanError(f"{name} is not a table of numbers", _FIX)
    return _Shape(n_header, names, lead, width - lead, spare)


def _leading_words(body: Sequence[Sequence[str]], width: int) -> int:
    """Return how many columns at the left hold words: up to the last such column among the first few."""
    reach = min(_MAX_LEAD, width)
    wordy = [c for c in range(reach) if any(c < len(row) and not is_value(row[c]) for row in body)]
    if len(wordy) == reach == width:
        return width
    lead = wordy[-1] + 1 if wordy else 0
    # Words right in the numbers are damage; a column of words has one in nearly every row.
    while lead and sum(not is_value(row[lead - 1]) for row in body if len(row) >= lead) < 0.9 * len(body):
        lead -= 1
    return lead


def _header_lines(head: list[list[str]]) -> int:
    """Return how many lines at the top name columns: words, or rising numbers, where numbers stand below."""
    for n in range(1, min(_MAX_HEADER, len(head) - 1) + 1):
        above = all(sum(not is_value(c) for c in line) > 0.5 * len(line) for line in head[: n - 1])
        if above and _is_header(head[n - 1], head[n]):
            return n
    return 0


def _is_header(line: Sequence[str], below: Sequence[str]) -> bool:
    words = sum(not is_value(c) for c in line)
    words_below = sum(not is_value(c) for c in below)
    return words > max(1, words_below) or _counts_up(line, below)


def _counts_up(line: Sequence[str], below: Sequence[str]) -> bool:
    """Whether a line numbers columns: strictly rising whole numbers (gaps, ``.0``), or even steps of time.

    A corner word or an empty corner may stand before them; the line below may not rise likewise.
    """
    numbers = _numbers(line)
    if numbers is None or len(numbers) < 3:
        return False
    steps = np.diff(numbers)
    whole = bool((steps > 0).all() and (np.mod(numbers, 1) == 0).all())
    even = bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=1e-9))
    if not (whole or even):
        return False
    later = _numbers(below)
    if later is None:
        return False
    rises = bool((np.diff(later) > 0).all())
    return not rises


def _numbers(line: Sequence[str]) -> NDArray[np.float64] | None:
    cells = list(line)
    while cells and (not cells[0] or not is_value(cells[0])):
        cells = cells[1:]  # a corner, or the names of a row
    while cells and not cells[-1]:
        cells = cells[:-1]
    try:
        numbers = np.array([to_number(c.replace(",", ".")) for c in cells])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _best_header(lines: list[list[str]], width: int) -> list[str]:
    """Of several lines of names the one that tells the columns apart best, the lowest of equals."""
    fitting = [line for line in lines if abs(len(line) - width) <= 1] or lines
    return max(reversed(fitting), key=lambda line: len(set(line)))


def _body(table: TableFile, dialect: Dialect, shape: _Shape) -> tuple[NDArray[np.float64], list[list[str]]]:
    """Return the numbers (rows, columns) and the words that stand before them."""
    values = array("d")
    words: list[list[str]] = [[] for _ in range(shape.lead)]
    full = shape.lead + shape.width
    plain = not shape.lead and not shape.spare and dialect.decimal == "."
    passed, row = -dialect.skip, 0
    for number, line in enumerate(table.lines(), 1):
        if not line.strip() or is_comment(line):
            continue
        passed += 1
        if passed <= shape.n_header:
            continue
        if plain and _append_plain(values, line, dialect.delimiter, shape.width):
            row += 1
            if row * shape.width > MAX_CELLS:
                raise _too_many(table.name)
            continue
        cells = split(line, dialect.delimiter)
        if dialect.delimiter is None and len(cells) > full and cells[full].startswith("#"):
            cells = cells[:full]  # a comment after the numbers
        if shape.spare and len(cells) == full + 1 and not cells[-1]:
            cells.pop()
        if len(cells) != full:
            raise ScanError(
                f"line {number} of {table.name} has {len(cells)} columns where {full} were expected", _FIX
            )
        for column, cell in zip(words, cells, strict=False):
            column.append(cell)
        row += 1
        if row * shape.width > MAX_CELLS:
            raise _too_many(table.name)
        _append(values, cells[shape.lead :], dialect.decimal, table.name, row, shape.lead)
    if not row:
        raise ScanError(f"{table.name} holds no numbers", _FIX)
    return np.frombuffer(values, dtype=np.float64).reshape(row, shape.width).copy(), words


def _too_many(name: str) -> ScanError:
    return ScanError(f"{name} holds more than {MAX_CELLS:,} numbers, as no run does", "give one run")


def _append_plain(values: array[float], line: str, delimiter: str | None, width: int) -> bool:
    """Append a line that is nothing but numbers, as most are; False when each cell must be looked at."""
    if "_" in line or '"' in line:
        return False  # 1_000 is a number to Python alone
    try:
        numbers = list(map(float, line.split(delimiter)))
    except ValueError:
        return False
    if len(numbers) != width:
        return False
    values.extend(numbers)
    return True


def _append(values: array[float], cells: list[str], decimal: str, name: str, row: int, lead: int) -> None:
    try:
        if decimal == ".":
            numbers = list(map(float, cells))  # also reads 1_000, which is no number here
            if not any("_" in c for c in cells if len(c) > 2):
                values.extend(numbers)
                return
    except ValueError:
        pass
    for column, cell in enumerate(cells, lead + 1):
        try:
            values.append(to_number(cell, decimal) if cell else math.nan)
        except ValueError:
            if sum(not is_value(c) for c in cells) > 0.5 * len(cells):
                raise ScanError(f"{name} is not a table of numbers", _FIX) from None
            raise ScanError(
                f"{name} holds words instead of numbers in row {row}, column {column}", _FIX
            ) from None


def _row_names(words: list[list[str]]) -> tuple[str, ...] | None:
    """Of the columns of words the one that names the rows: each of its own, the nearest to the numbers."""
    if not words:
        return None
    best = max(reversed(words), key=lambda column: len(set(column)))
    return tuple(best)
