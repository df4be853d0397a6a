"""Tables of named columns, whatever program wrote them: people, confounds, coordinates."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.scans.table_lines import TableFile, find_dialect, is_comment, is_number, is_value, split
from brainlm_core.scans.workbook import is_workbook, read_workbook

#: Most cells of such a table: each is held as text for a moment.
MAX_CELLS = 6_000_000
#: What stands for a missing value; ``none`` in small letters is a word (no diagnosis, no drug).
MISSING = frozenset(
    (
        *(
            "",
            "n/a",
            "N/A",
            "na",
            "NA",
            "nan",
            "NaN",
            "NAN",
            "null",
            "NULL",
            "None",
            "<NA>",
            "#N/A",
            "#NA",
            ".",
        ),
        *(
            "-",
            "--",
            "#NUM!",
            "#VALUE!",
            "#DIV/0!",
            "#NULL!",
            "-nan",
            "-NaN",
            "1.#QNAN",
            "missing",
            "Missing",
        ),
    )
)
_TRUE_FALSE = {"true": True, "false": False}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+$")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+$")


def read_named_table(
    path: str | Path,
    *,
    text: Callable[[str], bool] = lambda _label: False,
    error: type[BrainLMError] = ScanError,
    name: str | None = None,
) -> pd.DataFrame:
    """Read a table of named columns.

    Steps, in order: bytes to cells (any delimiter, character set and line end, gzip, or the first sheet of a
    workbook); the first line is the header unless it holds only numbers; blanks around names and values go;
    columns become numbers where all their values are, with decimal points or commas.

    Parameters
    ----------
    path : path
        Text (``.csv``, ``.tsv``, ``.txt``, …, also ``.gz``) or ``.xlsx``.
    text : callable
        Tells by its name whether a column stays text as written: identifiers keep their zeros.
    error : type
        Raised when it cannot be read.
    name : str, optional
        Display name.

    Returns
    -------
    pandas.DataFrame
        Columns are named 0, 1, … when the table has no header.

    Raises
    ------
    ScanError (or ``error``)
        If the file is no table, not rectangular, or too large.
    """
    path = Path(path)
    shown = name or path.name
    try:
        rows = read_workbook(path, shown, error) if is_workbook(path) else _text_rows(path, shown, error)
    except OSError as failure:
        raise error(f"{shown} cannot be opened", "check the path and the disk") from failure
    return _frame(rows, shown, error, text)


def _text_rows(path: Path, name: str, error: type[BrainLMError]) -> list[list[str]]:
    table = TableFile(path, name, error)
    try:
        return _cut(table)
    except UnicodeDecodeError:
        return _cut(table)  # now as text of Windows before UTF-8


def _cut(table: TableFile) -> list[list[str]]:
    dialect = find_dialect(table)
    rows: list[list[str]] = []
    passed, cells = -dialect.skip, 0
    for line in table.lines():
        if not line.strip() or (is_comment(line) and not _is_marked_header(line, dialect.head[0], rows)):
            continue
        passed += 1
        if passed <= 0:
            continue
        row = split(line.lstrip("#") if is_comment(line) else line, dialect.delimiter)
        cells += len(row)
        if cells > MAX_CELLS:
            raise table.error(
                f"{table.name} holds more than {MAX_CELLS:,} values", "give only the columns that are needed"
            )
        rows.append(row)
    if dialect.decimal == ",":
        return [[c.replace(",", ".") if is_number(c) else c for c in row] for row in rows]
    return rows


def _is_marked_header(line: str, first: Sequence[str], rows: list[list[str]]) -> bool:
    """Whether a comment above all else names the columns: ``#participant_id,age``."""
    if rows or not line.lstrip().startswith("#"):
        return False
    for delimiter in ("\t", ";", ",", None):
        cells = split(line.lstrip().lstrip("#"), delimiter)
        if len(cells) == len(first) > 1 and not any(is_value(c) for c in cells):
            return all(not c or is_value(c) for c in first[1:]) or any(is_value(c) for c in first)
    return False


def _frame(
    rows: list[list[str]], name: str, error: type[BrainLMError], text: Callable[[str], bool]
) -> pd.DataFrame:
    if not rows:
        raise error(f"{name} holds no values", "give a table with one row per line")
    first = rows[0]
    named = any(c and not is_value(c) for c in first)
    body = rows[1:] if named else rows
    width = max((len(r) for r in body), default=len(first))
    header: list[str] | list[int] = list(range(width))
    if named:
        header = _header(first, width, body)
        width = len(header)
    body = [r for r in body if any(r)]
    for number, row in enumerate(body, 1 + named):
        if len(row) > width and any(row[width:]):
            raise error(
                f"row {number} of {name} has {len(row)} values where {width} were expected",
                "give one value per column",
            )
        if len(row) < width - 1:
            raise error(
                f"row {number} of {name} has {len(row)} values where {width} were expected",
                "give one value per column",
            )
    columns = {}
    for i, label in enumerate(header):
        cells = [row[i] if i < len(row) else "" for row in body]
        columns[label] = _column(cells, as_text=text(str(label)))
    return pd.DataFrame(columns, columns=list(columns))


def _header(first: Sequence[str], width: int, body: Sequence[Sequence[str]]) -> list[str]:
    """Return one name per column: R's missing corner filled, spare delimiters dropped, doubles numbered."""
    names = [c.strip().strip("\ufeff") for c in first]
    if len(names) == width - 1 and not all(not r[-1] for r in body if len(r) == width):
        names = ["", *names]
    while (
        len(names) > 1 and not names[-1] and all(len(r) < len(names) or not r[len(names) - 1] for r in body)
    ):
        names.pop()
    seen: dict[str, int] = {}
    out = []
    for i, label in enumerate(names):
        label = label or (f"unnamed_{i + 1}" if i else "")
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label}.{seen[label] - 1}")
    return out


def _column(cells: list[str], *, as_text: bool) -> pd.Series:
    series = pd.Series(cells, dtype=object)
    missing = series.isin(MISSING)
    if as_text:
        return series.where(~missing, None).astype("str").where(~missing)
    known = series[~missing]
    if known.empty:
        return pd.Series(np.nan, index=series.index, dtype=float)
    if known.str.lower().isin(_TRUE_FALSE).all():
        truth = series.str.lower().map(_TRUE_FALSE)
        return truth.astype(bool) if not missing.any() else truth
    number = _as_numbers(known)
    if number is None:
        return series.where(~missing, None).astype("str").where(~missing)
    return number.reindex(series.index) if missing.any() else number


def _as_numbers(known: pd.Series) -> pd.Series | None:
    """Return text as numbers when all of it is numbers; commas are decimal where they cannot be thousands."""
    sample = known.iloc[: 1 << 14]
    if not sample.map(is_number).all() and not sample.str.lower().isin(("inf", "-inf", "+inf")).any():
        return None
    commas = known.str.contains(",", regex=False)
    if commas.any():
        odd = known[commas]
        if not odd.str.match(_DECIMAL_COMMA).all() or odd.str.match(_THOUSANDS).all():
            return None  # 1,234 may be a thousand or a fraction: it stays text
        known = known.str.replace(",", ".", regex=False)
    try:
        return pd.to_numeric(known)
    except (ValueError, TypeError):
        number = pd.to_numeric(known.str.replace("[dD]", "e", regex=True), errors="coerce")
        return number if number.notna().all() else None
