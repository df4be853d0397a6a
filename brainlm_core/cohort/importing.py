"""Bring scans into a store: a folder, an fMRIPrep tree, a pack, or the published Arrow layout.

What was added before is not read again, a scan that cannot be read is listed with its reason, and an import
that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pandas as pd

from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.phenotypes import Matching
from brainlm_core.cohort.store import Broken, CohortStore

Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class ScanToAdd:
    """A scan that an import found.

    Parameters
    ----------
    recording_id, subject_id, site : str
    source_name : str
        Without directories.
    key : str
        Stands for the source and the settings; see :func:`brainlm_core.cohort.store.source_key`.
    load : callable
        Reads it; raises :class:`BrainLMError` when it cannot be used.
    """

    recording_id: str
    subject_id: str
    site: str
    source_name: str
    key: str
    load: Callable[[], Recording]


@dataclass(frozen=True, eq=False)
class Found:
    """Everything that an import found.

    Parameters
    ----------
    kind : str
        In words.
    scans : sequence of ScanToAdd
    phenotypes : pandas.DataFrame or None
        Rows with identifiers, from beside the scans.
    phenotypes_name : str
        Where they came from.
    left_out : tuple of str
        Columns that may tell who somebody is, and are not in the rows.
    """

    kind: str
    scans: Sequence[ScanToAdd]
    phenotypes: pd.DataFrame | None = None
    phenotypes_name: str = "the phenotypes"
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Parameters
    ----------
    kind : str
        What the source was, in words.
    added, known : int
        Recordings that are new, and that were here before.
    same_content : tuple of (str, str)
        A scan that holds what a recording of another name holds: its name, and the other's.
    broken : tuple of Broken
        Scans that could not be added by this import.
    total : int
        Recordings of the store now.
    phenotypes : str
        How the phenotypes fit, in a sentence; empty without any.
    """

    kind: str
    added: int
    known: int
    same_content: tuple[tuple[str, str], ...]
    broken: tuple[Broken, ...]
    total: int
    phenotypes: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "kind": self.kind,
            "added": self.added,
            "known": self.known,
            "same_content": [list(pair) for pair in self.same_content],
            "broken": [asdict(b) for b in self.broken],
            "total": self.total,
            "phenotypes": self.phenotypes,
        }


@dataclass
class _Tally:
    added: int = 0
    known: int = 0
    same: list[tuple[str, str]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def import_scans(
    store: CohortStore,
    found: Found,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ImportReport:
    """Add what was found.

    Parameters
    ----------
    store : CohortStore
    found : Found
        From :func:`brainlm_core.cohort.sources.find_scans`.
    progress, cancel : callable, optional
        Stopping keeps what was added.

    Returns
    -------
    ImportReport

    Raises
    ------
    ConfigError
        If another process writes to the store, the disk is full, or the phenotypes do not fit; the recordings
        that were added before stay.
    """
    tally = _Tally()
    with store.writing():
        for done, scan in enumerate(_until(found.scans, cancel)):
            if progress is not None:
                progress(done / len(found.scans), f"Importing: scan {done + 1} of {len(found.scans)}")
            _add(store, scan, tally)
        matching = _phenotypes(store, found)
    if progress is not None:
        progress(1.0, "Importing: done")
    return ImportReport(
        found.kind,
        tally.added,
        tally.known,
        tuple(tally.same),
        tuple(tally.broken),
        len(store),
        "" if matching is None else matching.sentence(),
    )


def _until(scans: Iterable[ScanToAdd], cancel: Cancel | None) -> Iterable[ScanToAdd]:
    for scan in scans:
        if cancel is not None and cancel():
            return
        yield scan


def _add(store: CohortStore, scan: ScanToAdd, tally: _Tally) -> None:
    if store.has_source(scan.key):
        tally.known += 1
        return
    try:
        recording = scan.load()
    except BrainLMError as error:
        _refuse(store, scan, str(error), tally)
        return
    same = store.same_content(recording)
    if same is None and store.entry(scan.recording_id) is not None:
        _refuse(store, scan, f"another recording is called {scan.recording_id}; give it another name", tally)
        return
    entry = store.add(
        recording, scan.recording_id, subject_id=scan.subject_id, site=scan.site, source_key=scan.key
    )
    if entry is not None:
        tally.added += 1
        return
    tally.known += 1
    if same is not None and same != scan.recording_id:
        tally.same.append((scan.recording_id, same))


def _refuse(store: CohortStore, scan: ScanToAdd, reason: str, tally: _Tally) -> None:
    store.refuse(scan.recording_id, scan.source_name, reason)
    tally.broken.append(Broken(scan.recording_id, scan.source_name, reason))


def _phenotypes(store: CohortStore, found: Found) -> Matching | None:
    here = [s.recording_id for s in found.scans if store.entry(s.recording_id) is not None]
    if found.phenotypes is None or not here:
        return None
    matching = store.add_phenotypes(found.phenotypes, found.phenotypes_name, here)
    return replace(matching, left_out=(*found.left_out, *matching.left_out))
