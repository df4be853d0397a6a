"""Cuts through a scan's mean image in three planes, with the parcel of each pixel."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError

PLANES = ("sagittal", "coronal", "axial")
#: Where the cuts lie in MNI space, in mm, per plane: cortex and deep nuclei are seen in each pair.
CUTS_MM: dict[str, tuple[float, ...]] = {
    "sagittal": (-6.0, 44.0),
    "coronal": (-8.0, -60.0),
    "axial": (4.0, 44.0),
}
#: What grows to the left, right and top of each picture.
SIDES: dict[str, tuple[str, str, str]] = {
    "sagittal": ("P", "A", "S"),
    "coronal": ("L", "R", "S"),
    "axial": ("L", "R", "A"),
}
KINDS = ("mean", "spread")
#: A picture needs no more pixels than this along a side.
_MOST_PIXELS = 256
_MOST_CUTS = 12
_PREFIX = "slices_"


@dataclass(frozen=True, eq=False)
class Slice:
    """One cut; the left of the brain is on the left.

    Parameters
    ----------
    plane : {"sagittal", "coronal", "axial"}
    at_mm : float
        Where it lies along the axis that it cuts: x, y or z in mm.
    step_mm : tuple of float
        Width and height of a pixel.
    grey : ndarray (h, w), uint8
        The image from dark to bright, top row first.
    parcels : ndarray (h, w), int16
        Parcel + 1 of each pixel, 0 outside.
    """

    plane: str
    at_mm: float
    step_mm: tuple[float, float]
    grey: NDArray[np.uint8]
    parcels: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Slices:
    """The cuts through one scan.

    Parameters
    ----------
    cuts : tuple of Slice
    n_parcels : int
        Of the parcellation that ``parcels`` counts in.
    kind : {"mean", "spread"}
        Mean over volumes, or their standard deviation where the mean was removed.
    n_volumes : int
        Volumes that the image was made of.

    Raises
    ------
    ScanError
        If the parts do not fit together.
    """

    cuts: tuple[Slice, ...]
    n_parcels: int
    kind: str
    n_volumes: int

    def __post_init__(self) -> None:
        good = self.kind in KINDS and self.n_volumes > 0 and 0 < len(self.cuts) <= _MOST_CUTS
        if not (good and all(self._fits(cut) for cut in self.cuts)):
            raise ScanError(
                "the slices of the mean image are damaged", "make the recording again from the scan"
            )

    def _fits(self, cut: Slice) -> bool:
        grey, parcels = cut.grey, cut.parcels
        return (
            cut.plane in PLANES
            and grey.ndim == 2
            and grey.shape == parcels.shape
            and (grey.dtype, parcels.dtype) == (np.uint8, np.int16)
            and min(grey.shape) > 0
            and max(grey.shape) <= _MOST_PIXELS
            and parcels.min() >= 0
            and parcels.max() <= self.n_parcels
            and bool(np.isfinite([cut.at_mm, *cut.step_mm]).all())
            and min(cut.step_mm) > 0
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return arrays for an ``.npz``."""
        about = {
            "n_parcels": self.n_parcels,
            "kind": self.kind,
            "n_volumes": self.n_volumes,
            "cuts": [{"plane": c.plane, "at_mm": c.at_mm, "step_mm": list(c.step_mm)} for c in self.cuts],
        }
        out: dict[str, NDArray[Any]] = {f"{_PREFIX}about": np.array(json.dumps(about))}
        for i, cut in enumerate(self.cuts):
            out |= {f"{_PREFIX}grey_{i}": cut.grey, f"{_PREFIX}parcels_{i}": cut.parcels}
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Slices | None:
        """Rebuild from :meth:`to_arrays`; None when there are none."""
        if f"{_PREFIX}about" not in arrays:
            return None
        about = json.loads(str(arrays[f"{_PREFIX}about"]))
        cuts = tuple(
            Slice(
                str(c["plane"]),
                float(c["at_mm"]),
                (float(c["step_mm"][0]), float(c["step_mm"][1])),
                arrays[f"{_PREFIX}grey_{i}"],
                arrays[f"{_PREFIX}parcels_{i}"],
            )
            for i, c in enumerate(about["cuts"])
        )
        return cls(cuts, int(about["n_parcels"]), str(about["kind"]), int(about["n_volumes"]))


def cut_slices(
    image: NDArray[np.float32],
    labels: NDArray[np.int16],
    affine: NDArray[np.float64],
    n_parcels: int,
    *,
    kind: str = "mean",
    n_volumes: int,
) -> Slices:
    """Cut a scan's image along its own voxels, turned so that they lie nearest to the planes of MNI space.

    Parameters
    ----------
    image : ndarray (x, y, z), float32
        Finite.
    labels : ndarray (x, y, z), int16
        Parcel + 1 of each voxel of the scan, 0 outside: the atlas on the scan's grid.
    affine : ndarray (4, 4)
        The scan's voxel indices to mm.
    n_parcels : int
    kind : {"mean", "spread"}
    n_volumes : int
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(affine)
    affine = affine @ inv_ornt_aff(turn, image.shape)
    image, labels = apply_orientation(image, turn), apply_orientation(labels, turn)
    steps = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    middle = affine @ np.r_[(np.array(image.shape) - 1) / 2, 1]
    found = []
    for plane, places in CUTS_MM.items():
        axis = PLANES.index(plane)
        for place in places:
            at = round((image.shape[axis] - 1) / 2 + (place - middle[axis]) / affine[axis, axis])
            at = min(max(at, 0), image.shape[axis] - 1)
            mm = middle[axis] + (at - (image.shape[axis] - 1) / 2) * affine[axis, axis]
            across, up = (i for i in range(3) if i != axis)
            found.append((plane, float(mm), (steps[across], steps[up]),
                          image.take(at, axis).T[::-1], labels.take(at, axis).T[::-1]))  # fmt: skip
    low, high = _window([f[3] for f in found])
    cuts = []
    for plane, mm, (wide, high_mm), values, parcels in found:
        every = -(-max(values.shape) // _MOST_PIXELS)
        grey = np.clip((values[::every, ::every] - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        cuts.append(
            Slice(plane, round(mm, 1), (float(wide) * every, float(high_mm) * every), grey,
                  np.ascontiguousarray(parcels[::every, ::every], dtype=np.int16))
        )  # fmt: skip
    return Slices(tuple(cuts), n_parcels, kind, n_volumes)


def _window(pictures: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Return the values drawn black and white: what lies outside the head does not count."""
    values = np.concatenate([p.ravel() for p in pictures]).astype(np.float64)
    values = values[np.isfinite(values)]
    bright = values[values > 0.02 * np.percentile(values, 99)] if len(values) else values
    if not len(bright):
        return 0.0, 1.0
    low, high = np.percentile(bright, [1, 99.5])
    low = min(low, 0.3 * high) if high > 0 else low
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)
