"""Text tables: .csv .tsv .txt .dat .1D, any delimiter, with or without header, index or time column."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.errors import ScanError
from brainlm_core.recording import Step
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import check_text_size

_MISSING = ("n/a", "na", "nan", "null", "none", "", "inf", "+inf", "-inf", "infinity", "-infinity")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eEdD][+-]?\d+)?$")
_TIME_NAMES = ("time", "t", "time_s", "seconds", "sec", "onset")
_FIX = "give one row per volume and one column per parcel, numbers only"


@dataclass(frozen=True)
class _Layout:
    """How the lines of a text table are to be cut."""

    delimiter: str | None  # None: runs of blanks
    decimal: str
    header: tuple[str, ...] | None
    skip: int  # lines before the first row of numbers


def read_text(path: Path, name: str) -> Grid:
    """Read a text table.

    Steps, in order: decode; find delimiter, comments, header and decimal sign from the first
    lines; parse; set a leading column of words aside as row names; set a leading index or time
    column aside (a time column gives the repetition time).

    Raises
    ------
    ScanError
        If the file is not text, not rectangular, or holds words among the numbers.
    """
    check_text_size(path, name)
    text = _decode(path.read_bytes(), name)
    layout = _layout(text, name)
    frame = _parse(text, layout, name)
    header = layout.header
    if header is not None and len(header) == frame.shape[1] - 1:
        header = ("", *header)  # R writes no name above the row names
    frame, row_names, header = _set_words_aside(frame, header, name)
    grid = Grid(_to_float(frame, layout.decimal, name), header, row_names)
    return set_index_aside(grid)


def _decode(raw: bytes, name: str) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if raw.startswith(mark):
            try:
                return raw.decode(encoding)
            except UnicodeDecodeError as error:
                raise ScanError(f"{name} is damaged text", "save the table again as UTF-8") from error
    if b"\x00" in raw[:65536]:
        raise ScanError(
            f"{name} is in no format that is known here",
            "give NIfTI, CIFTI, GIFTI, .csv, .tsv, .txt, .1D, .npy, .npz, .mat or .parquet",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _is_number(token: str) -> bool:
    return bool(_NUMBER.match(token))


def _is_value(token: str) -> bool:
    return _is_number(token) or token.lower() in _MISSING


def _split(line: str, delimiter: str | None) -> list[str]:
    return [t.strip().strip('"').strip("'") for t in line.split(delimiter)]


def _layout(text: str, name: str) -> _Layout:
    """Look at the first lines for comments, header, delimiter and decimal sign."""
    start, comment = 0, None
    lines = [line.rstrip() for line in io.StringIO(text[: 1 << 22])]
    while start < len(lines) and (not lines[start].strip() or lines[start].lstrip()[0] in "#%"):
        if lines[start].strip():
            comment = lines[start].lstrip(" #%") if "\t#" not in lines[start] else lines[start]
        start += 1
    if start == len(lines):
        raise ScanError(f"{name} holds no numbers", _FIX)
    sample = lines[start : start + 3]
    delimiter = next(
        (d for d in ("\t", ";", ",") if all(d in line for line in sample)),
        None,
    )
    if delimiter == "," and all(" " in line or "\t" in line for line in sample):
        tokens = sample[-1].split()
        if len(tokens) > 1 and all(_is_number(t) for t in tokens):
            delimiter = None  # "0,5 0,7": blanks part the columns, the comma is a decimal sign
    first = _split(lines[start], delimiter)
    header: tuple[str, ...] | None = None
    later = [_split(line, delimiter) for line in lines[start + 1 : start + 3] if line.strip()]
    if _is_header(first, later):
        header, start = tuple(first), start + 1
    elif comment is not None:
        names = _split(comment, delimiter)
        header = tuple(n.lstrip("#") for n in names) if len(names) == len(first) > 1 else None
    body = _split(lines[start], delimiter) if start < len(lines) else []
    decimal = "," if delimiter != "," and any("," in t for t in body) else "."
    return _Layout(delimiter, decimal, header, start)


def _is_header(first: list[str], later: list[list[str]]) -> bool:
    """Tell whether the first line names columns: words, where the lines below hold numbers."""
    if not later:
        return False
    words = sum(not _is_value(t) for t in first)
    below = sum(not _is_value(t) for t in later[0])
    if words > max(1, below):
        return True
    # Column numbers 1..n or 0..n-1 above the data are a header too, if the data goes on otherwise.
    tail = [t for t in first if t]
    if len(tail) < 3 or not all(t.isdigit() for t in tail) or all(t.isdigit() for t in later[0] if t):
        return False
    numbers = [int(t) for t in tail]
    return all(b - a == 1 for a, b in itertools.pairwise(numbers))


def _parse(text: str, layout: _Layout, name: str) -> pd.DataFrame:
    kwargs = {"sep": r"\s+"} if layout.delimiter is None else {"sep": layout.delimiter}
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            header=None,
            skiprows=layout.skip,
            decimal=layout.decimal,
            comment="%" if "%" in text[:4096] else None,
            na_values=["n/a", "N/A", "na", "nan", "NaN", "null", "None", ""],
            keep_default_na=True,
            skip_blank_lines=True,
            low_memory=False,
            skipinitialspace=True,
            **kwargs,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        detail = (
            f"line {found[2]} of {name} has {found[3]} columns where {found[1]} were expected"
            if found
            else f"{name} is not a table of numbers"
        )
        raise ScanError(detail, _FIX) from error
    empty = frame.columns[frame.isna().all()]
    if len(empty) and empty[-1] == frame.columns[-1] and layout.delimiter is not None:
        frame = frame.iloc[:, :-1]  # a delimiter at the end of each line
    return frame


def _set_words_aside(
    frame: pd.DataFrame, header: tuple[str, ...] | None, name: str
) -> tuple[pd.DataFrame, tuple[str, ...] | None, tuple[str, ...] | None]:
    """Take a leading column of words as row names; refuse words anywhere else."""
    words = [i for i, c in enumerate(frame.columns) if not _numeric(frame[c])]
    if not words:
        return frame, None, header
    if words == [0] and frame.shape[1] > 1:
        names = tuple(str(v) for v in frame.iloc[:, 0])
        return frame.iloc[:, 1:], names, None if header is None else header[1:]
    column = words[0] if words[0] else words[-1]
    bad = next(
        (i for i, v in enumerate(frame.iloc[:, column]) if isinstance(v, str) and not _is_value(v.strip())),
        0,
    )
    if len(words) > 0.5 * frame.shape[1]:
        raise ScanError(f"{name} is not a table of numbers", _FIX)
    raise ScanError(f"{name} holds words instead of numbers in row {bad + 1}, column {column + 1}", _FIX)


def _numeric(column: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    return all(_is_value(str(v).strip()) for v in column)


def _to_float(frame: pd.DataFrame, decimal: str, name: str) -> NDArray[np.float64]:
    def convert(column: pd.Series) -> pd.Series:
        if pd.api.types.is_numeric_dtype(column):
            return column
        text = column.astype(str).str.strip().str.replace("D", "e").str.replace("d", "e")
        return pd.to_numeric(text.str.replace(",", ".") if decimal == "," else text, errors="coerce")

    values = frame.apply(convert).to_numpy(np.float64)
    if values.size == 0:
        raise ScanError(f"{name} holds no numbers", _FIX)
    return values


def set_index_aside(grid: Grid) -> Grid:
    """Drop a leading index or time column; a time column gives the repetition time.

    A column counts as an index or as time only when it rises in equal steps from row to row,
    which no BOLD signal does.
    """
    values = grid.values
    if values.shape[0] < 3 or values.shape[1] < 3:
        return grid
    if not _rises_evenly(values[:, 0]) or _rises_evenly(values[:, 1]):
        return grid
    first, step = float(values[0, 0]), float(values[1, 0] - values[0, 0])
    label = grid.column_names[0].strip().lower() if grid.column_names else ""
    whole = step == 1.0 and first in (0.0, 1.0)
    named = label in _TIME_NAMES or label.startswith("time")
    is_time = named or not whole
    what = "time" if is_time else "index"
    return replace(
        grid,
        values=values[:, 1:],
        column_names=None if grid.column_names is None else grid.column_names[1:],
        tr_s=step if is_time else grid.tr_s,
        steps=(*grid.steps, Step("drop column", {"column": 1, "because": f"{what} in equal steps"})),
        notices=(
            *grid.notices,
            f"The first column rises in equal steps and was taken as {what}, not signal.",
        ),
    )


def _rises_evenly(column: NDArray[np.float64]) -> bool:
    steps = np.diff(column)
    return bool(
        np.isfinite(column).all() and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=1e-9)
    )
