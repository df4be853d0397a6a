"""Lookup tables of a label image: which name each of its numbers has."""

from __future__ import annotations

import json
import re
from pathlib import Path

from brainlm_core.base.errors import AtlasError
from brainlm_core.scans.table_lines import TableFile

_FIX = "give one line per label: its number and its name (.tsv, .csv, FreeSurfer's colour table, or .json)"
_NUMBERS = ("index", "no", "id", "value", "key", "number", "roi", "label", "intensity")
_NAMES = ("name", "labelname", "roiname", "regionname", "region", "label", "structure", "abbreviation")
_MOST_BYTES = 4 << 20


def read_lookup(path: str | Path) -> dict[int, str]:
    """Read which name each number of a label image has.

    Tables with a header (``index``, ``name`` as in BIDS), lines of a number and a name (FreeSurfer, FSL,
    MRtrix colour tables), and JSON (``{"1": "V1"}`` or ``{"V1": 1}``).

    Raises
    ------
    AtlasError
        If the file holds no numbers with names, or one number twice.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise AtlasError(f"the lookup table {path.name} is larger than any", _FIX)
        pairs = _of_json(path) if path.suffix.lower() == ".json" else _of_lines(path)
    except (OSError, ValueError, RecursionError) as error:
        raise AtlasError(f"the lookup table {path.name} cannot be read", _FIX) from error
    found = dict(pairs)
    if not found:
        raise AtlasError(f"the lookup table {path.name} holds no numbers with names", _FIX)
    if len(found) < len(pairs):
        raise AtlasError(f"the lookup table {path.name} names a number twice", _FIX)
    return found


def _of_json(path: Path) -> list[tuple[int, str]]:
    given = json.loads(path.read_text("utf-8"))
    if not isinstance(given, dict):
        return []
    turned = all(isinstance(v, int) for v in given.values())
    pairs = [(v, k) if turned else (k, v) for k, v in given.items()]
    return [(int(k), v) for k, v in pairs if isinstance(v, str) and re.fullmatch(r"\d{1,6}", str(k))]


def _of_lines(path: Path) -> list[tuple[int, str]]:
    lines = [x.strip() for x in TableFile(path, path.name, AtlasError).lines()]
    lines = [x for x in lines if x and not x.startswith(("#", "//", "%"))]
    if not lines:
        return []
    cut = [_cells(x) for x in lines]
    header = [re.sub(r"[^a-z]", "", c.lower()) for c in cut[0]]
    number, name = 0, 1
    if not cut[0][0].isdigit():
        number = next((header.index(k) for k in _NUMBERS if k in header), 0)
        name = next((header.index(k) for k in _NAMES if k in header and header.index(k) != number), 1)
        if header.count("label") == 1 and "name" not in header and "index" in header:
            name = header.index("label")
        cut = cut[1:]
    return [
        (int(row[number]), row[name].strip("\"'"))
        for row in cut
        if len(row) > max(number, name) and re.fullmatch(r"\d{1,6}", row[number])
    ]


def _cells(line: str) -> list[str]:
    for mark in ("\t", ";", ","):
        if mark in line:
            return [c.strip() for c in line.split(mark)]
    words = line.split()
    if words[0].isdigit():  # a number, a name that may hold blanks, colours
        while len(words) > 2 and re.fullmatch(r"[\d.]+", words[-1]):
            words.pop()
        return [words[0], " ".join(words[1:])]
    return words
