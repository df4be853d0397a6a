"""Index of a dataset: every file that a run may need, by its entities, whichever program wrote it.

One walk with ``os.scandir``; no file is opened. BIDS names are read by :mod:`.entities`, names of programs
that do not write BIDS by :mod:`.programs`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.bids.entities import FileName, parse_name
from brainlm_core.scans.bids.programs import told_by_path

#: Folders without a series of a run: figures, logs, other modalities, FreeSurfer's own.
_PASSED_OVER = frozenset(
    {"figures", "log", "logs", "anat", "fmap", "dwi", "perf", "freesurfer", "sourcedata", "code", "xfm",
     "surf", "mri", "label", "__MACOSX", "T1w", "MNINonLinear/Native", "fsaverage_LR32k", "Native"}
)  # fmt: skip
_SERIES = (".nii", ".nii.gz", ".dtseries.nii", ".func.gii", ".nii.bz2", ".nii.xz")
_TABLES = (".tsv", ".csv", ".1d", ".txt", ".mat", ".ptseries.nii", ".tsv.gz", ".csv.gz")
_VOLUMES = (".nii", ".nii.gz")
IMAGE, TABLE, MASK, CONFOUNDS, SIDECAR = "image", "table", "mask", "confounds", "sidecar"
#: Deeper than any program writes; a circle of links ends here at the latest.
_MAX_DEPTH = 24


@dataclass(frozen=True)
class DatasetFile:
    """One file of the index.

    Parameters
    ----------
    path : Path
    name : FileName
        As BIDS would have it.
    role : {"image", "table", "mask", "confounds", "sidecar"}
    program : str
        Who writes such names; empty for BIDS.
    derivative : str
        Name of the folder below ``derivatives/`` that it lies in; empty outside.
    exists : bool
        False for a link to nothing: DataLad shows files that way which were not fetched.
    """

    path: Path
    name: FileName
    role: str
    program: str = ""
    derivative: str = ""
    exists: bool = True


@dataclass(frozen=True)
class DatasetIndex:
    """Everything that was found.

    Parameters
    ----------
    folder : Path
    files : tuple of DatasetFile
        In order of their paths.
    n_entries : int
        Files and folders that were looked at.
    others : tuple of Path
        NIfTI images that no program's names explain.
    """

    folder: Path
    files: tuple[DatasetFile, ...]
    n_entries: int
    others: tuple[Path, ...] = ()


def index_dataset(
    folder: str | Path,
    name: str = "",
    *,
    max_entries: int = 20_000_000,
    may_open: Callable[[Path], bool] = lambda _: True,
    deep: bool = True,
) -> DatasetIndex:
    """Index a folder.

    Parameters
    ----------
    folder : path
        A dataset, its derivatives, one person's or one run's folder.
    name : str
        Display name, the folder's own by default.
    max_entries : int
        Files and folders that are looked at, at most.
    may_open : callable
        Tells whether a file may be opened; what may not is not there.
    deep : bool
        False looks at this folder alone.

    Raises
    ------
    ScanError
        If the folder may not be read or holds more entries.
    """
    folder = Path(folder)
    shown = name or folder.name
    above = list(folder.absolute().parts[-5:])
    files: list[DatasetFile] = []
    others: list[Path] = []
    n = 0
    for entry, parts in _walk(folder, shown, deep):
        n += 1
        if n > max_entries:
            raise ScanError(f"the folder {shown} holds more than {max_entries} files", "name one run's file")
        if entry is None:
            continue
        path = Path(entry.path)
        found = describe(path, [*above, *parts])
        if found is None:
            if entry.name.lower().endswith(_VOLUMES) and may_open(path):
                others.append(path)
            continue
        if not may_open(path):
            continue
        if entry.is_symlink() and not path.exists():
            found = DatasetFile(path, found.name, found.role, found.program, found.derivative, exists=False)
        files.append(found)
    return DatasetIndex(folder, tuple(sorted(files, key=lambda f: f.path)), n, tuple(sorted(others)))


def describe(path: Path, parts: list[str] | None = None) -> DatasetFile | None:
    """Return what a path is to a run, or None."""
    parts = list(path.absolute().parts[-8:]) if parts is None else parts
    name = parse_name(parts[-1])
    role = None if name is None else _role(name)
    program = ""
    if role is None or name is None or not name.get("sub"):
        told = told_by_path(parts)
        if told is not None:
            name, program = told.name, told.program
            role = _role(name)
    if name is None or role is None:
        return None
    return DatasetFile(path, _complete(name, parts), role, program, _derivative(parts))


def _role(name: FileName) -> str | None:
    """Return what a file of that name is to a run."""
    extension, suffix, desc = name.folded_extension, name.suffix, name.get("desc")
    if extension == ".json":
        return SIDECAR if suffix in ("bold", "timeseries") else None
    if suffix == "mask":
        return MASK if desc == "brain" and extension in _VOLUMES else None
    if _is_confounds(suffix, desc) and extension in (".tsv", ".txt", ".csv", ".1d", ".tsv.gz"):
        return CONFOUNDS
    if extension in _TABLES and (suffix in ("timeseries", "ts") or (suffix == "bold" and _parcels(name))):
        return TABLE if name.get("stat") in ("", "mean", "Mean") and desc != "connectivity" else None
    if suffix == "bold" and extension in _SERIES and not _parcels(name):
        return IMAGE if name.get("part") in ("", "mag") and name.get("stat") == "" else None
    return None


def _is_confounds(suffix: str, desc: str) -> bool:
    if suffix == "motion":
        return desc in ("", "filtered", "movementParameters")
    return desc == "confounds" and suffix in ("timeseries", "regressors")


def _parcels(name: FileName) -> bool:
    return bool(name.get("atlas") or name.get("seg")) or name.folded_extension == ".ptseries.nii"


def _complete(name: FileName, parts: list[str]) -> FileName:
    """Take person and session from the folders where the name is silent."""
    missing = {}
    for part in parts[:-1]:
        for entity in ("sub", "ses"):
            if part.startswith(f"{entity}-") and "_" not in part and not name.get(entity):
                missing[entity] = part[4:]
    return FileName({**missing, **name.entities}, name.suffix, name.extension) if missing else name


def _derivative(parts: list[str]) -> str:
    for at in range(len(parts) - 2, 0, -1):
        if parts[at - 1] == "derivatives":
            return parts[at]
    return ""


def _walk(folder: Path, shown: str, deep: bool) -> Iterator[tuple[os.DirEntry[str] | None, tuple[str, ...]]]:
    """Yield every file with its path below the folder; None for a folder, so that it is counted."""
    seen: set[tuple[int, int]] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(str(folder), ())]
    while waiting:
        place, parts = waiting.pop()
        try:
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda e: e.name)
        except PermissionError as error:
            raise ScanError(f"the folder {shown} may not be read", "change its permissions") from error
        except OSError:  # gone meanwhile, or a circle of links
            continue
        for entry in listed:
            if entry.name.startswith("."):
                continue
            if not _is_dir(entry):
                yield entry, (*parts, entry.name)
                continue
            yield None, parts
            if not deep or entry.name in _PASSED_OVER or len(parts) >= _MAX_DEPTH:
                continue
            if entry.is_symlink():
                about = entry.stat()
                if (about.st_dev, about.st_ino) in seen:
                    continue
                seen.add((about.st_dev, about.st_ino))
            waiting.append((entry.path, (*parts, entry.name)))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
