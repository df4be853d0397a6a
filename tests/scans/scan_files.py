"""Small scans for the intake tests, all made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

#: A grid that covers the MNI brain with few voxels.
AFFINE = np.array([[-6.0, 0, 0, 90], [0, 6, 0, -126], [0, 0, 6, -72], [0, 0, 0, 1]])
SHAPE = (31, 37, 31)


def bold_table(n_timepoints: int = 60, n_parcels: int = 424, seed: int = 0) -> np.ndarray:
    """Signals (time, parcels) with a level, as raw BOLD has."""
    rng = np.random.default_rng(seed)
    return 10_000 + 80 * rng.standard_normal((n_timepoints, n_parcels))


def label_volume(path: Path, n: int = 30) -> tuple[Path, np.ndarray]:
    """An atlas of ``n`` parcels inside the MNI brain on the test grid."""
    from brainlm_core.scans.space import brain_mask, sample_nearest

    template, affine = brain_mask()
    brain = sample_nearest(template, affine, SHAPE, AFFINE).astype(bool)
    labels = np.zeros(SHAPE, np.int16)
    labels[brain] = 1 + np.arange(brain.sum()) * n // brain.sum()
    nib.save(nib.Nifti1Image(labels, AFFINE), path)
    return path, labels


def bold_volume(labels: np.ndarray, n_timepoints: int = 30, seed: int = 1) -> np.ndarray:
    """4D data (x, y, z, time), float64: a signal per parcel, noise per voxel, zero outside."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((labels.max() + 1, n_timepoints)) * 100
    data = 8000 + signal[labels] + 30 * rng.standard_normal((*labels.shape, n_timepoints))
    return np.where((labels > 0)[..., None], data, 0.0)


def save_nifti(
    path: Path,
    data: np.ndarray,
    affine: np.ndarray = AFFINE,
    *,
    tr: float = 2.0,
    units: str = "sec",
    code: int = 4,
    dtype: Any = np.float32,
    cls: type = nib.Nifti1Image,
    endian: str = "<",
    slope: tuple[float, float] | None = None,
) -> Path:
    """Write a 4D image with every header field under control."""
    header = cls.header_class(endianness=endian)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endian))
    image = cls(data, affine, header)
    image.header.set_xyzt_units("mm", units)
    image.header.set_zooms((*image.header.get_zooms()[:3], tr))
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    image.header["descrip"] = b"Jane Doe 1970"
    if "db_name" in image.header:
        image.header["db_name"] = b"Jane Doe"
    if slope is not None:
        image.header.set_slope_inter(*slope)
    nib.save(image, path)
    return path
