"""Headers of FreeSurfer (.mgh, .mgz) and AFNI (.HEAD) volumes, in the terms of NIfTI.

Sources: FreeSurfer wiki "MghFormat"; AFNI README.attributes. The free text of a header is never kept.
"""

from __future__ import annotations

import math
import re
import struct

import numpy as np

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.limits import check_length
from brainlm_core.scans.nifti_header import MAX_SCAN_VALUES, MAX_VOLUME_VOXELS, NiftiHeader, refuse_by_name
from brainlm_core.scans.timing import RepetitionTime, from_header

_MGH_BYTES, MGH_DATA = 90, 284
_MGH_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}
_AFNI_TYPES = {0: "u1", 1: "i2", 3: "f4", 5: "f8"}
#: An AFNI header of 5,000 volumes has 1 MB.
MAX_HEAD_BYTES = 16 << 20
_ATTRIBUTE = re.compile(
    r"type\s*=\s*(\S+)-attribute\s+name\s*=\s*(\S+)\s+count\s*=\s*(\d{1,9})\s(.*?)(?=\n\s*type\s*=|\Z)",
    re.DOTALL,
)
_TO_SPACE_CODE = {"orig": 1, "acpc": 2}
#: AFNI is left-handed the other way: x grows to the left, y to the back.
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def is_mgh(head: bytes) -> bool:
    """Recognise a FreeSurfer volume: version 1, plausible sizes, a known type."""
    if len(head) < _MGH_BYTES:
        return False
    version, *sizes, kind = struct.unpack(">6i", head[:24])
    return version == 1 and kind in _MGH_TYPES and all(1 <= n <= 1 << 22 for n in sizes)


def read_mgh(head: bytes, name: str) -> NiftiHeader:
    """Read a FreeSurfer header; its repetition time stands behind the data, see :func:`mgh_time`.

    Raises
    ------
    ScanError
        If it is no series, or does not say where its voxels lie.
    """
    _, x, y, z, n, kind = struct.unpack(">6i", head[:24])
    placed = struct.unpack(">h", head[28:30])[0]
    floats = np.array(struct.unpack(">15f", head[30:90]), dtype=np.float64)
    _check_shape((x, y, z, n), name)
    if not placed or not np.isfinite(floats).all():
        raise ScanError(f"{name} does not say where its voxels lie", "give an image registered to MNI space")
    affine = np.eye(4)
    affine[:3, :3] = floats[3:12].reshape(3, 3).T * floats[:3]
    affine[:3, 3] = floats[12:] - affine[:3, :3] @ (np.array([x, y, z]) / 2)
    dtype = np.dtype(f">{_MGH_TYPES[kind]}")
    return NiftiHeader((x, y, z, n), dtype, MGH_DATA, 1.0, 0.0, affine, RepetitionTime(None), 0)


def mgh_time(tail: bytes) -> RepetitionTime:
    """Return the repetition time that stands behind the data of a FreeSurfer volume, in ms."""
    return from_header(struct.unpack(">f", tail[:4])[0], "msec") if len(tail) >= 4 else RepetitionTime(None)


def is_afni_head(head: bytes) -> bool:
    """Recognise an AFNI header: attributes in plain text."""
    return bool(re.match(rb"\s*type\s*=\s*(string|integer|float)-attribute\s+name\s*=", head))


def read_afni(text: str, name: str) -> NiftiHeader:
    """Read an AFNI header.

    Raises
    ------
    ScanError
        If it is damaged, no series, or of a type that is no number.
    """
    try:
        values = {found[2]: found[4].strip() for found in _ATTRIBUTE.finditer(text)}
        x, y, z = (int(v) for v in values["DATASET_DIMENSIONS"].split()[:3])
        n = int(values["DATASET_RANK"].split()[1])
        _check_shape((x, y, z, n), name)
        kinds = set(values["BRICK_TYPES"].split())
        order = ">" if "MSB" in values.get("BYTEORDER_STRING", "LSB") else "<"
        dtype = np.dtype(order + _AFNI_TYPES[int(kinds.pop())])
        factors = [float(v) or 1.0 for v in values.get("BRICK_FLOAT_FACS", "").split()] or [1.0]
        affine = _afni_affine(values)
        time = _afni_time(values)
        view = re.search(r"\+(orig|acpc|tlrc)", name.lower())
        code = _afni_code(values.get("TEMPLATE_SPACE", ""), view[1] if view else "")
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise ScanError(f"{name} has a damaged AFNI header", "convert it with 3dAFNItoNIFTI") from error
    if kinds or len(factors) not in (1, n):
        raise ScanError(f"{name} mixes types of numbers", "convert it with 3dAFNItoNIFTI")
    same = len(set(factors)) == 1
    scales = None if same else tuple((f, 0.0) for f in factors)
    return NiftiHeader((x, y, z, n), dtype, 0, factors[0] if same else 1.0, 0.0, affine, time, code, scales)


def _afni_affine(values: dict[str, str]) -> np.ndarray:
    real = values.get("IJK_TO_DICOM_REAL") or values.get("IJK_TO_DICOM")
    if real:
        dicom = np.vstack([np.array(real.split()[:12], dtype=np.float64).reshape(3, 4), [0, 0, 0, 1]])
        return _TO_RAS @ dicom
    steps = np.array(values["DELTA"].split(), dtype=np.float64)
    origin = np.array(values["ORIGIN"].split(), dtype=np.float64)
    axes = [int(v) // 2 for v in values["ORIENT_SPECIFIC"].split()]  # 0 x, 1 y, 2 z of DICOM
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, axis in enumerate(axes):
        affine[axis, column], affine[axis, 3] = steps[column], origin[column]
    return _TO_RAS @ affine


def _afni_time(values: dict[str, str]) -> RepetitionTime:
    floats = values.get("TAXIS_FLOATS", "").split()
    units = values.get("TAXIS_NUMS", "").split()
    unit = {"77001": "msec", "77002": "sec"}.get(units[2] if len(units) > 2 else "", "unknown")
    return from_header(float(floats[1]), unit) if len(floats) > 1 else RepetitionTime(None)


def _afni_code(template: str, view: str) -> int:
    named = template.strip("'~ \n").upper()
    if view in _TO_SPACE_CODE or named == "ORIG":
        return _TO_SPACE_CODE.get(view, 1)
    if named.startswith("MNI"):
        return 4
    return 3 if named in ("TLRC", "TT_N27") else 5 if named else 0


def _check_shape(shape: tuple[int, int, int, int], name: str) -> None:
    volume = math.prod(shape[:3])
    if min(shape) < 1 or volume > MAX_VOLUME_VOXELS or volume * shape[3] > MAX_SCAN_VALUES:
        raise ScanError(f"the header of {name} claims a size that no scan has", "export the file again")
    if shape[3] == 1:
        raise ScanError(f"{name} is an image with a single volume", "give the BOLD series of the run")
    check_length(shape[3], name)
    refuse_by_name(name)
