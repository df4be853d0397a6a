"""Columns that say whose row it is, as the consortia call them, and identifiers without their spelling."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

#: Columns that name a recording, the most exact first; as this program writes them.
RECORDING_KEYS = ("recording_id", "scan_id")
#: Columns that name a person: BIDS, HCP, ABIDE, UK Biobank, NDA, ADNI, laboratories.
SUBJECT_KEYS = ("subject_id", "participant_id", "subject")
_RECORDINGS = ("recordingid", "scanid", "recording", "runid")
_SUBJECTS = (
    *("subjectid", "participantid", "subject", "participant", "subid", "srcsubjectid", "eid", "subjectkey"),
    *(
        "subjid",
        "subj",
        "sub",
        "ptid",
        "rid",
        "pid",
        "personid",
        "person",
        "patientid",
        "proband",
        "probandid",
    ),
    *(
        "anonymizedid",
        "anonymisedid",
        "idsubject",
        "pseudonym",
        "bblid",
        "guid",
        "ndarguid",
        "subjects",
        "id",
    ),
    *("participants", "subjectcode", "participantcode"),
)
_SESSIONS = (
    "sessionid",
    "session",
    "ses",
    "visit",
    "visitid",
    "wave",
    "timepoint",
    "eventname",
    "redcapeventname",
)
_SESSION_IN_ID = re.compile(r"(?:^|[_\-/])ses-([A-Za-z0-9]+)")


def plain_label(label: object) -> str:
    """Return the lower-case letters and digits of a column's name."""
    return re.sub(r"[^a-z0-9]", "", str(label).lower())


def is_identifier(label: object) -> bool:
    """Whether a column may name recordings, people or sessions, so that it stays text as written."""
    return plain_label(label) in (*_RECORDINGS, *_SUBJECTS, *_SESSIONS)


def recording_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that name recordings, the most exact first."""
    return _in_order(table, _RECORDINGS)


def subject_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that name people, the most usual first."""
    return _in_order(table, _SUBJECTS)


def session_column(table: pd.DataFrame) -> str | None:
    """Return the column that names the sessions of a person, if there is one."""
    return next(iter(_in_order(table, _SESSIONS)), None)


def _in_order(table: pd.DataFrame, known: Sequence[str]) -> list[str]:
    plain = [(plain_label(c), c) for c in table.columns]
    return [str(c) for k in known for p, c in plain if p == k]


def plain_identifier(value: object) -> str:
    """Return an identifier without ``sub-``, leading zeros and the ``.0`` of spreadsheets."""
    if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
        return ""
    text = str(value).strip().removeprefix("sub-")
    text = text.removesuffix(".0") if text.removesuffix(".0").isdigit() else text
    return text.lstrip("0") or "0" if text.isdigit() else text


def loose_identifier(value: object) -> str:
    """Return an identifier as BIDS writes it: letters and digits only (``NDAR_INV1`` is ``sub-NDARINV1``)."""
    text = re.sub(r"[^a-z0-9]", "", plain_identifier(value).lower()).removeprefix("sub")
    return text.lstrip("0") or text


def plain_session(value: object) -> str:
    """Return a session without ``ses-`` and leading zeros."""
    return loose_identifier(str(value).strip().removeprefix("ses-"))


def session_of(recording_id: str) -> str:
    """Return the session that the name of a recording states, ``""`` when it states none."""
    found = _SESSION_IN_ID.search(recording_id)
    return plain_session(found[1]) if found else ""
