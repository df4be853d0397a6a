"""Tables about people, joined to recordings by identifier; what does not match is named, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainlm_core.cohort import personal
from brainlm_core.errors import ConfigError
from brainlm_core.scans.named_tables import read_named_table

#: Columns that name a recording or a person, the most exact first.
RECORDING_KEYS = ("recording_id", "scan_id")
SUBJECT_KEYS = ("subject_id", "participant_id", "subject")
#: Identifiers named in a sentence before "and N more".
_NAMED = 5


@dataclass(frozen=True, eq=False)
class Matching:
    """How a table fits a list of recordings.

    Parameters
    ----------
    table : pandas.DataFrame (n rows)
        One row per recording, in their order, without identifier columns; missing where nothing matched.
    key : str
        Column that was matched by.
    matched : int
        Recordings with a row.
    unmatched : tuple of str
        Recordings without one.
    unused : tuple of str
        Identifiers of the table that no recording has.
    left_out : tuple of str
        Columns that may tell who somebody is, see :func:`leave_out_personal`.
    """

    table: pd.DataFrame
    key: str
    matched: int
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return how many matched, and which did not."""
        n = self.matched + len(self.unmatched)
        parts = [f"{self.matched} of {n} recordings have a row (matched by {self.key})"]
        if self.unmatched:
            parts.append(f"without one: {name_some(self.unmatched)}")
        if self.unused:
            parts.append(f"rows of nobody here: {name_some(self.unused)}")
        if self.left_out:
            parts.append(personal.sentence(self.left_out))
        return "; ".join(parts) + "."


def name_some(ids: Sequence[str]) -> str:
    """Return the first few identifiers and how many more there are."""
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV or TSV of phenotypes; identifiers stay text, ``n/a`` is missing as in BIDS.

    Raises
    ------
    ConfigError
        If the file is not there or not such a table.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no phenotypes file {path.name}", "check the path")
    return read_named_table(path, text=(*RECORDING_KEYS, *SUBJECT_KEYS), error=ConfigError)


def match_phenotypes(
    table: pd.DataFrame, ids: Sequence[str], subjects: Sequence[str], name: str = "the phenotypes"
) -> Matching:
    """Give every recording its row.

    Columns that name recordings are tried first, then columns that name people; ``sub-`` in front and leading
    zeros do not matter. Columns that may tell who somebody is are left out.

    Parameters
    ----------
    table : pandas.DataFrame
    ids, subjects : sequence of str, length n
        Of the recordings.
    name : str
        File name for sentences.

    Returns
    -------
    Matching

    Raises
    ------
    ConfigError
        If no column holds identifiers, one of them names two rows, or none matches.
    """
    present = [k for k in (*RECORDING_KEYS, *SUBJECT_KEYS) if k in table]
    if not present:
        raise ConfigError(
            f"{name} has no column of identifiers",
            f"add one called {RECORDING_KEYS[0]} or {SUBJECT_KEYS[0]}",
        )
    best: tuple[str, list[str]] | None = None
    hits = 0
    for key in present:
        wanted = [_plain(v) for v in (ids if key in RECORDING_KEYS else subjects)]
        found = len(set(wanted) & set(table[key].map(_plain)))
        if found > hits:
            best, hits = (key, wanted), found
    if best is None:
        raise ConfigError(
            f"none of the {len(ids)} recordings is named in {name} (it names {_examples(table[present[0]])}, "
            f"the recordings are called {name_some(list(ids)[:2])})",
            "use the same identifiers in both",
        )
    key, wanted = best
    index = table[key].map(_plain)
    twice = index[index.duplicated() & (index != "")].unique()
    relevant = [t for t in twice if t in set(wanted)]
    if relevant:
        raise ConfigError(
            f"{name} names {len(relevant)} of the recordings more than once in {key}: {name_some(relevant)}",
            "keep one row each",
        )
    rows = table[~index.duplicated()].set_index(index[~index.duplicated()])
    joined = rows.reindex(wanted).reset_index(drop=True)
    known = set(rows.index)
    missing = tuple(i for i, w in zip(ids, wanted, strict=True) if w not in known)
    drop = [c for c in (*RECORDING_KEYS, *SUBJECT_KEYS) if c in joined]
    unused = tuple(v for v in rows.index if v and v not in set(wanted))
    kept, left_out = personal.leave_out_personal(joined.drop(columns=drop))
    return Matching(kept, key, len(ids) - len(missing), missing, unused, left_out)


def _plain(value: object) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return ""
    text = str(value).strip().removeprefix("sub-")
    text = text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text
    return text.lstrip("0") or "0" if text.isdigit() else text


def _examples(column: pd.Series) -> str:
    return name_some([str(v) for v in column.dropna().unique()[:2]]) or "nobody"
