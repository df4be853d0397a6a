"""Names, sides, networks and positions of the known parcellations, and the parcellation made of them."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, a424, a424_cortex, from_coordinates
from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir
from brainlm_core.scans.atlases.catalogue import AtlasTable, KnownAtlas, known_atlas
from brainlm_core.scans.atlases.places import is_fetched, table_from_nilearn

#: Yeo-7 network, in the words of :data:`brainlm_core.base.atlas.YEO7`, by the start of a network's name.
_YEO7_BY_START = {
    "vis": "Visual",
    "sommot": "Somatomotor",
    "dorsattn": "Dorsal Attention",
    "dorsal attention": "Dorsal Attention",
    "salventattn": "Ventral Attention",
    "ventral attention": "Ventral Attention",
    "limbic": "Limbic",
    "cont": "Frontoparietal",
    "default": "Default",
    "temppar": "Default",
    "somatomotor": "Somatomotor",
    "frontoparietal": "Frontoparietal",
}
#: Yeo-7 means something only where the atlas took its networks from Yeo.
_YEO_ATLASES = ("schaefer", "4s", "tian", "glasser")


def is_here(atlas: KnownAtlas) -> bool:
    """Whether the positions can be had without a network."""
    return atlas.place == "bundled" or is_fetched(atlas)


@cache
def atlas_table(key: str) -> AtlasTable:
    """Return the table of a known parcellation by its key.

    Raises
    ------
    AtlasError
        If there is no such parcellation; :class:`PositionsNotHere` if its positions must first be fetched.
    """
    atlas = known_atlas(key)
    if atlas.key in ("a424", "a424-cortex", "glasser-left-first"):
        return _of_parcellation(
            a424() if atlas.key == "a424" else a424_cortex(), None if "-left" not in key else _left_first()
        )
    if atlas.parts:
        return _joined([atlas_table(part) if part != "4s-deep" else _bundled(part) for part in atlas.parts])
    if atlas.place == "bundled":
        return _bundled_old(atlas) if atlas.key in ("cc200", "ho") else _bundled(atlas.key)
    return table_from_nilearn(atlas)


def column_rows(key: str) -> NDArray[np.intp]:
    """Return the row in :func:`atlas_parcellation` of each column of a table in the atlas' own order, (n,).

    The two orders of HCP-MMP are one parcellation.
    """
    if key == "glasser-left-first":
        return _left_first()
    return np.arange(known_atlas(key).n_parcels, dtype=np.intp)


@cache
def atlas_parcellation(key: str) -> Parcellation:
    """Return a known parcellation as recordings hold it.

    Raises
    ------
    AtlasError
        As :func:`atlas_table`.
    """
    atlas = known_atlas(key)
    if atlas.key == "a424":
        return a424()
    if atlas.key in ("a424-cortex", "glasser-left-first"):
        return a424_cortex()
    table = atlas_table(atlas.key)
    made = from_coordinates(atlas.title, table.names, table.xyz)
    yeo = [_yeo7(n) for n in table.network] if atlas.key.startswith(_YEO_ATLASES) else list(made.yeo7)
    # Midline is told by the atlas where it names sides, else by the position.
    sides = tuple(h if h in ("L", "R") else s for h, s in zip(table.hemisphere, made.hemisphere, strict=True))
    structure = tuple(_STRUCTURES.get(s, m) for s, m in zip(table.structure, made.structure, strict=True))
    yeo7 = tuple(y if s == "cortex" else "" for y, s in zip(yeo, structure, strict=True))
    return replace(made, hemisphere=sides, structure=structure, yeo7=yeo7)


_STRUCTURES = {
    "cortex": "cortex",
    "subcortex": "subcortex",
    "cerebellum": "cerebellum",
    "brainstem": "subcortex",
}


def _left_first() -> NDArray[np.intp]:
    return np.r_[180:360, 0:180].astype(np.intp)


def _yeo7(network: str) -> str:
    low = network.lower()
    return next((yeo for start, yeo in _YEO7_BY_START.items() if low.startswith(start)), "")


def _of_parcellation(made: Parcellation, rows: NDArray[np.intp] | None) -> AtlasTable:
    if rows is not None:
        made = made.subset(rows, made.name)
    sides = tuple(h if h in ("L", "R") else "" for h in made.hemisphere)
    return AtlasTable(made.names, sides, made.structure, made.yeo7, made.xyz)


def _joined(parts: list[AtlasTable]) -> AtlasTable:
    def chain(column: str) -> tuple[str, ...]:
        return tuple(v for p in parts for v in getattr(p, column))

    return AtlasTable(
        chain("names"), chain("hemisphere"), chain("structure"), chain("network"),
        np.concatenate([p.xyz for p in parts]),
    )  # fmt: skip


def _rows(folder: str, key: str) -> list[dict[str, str]]:
    path = assets_dir() / folder / f"{key}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    except OSError as error:
        raise AtlasError(f"the bundled table {path.name} is missing", "reinstall BrainLM Explorer") from error


def _xyz(rows: list[dict[str, str]]) -> NDArray[np.float32]:
    return np.array([[float(r[a]) for a in "xyz"] for r in rows], dtype=np.float32)


def _bundled(key: str) -> AtlasTable:
    rows = _rows("atlases", key)

    def column(name: str) -> tuple[str, ...]:
        return tuple(r[name] for r in rows)

    return AtlasTable(
        column("name"), column("hemisphere"), column("structure"), column("network"), _xyz(rows)
    )


def _bundled_old(atlas: KnownAtlas) -> AtlasTable:
    """Return CC200 or the 14 Harvard-Oxford regions, whose labels are numbers."""
    rows = _rows("parcellations", atlas.key)
    title = "Harvard-Oxford" if atlas.key == "ho" else atlas.title
    names = tuple(f"{title} {r['label']}" for r in rows)
    blank = ("",) * len(rows)
    return AtlasTable(names, blank, blank, blank, _xyz(rows))
