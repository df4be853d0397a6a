"""Signals, names, positions and repetition time found in the variables of a MATLAB or HDF5 file.

Layouts in use: one matrix beside its correlation (DPABI ``ROISignals``), a cell with one column per region
beside cells of names and positions (CONN ``ROI_Subject*_Condition*.mat``), and a structure per subject
(``subj.ts``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Step
from brainlm_core.scans.grid import Grid

#: What says "this is the signal" when a file holds several arrays; case and separators do not matter.
SIGNAL_NAMES = (
    *(
        "signals",
        "signal",
        "roisignals",
        "roisignal",
        "timeseries",
        "roitimeseries",
        "roits",
        "nodets",
        "parcelts",
    ),
    *(
        "ts",
        "timecourses",
        "timecourse",
        "roitimecourses",
        "tc",
        "tcs",
        "roidata",
        "bold",
        "data",
        "roi",
        "rois",
    ),
)
TR_NAMES = ("trs", "tr", "repetitiontime")
_LABEL = re.compile(
    r"(roi|region|parcel|node|area|label|channel|column|variable|source)*s?(name|label|id)?s?\d*"
)
#: Arrays between parcels, not over time.
_BETWEEN = re.compile(
    r"corr|fisher|conn(ectivity|ectome|mat)|^fc|cov(ariance)?$|dist|^p(val|values?)?$|^[rz]$|adj"
)
#: Deepest structure in a structure.
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Values:
    """An array of numbers that is read only when it is wanted.

    Parameters
    ----------
    shape : tuple of int
    load : callable
        Returns the array.
    """

    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]


#: Structures by field, cells in their order, text, numbers; None for anything else.
Tree: TypeAlias = "Mapping[str, Tree] | Sequence[Tree] | str | Values | None"


def plain(name: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def says_connectivity(name: str) -> bool:
    """Whether an array is called like one between parcels."""
    return _BETWEEN.search(plain(name)) is not None


@dataclass(frozen=True)
class _Found:
    """A matrix that may be the signal: a whole array, or columns out of a cell."""

    path: tuple[str, ...]
    shape: tuple[int, int]
    load: Callable[[], NDArray[Any]]
    kept: tuple[int, ...] | None = None
    n_cells: int = 0

    @property
    def rank(self) -> int:
        """Return how surely the name says signal: 0 is surest."""
        own = plain(self.path[-1])
        if own in SIGNAL_NAMES:
            return SIGNAL_NAMES.index(own)
        return 100 if any(plain(p) in SIGNAL_NAMES for p in self.path[:-1]) else 200


@dataclass
class _Contents:
    found: list[_Found] = field(default_factory=list)
    words: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    places: list[NDArray[np.float64]] = field(default_factory=list)
    tr_s: list[float] = field(default_factory=list)
    n_runs: int = 0


def find_signals(tree: Mapping[str, Tree], name: str) -> Grid:
    """Return the signals of a file with what stands beside them.

    Parameters
    ----------
    tree : mapping
        The variables of the file.
    name : str
        Display name.

    Raises
    ------
    ScanError
        If there are none, several recordings, or several matrices of which none is called like a signal.
    """
    contents = _Contents()
    for path, node in _walk(tree):
        _look(path, node, contents)
    chosen, others = _choose(contents, name)
    values = np.asarray(chosen.load(), dtype=np.float64).reshape(chosen.shape)
    labels, axis = _names_of(chosen, contents)
    xyz = None
    for places in contents.places:
        n = chosen.n_cells or chosen.shape[1]
        if len(places) == n:
            xyz = places if chosen.kept is None else places[list(chosen.kept)]
    notices = []
    shown = plain(chosen.path[-1]) if chosen.rank < 100 else "the only matrix"
    if others:
        notices.append(f"Of the arrays in the file, {shown!r} was read.")
    if chosen.kept is not None and len(chosen.kept) < chosen.n_cells:
        notices.append(
            f"{chosen.n_cells - len(chosen.kept)} of {chosen.n_cells} cells hold several series each, as "
            "tissues and confounds do, and were set aside."
        )
    return Grid(
        values,
        column_names=labels if axis == 1 else None,
        row_names=labels if axis == 0 else None,
        tr_s=contents.tr_s[0] if contents.tr_s else None,
        parcels_axis=1 if chosen.n_cells else None,
        column_xyz=xyz,
        steps=(Step("choose array", {"name": shown}),),
        notices=tuple(notices),
    )


def _walk(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    if len(path) > _MAX_DEPTH:
        return
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _walk(value, (*path, key))
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        if len(tree) == 1 or any(isinstance(v, Mapping) for v in tree):
            for value in tree:
                yield from _walk(value, path)
        else:
            yield path, tree
    elif tree is not None and path:
        yield path, tree


def _look(path: tuple[str, ...], node: Tree, contents: _Contents) -> None:
    """Note what a variable may be: signal, names, positions, repetition time."""
    if isinstance(node, Values):
        _look_at_numbers(path, node, contents)
    elif isinstance(node, str):
        return
    elif isinstance(node, Sequence) and node:
        texts = [v for v in node if isinstance(v, str)]
        arrays = [v for v in node if isinstance(v, Values)]
        if len(texts) == len(node):
            contents.words.append((path, tuple(texts)))
        elif plain(path[-1]) in ("xyz", "coords", "coordinates", "mni", "centroids"):
            _look_at_places(arrays, len(node), contents)
        elif len(arrays) == len(node):
            _look_at_cells(path, arrays, contents)


def _look_at_numbers(path: tuple[str, ...], node: Values, contents: _Contents) -> None:
    sizes = tuple(n for n in node.shape if n != 1)
    if len(sizes) == 2 and min(sizes) == 3 and plain(path[-1]) in ("xyz", "coords", "mni", "centroids"):
        places = np.asarray(node.load(), dtype=np.float64).reshape(sizes)
        contents.places.append(places if sizes[1] == 3 else places.T)
    elif len(sizes) == 2:
        contents.found.append(_Found(path, (sizes[0], sizes[1]), node.load))
    elif not sizes and plain(path[-1]) in TR_NAMES:
        value = np.asarray(node.load()).reshape(-1)
        if value.size and np.isrealobj(value):
            contents.tr_s.append(float(value[0]))


def _look_at_places(arrays: list[Values], n_cells: int, contents: _Contents) -> None:
    if len(arrays) == n_cells:
        rows = [
            np.asarray(a.load(), dtype=np.float64).ravel() if math.prod(a.shape) == 3 else None
            for a in arrays
        ]
        contents.places.append(np.stack([np.full(3, np.nan) if r is None else r for r in rows]))


def _look_at_cells(path: tuple[str, ...], arrays: list[Values], contents: _Contents) -> None:
    """Take a cell of columns together; a cell of matrices is a list of recordings."""
    long = [max(a.shape, default=0) for a in arrays]
    n_rows = max(set(long), key=long.count)
    kept = tuple(i for i, a in enumerate(arrays) if math.prod(a.shape) == n_rows == max(a.shape, default=0))
    if len(kept) < 2 or n_rows < 2:
        contents.n_runs = max(contents.n_runs, sum(min(a.shape, default=0) > 1 for a in arrays))
        return

    def load() -> NDArray[np.float64]:
        return np.stack([np.asarray(arrays[i].load(), dtype=np.float64).ravel() for i in kept], axis=1)

    contents.found.append(_Found(path, (n_rows, len(kept)), load, kept, len(arrays)))


def _choose(contents: _Contents, name: str) -> tuple[_Found, bool]:
    """Return the signal, and whether there were other matrices."""
    found = contents.found
    if not found and contents.n_runs > 1:
        raise ScanError(
            f"{name} holds {contents.n_runs} recordings in one cell", "save each in a file of its own"
        )
    if not found:
        raise ScanError(f"{name} holds no series of parcels", "save one array of volumes × parcels")
    sides = {n for f in found if f.shape[0] != f.shape[1] for n in f.shape}
    left = [
        f for f in found
        if not says_connectivity(f.path[-1]) and not (f.shape[0] == f.shape[1] and f.shape[0] in sides)
    ] or found  # fmt: skip
    best = [f for f in left if f.rank == min(g.rank for g in left)]
    if len(best) > 1 and len({f.path for f in best}) == 1:
        raise ScanError(f"{name} holds {len(best)} recordings", "save each in a file of its own")
    if len(best) > 1:
        raise ScanError(
            f"{name} holds {len(left)} matrices, none of them called like a signal alone",
            'keep only the signal, or call it "signals"',
        )
    return best[0], len(found) > 1


def _names_of(chosen: _Found, contents: _Contents) -> tuple[tuple[str, ...] | None, int]:
    """Return the names along an axis of the signal: those beside it first, then any list as long."""
    beside = sorted(contents.words, key=lambda item: item[0][:-1] != chosen.path[:-1])
    for path, words in beside:
        if _LABEL.fullmatch(plain(path[-1])) is None:
            continue
        if chosen.kept is not None and len(words) == chosen.n_cells:
            return tuple(words[i] for i in chosen.kept), 1
        for axis in (1, 0):
            if chosen.kept is None and len(words) == chosen.shape[axis]:
                return words, axis
    return None, 1
