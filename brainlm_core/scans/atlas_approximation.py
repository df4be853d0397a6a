"""A424 without its volume: an approximation from the bundled figures and nilearn's templates.

Each parcel is known by its size, mean and covariance (``assets/a424_parcels.csv``); cortical
parcels also by their fsaverage5 vertices. Its Dice overlap with the official 2 mm volume is held by
a test (mean 0.74).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, parcel_table
from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir

FloatArray = NDArray[np.float64]

#: Grid of the official volume: MNI152NLin6Asym, 2 mm.
SHAPE = (91, 109, 91)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
#: MNI305 (fsaverage) to MNI152, as published with FreeSurfer.
MNI305_TO_152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0, 0, 0, 1],
    ]
)
_N_CORTEX = 360
#: Depths of the points that stand for a vertex, from white (0) to pial (1).
_DEPTHS = (0.15, 0.5, 0.85)
#: Width of the kernel around each such point, in mm.
_KERNEL_MM = 1.5
#: Added to each covariance, in mm²: a voxel is not a point.
_VOXEL_VARIANCE = 0.4
#: Share of the Gaussian in a cortical parcel's log density; the vertices have the rest.
_GAUSSIAN_SHARE = 0.4
#: How much grey matter counts, in units of log density.
_GREY_CORTEX, _GREY_DEEP = 0.5, 1.5
#: Squared Mahalanobis distance beyond which a parcel claims nothing.
_REACH = 14.0


@dataclass(frozen=True, eq=False)
class _Claims:
    """Log densities of the parcels that reach a voxel, sorted by voxel.

    Parameters
    ----------
    voxel, parcel : ndarray (n,), intp
        The pair.
    score : ndarray (n,), float64
        Log density of the parcel at the voxel, plus what grey matter adds.
    """

    voxel: NDArray[np.intp]
    parcel: NDArray[np.intp]
    score: FloatArray


@cache
def approximate_a424() -> tuple[NDArray[np.int16], FloatArray]:
    """Return the approximation that is bundled: labels (91, 109, 91), int16, and the affine to mm.

    Raises
    ------
    AtlasError
        If the bundled file is missing.
    """
    path = assets_dir() / "a424_approximation.npz"
    if not path.is_file():
        raise AtlasError(f"the bundled file {path.name} is missing", "reinstall BrainLM Explorer")
    with np.load(path, allow_pickle=False) as store:
        labels = store["labels"].astype(np.int16)
    labels.setflags(write=False)
    return labels, AFFINE.copy()


def build_approximation(out: Path) -> None:
    """Compute the approximation and write ``a424_approximation.npz``."""
    with (out / "a424_approximation.npz").open("wb") as stream:
        np.savez_compressed(stream, labels=compute_approximation())


def compute_approximation() -> NDArray[np.int16]:
    """Compute labels (91, 109, 91), int16, 0 outside, from the bundled figures and nilearn's templates.

    Steps, in order: candidate voxels (grey matter or brain, dilated once); log density of each
    parcel there (Gaussian; for cortex, mixed with a kernel density of its vertices, moved so
    that their mean and covariance are the parcel's); parcel weights such that each parcel gets
    as many voxels as it has in the official volume; each voxel to the best parcel, or to none.
    """
    table = parcel_table()
    mean = table[["mean_x", "mean_y", "mean_z"]].to_numpy(float)
    covariance = np.empty((len(table), 3, 3))
    for i, a in enumerate("xyz"):
        for j, b in enumerate("xyz"):
            key = "".join(sorted(a + b))
            covariance[:, i, j] = table[f"cov_{key}"].to_numpy(float)
    covariance += _VOXEL_VARIANCE * np.eye(3)
    size = table["n_voxels_2mm"].to_numpy(float)
    mask, grey = _candidates()
    index = np.argwhere(mask)
    xyz = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    claims = _claims(xyz, grey[mask], mean, covariance)
    best = _balanced(claims, len(xyz), size)
    labels = np.zeros(SHAPE, np.int16)
    labels[tuple(index.T)] = best
    return labels


def _candidates() -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the voxels that may carry a label, and grey matter density 0–1, both on the grid."""
    from nilearn import datasets
    from scipy.ndimage import affine_transform, binary_dilation

    out = []
    for image in (
        datasets.load_mni152_gm_template(resolution=2),
        datasets.load_mni152_brain_mask(resolution=2),
    ):
        to_image = np.linalg.inv(image.affine) @ AFFINE
        data = np.asarray(image.get_fdata(), dtype=np.float64)
        out.append(affine_transform(data, to_image[:3, :3], to_image[:3, 3], output_shape=SHAPE, order=1))
    grey, brain = out
    return binary_dilation((grey > 0.1) | (brain > 0.5)), grey


def _claims(xyz: FloatArray, grey: FloatArray, mean: FloatArray, covariance: FloatArray) -> _Claims:
    """Score every voxel for every parcel within reach."""
    from scipy.spatial import cKDTree

    tree = cKDTree(xyz)
    points = _vertex_points()
    voxels, parcels, scores = [], [], []
    for p, (centre, spread) in enumerate(zip(mean, covariance, strict=True)):
        values, _ = np.linalg.eigh(spread)
        near = np.array(tree.query_ball_point(centre, np.sqrt(_REACH * values[-1])), dtype=np.intp)
        if near.size == 0:
            continue
        offset = xyz[near] - centre
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(spread), offset)
        score = -0.5 * (distance + np.log(values).sum())
        keep = distance < _REACH
        if p < _N_CORTEX and len(points[p]) >= 4:
            surface = _kernel_score(xyz[near], _moved(points[p], centre, spread))
            score = _GAUSSIAN_SHARE * score + (1 - _GAUSSIAN_SHARE) * surface
            keep &= np.isfinite(score)
        score += (_GREY_CORTEX if p < _N_CORTEX else _GREY_DEEP) * grey[near]
        voxels.append(near[keep])
        parcels.append(np.full(keep.sum(), p))
        scores.append(score[keep])
    voxel, parcel, score = map(np.concatenate, (voxels, parcels, scores))
    order = np.lexsort((parcel, voxel))
    return _Claims(voxel[order], parcel[order], score[order])


def _vertex_points() -> list[FloatArray]:
    """Return points inside the cortical ribbon of each parcel, (k, 3) in mm, MNI152."""
    from nilearn import datasets, surface

    meshes = datasets.fetch_surf_fsaverage("fsaverage5")
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        pial = np.concatenate([store["pial_left"], store["pial_right"]]).astype(float)
        labels = np.concatenate([store["a424_left"], store["a424_right"]]).astype(int)
    white = np.concatenate(
        [surface.load_surf_mesh(meshes[f"white_{side}"]).coordinates for side in ("left", "right")]
    )
    depth = np.stack([white + d * (pial - white) for d in _DEPTHS])  # (depths, 2 * N_VERTICES, 3)
    depth = depth @ MNI305_TO_152[:3, :3].T + MNI305_TO_152[:3, 3]
    assert depth.shape == (len(_DEPTHS), 2 * N_VERTICES, 3)
    return [depth[:, labels == p + 1].reshape(-1, 3) for p in range(_N_CORTEX)]


def _root(matrix: FloatArray, power: float) -> FloatArray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0.3) ** power) @ vectors.T


def _moved(points: FloatArray, mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Move points by the optimal transport map between Gaussians, so that their moments fit."""
    centre = points.mean(axis=0)
    spread = np.cov(points.T) + 0.5 * np.eye(3)
    half, inverse = _root(spread, 0.5), _root(spread, -0.5)
    transport = inverse @ _root(half @ covariance @ half, 0.5) @ inverse
    return (points - centre) @ transport.T + mean


def _kernel_score(xyz: FloatArray, points: FloatArray) -> FloatArray:
    """Log kernel density of the points at the voxels; -inf beyond 9 mm of all of them."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(points).query(xyz, k=min(8, len(points)), distance_upper_bound=9.0)
    with np.errstate(divide="ignore"):
        near = np.log(np.exp(-(distance**2) / (2 * _KERNEL_MM**2)).sum(axis=1) + 1e-12)
    near[~np.isfinite(distance[:, 0])] = -np.inf
    return near - np.log(len(points)) - 3 * np.log(_KERNEL_MM)


def _balanced(claims: _Claims, n_voxels: int, size: FloatArray, rounds: int = 80) -> NDArray[np.int16]:
    """Assign voxels so that each parcel gets about its size (a power diagram with soft edges).

    Parcel weights rise while a parcel is too small and fall while it is too large; the edges
    harden from round to round; "no parcel" is a claim of constant score.
    """
    starts = np.r_[0, np.flatnonzero(np.diff(claims.voxel)) + 1]
    lengths = np.diff(np.r_[starts, len(claims.voxel)])
    segment = np.repeat(np.arange(len(starts)), lengths)
    none = -9.0
    weight = np.zeros(len(size))
    for step in range(rounds):
        softness = max(0.9**step, 0.05)
        score = claims.score + weight[claims.parcel]
        top = np.maximum.reduceat(score, starts)
        share = np.exp((score - top[segment]) / softness)
        rest = np.exp(np.clip((none - top) / softness, -50, 50))
        share /= (np.add.reduceat(share, starts) + rest)[segment]
        count = np.bincount(claims.parcel, weights=share, minlength=len(size))
        weight += 0.7 * max(softness, 0.3) * np.log(size / np.maximum(count, 0.3))
    score = claims.score + weight[claims.parcel]
    top = np.maximum.reduceat(score, starts)
    winner = np.flatnonzero((score >= top[segment]) & (top > none)[segment])
    out = np.zeros(n_voxels, np.int16)
    out[claims.voxel[winner]] = claims.parcel[winner] + 1
    for p in np.setdiff1d(np.arange(len(size)), claims.parcel[winner]):  # a one-voxel parcel may lose all
        own = np.flatnonzero(claims.parcel == p)
        if own.size:
            out[claims.voxel[own[np.argmax(claims.score[own])]]] = p + 1
    return out
