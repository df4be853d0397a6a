"""Recordings of many people as one value, wherever they lie: in a pack, a folder or a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.base.rows_on_disk import RowsOnDisk


@dataclass(frozen=True, eq=False)
class Cohort:
    """Recordings of many people, read one at a time.

    Parameters
    ----------
    name : str
        File or folder name, without directories.
    ids : tuple of str
        One per recording.
    subjects : tuple of str
        Who was scanned; recordings of one person share it.
    phenotypes : pandas.DataFrame or None
        One row per recording, in order.
    parcellation : Parcellation or None
        Of a pack; None for a folder, whose scans bring their own.
    signals : RowsOnDisk or ndarray (total time, n_parcels), or None
        All recordings of a pack.
    spans : ndarray (n, 2), int
        First row of each recording in ``signals``, and the row after its last.
    tr_s : ndarray (n,), float64
        Repetition times in s.
    files : tuple of Path
        Scans of a folder or a store.
    read : callable or None
        Reads one of ``files`` that knows its own repetition time; None reads scans of any format.
    left_out : tuple of str
        Columns of the phenotypes that may tell who somebody is, and are not here.
    """

    name: str
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    phenotypes: pd.DataFrame | None
    parcellation: Parcellation | None
    signals: RowsOnDisk | NDArray[Any] | None
    spans: NDArray[np.int64]
    tr_s: NDArray[np.float64]
    files: tuple[Path, ...] = ()
    read: Callable[[Path], Recording] | None = None
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def recording(self, index: int) -> Recording:
        """Return one recording; ScanError when it cannot be used."""
        if self.read is not None:
            return self.read(self.files[index])
        if self.files:
            from brainlm_core.scans import read_scan

            tr = float(self.tr_s[index])
            return read_scan(self.files[index], tr_s=tr if np.isfinite(tr) else None)
        assert self.signals is not None and self.parcellation is not None
        start, stop = self.spans[index]
        values = np.asarray(self.signals[start:stop], dtype=np.float32).T
        if not np.isfinite(values).all():
            raise ScanError(
                f"recording {self.ids[index]} of {self.name} holds NaN or infinite values",
                "clean it or take it out of the pack",
            )
        return Recording(
            values,
            float(self.tr_s[index]),
            self.parcellation,
            Provenance(f"{self.name}: {self.ids[index]}", atlas=self.parcellation.name),
        )

    def subset(self, rows: Sequence[int]) -> Cohort:
        """Return the cohort of some recordings, in the given order."""
        index = np.asarray(rows, dtype=np.intp)
        files = tuple(self.files[i] for i in index) if self.files else ()
        return Cohort(
            self.name,
            tuple(self.ids[i] for i in index),
            tuple(self.subjects[i] for i in index),
            None if self.phenotypes is None else self.phenotypes.iloc[index].reset_index(drop=True),
            self.parcellation,
            self.signals,
            self.spans[index] if self.signals is not None else self.spans,
            self.tr_s[index],
            files,
            self.read,
            self.left_out,
        )

    def where(self, condition: str) -> Cohort:
        """Return the recordings whose phenotype column has one of some values: ``"site=NYU,USM"``."""
        column, _, values = condition.partition("=")
        if self.phenotypes is None or column not in self.phenotypes:
            raise ConfigError(f"the phenotypes have no column {column!r}", "check --phenotypes and --where")
        rows = np.flatnonzero(self.phenotypes[column].astype(str).isin(values.split(",")))
        if not rows.size:
            raise ConfigError(f"no recording has {condition}", "check the values")
        return self.subset(rows.tolist())

    def take(self, rows: Sequence[int]) -> Iterator[tuple[int, Recording]]:
        """Yield (row, recording) for some rows, in order."""
        for row in rows:
            yield int(row), self.recording(int(row))
