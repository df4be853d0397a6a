"""Tables about people, joined to recordings by identifier; what does not match is named, never dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from brainlm_core.base.errors import ConfigError
from brainlm_core.cohort import personal
from brainlm_core.cohort.identifiers import (
    RECORDING_KEYS,
    SUBJECT_KEYS,
    is_identifier,
    loose_identifier,
    plain_identifier,
    plain_session,
    recording_columns,
    session_column,
    session_of,
    subject_columns,
)
from brainlm_core.cohort.people_values import tidy
from brainlm_core.scans.named_tables import read_named_table

__all__ = [
    "RECORDING_KEYS",
    "SUBJECT_KEYS",
    "Matching",
    "match_phenotypes",
    "name_some",
    "read_table",
]
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
    notices : tuple of str
        What was changed in the values: codes for missing, spellings.
    """

    table: pd.DataFrame
    key: str
    matched: int
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

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
        parts += self.notices
        return "; ".join(parts) + "."


def name_some(ids: Sequence[str]) -> str:
    """Return the first few identifiers and how many more there are."""
    more = len(ids) - _NAMED
    return ", ".join(ids[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of phenotypes: text of any kind or a workbook; identifiers stay text.

    Codes such as −9999 become missing and spellings of a sex one; ``attrs["notices"]`` of the table says so.

    Raises
    ------
    ConfigError
        If the file is not there or not such a table.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no phenotypes file {path.name}", "check the path")
    table, notices = tidy(read_named_table(path, text=is_identifier, error=ConfigError))
    table.attrs["notices"] = notices
    return table


def match_phenotypes(
    table: pd.DataFrame, ids: Sequence[str], subjects: Sequence[str], name: str = "the phenotypes"
) -> Matching:
    """Give every recording its row.

    Columns that name recordings are tried first, then columns that name people, by all names that the
    consortia use; ``sub-``, leading zeros, and if need be case and separators do not matter. Where a person
    has several rows, the session in the recording's name chooses. Columns that may tell who somebody is are
    left out.

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
    recordings, people = recording_columns(table), subject_columns(table)
    if not (recordings or people):
        raise ConfigError(
            f"{name} has no column of identifiers",
            f"add one called {RECORDING_KEYS[0]} or {SUBJECT_KEYS[0]}",
        )
    best: _Keys | None = None
    for key in (*recordings, *people):
        for plain in (plain_identifier, loose_identifier):
            wanted = [plain(v) for v in (ids if key in recordings else subjects)]
            index = table[key].map(plain)
            hits = len(set(wanted) & (set(index) - {""}))
            if hits > (best.hits if best else 0):
                best = _Keys(key, wanted, index, hits)
    if best is None:
        first = (*recordings, *people)[0]
        raise ConfigError(
            f"none of the {len(ids)} recordings is named in {name} (it names {_examples(table[first])}, "
            f"the recordings are called {name_some(list(ids)[:2])})",
            "use the same identifiers in both",
        )
    if best.key in people:
        best = _with_sessions(best, table, ids)
    key, wanted, index = best.key, best.wanted, best.index
    twice = index[index.duplicated() & (index != "")].unique()
    relevant = [str(t).replace("|", " session ") for t in twice if t in set(wanted)]
    if relevant:
        raise ConfigError(
            f"{name} names {len(relevant)} of the recordings more than once in {key}: {name_some(relevant)}",
            "keep one row each",
        )
    rows = table[~index.duplicated()].set_index(index[~index.duplicated()])
    joined = rows.reindex(wanted).reset_index(drop=True)
    known = set(rows.index)
    missing = tuple(i for i, w in zip(ids, wanted, strict=True) if w not in known)
    drop = [c for c in (*recordings, *people) if c in joined]
    unused = tuple(str(v) for v in rows.index if v and v not in set(wanted))
    kept, left_out = personal.leave_out_personal(joined.drop(columns=drop))
    notices = tuple(table.attrs.get("notices", ()))
    return Matching(kept, key, len(ids) - len(missing), missing, unused, left_out, notices)


@dataclass(frozen=True, eq=False)
class _Keys:
    """Identifiers of recordings and of a column, spelled alike."""

    key: str
    wanted: list[str]
    index: pd.Series
    hits: int


def _with_sessions(keys: _Keys, table: pd.DataFrame, ids: Sequence[str]) -> _Keys:
    """Tell the rows of one person apart by session, when table and recordings name sessions."""
    column = session_column(table)
    doubled = keys.index[keys.index.duplicated() & (keys.index != "")]
    sessions = [session_of(i) for i in ids]
    if column is None or doubled.empty or not any(sessions):
        return keys
    own = table[column].map(plain_session)
    index = pd.Series(
        [f"{i}|{s}" if i else "" for i, s in zip(keys.index, own, strict=True)], index=table.index
    )
    wanted = [f"{w}|{s}" for w, s in zip(keys.wanted, sessions, strict=True)]
    return _Keys(f"{keys.key} and {column}", wanted, index, keys.hits)


def _examples(column: pd.Series) -> str:
    return name_some([str(v) for v in column.dropna().unique()[:2]]) or "nobody"
