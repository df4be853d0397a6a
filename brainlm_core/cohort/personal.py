"""Columns of tables about people that may tell who somebody is: names, places, dates. They are left out.

Identifiers are not: recordings are joined by them, and what they are called is for whoever scanned to decide.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

#: Parts of a column's name that tell alone.
_TELLING = {
    "firstname", "lastname", "surname", "forename", "fullname", "familyname", "givenname", "maidenname",
    "nickname", "initials", "vorname", "nachname", "geburtsname", "email", "phone", "telephone", "mobile",
    "address", "adresse", "street", "zipcode", "postcode", "ssn", "mrn", "physician", "operator",
    "operators", "institution", "hospital", "serial", "accession", "dob", "yob", "birthdate", "birthday",
    "geburtsdatum", "geburtstag", "date", "dates", "datum", "datetime", "timestamp",
}  # fmt: skip
#: What may stand beside "name" where it is a person's, and beside "birth" where it is a day or a year.
_PERSONS = {
    "first", "last", "full", "given", "family", "middle", "maiden", "patient", "patients", "subject",
    "participant", "person", "proband", "child", "mother", "father", "parent", "of", "s", "the",
}  # fmt: skip
_DAYS = {
    "year", "month", "day", "time", "of", "patient", "patients", "subject", "participant", "person", "s",
    "the",
}  # fmt: skip
_WORD = re.compile(r"[A-ZÄÖÜ]+(?![a-zäöüß])|[A-ZÄÖÜ]?[a-zäöüß]+")
_MONTH = r"(?:jan|feb|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zäé]*"
_DATE = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"  # 1964-08-12
    r"|(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d"  # 12.08.1964, 8/12/1964
    r"|\d\d?/\d\d?/\d\d"  # 8/12/64
    rf"|\d\d?(?:st|nd|rd|th)?\.?[ -]?{_MONTH}\.?,?[ -]?(?:19|20)\d\d"  # 12 August 1964
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?:\.\d+)?)?)(?!\d)"  # 19640812, DICOM
    rf"|{_MONTH}\.? \d\d?,? (?:19|20)\d\d",  # August 12, 1964
    re.IGNORECASE,
)
#: A person as DICOM writes one.
_DICOM_NAME = re.compile(r"[^\W\d]\^[^\W\d]")


def leave_out_personal(
    table: pd.DataFrame, keep: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Leave out the columns that name people or places, or hold dates.

    A column is left out when its name says so ("PatientName", "date_of_birth", "acq_date"), when it holds
    times, when one of its texts holds a date or a name as DICOM writes it, or when all its numbers are dates
    written as 19640812. Nobody can tell a name in free text under an innocent heading.

    Parameters
    ----------
    table : pandas.DataFrame
    keep : tuple of str
        Columns that stay whatever they hold: the identifiers.

    Returns
    -------
    table : pandas.DataFrame
        The other columns, in order.
    left_out : tuple of str
        Names of the columns that were left out.
    """
    personal = [c for c in table if c not in keep and (_says_so(str(c)) or _holds_dates(table[c]))]
    return table.drop(columns=personal), tuple(map(str, personal))


def sentence(left_out: tuple[str, ...]) -> str:
    """Return what was left out, in words without a full stop; empty for nothing."""
    if not left_out:
        return ""
    return f"left out, since they may tell who somebody is: {', '.join(left_out)}"


def _says_so(name: str) -> bool:
    words = {w.lower() for w in _WORD.findall(name)}
    if words & _TELLING:
        return True
    person = words - {"name", "names"}
    return (person != words and person <= _PERSONS) or ("birth" in words and words - {"birth"} <= _DAYS)


def _holds_dates(column: pd.Series) -> bool:
    values = column.dropna()
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if pd.api.types.is_bool_dtype(values.dtype) or values.empty:
        return False
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(np.float64)
        if not (np.abs(numbers) < 1e9).all() or (numbers != np.rint(numbers)).any():
            return False
        return all(_DATE.fullmatch(str(int(v))) for v in np.unique(numbers))
    texts = values.astype(str).unique()
    return any(_DATE.search(t) or _DICOM_NAME.search(t) for t in texts)
