"""What is asked, or said, when a table does not tell of which parcels it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.scans.atlases import (
    KnownAtlas,
    UnknownNames,
    atlases_in_file_name,
    known_atlases,
    match_names,
)
from brainlm_core.scans.atlases.names import numbers_in
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.types import MissingChoice, MissingCoordinates

AXIS_WORDS = {0: "rows", 1: "columns"}


def names_along(grid: Grid, axis: int) -> tuple[str, ...]:
    """Return the names along an axis, empty when it has none."""
    names = grid.column_names if axis == 1 else grid.row_names
    return () if names is None or len(names) != grid.values.shape[axis] else names


def has_words(grid: Grid, axis: int) -> bool:
    """Whether words, not numbers, stand along an axis."""
    names = names_along(grid, axis)
    return bool(names) and numbers_in(names) is None and len({n for n in names if n}) > 1


def names_differ(unknown: UnknownNames, known: KnownAtlas | None, file: str) -> ScanError:
    """Return the refusal of a table of which some names are not those of the parcellation."""
    atlas = known or unknown.atlas
    title = "a known parcellation" if atlas is None else atlas.title
    total, few = unknown.n_found + len(unknown.differ), ", ".join(unknown.differ[:3])
    what = (
        f"{len(unknown.differ)} of the {total} names in {file} are not those of {title} (first: {few})"
        if unknown.differ
        else f"the names in {file} are those of {title}, but some stand twice or too many are missing"
    )
    return MissingCoordinates(
        what, "correct the names, or give the coordinates of the parcels (--coordinates CSV)"
    )


def names_unknown(grid: Grid, name: str) -> ScanError:
    """Return the refusal of a table whose names are those of no known parcellation."""
    names = names_along(grid, 1) if has_words(grid, 1) else names_along(grid, 0)
    hinted = atlases_in_file_name(name)
    unknown = match_names(names, hinted) if hinted else None
    if isinstance(unknown, UnknownNames) and unknown.n_found:
        return names_differ(unknown, None, name)
    return MissingCoordinates(
        f"the names of the parcels in {name} are those of no parcellation that is known here",
        "give the coordinates of its parcels (--coordinates CSV)",
    )


def positions_missing(atlas: KnownAtlas, name: str, *, certain: bool = True) -> ScanError:
    """Return the question whether to fetch the positions of a parcellation."""
    from brainlm_core.scans.atlases.places import not_here

    holds = "holds" if certain else "may hold"
    return MissingChoice(
        f"{name} {holds} the parcels of {atlas.title}, whose positions do not come along",
        not_here(atlas).fix,
        ((f"Fetch {atlas.title} through nilearn", {"atlas": atlas.key}),) if atlas.size_mb else (),
    )


def which_axis(grid: Grid, name: str) -> MissingChoice:
    """Return the question which axis of a table holds the parcels, with a glimpse of both readings."""
    n, m = grid.values.shape
    return MissingChoice(
        f"both the {n} rows and the {m} columns of {name} could be parcels",
        "say which: --rows-are volumes or --rows-are parcels",
        (
            (f"Rows are volumes: {m} parcels × {n} volumes", {"rows_are": "volumes"}),
            (f"Rows are parcels: {n} parcels × {m} volumes", {"rows_are": "parcels"}),
        ),
        (_preview(grid.values.T), _preview(grid.values)),
    )


def _preview(signals: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return some of the signals, z-scored and thinned, (parcels ≤ 40, volumes ≤ 120)."""
    rows = np.linspace(0, len(signals) - 1, min(40, len(signals))).astype(int)
    part = np.nan_to_num(signals[rows, :120])
    spread = part.std(axis=1, keepdims=True)
    return ((part - part.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)


def which_atlas(atlases: list[KnownAtlas], n: int, axis: int, name: str) -> MissingChoice:
    """Return the question of which parcellation unnamed columns are."""
    shown = [a for a in atlases if not a.parts]
    shown = shown if len(shown) > 1 else atlases
    return MissingChoice(
        f"the {n} {AXIS_WORDS[axis]} of {name} have no names and may be those of "
        f"{' or '.join(a.title for a in shown[:4])}, which differ in order or place",
        f"say which: {' or '.join(f'--atlas {a.key}' for a in shown[:4])}, or give coordinates "
        "(--coordinates CSV)",
        tuple((a.title, {"atlas": a.key}) for a in shown),
    )


def nothing_fits(grid: Grid, axes: tuple[int, ...], name: str) -> ScanError:
    """Return the refusal of a table whose shape is that of no known parcellation."""
    shape = grid.values.shape
    hinted = atlases_in_file_name(name)
    numbered = [a for a in axes if names_along(grid, a) and numbers_in(names_along(grid, a)) is not None]
    if numbered and shape[numbered[0]] in {a.n_parcels for a in known_atlases().values()}:
        labels, words = names_along(grid, numbered[0]), AXIS_WORDS[numbered[0]]
        return MissingCoordinates(
            f"the header of {name} numbers its {shape[numbered[0]]} {words} from {labels[0]} to "
            f"{labels[-1]}, which no parcellation of that size does",
            "name the parcellation (--atlas) to take them in order, or give coordinates (--coordinates CSV)",
        )
    said = f", though its name says {hinted[0].title} ({hinted[0].n_parcels})" if hinted else ""
    return MissingCoordinates(
        f"{name} has {shape[0]} rows and {shape[1]} columns, neither of them the parcels of a parcellation "
        f"that is known here{said}",
        "give the coordinates of its parcels (--coordinates CSV) or name the parcellation (--atlas)",
    )
