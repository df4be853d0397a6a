"""Where a scan lies: the atlas brought onto its grid, and the test whether it is in MNI space at all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.base.paths import assets_dir
from brainlm_core.scans.nifti_header import NiftiHeader
from brainlm_core.scans.volume_atlas import VolumeAtlas
from brainlm_core.scans.volume_stream import LabelledVoxels

#: Below this share of the scan's brain inside the template's, the scan is not in MNI space.
MIN_INSIDE = 0.6
#: The same for headers that claim the scanner's own coordinates or none.
MIN_INSIDE_UNCLAIMED = 0.8
#: Below this Dice overlap a scan that fills its field of view is named doubtful.
DOUBTFUL_DICE = 0.75
#: A brain's outline needs no finer grid than this.
_CHECK_GRID_MM = 4.0


@dataclass(frozen=True, eq=False)
class AtlasOnGrid:
    """An atlas on a scan's grid.

    Parameters
    ----------
    voxels : LabelledVoxels
        The scan's voxels by parcel.
    n_expected : ndarray (n_parcels,), int64
        Scan voxels of each parcel inside the field of view.
    inside : ndarray (n_parcels,), float64
        Share of each parcel that lies inside the field of view, 0–1.
    n_borrowed : int
        Parcels smaller than the scan's voxels, which took the voxel that holds them.
    """

    voxels: LabelledVoxels
    n_expected: NDArray[np.int64]
    inside: NDArray[np.float64]
    n_borrowed: int

    def label_image(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Return parcel + 1 of each voxel of the scan, (x, y, z), 0 outside."""
        found = np.zeros(int(np.prod(shape)), np.int16)
        sizes = np.diff(np.append(self.voxels.starts, len(self.voxels.index)))
        found[self.voxels.index] = np.repeat(self.voxels.parcels + 1, sizes)
        return found.reshape(shape, order="F")


def atlas_on_grid(atlas: VolumeAtlas, shape: tuple[int, ...], affine: NDArray[np.float64]) -> AtlasOnGrid:
    """Resample the atlas, not the scan: nearest neighbour in world coordinates.

    A parcel that no scan voxel falls into, because it is smaller than the voxels, takes the scan
    voxels that its own voxels lie in.

    Parameters
    ----------
    atlas : VolumeAtlas
        In MNI space.
    shape : tuple of int
        The scan's (x, y, z).
    affine : ndarray (4, 4)
        The scan's voxel indices to mm.
    """
    n_parcels = atlas.parcellation.n_parcels
    labels = sample_nearest(atlas.labels, atlas.affine, shape, affine)  # (x, y, z)
    flat = labels.ravel(order="F")
    index = np.flatnonzero(flat)
    parcel = flat[index].astype(np.intp) - 1
    where = np.argwhere(atlas.labels > 0)
    own = atlas.labels[tuple(where.T)].astype(np.intp) - 1
    to_scan = np.linalg.inv(affine) @ atlas.affine
    in_scan = np.rint(where @ to_scan[:3, :3].T + to_scan[:3, 3])
    within = np.all((in_scan >= 0) & (in_scan < np.array(shape)), axis=1)
    in_scan = np.where(within[:, None], in_scan, 0).astype(np.intp)
    total = np.bincount(own, minlength=n_parcels)
    inside = np.bincount(own[within], minlength=n_parcels) / np.maximum(total, 1)
    lost = np.setdiff1d(np.unique(own[within]), parcel)
    if lost.size:
        rows = within & np.isin(own, lost)
        extra = np.ravel_multi_index(tuple(in_scan[rows].T), shape, order="F")
        pairs = np.unique(np.stack([own[rows], extra]), axis=1)
        parcel, index = np.concatenate([parcel, pairs[0]]), np.concatenate([index, pairs[1]])
    order = np.lexsort((index, parcel))
    parcel, index = parcel[order], index[order]
    starts = np.flatnonzero(np.r_[True, np.diff(parcel) > 0]) if parcel.size else np.empty(0, np.intp)
    voxels = LabelledVoxels(index.astype(np.intp), starts, parcel[starts], n_parcels)
    return AtlasOnGrid(voxels, np.bincount(parcel, minlength=n_parcels), inside, int(lost.size))


def sample_nearest(
    source: NDArray[np.generic],
    source_affine: NDArray[np.float64],
    shape: tuple[int, ...],
    affine: NDArray[np.float64],
) -> NDArray[np.generic]:
    """Return ``source`` on another grid by nearest neighbour, 0 outside; slab by slab."""
    if source.shape == tuple(shape) and np.allclose(source_affine, affine, atol=1e-4):
        return source
    to_source = np.linalg.inv(source_affine) @ affine
    out = np.zeros(shape, source.dtype)
    i, j = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    plane = to_source[:3, 0, None, None] * i + to_source[:3, 1, None, None] * j  # (3, x, y)
    limit = np.array(source.shape)[:, None, None]
    for k in range(shape[2]):
        # Ties go up, as in nilearn; the small shift keeps rounding noise from deciding them.
        at = np.floor(plane + (to_source[:3, 2] * k + to_source[:3, 3])[:, None, None] + 0.5 + 1e-6)
        good = ((at >= 0) & (at < limit)).all(axis=0)
        x, y, z = at[:, good].astype(np.intp)
        slab = out[:, :, k]
        slab[good] = source[x, y, z]
    return out


@dataclass(frozen=True)
class SpaceCheck:
    """How the scan's brain lies on the template's.

    Parameters
    ----------
    dice : float
        Dice overlap inside the field of view.
    inside : float
        Share of the scan's brain that lies inside the template's brain.
    filled : float
        Size of the scan's brain over that of the template's inside the field of view.
    """

    dice: float
    inside: float
    filled: float


#: Below this share of the template's size a brain that lies inside it is named small.
SMALL_BRAIN = 0.85
#: Where more of the field of view than this seems to be brain, the image shows no outline.
_NO_OUTLINE = 0.7


def check_space(
    image: NDArray[np.float32], header: NiftiHeader, name: str, *, is_claimed: bool, fix: str
) -> tuple[SpaceCheck, tuple[str, ...], tuple[str, ...]]:
    """Compare the scan's brain with the MNI152 brain; return what speaks against MNI space, and notices.

    Parameters
    ----------
    image : ndarray (x, y, z)
        Mean of some volumes, or their spread where the mean was removed, or a brain mask.
    header : NiftiHeader
        For the grid and for what space it claims.
    name : str
        Display name.
    is_claimed : bool
        Whether name or header say that the scan is in MNI152.
    fix : str
        What to do when it is not.

    Raises
    ------
    ScanError
        If the scan cannot be in MNI space.
    """
    check = overlap(image, header.affine)
    limit = MIN_INSIDE if is_claimed else MIN_INSIDE_UNCLAIMED
    if check.inside < limit:
        claim = " and its header gives the scanner's own coordinates" if header.space_code == 1 else ""
        raise ScanError(
            f"{name} is not in MNI space: {check.inside:.0%} of its brain lies inside the template{claim}",
            fix,
        )
    if check.filled > 0.9 and check.dice < DOUBTFUL_DICE:
        doubt = f"The brain overlaps the MNI152 template by {check.dice:.2f} only; check the registration."
        return check, (doubt,), ()
    if check.filled < SMALL_BRAIN:
        small = (
            f"The scan's brain fills {check.filled:.0%} of the template's: part of the head was not scanned, "
            "or this brain is smaller than the template (a child's, an animal's, another template)."
        )
        return check, (), (small,)
    return check, (), ()


def varying_voxels(spread: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return where a brain without its mean lies, (x, y, z), or None when nothing shows it.

    Masked data vary nowhere else; in other data the brain varies more than what surrounds it.
    """
    varies = spread > 1e-6 * float(spread.max(initial=0.0))
    if varies.mean() < _NO_OUTLINE:
        return varies.astype(np.float32)
    low, high = np.percentile(spread, [2, 98])
    brighter = spread > low + 0.25 * (high - low)
    return spread if brighter.mean() < _NO_OUTLINE else None


def overlap(mean_image: NDArray[np.float32], affine: NDArray[np.float64]) -> SpaceCheck:
    """Compare a mean image with the MNI152 brain inside the image's field of view."""
    from scipy.ndimage import binary_fill_holes

    zooms = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    every = np.maximum(1, np.floor(_CHECK_GRID_MM / zooms + 0.01)).astype(int)
    mean_image = mean_image[:: every[0], :: every[1], :: every[2]]
    affine = affine @ np.diag([*every, 1.0])
    template, template_affine = brain_mask()
    expected = sample_nearest(template, template_affine, mean_image.shape, affine).astype(bool)
    finite = np.abs(mean_image)
    low, high = np.percentile(finite, [2, 98])
    if not high > low:
        low, high = float(finite.min()), float(finite.max())
    brain = finite > low + 0.25 * (high - low)
    brain = binary_fill_holes(brain)
    both = float((brain & expected).sum())
    sizes = float(brain.sum()), float(expected.sum())
    return SpaceCheck(
        dice=2 * both / max(sum(sizes), 1.0),
        inside=both / max(sizes[0], 1.0),
        filled=sizes[0] / max(sizes[1], 1.0),
    )


@cache
def brain_mask() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the MNI152 brain on a 2 mm grid (``assets/mni152_brain.npz``) and its affine."""
    with np.load(assets_dir() / "mni152_brain.npz", allow_pickle=False) as store:
        shape = tuple(int(n) for n in store["shape"])
        bits = np.unpackbits(store["bits"])[: int(np.prod(shape))]
        return bits.reshape(shape), store["affine"].astype(np.float64)


def build_brain_mask(out: Path) -> None:
    """Write ``mni152_brain.npz`` from the template that nilearn ships (ICBM 152, 2009a)."""
    from nilearn.datasets import load_mni152_brain_mask

    image = load_mni152_brain_mask(resolution=2)
    data = np.asarray(image.dataobj) > 0
    with (out / "mni152_brain.npz").open("wb") as stream:
        np.savez_compressed(
            stream, bits=np.packbits(data), shape=np.array(data.shape), affine=image.affine.astype(np.float32)
        )
