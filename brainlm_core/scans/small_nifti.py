"""Masks and label volumes: one NIfTI file, read whole into memory of a known size."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

from brainlm_core.base.library_warnings import quiet_nibabel


def load_small_nifti(path: Path, max_bytes: int) -> Any:
    """Return an image made of the file's own bytes; no other file and no extension is looked at.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``, recognised by content.
    max_bytes : int
        Most bytes of data.

    Returns
    -------
    nibabel Nifti1Image or Nifti2Image

    Raises
    ------
    ValueError
        If the file is no single NIfTI file, is cut short, or is larger than allowed.
    OSError, zlib.error, nibabel.spatialimages.HeaderDataError
        If it is damaged.
    """
    import nibabel as nib

    quiet_nibabel()
    data = bytearray(_unpacked(path, max_bytes + (1 << 20)))
    is_two = 540 in (int.from_bytes(data[:4], order) for order in ("little", "big"))
    kind, size = (nib.Nifti2Image, 540) if is_two else (nib.Nifti1Image, 348)
    header = kind.header_class(bytes(data[:size]), check=False)
    claimed = math.prod(int(n) for n in header.get_data_shape()) * header.get_data_dtype().itemsize
    if claimed > max_bytes or int(header["vox_offset"]) + claimed > len(data):
        raise ValueError("cut short, or larger than such an image")
    data[size : size + 4] = bytes(4)  # says that there are no extensions
    return kind.from_bytes(bytes(data))


def _unpacked(path: Path, limit: int) -> bytes:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as stream:
        out = bytearray()
        # In blocks: one large read takes its size in memory before it knows how much there is.
        while block := stream.read(1 << 20):
            out += block
            if len(out) > limit:
                raise ValueError("larger than such an image")
    return bytes(out)
