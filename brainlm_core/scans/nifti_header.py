"""NIfTI headers, judged before a byte of data is read or a byte of memory is claimed.

Free text of the header (``descrip``, ``db_name``, ``aux_file``) is never kept: it can name a person.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.limits import check_expansion, check_length
from brainlm_core.scans.source import Probe
from brainlm_core.scans.timing import RepetitionTime, from_header

#: More voxels than this in one volume is no functional scan (256³; a whole head at 0.8 mm has 14 million).
MAX_VOLUME_VOXELS = 1 << 24
#: More values than this in one file is no scan at all.
MAX_SCAN_VALUES = 1 << 39
#: Steps and origins beyond this, in whatever unit, and axes this far from a box, are no scan's.
_MAX_AFFINE, _MAX_CONDITION = 1e7, 1e5
_SPATIAL_UNITS = {1: 1000.0, 2: 1.0, 3: 0.001}
_TIME_UNITS = {8: "sec", 16: "msec", 24: "usec"}
_CIFTI_INTENTS = range(3000, 3100)
_ANATOMICAL = re.compile(
    r"(?<![a-z0-9])(t1w?|t2w?|flair|mprage|anat|brainmask|dseg|probseg)(?![a-z0-9])", re.I
)


@dataclass(frozen=True)
class NiftiHeader:
    """What a 4D NIfTI header says, checked.

    Parameters
    ----------
    shape : tuple of int
        (x, y, z, time).
    dtype : dtype
        As stored, byte order included.
    offset : int
        First byte of data, after decompression.
    slope, inter : float
        Stored value × slope + inter is the signal.
    affine : ndarray (4, 4), float64
        Voxel indices to mm.
    tr : RepetitionTime
        From ``pixdim[4]`` and its unit.
    space_code : int
        NIfTI code of the space of ``affine``: 5 another template, 4 MNI, 3 Talairach, 2 aligned to
        something, 1 the scanner's, 0 unknown.
    scales : tuple of (slope, inter), or None
        One per volume, where they differ; ``slope`` and ``inter`` are then 1 and 0.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    affine: NDArray[np.float64]
    tr: RepetitionTime
    space_code: int
    scales: tuple[tuple[float, float], ...] | None = None

    @property
    def volume_bytes(self) -> int:
        """Stored bytes of one volume."""
        return int(np.prod(self.shape[:3])) * self.dtype.itemsize


def is_nifti(probe: Probe) -> bool:
    """Recognise NIfTI-1 and NIfTI-2, single files and pairs, CIFTI excluded."""
    return nifti_version(probe.inner) is not None and not is_cifti(probe)


def is_cifti(probe: Probe) -> bool:
    """Recognise CIFTI-2: a NIfTI-2 header with a CIFTI intent."""
    if nifti_version(probe.inner) != 2 or len(probe.inner) < 508:
        return False
    order = "<" if int.from_bytes(probe.inner[:4], "little") == 540 else ">"
    intent = int(np.frombuffer(probe.inner[504:508], dtype=f"{order}i4")[0])
    return intent in _CIFTI_INTENTS


def nifti_version(head: bytes) -> int | None:
    """Return 1 or 2 when the first bytes are a NIfTI header, else None."""
    for order in ("little", "big"):
        size = int.from_bytes(head[:4], order)
        if size == 348 and head[344:347] in (b"n+1", b"ni1"):
            return 1
        if size == 540 and head[4:7] in (b"n+2", b"ni2"):
            return 2
    return None


def read_header(head: bytes, name: str, *, single_volumes: bool = False) -> NiftiHeader:
    """Read and judge the header; the size of the file is judged by :func:`check_size`.

    Parameters
    ----------
    head : bytes
        First bytes after unpacking.
    name : str
        Display name.
    single_volumes : bool
        Whether this is one file of a series of 3D volumes.

    Raises
    ------
    ScanError
        If the file is no series of numbers, claims impossible sizes, or names itself anatomical.
    """
    import nibabel as nib

    version = nifti_version(head)
    cls, size = (nib.Nifti1Header, 348) if version == 1 else (nib.Nifti2Header, 540)
    is_pair = head[344:347] == b"ni1" or head[4:7] == b"ni2"
    if len(head) < size:
        raise ScanError(f"{name} is cut short inside its header", "copy or download the file again")
    try:
        raw = cls(head[:size], check=False)
        dims = [int(d) for d in raw["dim"]]
        shape = _shape(dims, name, single_volumes)
        refuse_by_name(name)
        dtype = raw.get_data_dtype()
        with np.errstate(all="ignore"):  # judged below
            affine = np.asarray(raw.get_best_affine(), dtype=np.float64)
        zooms = np.asarray(raw["pixdim"], dtype=np.float64)
        offset = int(raw["vox_offset"])
        slope, inter = float(raw["scl_slope"]), float(raw["scl_inter"])
        units = int(raw["xyzt_units"])
        codes = int(raw["sform_code"]), int(raw["qform_code"])
    except (nib.spatialimages.HeaderDataError, ValueError, OverflowError, KeyError) as error:
        raise ScanError(f"{name} has a damaged header", "export or download the file again") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ScanError(f"{name} stores {dtype.name} values", "export it as int16 or float32")
    scale = _SPATIAL_UNITS.get(units & 0x07, 1.0)
    if not (np.isfinite(affine).all() and np.abs(affine).max() < _MAX_AFFINE):
        raise ScanError(f"{name} does not say where its voxels lie", "give an image registered to MNI space")
    affine = np.diag([scale, scale, scale, 1.0]) @ affine
    if not _is_box(affine[:3, :3]):
        raise ScanError(f"{name} does not say where its voxels lie", "give an image registered to MNI space")
    if not np.isfinite(slope) or slope == 0:
        slope, inter = 1.0, 0.0
    return NiftiHeader(
        shape=shape,
        dtype=dtype,
        offset=max(offset, 0) if is_pair else max(offset, size + 4),
        slope=slope,
        inter=inter if np.isfinite(inter) else 0.0,
        affine=affine,
        tr=from_header(float(zooms[4]), _TIME_UNITS.get(units & 0x38, "unknown")),
        space_code=codes[0] if codes[0] > 0 else codes[1],
    )


def _is_box(axes: NDArray[np.float64]) -> bool:
    """Whether three voxel axes (3, 3), in mm, span a volume."""
    sizes = np.linalg.svd(axes, compute_uv=False)
    return bool(np.prod(sizes) >= 1e-6 and sizes[0] <= _MAX_CONDITION * sizes[-1])


def _shape(dims: list[int], name: str, single_volumes: bool) -> tuple[int, int, int, int]:
    n_axes, sizes = dims[0], dims[1:8]
    if not 1 <= n_axes <= 7 or any(s < 1 for s in sizes[:n_axes]):
        raise ScanError(f"{name} has a damaged header", "export or download the file again")
    sizes = sizes[:n_axes] + [1] * (7 - n_axes)
    if sizes[3] == 1 and sizes[4] > 1:  # some converters put time on the fifth axis
        sizes[3], sizes[4] = sizes[4], 1
    if any(s > 1 for s in sizes[4:]):
        raise ScanError(f"{name} has {n_axes} axes, not space and time", "give a 4D BOLD series")
    volume = sizes[0] * sizes[1] * sizes[2]
    if volume > MAX_VOLUME_VOXELS or volume * sizes[3] > MAX_SCAN_VALUES:
        claim = " × ".join(str(s) for s in sizes[:4])
        raise ScanError(
            f"the header of {name} claims {claim} = {volume * sizes[3]:.3g} voxels, which no scan has",
            "the header is wrong: export or download the file again",
        )
    if single_volumes and sizes[3] == 1:
        return sizes[0], sizes[1], sizes[2], 1
    if sizes[3] == 1:
        anatomical = _ANATOMICAL.search(name) or volume > 3_000_000
        kind = "an anatomical image (3D)" if anatomical else "a 3D image"
        raise ScanError(f"{name} is {kind} with a single volume", "give the 4D BOLD series of the run")
    check_length(sizes[3], name)
    return sizes[0], sizes[1], sizes[2], sizes[3]


def refuse_by_name(name: str) -> None:
    """Refuse what is no BOLD series by the suffix of its name."""
    # ASL in capitals is an orientation: anterior, superior, left.
    if re.search(r"_((?i:dwi|epi_fieldmap|fieldmap|phasediff)|asl|m0scan)\.nii", name):
        raise ScanError(f"{name} is no BOLD series by its name", "give the BOLD series of the run")


def check_size(header: NiftiHeader, stored: int, how: str, name: str) -> None:
    """Refuse a file that cannot hold what its header claims; ``how`` it is packed, ``stored`` in bytes."""
    needed = header.offset + header.volume_bytes * header.shape[3]
    if header.offset > 100_000_000:
        raise ScanError(f"{name} has a damaged header", "export or download the file again")
    if how:
        check_expansion(needed, stored, name, deflated=how in ("gzip", "zip"))
    elif needed > stored:
        raise ScanError(
            f"{name} is cut short: the header asks for {needed:,} bytes, the file has {stored:,}",
            "copy or download the file again",
        )


def gunzip_damage(error: Exception) -> bool:
    """Tell whether an exception means a damaged or truncated gzip stream."""
    return isinstance(error, EOFError | gzip.BadGzipFile | zlib.error | OSError) or type(
        error
    ).__module__.startswith("zlib_ng")
