"""A cohort store: a folder of recordings that grows, and that nothing breaks.

::

    store.json                      format and version
    journal.jsonl                   one line per recording that was added, or per scan that could not be
    recordings/ab/abcd….parquet     one recording, named by the digest of its content
    parcellations/….npz             what the rows of the recordings are
    participants.tsv                what is known of the people, one row per recording

A recording is there when its line in the journal is: the file is written beside and renamed first, then the
line is appended. A process that dies in between leaves a file without a line, which the next run adopts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.base.tables import original, table_text
from brainlm_core.base.writing import cannot_write, keep_private, one_writer, private_folder
from brainlm_core.cohort.phenotypes import Matching, match_phenotypes, read_table
from brainlm_core.cohort.recording_file import (
    content_digest,
    load_parcellation,
    read_recording,
    save_parcellation,
    write_recording,
)
from brainlm_core.cohort.recordings import Cohort

#: Version of the layout that is written.
FORMAT_VERSION = 1
FORMAT_NAME = "BrainLM Explorer cohort store"
_DIGEST = re.compile("[0-9a-f]{16}([0-9a-f]{16})?")
_DESCRIPTION, _JOURNAL, _PEOPLE = "store.json", "journal.jsonl", "participants.tsv"


@dataclass(frozen=True)
class Entry:
    """One recording of a store.

    Parameters
    ----------
    recording_id : str
        Unique in the store.
    subject_id, site : str
        Who and where; ``""`` for an unknown site.
    digest : str
        Of the content; names the file.
    source_key : str
        Stands for the source and the settings it was read with, so that it need not be read twice.
    source_name : str
        File name without directories.
    n_parcels, n_volumes : int
    tr_s : float
        Repetition time in s.
    parcellation : str
        Digest of the parcellation.
    verdict : str
        ``good``, ``usable``, ``poor`` or ``""`` when the quality was not judged.
    mean_fd_mm : float or None
        Mean framewise displacement where confounds came with the scan.
    simulated : bool
    """

    recording_id: str
    subject_id: str
    site: str
    digest: str
    source_key: str
    source_name: str
    n_parcels: int
    n_volumes: int
    tr_s: float
    parcellation: str
    verdict: str = ""
    mean_fd_mm: float | None = None
    simulated: bool = False

    def __post_init__(self) -> None:
        words = (
            self.recording_id,
            self.subject_id,
            self.site,
            self.source_key,
            self.source_name,
            self.verdict,
        )
        motion = 0.0 if self.mean_fd_mm is None else self.mean_fd_mm
        if not all(isinstance(w, str) for w in words) or not isinstance(motion, int | float):
            raise TypeError("an entry of a store with other things than words and numbers")
        if not (_DIGEST.fullmatch(self.digest) and _DIGEST.fullmatch(self.parcellation)):
            raise ValueError("an entry of a store that names no content")  # nor a file outside the store
        if not 0 < float(self.tr_s) < float("inf") or min(self.n_parcels, self.n_volumes) < 1:
            raise ValueError("an entry of a store without length")


@dataclass(frozen=True)
class Broken:
    """A scan that could not be added.

    Parameters
    ----------
    recording_id : str
    source_name : str
    reason : str
        What is wrong and what to do.
    """

    recording_id: str
    source_name: str
    reason: str


class CohortStore:
    """An open store. Use :meth:`open` or :meth:`create`.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_journal()

    @staticmethod
    def is_store(path: str | Path) -> bool:
        """Whether a folder is a store."""
        return (Path(path) / _DESCRIPTION).is_file()

    @classmethod
    def open(cls, path: str | Path) -> CohortStore:
        """Open a store that exists.

        Raises
        ------
        ConfigError
            If there is none, it is damaged, or it was written by a newer version.
        """
        path = Path(path)
        file = path / _DESCRIPTION
        if not file.is_file():
            raise ConfigError(
                f"{path.name} is no cohort store", "make one with `brainlm cohort SCANS -o STORE`"
            )
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            version, name = int(about["format_version"]), about["format"]
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ConfigError(f"{file.name} of {path.name} is damaged", "import the scans again") from error
        if name != FORMAT_NAME:
            raise ConfigError(f"{path.name} is no cohort store", "give another folder")
        if version > FORMAT_VERSION:
            raise ConfigError(
                f"the store {path.name} was written by a newer version (format {version})",
                "update BrainLM Explorer; nothing was changed",
            )
        return cls(path)

    @classmethod
    def create(cls, path: str | Path) -> CohortStore:
        """Open a store, or make an empty one.

        Raises
        ------
        ConfigError
            As :meth:`open`; or if the folder holds other things, or cannot be written.
        """
        path = Path(path)
        if cls.is_store(path):
            return cls.open(path)
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ConfigError(f"{path.name} holds other things", "give a new or empty folder for the store")
        about = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION}
        with _saying_what_fails(path):
            private_folder(path)
            _replace(path / _DESCRIPTION, json.dumps(about) + "\n")
        return cls(path)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The recordings, in the order in which they came."""
        return tuple(self._entries.values())

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Scans that could not be added, with the reason."""
        return tuple(self._broken.values())

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, recording_id: str) -> Entry | None:
        """Return a recording's entry, None when there is none of that name."""
        return self._entries.get(recording_id)

    def has_source(self, source_key: str) -> bool:
        """Whether this source, read with the same settings, is here already."""
        return source_key in self._by_source

    def same_content(self, recording: Recording) -> str | None:
        """Return the identifier of the recording with the same content, None when there is none."""
        return self._by_digest.get(content_digest(recording))

    def remember_source(self, source_key: str, recording_id: str) -> None:
        """Note that a source holds what a recording holds, so that it is not read again."""
        with _saying_what_fails(self.path):
            self._append({"same": {"source_key": source_key, "recording_id": recording_id}})
        self._by_source[source_key] = recording_id

    def add(
        self, recording: Recording, recording_id: str, *, subject_id: str, site: str, source_key: str
    ) -> Entry | None:
        """Add a recording; it is there wholly or not at all.

        Returns
        -------
        Entry or None
            None when a recording with the same content is here already; its source is then noted.

        Raises
        ------
        ConfigError
            If another content has this identifier, or the disk is full; the store is as before.
        """
        digest = content_digest(recording)
        if digest in self._by_digest:
            self.remember_source(source_key, self._by_digest[digest])
            return None
        if recording_id in self._entries:
            raise ConfigError(
                f"another recording is called {recording_id}", "give each recording its own identifier"
            )
        quality = recording.quality
        motion = None if quality is None or quality.fd_mm is None else float(np.nanmean(quality.fd_mm))
        with _saying_what_fails(self.path):
            entry = Entry(
                recording_id,
                subject_id,
                site,
                digest,
                source_key,
                recording.provenance.source_name,
                recording.n_parcels,
                recording.n_timepoints,
                recording.tr_s,
                save_parcellation(self.path, recording.parcellation),
                "" if quality is None else quality.verdict,
                motion,
                recording.provenance.simulated,
            )
            file = self.file(entry)
            if not file.is_file():
                write_recording(recording, file)
            self._append({"added": asdict(entry)})
        self._take(entry)
        return entry

    def refuse(self, recording_id: str, source_name: str, reason: str) -> None:
        """List a scan that could not be added."""
        broken = Broken(recording_id, source_name, reason)
        if self._broken.get(recording_id) == broken:
            return
        with _saying_what_fails(self.path):
            self._append({"broken": asdict(broken)})
        self._broken[recording_id] = broken

    def file(self, entry: Entry) -> Path:
        """Return where a recording lies."""
        return self.path / "recordings" / entry.digest[:2] / f"{entry.digest}.parquet"

    def phenotypes(self) -> pd.DataFrame | None:
        """Return what is known of the people, one row per recording in order; None when nothing is."""
        path = self.path / _PEOPLE
        if not path.is_file():
            return None
        ids = [e.recording_id for e in self.entries]
        return match_phenotypes(
            _as_told(read_table(path)), ids, [e.subject_id for e in self.entries], _PEOPLE
        ).table

    def add_phenotypes(
        self, table: pd.DataFrame, name: str = "the phenotypes", only: Sequence[str] | None = None
    ) -> Matching:
        """Add what is known of the people; where a recording has no row in the table, the old values stay.

        Parameters
        ----------
        table : pandas.DataFrame
            With a column of identifiers; see :func:`match_phenotypes`.
        name : str
            File name for sentences.
        only : sequence of str, optional
            Recordings that the table is about; all by default.

        Raises
        ------
        ConfigError
            If identifiers are missing, double, or match nobody; the old table stays.
        """
        wanted = set(self._entries) if only is None else set(only)
        about = [e for e in self.entries if e.recording_id in wanted]
        ids = [e.recording_id for e in about]
        matching = match_phenotypes(table, ids, [e.subject_id for e in about], name)
        joined = matching.table.set_index(pd.Index(ids)).reindex(list(self._entries))
        old = self.phenotypes()
        if old is not None:
            joined = joined.combine_first(old.set_index(pd.Index(list(self._entries))))
            joined = joined.reindex(list(self._entries))
        front = pd.DataFrame(
            {"recording_id": list(self._entries), "participant_id": [e.subject_id for e in self.entries]}
        )
        with _saying_what_fails(self.path):
            text = pd.concat([front, joined.reset_index(drop=True)], axis=1)
            _replace(self.path / _PEOPLE, table_text(text, separator="\t", missing="n/a", float_format=None))
        return matching

    def cohort(self) -> Cohort:
        """Return the store as the cohort that every command takes; recordings are read one at a time."""
        entries = self.entries
        if not entries:
            raise ConfigError(f"the store {self.path.name} is empty", "add scans with `brainlm cohort`")
        table = self.phenotypes()
        front = pd.DataFrame(
            {
                "subject_id": [e.subject_id for e in entries],
                "tr_s": [e.tr_s for e in entries],
                "n_volumes": [e.n_volumes for e in entries],
            }
        )
        sites = [e.site for e in entries]
        if any(sites):
            front["site"] = sites
        if any(e.mean_fd_mm is not None for e in entries):
            front["mean_fd_mm"] = pd.Series([e.mean_fd_mm for e in entries], dtype=np.float64)
        if table is not None:
            for column in front.columns.intersection(table.columns):
                front[column] = table.pop(column) if column in ("site", "mean_fd_mm") else front[column]
            extra = table.drop(columns=table.columns.intersection(front.columns))
            front = pd.concat([front, extra], axis=1)
        shared = {e.parcellation for e in entries}
        return Cohort(
            self.path.name,
            tuple(e.recording_id for e in entries),
            tuple(e.subject_id for e in entries),
            front,
            load_parcellation(self.path, shared.pop()) if len(shared) == 1 else None,
            None,
            np.zeros((0, 2), np.int64),
            np.array([e.tr_s for e in entries]),
            tuple(self.file(e) for e in entries),
            read=read_recording,
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store for one writer.

        Raises
        ------
        ConfigError
            If another process is writing.
        """
        with one_writer(self.path, inside=True):
            self._read_journal()  # what others wrote until the lock was ours
            for part in self.path.glob("recordings/*/*.part"):  # left by a process that was killed
                part.unlink(missing_ok=True)
            yield

    def _read_journal(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._broken: dict[str, Broken] = {}
        self._by_source: dict[str, str] = {}
        self._by_digest: dict[str, str] = {}
        file = self.path / _JOURNAL
        if not file.is_file():
            return
        with file.open("rb") as stream:
            for line in stream:
                try:
                    record: dict[str, Any] = json.loads(line)
                except (ValueError, RecursionError):  # cut off by a dying process, or written by nobody
                    continue
                try:
                    json.dumps(record, ensure_ascii=False).encode()  # half a character is in no table's text
                    self._replay(record)
                except (TypeError, KeyError, ValueError, RecursionError) as error:
                    raise ConfigError(
                        f"the list of recordings in {self.path.name} is damaged", "import the scans again"
                    ) from error

    def _replay(self, record: dict[str, Any]) -> None:
        if "added" in record:
            self._take(Entry(**record["added"]))
        elif "broken" in record:
            broken = Broken(**record["broken"])
            self._broken[broken.recording_id] = broken
        elif "same" in record:
            self._by_source[record["same"]["source_key"]] = record["same"]["recording_id"]

    def _take(self, entry: Entry) -> None:
        self._entries[entry.recording_id] = entry
        self._by_source[entry.source_key] = entry.recording_id
        self._by_digest[entry.digest] = entry.recording_id
        self._broken.pop(entry.recording_id, None)

    def _append(self, record: dict[str, Any]) -> None:
        """Append one line and flush it to the disk; a torn line before it is closed first."""
        file = self.path / _JOURNAL
        with file.open("ab+") as stream:
            size = stream.seek(0, os.SEEK_END)
            torn = False
            if size:
                stream.seek(size - 1)
                torn = stream.read(1) != b"\n"
            try:
                stream.write((b"\n" if torn else b"") + json.dumps(record).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(size)
                raise


@contextmanager
def _saying_what_fails(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def _as_told(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of ours with the texts that it was made of."""
    told = table.map(original)
    told.columns = [original(name) for name in table.columns]
    return told


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        keep_private(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def source_key(*parts: bytes | str | NDArray[Any]) -> str:
    """Return 32 hexadecimal digits of bytes and settings."""
    import hashlib

    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(data if isinstance(data, bytes) else np.ascontiguousarray(data).tobytes())
        digest.update(b"\0")
    return digest.hexdigest()[:32]
