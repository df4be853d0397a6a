"""What an import can find: which scans lie in a folder, a tree, a pack or Arrow files, and their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.identifiers import (
    RECORDING_KEYS,
    SUBJECT_KEYS,
    recording_columns,
    subject_columns,
)
from brainlm_core.cohort.importing import Found, ScanToAdd
from brainlm_core.cohort.isolated import read_arrow_people, read_table_isolated
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.phenotypes import read_table
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.cohort.store import source_key
from brainlm_core.scans.intake import scan_reader
from brainlm_core.scans.readers import is_scan_name, scan_suffixes
from brainlm_core.scans.source import ScanSource

#: Files in a tree of derivatives that are looked at, at most.
MAX_TREE_ENTRIES = 20_000_000
#: Endings of Arrow files; a folder that holds nothing else is the published layout.
ARROW_SUFFIXES = (".arrow", ".parquet", ".feather")
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")
#: Columns of the published data set that name a recording or a person, by our name for them.
_ARROW_NAMES = {
    "recording_id": ("recording_id", "scan_id", "Filename", "filename"),
    "subject_id": ("subject_id", "participant_id", "Patient ID", "patient_id", "eid"),
    "tr_s": ("tr_s", "TR", "tr"),
}
#: Names of files beside scans that are none, without their endings.
_DOCUMENTS = frozenset({"readme", "changes", "license", "licence", "participants", "dataset_description"})


@dataclass(frozen=True)
class ImportOptions:
    """How scans are read.

    Parameters
    ----------
    signals : tuple of str
        Arrays of a pack, side by side.
    coordinates : tuple of str
        CSV files with x, y, z in mm per column.
    tr_s : float or None
        Repetition time in s, where the files do not say it.
    atlas : str or None
        As ``brainlm parcellate --atlas``.
    phenotypes : str or None
        CSV or TSV; a ``participants.tsv`` of a BIDS tree is found unasked.
    isolated : bool
        Whether scans and tables are read in a process of their own, for files from strangers.
    """

    signals: tuple[str, ...] = ("signals",)
    coordinates: tuple[str, ...] = ()
    tr_s: float | None = None
    atlas: str | None = None
    phenotypes: str | None = None
    isolated: bool = False


def find_scans(path: str | Path, options: ImportOptions | None = None) -> Found:
    """Find the scans of a source; nothing is read yet but names and small tables.

    Parameters
    ----------
    path : str or Path
        A folder of scans, a BIDS or fMRIPrep tree, an ``.npz`` pack, or Arrow files of one recording a row.
    options : ImportOptions, optional

    Returns
    -------
    Found

    Raises
    ------
    ConfigError, ScanError
        If there is nothing to import, or the phenotypes cannot be read.
    """
    path, options = Path(path), options or ImportOptions()
    if path.is_file() and path.suffix == ".npz":
        return _pack(path, options)
    if path.is_file() and path.suffix in ARROW_SUFFIXES:
        return _arrow([path], path, options)
    if not path.is_dir():
        raise ConfigError(f"there is no cohort {path.name}", "give a folder of scans, a pack or Arrow files")
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    arrow = [p for p in files if p.suffix in ARROW_SUFFIXES]
    scans = _scans_among(files)
    if arrow and len(arrow) == len(scans):
        return _arrow(arrow, path, options)
    is_tree = (path / "dataset_description.json").is_file() or any(path.glob("sub-*/"))
    if is_tree or (not scans and any(p.is_dir() for p in path.iterdir())):  # HCP, DPABI, CONN, C-PAC
        return _tree(path, options)
    return _folder(scans, path, options)


def _scans_among(files: list[Path]) -> list[Path]:
    """Return the files that end as a scan does, without documents and the second file of a pair."""
    names = {p.name.lower() for p in files}

    def belongs_to_another(name: str) -> bool:
        return any(
            ending in name and name.rpartition(ending)[0] + header in names
            for ending, header in ((".brik", ".head"), (".img", ".hdr"))
        )

    return [
        p
        for p in files
        if is_scan_name(p.name)
        and p.name.lower().partition(".")[0] not in _DOCUMENTS
        and not belongs_to_another(p.name.lower())
    ]


def _folder(files: list[Path], path: Path, options: ImportOptions) -> Found:
    skip = {Path(p).resolve() for p in (*options.coordinates, options.phenotypes or "") if p}
    files = [p for p in files if p.resolve() not in skip and p.name != "participants.tsv"]
    if not files:
        raise ConfigError(f"the folder {path.name} holds no scan", "give a folder with one file per scan")
    named = {p: _stem(p.name) for p in files}
    table, name = _phenotypes(options, [path])
    people = _people(table)
    scans = [_file_scan(p, i, people, options) for p, i in named.items()]
    return Found("folder of scans", scans, table, name)


def _tree(path: Path, options: ImportOptions) -> Found:
    from brainlm_core.scans.fmriprep import find_runs, runs_with_problems

    runs = runs_with_problems(path, path.name, MAX_TREE_ENTRIES)
    table, name = _phenotypes(options, [path, path.parent, path.parent.parent])
    people = _people(table)
    if not runs:  # one image of a program that nobody knows, or a sentence
        runs = {label: (image, None) for label, image in find_runs(path, path.name, MAX_TREE_ENTRIES).items()}
    scans = []
    for run, (image, problem) in sorted(runs.items()):
        scan = _file_scan(image, run, people, options)
        scans.append(scan if problem is None else replace(scan, load=partial(_refuse, problem)))
    return Found("derivatives", scans, table, name)


def _refuse(problem: ScanError) -> Recording:
    raise problem


def _file_scan(path: Path, recording_id: str, people: dict[str, str], options: ImportOptions) -> ScanToAdd:
    from brainlm_core.scans.run_files import companions

    match = _SUBJECT.match(recording_id) or _SUBJECT.match(path.name)
    subject = people.get(recording_id) or (match.group(1) if match else recording_id)
    stamps = [_stamp(path)]
    if (confounds := companions(path).confounds) is not None:
        stamps.append(_stamp(confounds))
    key = source_key(*stamps, f"{options.tr_s} {options.atlas} {options.coordinates}")
    return ScanToAdd(recording_id, subject, "", path.name, key, partial(_read_file, path, options))


def _read_file(path: Path | ScanSource, options: ImportOptions) -> Recording:
    coordinates = options.coordinates[0] if options.coordinates else None
    return scan_reader(options.isolated)(
        path, tr_s=options.tr_s, coordinates=coordinates, atlas=options.atlas
    )


def _stamp(path: Path) -> str:
    """Name, size and time of change: a file that was touched is read again, and its content then compared."""
    about = path.stat()
    return f"{path.name} {about.st_size} {about.st_mtime_ns}"


def _pack(path: Path, options: ImportOptions) -> Found:
    cohort = open_cohort(
        path,
        signals=options.signals,
        coordinates=options.coordinates or None,
        tr_s=options.tr_s,
        phenotypes=options.phenotypes,
    )
    table = cohort.phenotypes
    sites = [""] * len(cohort)
    if table is not None and "site" in table:
        sites = ["" if pd.isna(s) else str(s) for s in table["site"]]
    settings = f"{_stamp(path)} {options.signals} {options.coordinates}"
    scans = [
        ScanToAdd(
            cohort.ids[row],
            cohort.subjects[row],
            sites[row],
            f"{path.name}: {cohort.ids[row]}",
            source_key(f"{settings} {row} {cohort.ids[row]} {cohort.tr_s[row]}"),
            partial(_read_pack, cohort, row),
        )
        for row in range(len(cohort))
    ]
    if table is not None:
        keys = [c for c in (*RECORDING_KEYS, *SUBJECT_KEYS) if c in table]
        table = table.drop(columns=keys).assign(recording_id=list(cohort.ids))
        table = table.drop_duplicates("recording_id")
    return Found("pack", scans, table, Path(options.phenotypes or path.name).name, cohort.left_out)


def _read_pack(cohort: Cohort, row: int) -> Recording:
    from brainlm_core.scans.quality import assess

    return assess(cohort.recording(row))


def _arrow(files: Sequence[Path], path: Path, options: ImportOptions) -> Found:
    tables = [read_arrow_people(file) for file in files]
    scans: list[ScanToAdd] = []
    people: list[pd.DataFrame] = []
    for file, table in zip(files, tables, strict=True):
        ids = _first(table, "recording_id")
        subjects = _first(table, "subject_id")
        times = _first(table, "tr_s")
        for row in range(len(table)):
            own = f"{file.stem}-{row}"
            name = own if ids is None or pd.isna(ids.iloc[row]) else _stem(Path(str(ids.iloc[row])).name)
            person = name if subjects is None or pd.isna(subjects.iloc[row]) else str(subjects.iloc[row])
            tr = options.tr_s if times is None or options.tr_s is not None else float(times.iloc[row])
            here = replace(options, tr_s=tr)
            key = source_key(_stamp(file), f"{row} {tr} {options.atlas} {options.coordinates}")
            load = partial(_read_row, file, row, here)
            scans.append(ScanToAdd(name, person, "", f"{file.name}#{row}", key, load))
        drop = [c for names in _ARROW_NAMES.values() for c in names if c in table]
        people.append(table.drop(columns=drop))
    if not scans:
        raise ConfigError(f"{path.name} holds no rows", "give files of one recording a row")
    own_table = pd.concat(people, ignore_index=True).assign(recording_id=[s.recording_id for s in scans])
    found = Found("Arrow rows", scans, own_table.drop_duplicates("recording_id"), path.name)
    table, name = _phenotypes(options, [])
    return found if table is None else replace(found, phenotypes=table, phenotypes_name=name)


def _read_row(file: Path, row: int, options: ImportOptions) -> Recording:
    return _read_file(ScanSource((file,), (file.name,), row=row), options)


def _first(table: pd.DataFrame, what: str) -> pd.Series | None:
    return next((table[c] for c in _ARROW_NAMES[what] if c in table), None)


def _phenotypes(options: ImportOptions, places: Sequence[Path]) -> tuple[pd.DataFrame | None, str]:
    read = read_table_isolated if options.isolated else read_table
    if options.phenotypes is not None:
        return read(options.phenotypes), Path(options.phenotypes).name
    for place in places:
        if (place / "participants.tsv").is_file():
            return read(place / "participants.tsv"), "participants.tsv"
    return None, ""


def _people(table: pd.DataFrame | None) -> dict[str, str]:
    """Return who each recording is of, where a table says both."""
    if table is None:
        return {}
    recording = next(iter(recording_columns(table)), None)
    subject = next(iter(subject_columns(table)), None)
    if recording is None or subject is None:
        return {}
    return dict(zip(table[recording].astype(str), table[subject].astype(str), strict=True))


def _stem(name: str) -> str:
    """Return a file name without its format's ending."""
    for ending in scan_suffixes():
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name.partition(".")[0] or name
