"""The one writer of tables: no cell runs in a spreadsheet, numbers stay numbers, nobody writes past it."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainlm_core.base.tables import harmless, original, table_text, write_rows, write_table

FORMULAS = [
    '=HYPERLINK("http://evil.example","x")',
    "=1+1",
    "+1+1",
    "-1+1",
    "-x",
    "- a list",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\tx",
    " =1",
    "\u00a0=1",
    "\u3000=1",
    "\u200b=1",
    "\ufeff=1",
    "\x00=1",
    "\x0b=1",
    "＝1",
    "＋1+1",
    "－x",
    "＠x",
    "﹦1",
    "﹢1",
    "⁼1",
    "+",
    "-",
    "=",
    "--1",
    "+-1",
    "-1e5x",
    "'=1",
    "-1;2",
    "-١",
]
#: Whatever else writes such tables.
WRITERS = ("to_csv", "DictWriter", "write_csv", "CSVWriter", "savetxt", "to_excel", "to_clipboard")
PLAIN = [
    "",
    "a=b",
    "sub-01",
    "1-2",
    "-0.5",
    "+3",
    "-.5e-3",
    "1e5",
    "-inf",
    "nan",
    "'quoted'",
    "'",
    "a\t=b",
    "−1",
]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_gets_an_apostrophe_wherever_it_stands(cell: str, tmp_path: Path) -> None:
    assert harmless(cell) == f"'{cell}" and original(harmless(cell)) == cell
    written = f"'{cell}".replace("\r", "\n")
    table = pd.DataFrame({cell: [cell, "x"], "n": [1, 2]}, index=pd.Index([cell, "r"], name=cell))
    for text in (table_text(table, index=True), table_text(table.astype({cell: "category"}), index=True)):
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert rows[:2] == [[written, written, "n"], [written, written, "1"]], rows
    write_rows(tmp_path / "t.csv", [cell], [[cell]])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [[written]] * 2


@pytest.mark.parametrize("cell", [*PLAIN, 3, -0.5, None, np.float32(-1), True])
def test_everything_else_stays(cell: object) -> None:
    assert harmless(cell) is cell or harmless(cell) == cell


@given(st.text(max_size=12))
def test_what_was_written_comes_back(cell: str) -> None:
    assert original(harmless(cell)) == cell


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"a": [-0.5, np.nan], "b": [-1, 2], "c": pd.array([-3, None], dtype="Int64"), "d": [-0.25, "=1"]}
    )
    write_table(tmp_path / "t.csv", table)
    again = pd.read_csv(tmp_path / "t.csv")
    assert again["a"][0] == -0.5 and list(again["b"]) == [-1, 2] and again["c"][0] == -3
    assert list(again["d"]) == ["-0.25", "'=1"]
    assert table["d"][1] == "=1", "the table itself is left as it was"


def test_nobody_writes_tables_past_it(root: Path) -> None:
    """Calls that write CSV or TSV by themselves, in any spelling that Python's grammar shows."""
    found = []
    for folder in ("app", "brainlm_core", "pages"):
        for path in (root / folder).rglob("*.py"):
            if path == root / "brainlm_core" / "base" / "tables.py":
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
                of_csv = isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "csv"
                if isinstance(node, ast.ImportFrom) and node.module in ("csv", "pyarrow.csv"):
                    of_csv, name = True, next((a.name for a in node.names if "rite" in a.name), "")
                if name in WRITERS or (of_csv and "rite" in name):
                    found.append(f"{path.relative_to(root)}:{getattr(node, 'lineno', '?')} {name}")
    assert not found
