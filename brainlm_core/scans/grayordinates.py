"""A424 on surfaces: the parcel of every fs_LR 32k vertex, and of deep voxels by their position."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, a424
from brainlm_core.base.errors import AtlasError
from brainlm_core.base.library_warnings import quiet_nibabel
from brainlm_core.base.paths import assets_dir
from brainlm_core.scans.volume_atlas import RemoteAtlas, is_placed, load_volume_atlas, official_file

#: Vertices per hemisphere of fs_LR 32k, the surface of the Human Connectome Project.
N_FS_LR = 32492
#: An A424 label file has 5 MB, its volume 0.9 million voxels.
_MAX_LABEL_BYTES, _MAX_VOLUME = 100_000_000, 20_000_000
_LEFT, _RIGHT = "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT"
#: The official grayordinate labels.
OFFICIAL_DLABEL = RemoteAtlas(
    "A424.dlabel.nii",
    "https://raw.githubusercontent.com/vandijklab/BrainLM/337a08e61b7e4a7ef7548a35e30ab1bf2695bddf/toolkit/"
    "atlases/A424.dlabel.nii",
    "aa44b971ff80d247f890365cbb5bc68583c84b37605bab04bc930dce8a263a1e",
    "A424 (official grayordinate labels)",
)


@dataclass(frozen=True, eq=False)
class GrayordinateAtlas:
    """A424 labels by vertex and by position.

    Parameters
    ----------
    surfaces : dict of ndarray (n_vertices,), int16
        Keys ``"L32492"``, ``"R32492"``, ``"L10242"``, ``"R10242"``: side and vertex count; 0 for
        none, else parcel number 1–424.
    deep : ndarray (x, y, z), int16
        Labels of the volume for voxels outside the cortex.
    deep_affine : ndarray (4, 4)
        Voxel indices of ``deep`` to mm.
    title : str
        For the provenance.
    is_approximation : bool
        True when ``deep`` is the built-in approximation.
    notices : tuple of str
        What the user should read.
    """

    surfaces: dict[str, NDArray[np.int16]]
    deep: NDArray[np.int16]
    deep_affine: NDArray[np.float64]
    title: str
    is_approximation: bool = False
    notices: tuple[str, ...] = ()

    def at_voxels(self, ijk: NDArray[np.integer], affine: NDArray[np.float64]) -> NDArray[np.int16]:
        """Return the parcel number at voxels (n, 3) of a grid with ``affine``; cortex excluded."""
        to_deep = np.linalg.inv(self.deep_affine) @ affine
        at = np.floor(ijk @ to_deep[:3, :3].T + to_deep[:3, 3] + 0.5 + 1e-6)
        within = ((at >= 0) & (at < np.array(self.deep.shape))).all(axis=1)
        out = np.zeros(len(at), np.int16)
        out[within] = self.deep[tuple(at[within].astype(np.intp).T)]
        out[out <= 360] = 0  # a deep voxel of the cortex' volume labels is no cortex
        return out


def load_grayordinates(name: str | None = None, *, deep: bool = True) -> GrayordinateAtlas:
    """Return A424 on surfaces.

    Parameters
    ----------
    name : str, optional
        Path of a ``.dlabel.nii`` with A424 labels, or ``"a424"`` (default): official labels from
        cache or download for the deep voxels, else the volume atlas or its approximation.
    deep : bool
        False when only surfaces are needed: then nothing is downloaded.

    Raises
    ------
    AtlasError
        If the file does not hold A424 labels on fs_LR 32k.
    """
    if name is not None and name.lower() not in ("a424", "a424-approximation"):
        return _from_dlabel(Path(name), Path(name).name)
    if not deep:
        empty = np.zeros((1, 1, 1), np.int16)
        return GrayordinateAtlas(dict(_surfaces()), empty, np.eye(4), "A424 (vertex labels)")
    official = None if name == "a424-approximation" else official_file(OFFICIAL_DLABEL)
    if official is not None:
        return _from_dlabel(official, OFFICIAL_DLABEL.title)
    volume = load_volume_atlas(name)
    notices: tuple[str, ...] = ()
    if volume.is_approximation:
        notices = (
            "Cortical parcels follow the vertex labels; the 64 deep parcels follow the built-in "
            f"approximation (put {OFFICIAL_DLABEL.file_name} into the folder “atlas” of the cache).",
        )
    title = f"A424 (vertex labels; deep: {volume.title})"
    return GrayordinateAtlas(
        dict(_surfaces()), volume.labels, volume.affine, title, volume.is_approximation, notices
    )


@cache
def _surfaces() -> tuple[tuple[str, NDArray[np.int16]], ...]:
    with np.load(assets_dir() / "a424_fs_lr.npz", allow_pickle=False) as store:
        out = [("L32492", store["left"]), ("R32492", store["right"])]
    five = a424().vertex_labels + 1
    return (*out, ("L10242", five[:N_VERTICES]), ("R10242", five[N_VERTICES:]))


def _from_dlabel(path: Path, title: str) -> GrayordinateAtlas:
    surfaces, deep, affine = read_dlabel(path)
    return GrayordinateAtlas({**dict(_surfaces()), **surfaces}, deep, affine, title)


def read_dlabel(
    path: Path,
) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.int16], NDArray[np.float64]]:
    """Read A424 labels from a ``.dlabel.nii``: surfaces, deep volume, affine of the volume.

    Raises
    ------
    AtlasError
        If the file cannot be read or is no A424 on fs_LR 32k.
    """
    import nibabel as nib

    from brainlm_core.scans.cifti_xml import check_cifti

    fix = "name A424.dlabel.nii of the BrainLM repository, or leave --atlas out"
    if not path.is_file():
        raise AtlasError(f"there is no atlas {path.name}", fix)
    quiet_nibabel()
    try:
        if path.stat().st_size > _MAX_LABEL_BYTES:
            raise AtlasError(f"{path.name} is too large for a label file", fix)
        check_cifti(path, path.name)
        image = nib.Cifti2Image.from_filename(path)
        if int(np.prod(image.shape, dtype=object)) > _MAX_LABEL_BYTES:
            raise AtlasError(f"{path.name} holds more than one map of labels", fix)
        labels = np.asarray(image.dataobj, dtype=np.float64).reshape(-1)
        models = image.header.get_axis(1)
        return _labels_of(labels, models, path.name, fix)
    except AtlasError:
        raise
    except Exception as error:  # nibabel passes on errors of expat and numpy as they are
        raise AtlasError(f"the atlas {path.name} is no grayordinate label file", fix) from error


def _labels_of(
    labels: NDArray[np.float64], models: Any, name: str, fix: str
) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.int16], NDArray[np.float64]]:
    """Sort one map of labels into surfaces and volume."""
    sizes = dict(models.nvertices)
    whole = np.isfinite(labels).all() and labels.min() >= 0 and np.array_equal(labels, np.rint(labels))
    if (
        labels.shape != (len(models),)
        or not whole
        or labels.max() != 424
        or sizes != {_LEFT: N_FS_LR, _RIGHT: N_FS_LR}
    ):
        raise AtlasError(f"{name} does not hold the 424 A424 labels on fs_LR 32k", fix)
    surfaces = {}
    for side, structure in (("L", _LEFT), ("R", _RIGHT)):
        rows = models.name == structure
        full = np.zeros(N_FS_LR, np.int16)
        full[models.vertex[rows]] = labels[rows]
        surfaces[f"{side}{N_FS_LR}"] = full
    rows = ~models.surface_mask
    shape = models.volume_shape or (1, 1, 1)  # a file of surfaces only
    affine = np.eye(4) if models.affine is None else np.asarray(models.affine, dtype=np.float64)
    if min(shape) < 1 or int(np.prod(shape, dtype=object)) > _MAX_VOLUME:
        raise AtlasError(f"{name} claims an impossible volume", fix)
    if not is_placed(affine):
        raise AtlasError(f"{name} does not say where its voxels lie", fix)
    deep = np.zeros(shape, np.int16)
    deep[tuple(models.voxel[rows].T)] = labels[rows]
    return surfaces, deep, affine


def build_fs_lr_labels(source: Path, out: Path) -> None:
    """Write ``a424_fs_lr.npz``: A424 label of every fs_LR 32k vertex, from the official dlabel."""
    surfaces, _, _ = read_dlabel(source)
    with (out / "a424_fs_lr.npz").open("wb") as stream:
        np.savez_compressed(stream, left=surfaces[f"L{N_FS_LR}"], right=surfaces[f"R{N_FS_LR}"])
