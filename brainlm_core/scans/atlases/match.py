"""Columns found among the known parcellations by their names, one to one, or the names that differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir
from brainlm_core.scans.atlases.catalogue import KnownAtlas, known_atlases
from brainlm_core.scans.atlases.names import FoldedName, digests, fold_name, strip_common

#: A table that names fewer of a parcellation's parcels than this share is not taken to be that parcellation.
MIN_SHARE = 0.5
#: Sizes of one family share names (``LH_Vis_1`` stands in every Schaefer), so more of them must be there.
MIN_SHARE_OF_FAMILY = 0.9
#: Fewer names than this are no evidence.
_MIN_NAMES = 3
_OLDER = "@2018"


@dataclass(frozen=True, eq=False)
class NameMatch:
    """A parcellation whose names the columns have.

    Parameters
    ----------
    atlas : KnownAtlas
        The parcellation.
    rows : ndarray (n_columns,), intp
        Parcel of each column, in the atlas' own order, from 0.
    older_names : bool
        Whether the names are those of Schaefer before September 2019.
    """

    atlas: KnownAtlas
    rows: NDArray[np.intp]
    older_names: bool = False

    @property
    def n_lost(self) -> int:
        """Parcels of the atlas that no column is named for."""
        return self.atlas.n_parcels - len(self.rows)


@dataclass(frozen=True)
class UnknownNames:
    """The parcellation that the names resemble most, and those that are not among its names.

    Parameters
    ----------
    atlas : KnownAtlas or None
        None when hardly any name is known.
    differ : tuple of str
        Names as in the file, in its order.
    n_found : int
        Names that the atlas has.
    """

    atlas: KnownAtlas | None
    differ: tuple[str, ...]
    n_found: int


@cache
def _stored() -> dict[str, NDArray[np.uint64]]:
    path = assets_dir() / "atlases" / "names.npz"
    try:
        with np.load(path, allow_pickle=False) as store:
            return {k: store[k] for k in store.files}
    except (OSError, ValueError, KeyError) as error:
        raise AtlasError(f"the bundled table {path.name} is missing", "reinstall BrainLM Explorer") from error


@cache
def name_digests(key: str) -> NDArray[np.uint64] | None:
    """Return the digests of a parcellation's names in its own order, (n,), or None when it has no names."""
    if key == "glasser-left-first":
        right_first = _stored()["a424-cortex"]
        return np.r_[right_first[180:], right_first[:180]]
    atlas = known_atlases().get(key)
    if atlas is not None and atlas.parts:
        return np.concatenate([_stored()[p] for p in atlas.parts])
    return _stored().get(key)


def match_names(names: Sequence[str], among: Iterable[KnownAtlas] | None = None) -> NameMatch | UnknownNames:
    """Find the parcellation whose parcels the names are, however they are spelled.

    Every name must be one of the parcellation's, none twice; of several such parcellations the one that lacks
    the fewest is meant. Spellings are tried from the plain to the odd: folded; without what all names share;
    with the hemisphere glued to the name.

    Parameters
    ----------
    names : sequence of str, length n
        One per column.
    among : iterable of KnownAtlas, optional
        Only these are tried; all by default.
    """
    tried = tuple(known_atlases().values() if among is None else among)
    best = UnknownNames(None, tuple(names), 0)
    if len(names) < _MIN_NAMES and among is None:
        return best
    for folded in _spellings(names):
        found = _match_folded(digests(folded), names, tried, asked=among is not None)
        if isinstance(found, NameMatch):
            return found
        if found.n_found > best.n_found:
            best = found
    return best


def _spellings(names: Sequence[str]) -> Iterable[list[FoldedName]]:
    seen = []
    for text in (list(names), strip_common(names)):
        for glued in (False, True):
            folded = [fold_name(n, glued=glued) for n in text]
            if folded not in seen:
                seen.append(folded)
                yield folded


def _match_folded(
    found: NDArray[np.uint64], names: Sequence[str], tried: Sequence[KnownAtlas], *, asked: bool
) -> NameMatch | UnknownNames:
    parts = {k: int(np.isin(found, d).sum()) for k, d in _stored().items()}
    best: NameMatch | None = None
    near: tuple[int, float, KnownAtlas] | None = None
    for atlas in tried:
        if atlas.parts and not all(parts.get(p, 0) for p in atlas.parts):
            continue
        for key in (atlas.key, f"{atlas.key}{_OLDER}"):
            own = name_digests(key)
            hits = (
                0 if own is None else (int(np.isin(found, own).sum()) if atlas.parts else parts.get(key, -1))
            )
            if own is None or hits == 0:
                continue
            rows = _one_to_one(found, own)
            if rows is not None and _enough(atlas, len(rows), asked):
                if best is None or atlas.n_parcels < best.atlas.n_parcels:
                    best = NameMatch(atlas, rows, key.endswith(_OLDER))
            elif near is None or (hits, hits / atlas.n_parcels) > near[:2]:
                near = (hits, hits / atlas.n_parcels, atlas)
    if best is not None:
        return best
    if near is None or (near[0] < max(_MIN_NAMES, 0.5 * len(found)) and not asked):
        return UnknownNames(None, tuple(names), 0 if near is None else near[0])
    own = name_digests(near[2].key)
    missing = np.ones(len(found), bool) if own is None else ~np.isin(found, own)
    return UnknownNames(near[2], tuple(n for n, m in zip(names, missing, strict=True) if m), near[0])


def _enough(atlas: KnownAtlas, n_found: int, asked: bool) -> bool:
    if asked:
        return n_found >= min(_MIN_NAMES, atlas.n_parcels)
    family = "schaefer" in atlas.key or atlas.key.startswith("4s")
    return n_found >= (MIN_SHARE_OF_FAMILY if family else MIN_SHARE) * atlas.n_parcels


def _one_to_one(found: NDArray[np.uint64], own: NDArray[np.uint64]) -> NDArray[np.intp] | None:
    """Return the place of each name among the atlas', or None unless every one has a place of its own."""
    if len(found) > len(own):
        return None
    if np.array_equal(found, own):
        return np.arange(len(own), dtype=np.intp)  # names that repeat are told apart by their order
    order = np.argsort(own, kind="stable")
    if len(np.unique(found)) != len(found):
        return None
    at = np.searchsorted(own, found, sorter=order)
    at = order[np.minimum(at, len(own) - 1)]
    repeated = np.isin(own[at], own[order][1:][np.diff(own[order]) == 0])
    return at.astype(np.intp) if np.array_equal(own[at], found) and not repeated.any() else None
