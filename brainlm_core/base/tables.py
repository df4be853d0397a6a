"""The one writer of tables: CSV and TSV that a spreadsheet takes for what they are, and for nothing else.

Names come from files that anybody may have made. A spreadsheet takes a cell that begins with ``=``, ``+``,
``-`` or ``@`` for a formula, also behind blanks or in full-width signs, and a formula may send the other
cells away. Such a cell is written with an apostrophe in front; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: What spreadsheets take for the beginning of a formula; full-width signs are brought to these first.
_SIGNS = frozenset("=+-@")
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE
)
_BLANKS = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_STARTS = frozenset("\t\r\n\0")
_APOSTROPHE = "'"


def harmless(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs; what is no text, or the text of a number, stays as it is."""
    if not isinstance(cell, str) or not cell:
        return cell
    return _APOSTROPHE + cell if _is_formula(cell) or _was_escaped(cell) else cell


def original(cell: Any) -> Any:
    """Return what :func:`harmless` was given."""
    return cell[1:] if isinstance(cell, str) and _was_escaped(cell) else cell


def _written(cell: Any) -> Any:
    """Return a harmless cell that stays one: a return would end the line for some readers, quoted or not."""
    cell = harmless(cell)
    return cell.replace("\r\n", "\n").replace("\r", "\n") if isinstance(cell, str) else cell


def _was_escaped(cell: str) -> bool:
    rest = cell.lstrip(_APOSTROPHE)
    return cell.startswith(_APOSTROPHE) and _is_formula(rest)


def _is_formula(cell: str) -> bool:
    if _NUMBER.fullmatch(cell):
        return False
    if cell[:1] in _STARTS:
        return True
    for character in cell:
        if unicodedata.category(character) not in _BLANKS:
            return unicodedata.normalize("NFKC", character)[:1] in _SIGNS
    return False


def harmless_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts, names of rows and names of columns are harmless."""
    import pandas as pd

    safe = table.copy()
    for position in range(table.shape[1]):
        column = table.iloc[:, position]
        if not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype)):
            safe.isetitem(position, column.astype(object).map(_written))
    safe.columns = pd.Index([_written(name) for name in table.columns], name=_written(table.columns.name))
    if not pd.api.types.is_numeric_dtype(table.index.dtype):
        safe.index = pd.Index([_written(name) for name in table.index], name=_written(table.index.name))
    return safe


def table_text(
    table: pd.DataFrame,
    *,
    index: bool = False,
    float_format: str | None = "%.6g",
    separator: str = ",",
    missing: str = "",
) -> str:
    """Return a table as text.

    Parameters
    ----------
    table : DataFrame
    index : bool
        Whether the names of the rows come first.
    float_format : str or None
        As in ``%``; None writes all digits.
    separator, missing : str
        Between cells; in place of a missing value.
    """
    text: str = harmless_table(table).to_csv(
        index=index, float_format=float_format, sep=separator, na_rep=missing, lineterminator="\n"
    )
    return text


def table_bytes(table: pd.DataFrame, **how: Any) -> bytes:
    """Return a table as UTF-8, for a download; ``how`` as in :func:`table_text`."""
    return table_text(table, **how).encode()


def write_table(path: str | Path, table: pd.DataFrame, **how: Any) -> None:
    """Write a table to a file; ``how`` as in :func:`table_text`."""
    Path(path).write_text(table_text(table, **how), encoding="utf-8", newline="")


def write_rows(path: str | Path, header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> None:
    """Write a header and rows to a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_written(cell) for cell in header])
    writer.writerows([_written(cell) for cell in row] for row in rows)
    Path(path).write_text(text.getvalue(), encoding="utf-8", newline="")
