"""Values of tables about people: codes that stand for missing, and words spelled in several ways."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainlm_core.cohort.identifiers import is_identifier, plain_label

#: Numbers that stand for a missing value where they lie far from all others.
_CODES = (-99999, -9999, -8888, -7777, -999, -888, -777, -99, -88, -77, -9, 999, 9999, 99999, 888, 777)
_SEXES = {
    **dict.fromkeys(("m", "male", "man", "boy", "männlich", "maennlich", "mann", "homme", "masculin"), "M"),
    **dict.fromkeys(("f", "female", "woman", "girl", "w", "weiblich", "frau", "femme", "feminin"), "F"),
}
_SEX_COLUMNS = ("sex", "gender", "geschlecht", "biologicalsex", "sexatbirth", "biosex")
#: A column of more different words than this is free text.
_MAX_WORDS = 50


def tidy(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Make codes missing and spellings one; say what was changed.

    A number such as −9999, −999, −99 or 999 is missing when it lies farther from all other values than these
    lie from each other. Identifiers stay as they are.

    Parameters
    ----------
    table : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
    notices : tuple of str
    """
    out, notices = table.copy(), []
    for column in table.columns:
        if is_identifier(column):
            continue
        values = table[column]
        if pd.api.types.is_bool_dtype(values.dtype):
            continue
        if pd.api.types.is_numeric_dtype(values.dtype):
            codes = missing_codes(values)
            if codes:
                bad = values.isin(codes)
                out[column] = values.astype(float).where(~bad)
                shown = ", ".join(f"{c:g}".replace("-", "−") for c in codes)
                notices.append(f"{column}: {int(bad.sum())} values of {shown} were taken as missing")
        else:
            folded, notice = _fold_words(values, sex=plain_label(column) in _SEX_COLUMNS)
            if notice:
                out[column] = folded
                notices.append(f"{column}: {notice}")
    return out, tuple(notices)


def missing_codes(values: pd.Series) -> tuple[float, ...]:
    """Return the codes in a column of numbers that lie far from all its other values."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = numbers[np.isfinite(numbers)]
    known = numbers[~np.isin(numbers, _CODES)]
    if len(known) < 3:
        return ()
    low, high = known.min(), known.max()
    reach = max(high - low, 1.0)
    found = [c for c in _CODES if (numbers == c).any()]
    # One code too near to tell (−9 beside −8 … 12) leaves the others their meaning.
    return tuple(float(c) for c in found if c < low - reach or c > high + reach)


def _fold_words(values: pd.Series, *, sex: bool) -> tuple[pd.Series, str]:
    """Return words in one spelling each, and what was folded; as they are when nothing was."""
    known = values.dropna().astype(str)
    words = known.str.strip()
    if sex:
        lower = words.str.lower().str.rstrip(".")
        if lower.isin(_SEXES).mean() > 0.5:
            folded = lower.map(_SEXES).fillna(words)
            changed = int((folded != known).sum())
            new = values.astype(object).copy()
            new.loc[known.index] = folded
            return new, f"{changed} spellings were folded to M and F" if changed else ""
    if not 1 < words.nunique() <= _MAX_WORDS:
        return values, ""
    counts = words.value_counts()
    best: dict[str, str] = {}
    for word in counts.index:
        best.setdefault(word.lower(), word)
    folded = words.map(lambda w: best[w.lower()])
    changed = int((folded != known).sum())
    if not changed:
        return values, ""
    new = values.astype(object).copy()
    new.loc[known.index] = folded
    return new, f"{changed} spellings that differ only in case or blanks were folded"
