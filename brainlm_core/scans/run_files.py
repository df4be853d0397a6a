"""One run of a dataset: its image, and the mask and confounds that lie beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.scans.bids import DatasetFile, DatasetIndex, DatasetRun, index_dataset, runs_of
from brainlm_core.scans.bids.index import IMAGE, describe

#: A folder with more entries than this is not a run folder.
MAX_ENTRIES = 20_000


@dataclass(frozen=True)
class Run:
    """One run and what lies beside it.

    Parameters
    ----------
    bold : Path
        The image to read.
    mask : Path or None
        Brain mask of the same space.
    confounds : Path or None
        Confounds table of the run.
    """

    bold: Path
    mask: Path | None
    confounds: Path | None


def companions(bold: Path, may_open: Callable[[Path], bool] = lambda _: True) -> Run:
    """Find the mask and the confounds table that lie beside a run's image or table.

    Parameters
    ----------
    bold : Path
        The image.
    may_open : callable
        Tells whether a file that was found may be opened; see :meth:`ScanSource.may_open`.
    """
    file = describe(bold)
    if file is None:
        return Run(bold, None, None)
    places = [bold.parent]
    if file.program == "DPABI":
        session = f"S{file.name.get('ses')}_" if file.name.get("ses") else ""
        places.append(bold.parent.parent.parent / f"{session}RealignParameter" / bold.parent.name)
    found: list[DatasetFile] = [file]
    for place in places:
        if place.is_dir():
            index = index_dataset(place, max_entries=MAX_ENTRIES, may_open=may_open, deep=False)
            found += [f for f in index.files if f.path.name != bold.name]
    runs = runs_of(DatasetIndex(bold.parent, tuple(found), len(found)))
    mine = next((r for r in runs if any(f.path.name == bold.name for f in series_of(r))), None)
    if mine is None:
        return Run(bold, None, None)
    return Run(bold, mine.mask_of(file) if file.role == IMAGE else None, mine.confounds_table())


def series_of(run: DatasetRun) -> tuple[DatasetFile, ...]:
    """Return every file of a run that holds a series, fit to be read or not."""
    return (*run.images, *run.tables, *run.unfit)
