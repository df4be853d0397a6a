"""What is refused before it is read: sizes that no scan has, archives that unpack without end."""

from __future__ import annotations

import math
import stat
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from brainlm_core.base.errors import DAMAGED_ARRAYS, ScanError
from brainlm_core.base.library_warnings import quiet_old_headers

#: Largest array that is read whole, in values: more than the longest recording at 424 parcels, or than half
#: an hour of one hemisphere at TR 0.8 s.
MAX_VALUES = 1 << 26
#: What a file of any size may unpack to, in bytes of float64, and so much more for each byte that it holds:
#: signals shrink to a half or a tenth, never to a hundredth.
FREE_BYTES, UNPACKED_PER_BYTE = 1 << 26, 20
#: Larger values, in whatever unit, are no signal.
MAX_SIGNAL = 1e30
#: Longest recording, in volumes (24 h at TR 0.8 s).
MAX_TIMEPOINTS = 110_000
#: Fewest volumes of which anything can be said.
MIN_TIMEPOINTS = 20
#: Most arrays in one ``.npz``, and how long the list of them may be, in bytes.
MAX_MEMBERS, MAX_DIRECTORY_BYTES = 1000, 1 << 20
#: Deflate cannot shrink anything more than this.
DEFLATE_LIMIT = 1032
#: A scan compresses three- to thirtyfold; more than this on a large file is a bomb.
SUSPICIOUS_RATIO = 300
SUSPICIOUS_BYTES = 1 << 30


def in_words(count: int) -> str:
    """Return a number that a header claims, which may be larger than any float."""
    return f"{count:.3g}" if count < 10**300 else "more than 1e+300"


def check_values(count: int, stored: int, name: str) -> None:
    """Refuse an array, before it is made, that is larger than any scan's or than its file can mean.

    Parameters
    ----------
    count : int
        Values that the file claims.
    stored : int
        Bytes that they take in the file.
    name : str
        Display name.

    Raises
    ------
    ScanError
        If there are more than :data:`MAX_VALUES`, or so many in so few bytes that the file is a bomb.
    """
    if count > MAX_VALUES:
        raise ScanError(
            f"{name} claims {in_words(count)} values, which no table of signals has", "give one run"
        )
    if 8 * count > FREE_BYTES + UNPACKED_PER_BYTE * stored:
        raise ScanError(
            f"{name} claims {in_words(count)} values in {stored / 1e6:.3g} MB, as no scan does",
            "check where the file comes from",
        )


def check_zip(path: Path, name: str, *, max_bytes: int = MAX_VALUES * 8) -> list[str]:
    """Refuse a ZIP whose members are not arrays or unpack beyond all measure; return member names.

    Raises
    ------
    ScanError
        If the archive is damaged, holds anything but ``.npy`` members, or would unpack to more
        than ``max_bytes``, or more than :data:`SUSPICIOUS_RATIO` times its size.
    """
    try:
        check_directory(path, name)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = _check_members(members, path, name, max_bytes)
            for member in members:
                _check_array(archive, member, name)
    except DAMAGED_ARRAYS as error:
        if isinstance(error, RuntimeError) and "encrypted" in str(error):
            raise ScanError(f"{name} is protected by a password", "save it without one") from error
        raise ScanError(
            f"{name} is a damaged ZIP archive", "save it again with numpy.savez_compressed"
        ) from error
    return names


def check_directory(path: Path, name: str, max_members: int = MAX_MEMBERS) -> None:
    """Refuse a list of members so long that reading the list alone would fill the memory."""
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]  # what zipfile itself will go by
    if end is not None and end[zipfile._ECD_SIZE] > MAX_DIRECTORY_BYTES * max(1, max_members // MAX_MEMBERS):  # type: ignore[attr-defined]
        raise ScanError(f"{name} is an archive of more than {max_members} files", "give one recording")


def _check_members(members: list[zipfile.ZipInfo], path: Path, name: str, max_bytes: int) -> list[str]:
    """Refuse archives of other things than arrays, and bombs; return the member names."""
    names = [m.filename for m in members]
    if len(names) > MAX_MEMBERS:
        raise ScanError(f"{name} is an archive of {len(names)} files", "give one recording")
    if any(not n.endswith(".npy") for n in names) or not names:
        kind = "a Word document" if "word/document.xml" in names else "a ZIP archive"
        kind = "an Excel workbook" if "xl/workbook.xml" in names else kind
        raise ScanError(f"{name} is {kind}, not a scan", "export the signals as .csv, .npz or NIfTI")
    if len(set(names)) < len(names) or any(_points_outside(m) for m in members):
        raise ScanError(
            f"{name} holds a name twice, a link, or a path that leads elsewhere", "save it again with numpy"
        )
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
        raise ScanError(
            f"{name} is packed in a way that numpy does not use", "save it again with numpy.savez_compressed"
        )
    total, stored = sum(m.file_size for m in members), path.stat().st_size
    check_expansion(total, stored, name)
    if total > FREE_BYTES + UNPACKED_PER_BYTE * stored:
        raise ScanError(
            f"{name} would unpack {total / stored:.0f}-fold, to {total / 1e6:.0f} MB, as no scan does",
            "check where the file comes from",
        )
    if total > max_bytes:
        raise ScanError(f"{name} unpacks to {total / 1e9:.1f} GB", "give an archive with one recording only")
    return names


def _points_outside(member: zipfile.ZipInfo) -> bool:
    """Whether a member is a link or its name leads out of a folder, though nothing is unpacked to a disk."""
    parts = member.filename.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or ":" in parts[0] or stat.S_ISLNK(member.external_attr >> 16)


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
    """Refuse an array that claims more values than its member holds, or holds objects."""
    with archive.open(member) as stream:
        shape, dtype = read_npy_header(stream)
    if dtype.hasobject:
        raise ScanError(
            f"{name} holds Python objects, which could run code and are never opened",
            "save plain arrays of numbers",
        )
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > member.file_size:
        raise ScanError(f"{name} is a damaged .npz file", "save it again")


def read_npy_members(path: Path) -> list[tuple[str, tuple[int, ...], np.dtype[Any]]]:
    """Return (name, shape, dtype) of the arrays of a ``.npz`` that :func:`check_zip` has let pass."""
    with zipfile.ZipFile(path) as archive:
        out = []
        for member in archive.infolist():
            with archive.open(member) as stream:
                out.append((member.filename.removesuffix(".npy"), *read_npy_header(stream)))
    return out


def read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype that an ``.npy`` stream claims, without reading the data."""
    version = npy_format.read_magic(stream)
    reader = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    with quiet_old_headers():
        shape, _, dtype = reader(stream)
    return shape, dtype


def check_expansion(unpacked: int, packed: int, name: str, *, deflated: bool = True) -> None:
    """Refuse a compressed file that claims more than compression can hold, or is a bomb."""
    if deflated and unpacked > packed * DEFLATE_LIMIT + (1 << 16):
        raise ScanError(
            f"{name} claims {unpacked / 1e9:.3g} GB of data but holds only {packed / 1e6:.3g} MB",
            "the header is wrong or the file is cut short: copy or export it again",
        )
    if unpacked > SUSPICIOUS_BYTES and unpacked > packed * SUSPICIOUS_RATIO:
        raise ScanError(
            f"{name} would unpack {unpacked / packed:.0f}-fold, to {unpacked / 1e9:.1f} GB, as no scan does",
            "check where the file comes from",
        )


def check_length(n_timepoints: int, name: str) -> None:
    """Refuse recordings that are too short to say anything about, or impossibly long."""
    if n_timepoints < MIN_TIMEPOINTS:
        raise ScanError(
            f"{name} has only {n_timepoints} volume{'s' if n_timepoints != 1 else ''}",
            f"give a run of at least {MIN_TIMEPOINTS} volumes, better 200",
        )
    if n_timepoints > MAX_TIMEPOINTS:
        raise ScanError(
            f"{name} claims {n_timepoints:,} volumes", f"split it into runs of at most {MAX_TIMEPOINTS:,}"
        )
