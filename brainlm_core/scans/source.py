"""What a scan is before anyone knows its format: files with display names, checked first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.containers import first_bytes

#: Told how far the work is: a fraction from 0 to 1, and the stage in words.
Progress = Callable[[float, str], None]
#: Bytes that the readers may look at to recognise a format.
HEAD_BYTES = 4096


def no_progress(_fraction: float, _stage: str) -> None:
    """Swallow progress reports."""


@dataclass(frozen=True)
class ScanSource:
    """One or two files (left and right hemisphere), or a folder, with the name to show.

    Parameters
    ----------
    paths : tuple of Path
        Where the bytes are. An upload is streamed to a temporary file first.
    names : tuple of str
        The names that the user knows them by, without directories; same length as ``paths``.
    uploaded : bool
        True when the files stand alone: no partner or sidecar is looked for beside them.
    row : int or None
        Which recording of a file with several, from 0; written ``FILE#0`` on the command line.
    roots : tuple of Path
        Resolved folders in which everything must lie that is opened for this scan, links followed;
        empty on the command line, where the user's own rights are the limit.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    uploaded: bool = False
    row: int | None = None
    roots: tuple[Path, ...] = ()

    @property
    def path(self) -> Path:
        """First (mostly: only) file."""
        return self.paths[0]

    @property
    def name(self) -> str:
        """Name to show for all files together."""
        return " + ".join(self.names)

    def may_open(self, path: Path) -> bool:
        """Whether a file beside or inside the scan lies where this scan's files may."""
        return not self.roots or lies_within(path, self.roots)


def lies_within(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a path lies below one of some resolved folders once every link is followed."""
    try:
        return any(path.resolve().is_relative_to(root) for root in roots)
    except (OSError, ValueError, RuntimeError):  # a circle of links, a NUL byte, a name without end
        return False


def make_source(
    path: str | os.PathLike[str] | ScanSource | Sequence[str | os.PathLike[str]],
    name: str | Sequence[str] | None = None,
) -> ScanSource:
    """Return a :class:`ScanSource` for a path, several paths, or a source.

    Parameters
    ----------
    path : path, sequence of paths, or ScanSource
        The file, the two hemispheres of one run, or a run folder.
    name : str or sequence of str, optional
        Display name(s) of uploads whose path is a temporary file. Directories in it are dropped.

    Raises
    ------
    ScanError
        If a file is missing, empty, unreadable, or names and paths differ in number.
    """
    if isinstance(path, ScanSource):
        source = replace(path, names=tuple(_bare(n) for n in path.names))
    else:
        row = None
        if isinstance(path, str | os.PathLike):
            path, row = _split_row(path)
        paths = (Path(path),) if isinstance(path, str | os.PathLike) else tuple(Path(p) for p in path)
        if name is None:
            names = tuple(p.name or str(p) for p in paths)
        else:
            names = (name,) if isinstance(name, str) else tuple(name)
        if len(names) != len(paths) or not paths:
            raise ScanError(
                f"{len(paths)} files came with {len(names)} names", "give one display name per file"
            )
        source = ScanSource(paths, tuple(_bare(n) for n in names), uploaded=name is not None, row=row)
    for file, shown in zip(source.paths, source.names, strict=True):
        if not source.may_open(file):
            raise ScanError(f"there is no file {shown}", "check the path and its spelling")
        _check(file, shown)
    return source


def _split_row(path: str | os.PathLike[str]) -> tuple[str | os.PathLike[str], int | None]:
    """Split ``FILE#3`` into file and number, unless a file has that very name."""
    base, mark, number = os.fspath(path).rpartition("#")
    if mark and number.isdigit() and not Path(path).exists() and Path(base).is_file():
        return base, int(number)
    return path, None


def how_to_choose(name: str, n_rows: int) -> str:
    """Return how to choose one of several recordings in a file."""
    return f"choose one by its number, {name}#0 to {name}#{n_rows - 1}"


def _bare(name: str) -> str:
    """Return a name to show: no directories, which can hold a person's name, nothing a terminal obeys."""
    last = PureWindowsPath(PurePosixPath(name).name).name or name
    return "".join(c for c in last if c.isprintable()) or "scan"


def _check(path: Path, name: str) -> None:
    try:
        if not path.exists():
            raise ScanError(f"there is no file {name}", "check the path and its spelling")
        if path.is_dir():
            return
        if not path.is_file():
            raise ScanError(f"{name} is neither a file nor a folder", "give a scan file")
        if path.stat().st_size == 0:
            raise ScanError(f"{name} is empty (0 bytes)", "copy or export the file again")
        with path.open("rb") as stream:
            stream.read(1)
    except PermissionError as error:
        raise ScanError(f"{name} may not be read", "change the permissions of the file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte inside the path
        raise ScanError(f"{name} cannot be opened", "check the path and the disk") from error


@dataclass(frozen=True)
class Probe:
    """The first bytes of a file, for recognising its format by content, not by name.

    Parameters
    ----------
    head : bytes
        First bytes as stored.
    inner : bytes
        First bytes after unpacking (of the first image in a ZIP archive), or ``head`` when the file
        is not packed; empty when the packing is damaged from the start.
    name : str
        Lower-case display name.
    is_dir : bool
        True for folders.
    """

    head: bytes
    inner: bytes
    name: str
    is_dir: bool = False

    @property
    def is_gzip(self) -> bool:
        """True when the file is gzip-compressed."""
        return self.head[:2] == b"\x1f\x8b"


def probe(source: ScanSource) -> Probe:
    """Look at the first bytes of the first file."""
    name = source.names[0].lower()
    if source.path.is_dir():
        return Probe(b"", b"", name, is_dir=True)
    with source.path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return Probe(head, first_bytes(source.path, head, HEAD_BYTES), name)


def sha256(source: ScanSource) -> str:
    """Digest of the bytes of all files in order."""
    digest = hashlib.sha256()
    for path in source.paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
