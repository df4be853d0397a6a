"""Files of volumes, of any program and packing, as one series: header and parts, nothing read yet."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.containers import by_number, first_bytes, image_members, opener, packing, unpacked
from brainlm_core.scans.limits import check_length
from brainlm_core.scans.nifti_header import NiftiHeader, check_size, is_cifti, nifti_version, read_header
from brainlm_core.scans.other_headers import MAX_HEAD_BYTES, is_afni_head, is_mgh, read_afni, read_mgh
from brainlm_core.scans.source import HEAD_BYTES, Probe, ScanSource
from brainlm_core.scans.timing import PLACEHOLDER_S, RepetitionTime
from brainlm_core.scans.volume_stream import VolumePart

_PACKED = ("", ".gz", ".bz2", ".xz")
#: A header without numbers, or the numbers without their header.
_PAIR_NAME = re.compile(
    r"(?P<stem>.*)\.(?P<kind>hdr|img|head|brik)(?P<packed>\.gz|\.bz2|\.xz)?$", re.IGNORECASE
)


@dataclass(frozen=True)
class VolumeScan:
    """A series of volumes before it is read.

    Parameters
    ----------
    header : NiftiHeader
        Of the whole series.
    parts : tuple of VolumePart
        Where the volumes are, in order.
    time_is_behind : bool
        Whether the repetition time stands behind the data (FreeSurfer).
    notices : tuple of str
        What the user should know.
    """

    header: NiftiHeader
    parts: tuple[VolumePart, ...]
    time_is_behind: bool = False
    notices: tuple[str, ...] = ()


def is_volume(probe: Probe) -> bool:
    """Recognise a series of volumes by its first bytes; a file of numbers alone by its name."""
    if is_cifti(probe):
        return False
    known = nifti_version(probe.inner) is not None or is_mgh(probe.inner) or is_afni_head(probe.inner)
    return known or bool(_PAIR_NAME.match(probe.name))


def is_pair(names: tuple[str, ...]) -> bool:
    """Whether two files are a header and its numbers."""
    found = [_PAIR_NAME.match(n) for n in names]
    kinds = {m["kind"].lower() for m in found if m}
    return len(names) == 2 and kinds in ({"hdr", "img"}, {"head", "brik"})


def open_volumes(source: ScanSource) -> VolumeScan:
    """Judge the header of a scan and find where its volumes are.

    Raises
    ------
    ScanError
        If the file is no series that can be read, claims impossible sizes, or lacks its other half.
    """
    if len(source.paths) > 1 and not is_pair(source.names):
        return _series([(p, None, n) for p, n in zip(source.paths, source.names, strict=True)], source.name)
    path, name = source.path, source.name
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path, name)
    pair = _PAIR_NAME.match(source.names[0])
    if pair:
        return _pair(source, pair)
    inner, how = first_bytes(path, head, HEAD_BYTES), packing(head)
    header = read_mgh(inner, name) if is_mgh(inner) else read_header(inner, name)
    if nifti_version(inner) and (inner[344:347] == b"ni1" or inner[4:7] == b"ni2"):
        raise ScanError(
            f"{name} is half of a .hdr/.img pair", "give both files, or convert them to one .nii.gz"
        )
    check_size(header, path.stat().st_size, how, name)
    part = VolumePart(path, header.shape[3], header.offset, how)
    return VolumeScan(header, (part,), time_is_behind=is_mgh(inner))


def _pair(source: ScanSource, named: re.Match[str]) -> VolumeScan:
    """Open a header with the file of its numbers beside it, or given with it."""
    name = source.names[0]
    is_afni = named["kind"].lower() in ("head", "brik")
    head_path, data_path = _halves(source, named, is_afni)
    with head_path.open("rb") as stream:
        stored = stream.read(MAX_HEAD_BYTES + 1 if is_afni else HEAD_BYTES)
    inner = first_bytes(head_path, stored[:HEAD_BYTES], HEAD_BYTES)
    if is_afni:
        if len(stored) > MAX_HEAD_BYTES or not is_afni_head(inner):
            raise ScanError(f"{name} has a damaged AFNI header", "convert it with 3dAFNItoNIFTI")
        header = read_afni(stored.decode("ascii", "replace"), name)
    elif nifti_version(inner) is None:
        raise ScanError(
            f"{name} is an Analyze 7.5 image, which does not say which side is left",
            "convert it to .nii.gz with the program that wrote it",
        )
    else:
        header = read_header(inner, name)
    with data_path.open("rb") as stream:
        how = packing(stream.read(8))
    check_size(header, data_path.stat().st_size, how, name)
    return VolumeScan(header, (VolumePart(data_path, header.shape[3], header.offset, how),))


def _halves(source: ScanSource, named: re.Match[str], is_afni: bool) -> tuple[Path, Path]:
    """Return the paths of header and numbers."""
    wanted = ("head", "brik") if is_afni else ("hdr", "img")
    found: dict[str, Path] = {}
    for path, name in zip(source.paths, source.names, strict=True):
        match = _PAIR_NAME.match(name)
        if match:
            found[match["kind"].lower()] = path
    for kind in wanted:
        if kind not in found and not source.uploaded:
            for ending in (kind, kind.upper()):
                for packed in _PACKED:
                    other = source.path.with_name(f"{named['stem']}.{ending}{packed}")
                    if kind not in found and other.is_file() and source.may_open(other):
                        found[kind] = other
    lost = [k for k in wanted if k not in found]
    if lost:
        ending = lost[0].upper() if is_afni else lost[0]
        raise ScanError(
            f"{source.names[0]} is half of a pair, and its .{ending} file is not there",
            "give both files, or convert them to one .nii.gz",
        )
    return found[wanted[0]], found[wanted[1]]


def _archive(path: Path, name: str) -> VolumeScan:
    """Open the images of a ZIP archive: one series, or one volume each."""
    members = image_members(path)
    if len(members) > 1:
        return _series([(path, m, m.rpartition("/")[2]) for m in members], name)
    head, how, size = _look(path, members[0])
    header = read_header(head, members[0].rpartition("/")[2])
    check_size(header, size, how or "zip", name)
    return VolumeScan(header, (VolumePart(path, header.shape[3], header.offset, how, members[0]),))


def _look(path: Path, member: str | None) -> tuple[bytes, str, int]:
    """Return the first unpacked bytes of a part, how it is packed, and its stored size."""
    with opener(path, member)() as raw:
        how = packing(raw.read(8))
    with opener(path, member)() as raw:
        stream, head = unpacked(raw, how), b""
        while len(head) < HEAD_BYTES and (block := stream.read(HEAD_BYTES - len(head))):
            head += block
    return head, how, path.stat().st_size


def _series(files: list[tuple[Path, str | None, str]], name: str) -> VolumeScan:
    """Join single volumes, in the order of the numbers in their names."""
    files = sorted(files, key=lambda f: by_number(f[2]))
    first_name = files[0][2]
    check_length(len(files), f"the series of {first_name}")
    headers, parts = [], []
    for path, member, shown in files:
        try:
            head, how, size = _look(path, member)
        except (OSError, EOFError, ValueError) as error:
            raise ScanError(f"{shown} is cut short or damaged", "copy or download the file again") from error
        if nifti_version(head) is None:
            raise ScanError(f"{shown} is no NIfTI volume", "give a series of 3D volumes of one run")
        header = read_header(head, shown, single_volumes=True)
        check_size(header, size, how or ("zip" if member else ""), shown)
        headers.append(header)
        parts.append(VolumePart(path, header.shape[3], header.offset, how, member))
    joined = _join(headers, [f[2] for f in files])
    return VolumeScan(joined, tuple(parts), notices=(f"{len(files)} files were joined, {first_name} first.",))


def _join(headers: list[NiftiHeader], names: list[str]) -> NiftiHeader:
    first = headers[0]
    for header, name in zip(headers, names, strict=True):
        same = header.shape == first.shape and header.dtype == first.dtype
        if not same or not np.allclose(header.affine, first.affine, atol=1e-3):
            raise ScanError(
                f"{name} has another size, grid or type of numbers than {names[0]}",
                "give the volumes of one run, written by one program",
            )
    if first.shape[3] != 1:
        raise ScanError(f"{len(headers)} series were given", "give one run")
    scales = tuple((h.slope, h.inter) for h in headers)
    stated = first.tr.tr_s  # one volume has no step in time: 1 is what programs write then
    time = RepetitionTime(None) if stated is None or abs(stated - PLACEHOLDER_S) < 1e-6 else first.tr
    joined = replace(first, shape=(*first.shape[:3], len(headers)), tr=time)
    return joined if len(set(scales)) == 1 else replace(joined, slope=1.0, inter=0.0, scales=scales)
