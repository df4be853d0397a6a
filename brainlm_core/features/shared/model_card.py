"""The figures of a model card as numbers: what ``brainlm evaluate`` found, table by table.

``card.json`` lies beside the weights. The tables in ``MODEL_CARD.md`` are written from it
(:func:`fill_markdown`), so that the card, the Model page and the evaluation cannot drift apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainlm_core.base.errors import CheckpointError
from brainlm_core.base.methods import FORMER_KEYS

CARD_NAME = "card.json"
MARKDOWN_NAME = "MODEL_CARD.md"


@dataclass(frozen=True)
class Score:
    """One figure.

    Parameters
    ----------
    value : float
    ci95 : (float, float) or None
        95 % bootstrap interval over subjects.
    """

    value: float
    ci95: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.ci95 is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.ci95[0]:.3f} to {self.ci95[1]:.3f})"


@dataclass(frozen=True)
class CardRow:
    """One method.

    Parameters
    ----------
    key, name : str
        For programs and for readers; ``key`` is one of :data:`brainlm_core.base.methods.METHODS`.
    values : tuple of Score or None
        One per column; None where the method has no figure.
    """

    key: str
    name: str
    values: tuple[Score | None, ...]


@dataclass(frozen=True)
class CardTable:
    """One measure on one cohort.

    Parameters
    ----------
    key, title, unit : str
    columns : tuple of str
    rows : tuple of CardRow
        The model first, its baselines after it.
    note : str
        What to keep in mind, one sentence; may be empty.
    """

    key: str
    title: str
    unit: str
    columns: tuple[str, ...]
    rows: tuple[CardRow, ...]
    note: str = ""

    def row(self, key: str) -> CardRow | None:
        """Return the row of a method, None when it was not scored."""
        return next((r for r in self.rows if r.key == key), None)


@dataclass(frozen=True)
class BarDistance:
    """How far a bar is.

    Parameters
    ----------
    key, bar : str
        For programs and for readers.
    columns : tuple of str
    distance : tuple of float
        Figure minus bar, in the unit of the figure: 0 or more is reached.
    reached : bool
        Whether all are.
    """

    key: str
    bar: str
    columns: tuple[str, ...]
    distance: tuple[float, ...]
    reached: bool


@dataclass(frozen=True)
class ModelCard:
    """All figures of a model.

    Parameters
    ----------
    tables : tuple of CardTable
    distance_to_bars : tuple of BarDistance
    intervals : str
        What the intervals are.
    """

    tables: tuple[CardTable, ...]
    distance_to_bars: tuple[BarDistance, ...]
    intervals: str = "95 % bootstrap over subjects; over parcels for attention averaged over recordings"

    def table(self, key: str) -> CardTable | None:
        """Return a table by its key, None when it was not measured."""
        return next((t for t in self.tables if t.key == key), None)

    def save(self, folder: Path) -> Path:
        """Write ``card.json`` and return its path."""
        path = folder / CARD_NAME
        path.write_text(json.dumps(_rounded(asdict(self)), indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path


def load_card(folder: str | Path) -> ModelCard | None:
    """Read the card beside the weights.

    Parameters
    ----------
    folder : str or Path
        A checkpoint folder.

    Returns
    -------
    ModelCard or None
        None when the weights come without one.

    Raises
    ------
    CheckpointError
        When it cannot be read.
    """
    path = Path(folder) / CARD_NAME
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        tables = tuple(
            CardTable(
                t["key"],
                t["title"],
                t["unit"],
                tuple(t["columns"]),
                tuple(_read_row(r) for r in t["rows"]),
                t["note"],
            )
            for t in data["tables"]
        )
        bars = tuple(
            BarDistance(b["key"], b["bar"], tuple(b["columns"]), tuple(b["distance"]), b["reached"])
            for b in data["distance_to_bars"]
        )
        return ModelCard(tables, bars, data["intervals"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{CARD_NAME} is damaged", "copy the weights' folder again") from error


def _read_row(data: dict[str, Any]) -> CardRow:
    key = FORMER_KEYS.get(data["key"], data["key"])
    return CardRow(key, data["name"], tuple(map(_read_score, data["values"])))


def _read_score(data: dict[str, Any] | None) -> Score | None:
    if data is None:
        return None
    interval = data["ci95"]
    return Score(float(data["value"]), None if interval is None else (float(interval[0]), float(interval[1])))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def table_markdown(table: CardTable) -> str:
    """Return a table as Markdown, without its title."""
    lines = [_line(["", *table.columns]), _line(["---"] * (len(table.columns) + 1))]
    for row in table.rows:
        lines.append(_line([row.name, *("–" if v is None else str(v) for v in row.values)]))
    return "\n".join([*lines, *(["", table.note] if table.note else [])])


def bars_markdown(bars: Sequence[BarDistance]) -> str:
    """Return the distances to the bars as Markdown."""
    lines = [_line(["bar", "figure minus bar", "reached"]), _line(["---"] * 3)]
    for bar in bars:
        told = ", ".join(f"{c} {d:+.3f}" for c, d in zip(bar.columns, bar.distance, strict=True))
        lines.append(_line([bar.bar, told, "yes" if bar.reached else "no"]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def fill_markdown(text: str, card: ModelCard) -> str:
    """Write the card's tables between their marks in ``MODEL_CARD.md``.

    A table stands between ``<!-- KEY -->`` and ``<!-- end KEY -->``, the distances between ``<!-- bars -->``
    and ``<!-- end bars -->``.

    Raises
    ------
    CheckpointError
        When the text has no place for a table.
    """
    blocks = {t.key: table_markdown(t) for t in card.tables} | {"bars": bars_markdown(card.distance_to_bars)}
    for key, block in blocks.items():
        pattern = re.compile(rf"<!-- {key} -->.*?<!-- end {key} -->", re.DOTALL)
        if not pattern.search(text):
            raise CheckpointError(
                f"{MARKDOWN_NAME} has no place for {key}", f"add <!-- {key} --> and <!-- end {key} -->"
            )
        replacement = f"<!-- {key} -->\n{block}\n<!-- end {key} -->"
        text = pattern.sub(lambda _, new=replacement: new, text)  # type: ignore[misc]
    return text
