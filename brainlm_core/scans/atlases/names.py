"""Spellings of parcel names, folded so that one parcel is one key whatever program wrote its name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SIDES = {
    **dict.fromkeys(("l", "lh", "left", "lt", "ctxlh", "lefthemisphere", "cortexleft"), "L"),
    **dict.fromkeys(("r", "rh", "right", "rt", "ctxrh", "righthemisphere", "cortexright"), "R"),
}
#: Words that stand beside a parcel's name without being part of it.
_DECORATION = frozenset(
    {
        *("ctx", "roi", "rois", "hemi", "hemisphere", "hem", "parcel", "region", "area", "label", "proper"),
        *("7networks", "17networks", "x7networks", "x17networks"),
        *("mean", "nzmean", "median", "sigmean", "ts"),
    }
)
#: Words that differ from another atlas' only in case: Tian's globus pallidus and HCP-MMP's parietal area PGp.
_CASED = (("pGP", "posteriorpallidum"), ("aGP", "anteriorpallidum"))
_GLUED = re.compile(r"(lh|rh|left|right)(?=.)")
_NUMBER = re.compile(
    r"(?:#|x|v|c|n|p|r|roi|rois|region|parcel|node|area|label|index|column|col|var|feature|channel|signal|ts|mean"
    r"|nzmean|network|net|component|comp|cc|bn|shen|unnamed)?[ _.:#\-]*0*(\d{1,6})(?:\.0+)?$"
)


@dataclass(frozen=True)
class FoldedName:
    """A parcel's name without its spelling.

    Parameters
    ----------
    side : {"L", "R", ""}
        Hemisphere that the name states.
    core : str
        Lower-case letters and digits of the rest.
    """

    side: str
    core: str

    @property
    def key(self) -> str:
        """Text that is equal for equal parcels."""
        return f"{self.side}|{self.core}"


def fold_name(name: str, *, glued: bool = False) -> FoldedName:
    """Return a parcel's name without case, separators, decoration and place of the hemisphere.

    ``L_V1_ROI``, ``Left-V1``, ``V1_L``, ``lh.L_V1`` and ``LH V1`` become one; so do ``ctx-lh-insula`` and
    ``insula_left``, ``7Networks_LH_Vis_1`` and ``LH_Vis_01``. A hemisphere is a word of its own (``L``,
    ``lh``, ``Left``) anywhere in the name; a second word of the other hemisphere belongs to the name.

    Parameters
    ----------
    name : str
        As it stands in a file.
    glued : bool
        Whether ``lhV1`` and ``LeftV1`` are a hemisphere and a name.
    """
    for written, meant in _CASED:
        name = name.replace(written, meant)
    plain = unicodedata.normalize("NFKD", name).lower().replace("&", " and ")
    words = re.findall(r"[a-z0-9]+", plain)
    if glued and words:
        first = next((i for i, w in enumerate(words) if w not in _DECORATION), 0)
        found = _GLUED.match(words[first])
        if found:
            words[first : first + 1] = [found[1], words[first][found.end() :]]
        if words[0][0] == "x" and words[0][1:2].isdigit():
            words[0] = words[0][1:]  # R puts an X before a name that begins with a digit
    side, core = "", []
    for word in words:
        of = _SIDES.get(word)
        if of is not None and side in ("", of):
            side = of
        else:
            core.append(word)
    kept = [w for w in core if w not in _DECORATION] or core
    return FoldedName(side, "".join(str(int(w)) if w.isdigit() else w for w in kept))


def strip_common(names: Sequence[str]) -> list[str]:
    """Take off what all names begin or end with (``bold_…``, ``…_1``), and numbers that count them."""
    split = [re.findall(r"[A-Za-z0-9]+", n) for n in names]
    if len(split) < 2 or min(map(len, split)) < 2:
        return list(names)
    counted = [w[0] for w in split]
    if all(w.isdigit() for w in counted) and all(int(b) > int(a) for a, b in pairwise(counted)):
        split = [w[1:] for w in split]  # numbers before the names: 1_L_V1, 2_L_MST
        if min(map(len, split)) < 2:
            return ["_".join(w) for w in split]
    start, stop = 0, 0
    shortest = min(map(len, split))
    while start < shortest - 1 and len({w[start].lower() for w in split}) == 1:
        start += 1
    while stop < shortest - start - 1 and len({w[-1 - stop].lower() for w in split}) == 1:
        stop += 1
    return ["_".join(w[start : len(w) - stop]) for w in split]


def digest(folded: FoldedName) -> int:
    """Return 64 bits of the SHA-256 of a folded name: enough to recognise it, nothing to read it from."""
    return int.from_bytes(hashlib.sha256(folded.key.encode()).digest()[:8], "big")


def digests(folded: Sequence[FoldedName]) -> NDArray[np.uint64]:
    """Return the digest of each name, (n,), uint64."""
    return np.array([digest(f) for f in folded], dtype=np.uint64)


def numbers_in(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return the numbers of columns that are only numbered (``12``, ``12.0``, ``ROI_12``), else None.

    All must be written alike up to the number.
    """
    found, heads = [], set()
    for name in names:
        text = name.strip().strip("\"'").lower()
        match = _NUMBER.match(text)
        if match is None:
            return None
        found.append(int(match[1]))
        heads.add(re.match(r"[^0-9]*", text)[0])  # type: ignore[index]  # matches nothing at least
    return tuple(found) if len(heads) == 1 else None
