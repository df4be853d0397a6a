"""The one writer of results: a result says what it holds, and all of it is on disk or nothing is."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from brainlm_core.base.tables import write_table
from brainlm_core.base.writing import whole_files

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ResultFiles:
    """What a result leaves on disk, by file name; written in the order of the fields.

    Parameters
    ----------
    facts : mapping of str to mapping
        JSON files; arrays become lists, what is not finite becomes null.
    texts : mapping of str to str
        Files that are text already, such as a scenario.
    tables : mapping of str to DataFrame
        CSV files, one header line, no index.
    arrays : mapping of str to mapping of str to ndarray
        ``.npz`` files without pickles.
    maps : sequence of callable
        Writers of brain maps: given the folder, each writes files into it and returns their paths.
    float_format : str or None
        Of the tables, as in ``%``; None writes all digits.
    """

    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    maps: tuple[Callable[[Path], Iterable[Path]], ...] = ()
    float_format: str | None = "%.6g"

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Write everything into a folder; files of other names in it stay.

        Returns
        -------
        tuple of Path
            JSON, texts, tables, arrays and maps, in this order.

        Raises
        ------
        ConfigError
            If the disk is full or the folder cannot be written; nothing in it has changed then.
        """
        folder = Path(folder)
        with whole_files(folder) as part:
            names = [*self.facts, *self.texts, *self.tables, *self.arrays]
            for name, values in self.facts.items():
                text = json.dumps(plain(values), indent=2, allow_nan=False) + "\n"
                (part / name).write_text(text, encoding="utf-8")
            for name, text in self.texts.items():
                (part / name).write_text(text, encoding="utf-8")
            for name, table in self.tables.items():
                write_table(part / name, table, float_format=self.float_format)
            for name, arrays in self.arrays.items():
                with (part / name).open("wb") as stream:
                    np.savez_compressed(stream, **arrays)
            for draw in self.maps:
                names += [path.name for path in draw(part)]
        return tuple(folder / name for name in names)


class Saved(ABC):
    """A result that can be written: it says its files, and :meth:`save` is the same for all."""

    @abstractmethod
    def files(self) -> ResultFiles:
        """Return what the result leaves on disk."""

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write all files of the result into a folder (see :meth:`ResultFiles.write`)."""
        return self.files().write(folder)


def plain(value: Any) -> Any:
    """Return JSON-serialisable values: arrays as lists, null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
