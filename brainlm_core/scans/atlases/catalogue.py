"""Every parcellation that is known by name: one table, from which reading, command line and pages take it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir

SCHAEFER_SIZES = tuple(range(100, 1001, 100))
#: Deep parcels that AtlasPack joins to each size of Schaefer.
N_DEEP_4S = 56


@dataclass(frozen=True, eq=False)
class AtlasTable:
    """What is known of a parcellation's parcels, in the atlas' own order.

    Parameters
    ----------
    names, hemisphere, structure, network : tuple of str, length n
        Hemisphere is ``"L"``, ``"R"`` or ``""``; structure and network are ``""`` where unknown.
    xyz : ndarray (n, 3), float32
        Centre in mm, MNI152.
    """

    names: tuple[str, ...]
    hemisphere: tuple[str, ...]
    structure: tuple[str, ...]
    network: tuple[str, ...]
    xyz: NDArray[np.float32]


class PositionsNotHere(AtlasError):
    """A parcellation is known by name, but its positions do not come along and were not fetched."""


@dataclass(frozen=True)
class KnownAtlas:
    """One parcellation.

    Parameters
    ----------
    key : str
        What to write after ``--atlas``.
    title : str
        Shown to the user.
    n_parcels : int
        Known without reading a table.
    aliases : tuple of str
        What files and programs call it, lower-case letters and digits only.
    place : {"bundled", "nilearn", "file"}
        Where names and positions come from: bundled with this program; the installed nilearn, or fetched
        through it on request; a file of the user's own.
    licence : str
        As stated by the source.
    parts : tuple of str
        Keys of the parcellations it is put together from, in order; empty for most.
    size_mb : float
        What a fetch through nilearn downloads, about; 0 for what nilearn carries.
    """

    key: str
    title: str
    n_parcels: int
    aliases: tuple[str, ...]
    place: str
    licence: str
    parts: tuple[str, ...] = ()
    size_mb: float = 0.0


_TIAN = {1: 16, 2: 32, 3: 50, 4: 54}
_TIAN_LICENCE = "Melbourne Subcortex Atlas License"
_MERGED_4S = "Schaefer: MIT; the 56 deep parcels stand near their structure"


def _schaefer(n: int, networks: int) -> KnownAtlas:
    stem = f"schaefer2018{n}parcels{networks}networks"
    aliases = [stem, f"{stem}order", f"schaefer{n}x{networks}", f"schaefer{n}parcels{networks}networks",
               f"schaefer{n}{networks}networks", f"schaefer2018desc{n}parcels{networks}networks",
               f"schaefer2018{n}x{networks}", f"schaefer{n}net{networks}", f"schaefer{n}{networks}net",
               f"schaefer{n}n{networks}"]  # fmt: skip
    # Without a number of networks the name says one of two orders: only the columns' names tell which.
    aliases += [
        f"schaefer{n}",
        f"schaefer2018{n}",
        f"schaefer2018{n}parcels",
        f"schaefer{n}parcels",
        f"sch{n}",
    ]
    if networks == 17:
        aliases.append(f"schaefer{n + 17}")  # XCP-D before 4S
    return KnownAtlas(f"schaefer-{n}-{networks}", f"Schaefer 2018, {n} parcels, {networks} networks", n,
                      tuple(aliases), "bundled", "MIT (CBIG)")  # fmt: skip


def _listed() -> tuple[KnownAtlas, ...]:
    """Return the parcellations of ``assets/atlases/index.csv``."""
    path = assets_dir() / "atlases" / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return tuple(
                KnownAtlas(
                    key=row["key"],
                    title=row["title"],
                    n_parcels=int(row["n_parcels"]),
                    aliases=tuple(row["aliases"].split()),
                    place=row["place"],
                    licence=row["licence"],
                    size_mb=float(row["size_mb"]),
                )
                for row in csv.DictReader(stream)
            )
    except OSError as error:
        raise AtlasError(f"the bundled table {path.name} is missing", "reinstall BrainLM Explorer") from error


def _composites() -> tuple[KnownAtlas, ...]:
    """Return the parcellations that are two others one after the other: 4S, and Tian with a cortex."""

    def joined(
        key: str, title: str, aliases: tuple[str, ...], licence: str, parts: tuple[str, ...], n: int
    ) -> KnownAtlas:
        return KnownAtlas(key, title, n, aliases, "bundled", licence, parts)

    made = []
    for size in SCHAEFER_SIZES:
        n = size + N_DEEP_4S
        title, aliases = f"4S, {n} parcels (AtlasPack)", (f"4s{n}parcels", f"4s{n}")
        made.append(joined(f"4s-{n}", title, aliases, _MERGED_4S, (f"schaefer-{size}-7", "4s-deep"), n))
    for s, deep in _TIAN.items():
        for cortex in (_schaefer(size, networks) for size in SCHAEFER_SIZES for networks in (7, 17)):
            aliases = (f"{cortex.aliases[0]}ordertiansubcortexs{s}", f"tians{s}{plain_alias(cortex.key)}")
            key, title = f"tian-s{s}+{cortex.key}", f"Tian S{s} with {cortex.title}"
            licence, parts = f"{_TIAN_LICENCE}; {cortex.licence}", (f"tian-s{s}", cortex.key)
            made.append(joined(key, title, aliases, licence, parts, deep + cortex.n_parcels))
        aliases = (f"finalareasgroupcolors32kfslrtiansubcortexs{s}", f"tians{s}glasser")
        licence, parts = f"{_TIAN_LICENCE}; HCP terms", (f"tian-s{s}", "a424-cortex")
        made.append(
            joined(f"tian-s{s}+glasser", f"Tian S{s} with HCP-MMP", aliases, licence, parts, deep + 360)
        )
    return tuple(made)


@cache
def known_atlases() -> dict[str, KnownAtlas]:
    """Return every known parcellation by its key, in the order in which they are offered."""
    schaefer = (_schaefer(n, networks) for n in SCHAEFER_SIZES for networks in (7, 17))
    return {a.key: a for a in (*_listed(), *schaefer, *_composites())}


def plain_alias(text: str) -> str:
    """Return lower-case letters and digits only."""
    return re.sub(r"[^a-z0-9]+", "", text.lower())


@cache
def _by_alias() -> dict[str, tuple[str, ...]]:
    out: dict[str, tuple[str, ...]] = {}
    for atlas in known_atlases().values():
        for alias in dict.fromkeys((plain_alias(atlas.key), *atlas.aliases)):
            out[alias] = (*out.get(alias, ()), atlas.key)
    return out


def find_atlases(name: str) -> tuple[KnownAtlas, ...]:
    """Return the parcellations that a word may mean, none or one or several (``Schaefer100``: two)."""
    return tuple(known_atlases()[k] for k in _by_alias().get(plain_alias(name), ()))


def known_atlas(name: str) -> KnownAtlas:
    """Return a parcellation by its key or any of its names, forgiving case and separators.

    Raises
    ------
    AtlasError
        If no parcellation has that name, or several have.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key in known_atlases():
        return known_atlases()[key]
    found = find_atlases(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise AtlasError(
            f"{name!r} may be {' or '.join(a.title for a in found)}",
            f"say {' or '.join(f'--atlas {a.key}' for a in found)}",
        )
    simple = [k for k in known_atlases() if "+" not in k and not k.startswith(("schaefer", "4s"))]
    raise AtlasError(
        f"no parcellation is called {name!r}",
        f"choose one of {', '.join(simple)}, schaefer-100-7 to schaefer-1000-17, 4s-156 to 4s-1056",
    )


def atlases_in_file_name(name: str) -> tuple[KnownAtlas, ...]:
    """Return the parcellations that a file name states, as a BIDS entity (``seg-``, ``atlas-``) or otherwise.

    The longest words that mean a parcellation win, so that ``aparc_aseg`` is not ``aparc``.
    """
    words = re.findall(r"[A-Za-z0-9]+", name)
    best: tuple[int, tuple[str, ...]] = (0, ())
    for start in range(len(words)):
        for stop in range(start + 1, min(start + 9, len(words)) + 1):
            joined = "".join(words[start:stop]).lower()
            keys = _by_alias().get(joined, ())
            if keys and len(joined) > best[0]:
                best = (len(joined), keys)
    return tuple(known_atlases()[k] for k in best[1])
