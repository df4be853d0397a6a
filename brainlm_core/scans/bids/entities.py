"""BIDS file names: entities, suffix and extension, read leniently and written strictly.

Source: BIDS 1.10 and its schema 2.0.1 (order of entities), BEP 12 and 17 (``stat``, ``meas``), and the names
that fMRIPrep before 1.2 wrote: ``sub-01_task-rest_bold_space-MNI152NLin2009cAsym_preproc.nii.gz``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Entities in the order in which a name has them; ``reg`` is C-PAC's, ``stat`` and ``meas`` are BEP 17's.
ENTITIES = (
    "tpl", "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "cohort", "split",
    "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "reg", "stat", "meas", "desc",
)  # fmt: skip
_ORDER = {entity: i for i, entity in enumerate(ENTITIES)}
_PAIR = re.compile(r"([A-Za-z][A-Za-z0-9]*)-(.+)")
_LABEL = re.compile(r"[A-Za-z0-9+]+")
_SUFFIX = re.compile(r"[A-Za-z0-9]+")
_EXTENSION = re.compile(r"(\.[A-Za-z0-9]+)+")
#: What fMRIPrep 1.0 and 1.1 put last, and what it says today: (suffix, desc).
_OLD_SUFFIXES = {
    "preproc": ("bold", "preproc"),
    "brainmask": ("mask", "brain"),
    "confounds": ("timeseries", "confounds"),
}
_OLD_HEMISPHERE = re.compile(r"\.([LR])(\.func\.gii)", re.IGNORECASE)


@dataclass(frozen=True)
class FileName:
    """One name, taken apart.

    Parameters
    ----------
    entities : mapping
        ``{"sub": "01", "task": "rest"}``; labels as they stand.
    suffix : str
        ``bold``; empty when the name has none.
    extension : str
        From the first dot of the last part: ``.nii.gz``, ``.dtseries.nii``.
    """

    entities: Mapping[str, str]
    suffix: str
    extension: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "entities", MappingProxyType(dict(self.entities)))

    def get(self, entity: str) -> str:
        """Return the label of an entity, empty when there is none."""
        return self.entities.get(entity, "")

    @property
    def folded_extension(self) -> str:
        """Extension in lower case."""
        return self.extension.lower()


def parse_name(name: str) -> FileName | None:
    """Take a file name apart; None when it has no entity.

    Names of fMRIPrep before 1.2 come back as they would be called today.
    """
    *front, last = name.split("_")
    pairs: dict[str, str] = {}
    bare: list[str] = []
    stem, dot, rest = last.partition(".")
    for part in (*front, stem):
        pair = _PAIR.fullmatch(part)
        if pair is None:
            bare.append(part)
        else:
            pairs.setdefault(pair[1], pair[2])
    if not pairs:
        return None
    suffix = "" if _PAIR.fullmatch(stem) else stem
    return _modern(pairs, bare, suffix, dot + rest)


def _modern(pairs: dict[str, str], bare: list[str], suffix: str, extension: str) -> FileName:
    """Say in today's words what older programs wrote."""
    if hemisphere := _OLD_HEMISPHERE.fullmatch(extension):
        pairs.setdefault("hemi", hemisphere[1].upper())
        extension = hemisphere[2]
    if "bold" in bare and suffix in _OLD_SUFFIXES:
        suffix, desc = _OLD_SUFFIXES[suffix]
        pairs["desc"] = pairs.pop("variant", desc) if suffix == "bold" else desc
    elif not suffix and ("bold" in bare or extension.lower() in (".func.gii", ".dtseries.nii")):
        suffix = "bold"  # …_space-fsaverage5_hemi-L.func.gii
    return FileName(pairs, suffix, extension)


def build_name(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """Write a name that BIDS accepts.

    Raises
    ------
    ValueError
        If an entity, label, suffix or extension cannot stand in a name.
    """
    parts = []
    for entity in sorted(entities, key=lambda e: _ORDER.get(e, len(_ORDER))):
        if entity not in _ORDER or not _LABEL.fullmatch(entities[entity]):
            raise ValueError(f"{entity}-{entities[entity]} cannot stand in a BIDS name")
        parts.append(f"{entity}-{entities[entity]}")
    if not _SUFFIX.fullmatch(suffix) or not _EXTENSION.fullmatch(extension):
        raise ValueError(f"{suffix}{extension} cannot end a BIDS name")
    return "_".join((*parts, suffix + extension))


def is_valid_name(name: str) -> bool:
    """Whether a name obeys the grammar: known entities, each once and in order, a suffix, an extension."""
    *front, last = name.split("_")
    suffix, dot, rest = last.partition(".")
    keys = []
    for part in front:
        pair = _PAIR.fullmatch(part)
        if pair is None or pair[1] not in _ORDER or not _LABEL.fullmatch(pair[2]):
            return False
        keys.append(_ORDER[pair[1]])
    ends_well = _SUFFIX.fullmatch(suffix) is not None and _EXTENSION.fullmatch(dot + rest) is not None
    return bool(keys) and ends_well and keys == sorted(set(keys))


def as_label(text: str) -> str:
    """Return text as a label may be: letters and digits only; ``x`` when nothing is left."""
    return re.sub(r"[^A-Za-z0-9+]", "", text) or "x"
