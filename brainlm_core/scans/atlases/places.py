"""Positions of parcellations that may not be bundled: from nilearn, installed or fetched on request."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import cache_dir
from brainlm_core.base.tables import original, write_rows
from brainlm_core.base.writing import whole_file
from brainlm_core.scans.atlases.catalogue import AtlasTable, KnownAtlas, PositionsNotHere
from brainlm_core.scans.atlases.match import name_digests
from brainlm_core.scans.atlases.names import digests, fold_name
from brainlm_core.scans.isolation.guard import fetching

Progress = Callable[[float, str], None]
_COLUMNS = ("name", "hemisphere", "structure", "network", "x", "y", "z")
_IN_NILEARN = ("power", "dosenbach", "seitzman")
_OWN = (
    "give its label volume in MNI space (--atlas FILE.nii.gz) or the coordinates of its parcels "
    "(--coordinates CSV)"
)
#: Arguments of nilearn's fetchers.
_FETCHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "aal": ("fetch_atlas_aal", {"version": "SPM12"}),
    "aal3": ("fetch_atlas_aal", {"version": "3v2"}),
    "destrieux": ("fetch_atlas_destrieux_2009", {"lateralized": True}),
    "harvard-oxford-cortical": ("fetch_atlas_harvard_oxford", {"atlas_name": "cort-maxprob-thr25-2mm"}),
    "harvard-oxford-lateral": ("fetch_atlas_harvard_oxford", {"atlas_name": "cortl-maxprob-thr25-2mm"}),
    "harvard-oxford-subcortical": ("fetch_atlas_harvard_oxford", {"atlas_name": "sub-maxprob-thr25-2mm"}),
    "msdl": ("fetch_atlas_msdl", {}),
}


def is_fetched(atlas: KnownAtlas) -> bool:
    """Whether the positions can be had without a network."""
    return atlas.key in _IN_NILEARN or _cached(atlas).is_file()


def table_from_nilearn(atlas: KnownAtlas) -> AtlasTable:
    """Return what the installed nilearn or an earlier fetch holds.

    Raises
    ------
    PositionsNotHere
        If the positions must first be fetched, or be named by a file of the user's.
    """
    if atlas.key in _IN_NILEARN:
        return _COORDINATES[atlas.key]()
    if _cached(atlas).is_file():
        return _read(_cached(atlas), atlas)
    raise not_here(atlas)


def not_here(atlas: KnownAtlas) -> PositionsNotHere:
    """Return the error for a parcellation whose positions do not come along."""
    if atlas.key in _FETCHERS:
        fix = f"say --atlas {atlas.key} to fetch it through nilearn (about {atlas.size_mb:g} MB), or {_OWN}"
    else:
        fix = _OWN
    return PositionsNotHere(
        f"the positions of {atlas.title} do not come along (licence: {atlas.licence})", fix
    )


def fetch_atlas(atlas: KnownAtlas, progress: Progress = lambda _f, _s: None) -> None:
    """Fetch names and centres of a parcellation through nilearn into the cache, unless they are there.

    Steps, in order: download; read labels and their volume; centres of mass in mm; hold the names against
    those that the parcellation is known to have; keep a table.

    Raises
    ------
    PositionsNotHere
        If it cannot be fetched: offline, or not from nilearn.
    AtlasError
        If what came is another parcellation than it should be.
    """
    if is_fetched(atlas) or atlas.place == "bundled":
        return
    if atlas.key not in _FETCHERS:
        raise not_here(atlas)
    if os.environ.get("BRAINLM_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"):
        raise _offline(atlas)
    progress(0.02, f"fetching {atlas.title} through nilearn, about {atlas.size_mb:g} MB")
    names, xyz = _download(atlas)
    own = name_digests(atlas.key)
    found = digests([fold_name(n) for n in names])
    order = {int(d): i for i, d in enumerate(found)}
    rows = [order.get(int(d), -1) for d in own] if own is not None else []
    if len(rows) != atlas.n_parcels or -1 in rows or len(set(rows)) != len(rows):
        raise AtlasError(
            f"what nilearn fetched as {atlas.title} has other parcels than it should have",
            "give the coordinates of its parcels (--coordinates CSV)",
        )
    folded = [fold_name(names[i]) for i in rows]
    table = AtlasTable(
        tuple(names[i] for i in rows), tuple(f.side for f in folded),
        ("",) * len(rows), ("",) * len(rows), xyz[rows].astype(np.float32),
    )  # fmt: skip
    with fetching():
        _write(_cached(atlas), table)


def _offline(atlas: KnownAtlas) -> PositionsNotHere:
    return PositionsNotHere(
        f"{atlas.title} cannot be fetched now",
        f"try again online, or {_OWN}",
    )


def _download(atlas: KnownAtlas) -> tuple[list[str], NDArray[np.float64]]:
    from nilearn import datasets

    name, arguments = _FETCHERS[atlas.key]
    try:
        with contextlib.redirect_stdout(io.StringIO()), fetching():
            bunch = getattr(datasets, name)(data_dir=str(cache_dir() / "nilearn"), verbose=0, **arguments)
    except Exception as error:  # nilearn passes on whatever its HTTP library and the archives raise
        raise _offline(atlas) from error
    if "region_coords" in bunch:
        return [str(n).strip() for n in bunch.labels], np.asarray(bunch.region_coords, dtype=np.float64)
    return _centres(bunch)


def _centres(bunch: Any) -> tuple[list[str], NDArray[np.float64]]:
    """Return names and centres of mass of the labels that a volume holds."""
    import nibabel as nib

    image: Any = nib.load(bunch.maps) if isinstance(bunch.maps, str | Path) else bunch.maps
    labels = np.asarray(image.dataobj).astype(np.int64)
    lut = bunch.get("lut")
    pairs = (
        list(zip(lut["index"], lut["name"], strict=True))
        if lut is not None
        else list(zip(bunch.indices, bunch.labels, strict=True))
    )
    names, centres = [], []
    for value, text in pairs:
        where = np.argwhere(labels == int(value)) if int(value) else np.empty((0, 3))
        if len(where):
            names.append(str(text))
            centres.append(where.mean(axis=0) @ image.affine[:3, :3].T + image.affine[:3, 3])
    return names, np.array(centres)


def _cached(atlas: KnownAtlas) -> Path:
    return cache_dir() / "atlases" / f"{atlas.key}.csv"


def _write(path: Path, table: AtlasTable) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = (table.names, table.hemisphere, table.structure, table.network)
    rows = ([*(c[i] for c in columns), *(f"{v:.2f}" for v in xyz)] for i, xyz in enumerate(table.xyz))
    with whole_file(path) as part:
        write_rows(part, _COLUMNS, rows)


def _read(path: Path, atlas: KnownAtlas) -> AtlasTable:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        xyz = np.array([[float(r[a]) for a in "xyz"] for r in rows], dtype=np.float32)
        words = [tuple(original(r[c]) for r in rows) for c in _COLUMNS[:4]]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise AtlasError(
            f"the fetched table of {atlas.title} is damaged", f"remove {path.name} from the cache"
        ) from error
    return AtlasTable(words[0], words[1], words[2], words[3], xyz)


def _power() -> AtlasTable:
    from nilearn.datasets import fetch_coords_power_2011

    rois = fetch_coords_power_2011().rois
    names = tuple(f"Power {n}" for n in rois["roi"])
    return _plain(names, rois[["x", "y", "z"]].to_numpy(np.float32), ("",) * len(names))


def _dosenbach() -> AtlasTable:
    from nilearn.datasets import fetch_coords_dosenbach_2010

    bunch = fetch_coords_dosenbach_2010(ordered_regions=False)
    xyz = np.asarray(bunch.rois[["x", "y", "z"]], dtype=np.float32)
    return _plain(tuple(map(str, bunch.labels)), xyz, tuple(map(str, bunch.networks)))


def _seitzman() -> AtlasTable:
    from nilearn.datasets import fetch_coords_seitzman_2018

    bunch = fetch_coords_seitzman_2018(ordered_regions=False)
    xyz = np.asarray(bunch.rois[["x", "y", "z"]], dtype=np.float32)
    names = tuple(f"Seitzman {i + 1}" for i in range(len(xyz)))
    return _plain(names, xyz, tuple(map(str, bunch.networks)))


def _plain(names: tuple[str, ...], xyz: NDArray[np.float32], network: tuple[str, ...]) -> AtlasTable:
    blank = ("",) * len(names)
    return AtlasTable(names, blank, blank, network, xyz)


_COORDINATES: dict[str, Callable[[], AtlasTable]] = {
    "power": _power,
    "dosenbach": _dosenbach,
    "seitzman": _seitzman,
}
