"""Label volumes: where in MNI space each parcel lies.

The official A424 volumes are not redistributed with this program. They are taken from a local
file, from the cache, or from the repositories of their authors (a short download, digest
pinned); without a network the built-in approximation of
:mod:`brainlm_core.scans.atlas_approximation` stands in, and says so.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, a424, from_coordinates
from brainlm_core.base.errors import AtlasError, DownloadError
from brainlm_core.base.paths import cache_dir

#: Nobody waits longer than this for an atlas of 90 kB, in s.
DOWNLOAD_PATIENCE_S = 3.0
#: Nothing of a head lies further from the origin than this, in mm.
MAX_DISTANCE_MM = 1e5
_MAX_ATLAS_VOXELS = 60_000_000
_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class RemoteAtlas:
    """An official file: where it is and what its bytes must be.

    Parameters
    ----------
    file_name : str
        Name in the cache.
    url : str
        Fixed to a commit.
    sha256 : str
        Digest; anything else is refused.
    title : str
        For the provenance.
    """

    file_name: str
    url: str
    sha256: str
    title: str


#: The official A424 files by the space they lie in.
OFFICIAL = {
    "MNI152NLin6Asym": RemoteAtlas(
        "A424+2mm.nii.gz",
        f"{_RAW}/vandijklab/BrainLM/f65e5acdfeb4ab06bad4f10663250eedfcbe20be/toolkit/atlases/A424%2B2mm.nii.gz",
        "8478d7516a2bbf295989835d5033d03e4283143a2955c90428f634951702501b",
        "A424 (official volume, MNI152NLin6Asym)",
    ),
    "MNI152NLin2009cAsym": RemoteAtlas(
        "tpl-MNI152NLin2009cAsym_atlas-AA424Parcels2mm_res-02_desc-2mm_dseg.nii.gz",
        f"{_RAW}/emergelab/hierarchical-brain-atlas/3b04ffa21d4e3ef871d7276ccc04fe51bb8f6d2a/bids-1.11.0/"
        "tpl-MNI152NLin2009cAsym/anat/"
        "tpl-MNI152NLin2009cAsym_atlas-AA424Parcels2mm_res-02_desc-2mm_dseg.nii.gz",
        "32e7a8c95ea292dd7aabb6f7bde8b95bb40582b65dd311d4da7e75d6704e5f8d",
        "A424 (official volume, MNI152NLin2009cAsym)",
    ),
}


@dataclass(frozen=True, eq=False)
class VolumeAtlas:
    """A label volume.

    Parameters
    ----------
    labels : ndarray (x, y, z), int16
        0 outside, else parcel index + 1.
    affine : ndarray (4, 4), float64
        Voxel indices to mm in MNI space.
    parcellation : Parcellation
        Describes the parcels.
    title : str
        For the provenance.
    is_approximation : bool
        True for the built-in approximation of A424.
    notices : tuple of str
        What the user should read.
    """

    labels: NDArray[np.int16]
    affine: NDArray[np.float64]
    parcellation: Parcellation
    title: str
    is_approximation: bool = False
    notices: tuple[str, ...] = ()

    @property
    def n_voxels(self) -> NDArray[np.int64]:
        """Voxels of each parcel in the atlas' own grid, (n_parcels,)."""
        return np.bincount(self.labels.ravel(), minlength=self.parcellation.n_parcels + 1)[1:]


def load_volume_atlas(
    name: str | None = None, space: str = "MNI152NLin6Asym", lookup: Path | None = None
) -> VolumeAtlas:
    """Return the label volume to average with.

    Parameters
    ----------
    name : str, optional
        ``"a424"`` (default: official, else the approximation), ``"a424-approximation"``, or the
        path of a label volume in MNI space.
    space : {"MNI152NLin6Asym", "MNI152NLin2009cAsym"}
        Template that the scan was registered to; unknown names count as the first.
    lookup : Path, optional
        Lookup table of that label volume: the name of each of its numbers.

    Raises
    ------
    AtlasError
        If the name is unknown, the file does not hold labels, or the lookup table lacks some of them.
    """
    if name is not None and name.lower() not in ("a424", "a424-approximation"):
        return _from_file(name, lookup)
    if lookup is not None:
        raise AtlasError(
            "a lookup table was given without the label volume that it describes",
            "give the label volume too (--atlas FILE.nii.gz)",
        )
    if name is None or name.lower() == "a424":
        remote = OFFICIAL.get(space, OFFICIAL["MNI152NLin6Asym"])
        path = official_file(remote)
        if path is not None:
            return _official(path, remote.title)
    from brainlm_core.scans.atlas_approximation import approximate_a424

    labels, affine = approximate_a424()
    notice = (
        "The official A424 volume could not be had, so the built-in approximation was used; for exact "
        f"parcels put {OFFICIAL['MNI152NLin6Asym'].file_name} into the folder “atlas” of the cache, "
        "or name it by --atlas."
    )
    return VolumeAtlas(labels, affine, a424(), "A424 (built-in approximation)", True, (notice,))


def official_file(remote: RemoteAtlas, *, patience_s: float = DOWNLOAD_PATIENCE_S) -> Path | None:
    """Return the official file from the cache or by download, or None when it cannot be had now."""
    path = cache_dir() / "atlas" / remote.file_name
    try:
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == remote.sha256:
            return path
    except OSError:
        return None
    if os.environ.get("BRAINLM_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"):
        return None
    return _download_within(remote, path.parent, patience_s)


_failed: set[str] = set()


def do_not_download() -> None:
    """Use what is in the cache and nothing else, for the rest of this process."""
    _failed.update(remote.url for remote in OFFICIAL.values())


def _download_within(remote: RemoteAtlas, folder: Path, patience_s: float) -> Path | None:
    """Try once per process, in a thread: name look-ups and connections ignore time limits."""
    if remote.url in _failed:
        return None
    _failed.add(remote.url)
    found: list[Path] = []

    def work() -> None:
        try:
            found.append(fetch(remote, folder))
        except DownloadError:
            return

    worker = threading.Thread(target=work, name="atlas download", daemon=True)
    worker.start()
    worker.join(patience_s)
    if found:
        _failed.discard(remote.url)
        return found[0]
    return None


def fetch(remote: RemoteAtlas, folder: Path) -> Path:
    """Download an official file and check its digest.

    Raises
    ------
    DownloadError
        If it cannot be had or has other bytes than it must have.
    """
    import logging

    import pooch

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        got = pooch.retrieve(
            remote.url,
            known_hash=f"sha256:{remote.sha256}",
            fname=remote.file_name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=(2, 5)),
        )
    except Exception as error:  # pooch passes on whatever requests, urllib3 or the disk raise
        raise DownloadError(
            f"{remote.file_name} cannot be downloaded now", "try again online, or name a local copy"
        ) from error
    return Path(got)


@cache
def _official(path: Path, title: str) -> VolumeAtlas:
    labels, affine = _read_labels(path)
    return VolumeAtlas(labels.astype(np.int16), affine, a424(), title)


def _from_file(name: str, lookup: Path | None) -> VolumeAtlas:
    """Read a label volume that the user names, with the names of its labels if there is a table."""
    path = Path(name)
    if not path.is_file():
        named = ", ".join(("a424", "a424-approximation"))
        from brainlm_core.scans.atlases import find_atlases

        if find_atlases(name):
            raise AtlasError(
                f"only the names and positions of {name} come along, not its volume",
                "give its label volume in MNI space (--atlas FILE.nii.gz)",
            )
        raise AtlasError(f"there is no atlas {path.name}", f"name {named}, or a label volume in MNI space")
    labels, affine = _read_labels(path)
    values = np.unique(labels)
    values = values[values > 0]
    if len(values) == 0 or len(values) > 2000:
        raise AtlasError(
            f"{path.name} holds {len(values)} labels", "give a label volume with 2 to 2,000 parcels"
        )
    if lookup is None and values[-1] == 424 and len(values) >= 420:
        return VolumeAtlas(labels.astype(np.int16), affine, a424(), f"A424 ({path.name})")
    compact = np.searchsorted(values, labels) + 1
    compact[labels <= 0] = 0
    described = _describe(compact, affine, values, path.name, lookup)
    return VolumeAtlas(compact.astype(np.int16), affine, described, path.name)


def _describe(
    labels: NDArray[np.integer],
    affine: NDArray[np.float64],
    values: NDArray[np.integer],
    name: str,
    lookup: Path | None,
) -> Parcellation:
    """Describe an unknown atlas by centres of mass and lookup table, or by the known table of that name."""
    words = None if lookup is None else _names_of(values, lookup, name)
    from brainlm_core.scans.atlases import atlas_parcellation, atlases_in_file_name, is_here

    named = [a for a in atlases_in_file_name(name) if a.n_parcels == len(values)]
    if words is None and len(named) == 1 and is_here(named[0]):
        return atlas_parcellation(named[0].key)
    where = np.argwhere(labels > 0)
    rows = labels[tuple(where.T)] - 1
    sums = np.stack([np.bincount(rows, weights=where[:, i], minlength=len(values)) for i in range(3)], axis=1)
    centres = sums / np.bincount(rows, minlength=len(values))[:, None]
    xyz = centres @ affine[:3, :3].T + affine[:3, 3]
    return from_coordinates(None, words or tuple(str(v) for v in values), xyz.astype(np.float32))


def _names_of(values: NDArray[np.integer], lookup: Path, name: str) -> tuple[str, ...]:
    from brainlm_core.scans.lookup import read_lookup

    known = read_lookup(lookup)
    lost = [int(v) for v in values if int(v) not in known]
    if lost:
        raise AtlasError(
            f"the lookup table {lookup.name} lacks {len(lost)} of the {len(values)} labels in {name} "
            f"(first: {', '.join(map(str, lost[:3]))})",
            "give the table that belongs to this label volume",
        )
    return tuple(known[int(v)] for v in values)


def is_placed(affine: NDArray[np.float64]) -> bool:
    """Whether an affine (4, 4) in mm lays voxels out in a volume of about a head's size."""
    if not (np.isfinite(affine).all() and np.abs(affine).max() < MAX_DISTANCE_MM):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3])) > 1e-6)


def _read_labels(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    from brainlm_core.scans.small_nifti import load_small_nifti

    fix = "give a 3D label volume in MNI space (.nii or .nii.gz)"
    try:
        image = load_small_nifti(path, _MAX_ATLAS_VOXELS * 8)
        shape = tuple(n for n in image.shape if n != 1)
        if len(shape) != 3 or min(shape) < 1 or int(np.prod(shape, dtype=object)) > _MAX_ATLAS_VOXELS:
            raise AtlasError(f"{path.name} has the shape {image.shape}, not that of a label volume", fix)
        values = np.asarray(image.dataobj).reshape(shape)
        affine = np.asarray(image.affine, dtype=np.float64)
    except AtlasError:
        raise
    except Exception as error:  # nibabel passes on errors of zlib and numpy as they are
        raise AtlasError(f"the atlas {path.name} cannot be read", fix) from error
    if values.dtype.kind not in "iuf" or not (np.isfinite(values).all() and np.abs(values).max() <= 32767):
        raise AtlasError(f"{path.name} holds other values than whole labels", fix)
    if not np.array_equal(values, np.rint(values)):
        raise AtlasError(f"{path.name} holds other values than whole labels", fix)
    if not is_placed(affine):
        raise AtlasError(f"{path.name} does not say where its voxels lie", fix)
    return values.astype(np.int32), affine
