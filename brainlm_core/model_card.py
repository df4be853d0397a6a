"""The figures of a model card, read from the card itself, so that a page and the card cannot differ.

A card is Markdown. Every heading followed by a table whose cells are ``value (low to high)`` or
``value`` is a table of figures; other tables and all prose are left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CARD_NAME = "MODEL_CARD.md"
_CELL = re.compile(r"^(-?\d*\.?\d+)(?:\s*\((-?\d*\.?\d+) to (-?\d*\.?\d+)\))?$")


@dataclass(frozen=True)
class CardValue:
    """One figure.

    Parameters
    ----------
    value : float
    interval : (float, float) or None
        95 % interval.
    """

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class CardTable:
    """One table of figures.

    Parameters
    ----------
    title : str
        The heading above it.
    columns : tuple of str
    rows : dict of str to tuple of (CardValue or None)
        By method, one value for each column; None where the card has none.
    """

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[CardValue | None, ...]]


@dataclass(frozen=True)
class ModelCard:
    """A card: its text and its figures."""

    text: str
    tables: tuple[CardTable, ...]

    def section(self, heading: str) -> str:
        """Return what stands below a heading of the second level, empty when there is none."""
        found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, re.M | re.S)
        return found[1].strip() if found else ""


def read_card(folder: Path) -> ModelCard | None:
    """Read the card of the weights in ``folder``; None when there is none."""
    path = folder / CARD_NAME
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    return ModelCard(text, tuple(_tables(text)))


def _tables(text: str) -> list[CardTable]:
    tables, title, block = [], "", list[str]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
            continue
        if len(block) > 2 and (table := _table(title, block)) is not None:
            tables.append(table)
        block = []
        if line.startswith("#"):
            title = line.lstrip("# ").strip()
    return tables


def _table(title: str, lines: list[str]) -> CardTable | None:
    """Return a table of figures, None when a row holds anything else."""
    header, _, *body = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    rows = {}
    for name, *cells in body:
        found = [_CELL.match(cell) for cell in cells]
        if len(cells) != len(header) - 1 or not all(m or not c for m, c in zip(found, cells, strict=True)):
            return None
        rows[name] = tuple(
            None if m is None else CardValue(float(m[1]), (float(m[2]), float(m[3])) if m[2] else None)
            for m in found
        )
    return CardTable(title, tuple(header[1:]), rows)
