"""Some recordings of a cohort against the rest: per parcel, per phenotype; and who lies near whom.

Recordings of one person are averaged first, so that a person counts once. Per parcel: difference in means
over the pooled standard deviation (Cohen's d), Welch's t-test, false discovery rate over parcels (Benjamini
and Hochberg 1995). Per phenotype: the same for numbers; Fisher's exact or chi-squared test for groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.cohort.embeddings import Embeddings

Array = NDArray[np.float64]

#: Fewest people on either side.
MIN_PEOPLE = 5
#: What is compared per parcel, and how it is told.
MEASURES = {
    "connectivity": "mean functional connectivity with all other parcels",
    "autocorrelation": "lag-1 autocorrelation",
    "amplitude": "amplitude (standard deviation)",
}
#: Text columns with more values than this are names, not groups.
MAX_GROUPS = 30


@dataclass(frozen=True, eq=False)
class GroupComparison:
    """Selected against the rest.

    Parameters
    ----------
    measure : str
        Key of :data:`MEASURES`.
    people : (int, int)
        Selected, and the rest.
    effect : ndarray (P,), float64
        Cohen's d, selected minus rest; NaN where a parcel does not vary.
    p, q : ndarray (P,), float64
        Welch's t-test, and its false discovery rate over parcels; NaN as above.
    phenotypes : pandas.DataFrame
        Columns ``column``, ``selected``, ``rest`` (mean or shares, in words), ``effect`` (Cohen's d or
        Cramér's V), ``p`` and ``q`` over columns.
    mixed : int
        People with recordings on both sides, who were left out of the comparison.
    """

    measure: str
    people: tuple[int, int]
    effect: Array
    p: Array
    q: Array
    phenotypes: pd.DataFrame
    mixed: int

    @property
    def n_significant(self) -> int:
        """Parcels with q below .05."""
        return int((self.q < 0.05).sum())


def measures_of(embeddings: Embeddings) -> tuple[str, ...]:
    """Return which measures per parcel these embeddings hold, and differ in."""
    held = [m for m in MEASURES if getattr(embeddings, m) is not None]
    return tuple(m for m in held if m != "amplitude" or embeddings.amplitude_varies)


def compare_groups(
    embeddings: Embeddings, rows: Sequence[int] | NDArray[np.integer], measure: str = "autocorrelation"
) -> GroupComparison:
    """Compare some recordings with the rest.

    Parameters
    ----------
    embeddings : Embeddings
    rows : sequence of int
        The selected recordings.
    measure : str
        One of :func:`measures_of`.

    Raises
    ------
    AnalysisError
        If either side has fewer than :data:`MIN_PEOPLE` people.
    ConfigError
        If the embeddings do not hold the measure.
    """
    if measure not in measures_of(embeddings):
        raise ConfigError(f"these embeddings hold no {measure}", "embed the cohort again with it")
    chosen = np.zeros(len(embeddings), dtype=bool)
    chosen[np.asarray(rows, dtype=np.intp)] = True
    side, member, mixed = _sides(embeddings, chosen)
    n_in, n_out = int((side == 1).sum()), int((side == 0).sum())
    if min(n_in, n_out) < MIN_PEOPLE:
        few = "selected" if n_in < n_out else "left"
        raise AnalysisError(
            f"only {min(n_in, n_out)} people are {few}", f"select so that {MIN_PEOPLE} are on either side"
        )
    values = _by_person(parcel_measure(embeddings, measure), member, len(side))
    effect, p = _welch(values[side == 1], values[side == 0])
    table = _phenotypes(embeddings, member, side)
    return GroupComparison(measure, (n_in, n_out), effect, p, false_discovery(p), table, mixed)


def parcel_measure(embeddings: Embeddings, measure: str) -> Array:
    """Return one number per recording and parcel, (n, P)."""
    values = np.asarray(getattr(embeddings, measure), dtype=np.float64)
    if measure != "connectivity":
        return values
    width = values.shape[1]
    n_parcels = round((1 + np.sqrt(1 + 8 * width)) / 2)
    row, column = np.triu_indices(n_parcels, 1)
    total = np.zeros((len(values), n_parcels))
    for k in range(n_parcels):
        total[:, k] = values[:, (row == k) | (column == k)].sum(axis=1)
    return total / (n_parcels - 1)


def false_discovery(p: Array) -> Array:
    """Return Benjamini–Hochberg q values; NaN stays NaN and does not count."""
    out = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        from scipy.stats import false_discovery_control

        out[known] = false_discovery_control(p[known])
    return out


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The recordings nearest to one.

    Parameters
    ----------
    rows : ndarray (k,), int
        Nearest first.
    similarity : ndarray (k,), float64
        Correlation of the embeddings after the cohort's mean is taken off, −1 to 1.
    same_person : ndarray (k,), bool
    """

    rows: NDArray[np.intp]
    similarity: Array
    same_person: NDArray[np.bool_]


def nearest_to(embeddings: Embeddings, row: int, kind: str = "cls", k: int = 8) -> Neighbours:
    """Return the recordings whose embeddings are most similar to one's."""
    vectors = embeddings.vectors(kind).astype(np.float64)
    vectors = vectors - vectors.mean(axis=0)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    similarity = unit @ unit[row]
    similarity[row] = -np.inf
    order = np.argsort(-similarity, kind="stable")[: min(k, len(embeddings) - 1)]
    same = np.array([embeddings.subjects[i] == embeddings.subjects[row] for i in order], dtype=bool)
    return Neighbours(order, similarity[order], same)


def _sides(
    embeddings: Embeddings, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.intp], int]:
    """Return each person's side (1 selected, 0 rest, -1 both), each recording's person, how many are both."""
    _, member = np.unique(np.array(embeddings.subjects), return_inverse=True)
    share = np.bincount(member, weights=chosen) / np.bincount(member)
    side = np.where(share == 1, 1, np.where(share == 0, 0, -1))
    return side, member, int((side == -1).sum())


def _by_person(values: Array, member: NDArray[np.intp], n: int) -> Array:
    total = np.zeros((n, values.shape[1]))
    np.add.at(total, member, values)
    return total / np.bincount(member, minlength=n)[:, None]


def _welch(one: Array, other: Array) -> tuple[Array, Array]:
    """Return Cohen's d and Welch's p per column; NaN where nothing varies."""
    from scipy.stats import ttest_ind_from_stats

    mean = [g.mean(axis=0) for g in (one, other)]
    variance = [g.var(axis=0, ddof=1) for g in (one, other)]
    n = [len(one), len(other)]
    pooled = np.sqrt(((n[0] - 1) * variance[0] + (n[1] - 1) * variance[1]) / (n[0] + n[1] - 2))
    varies = pooled > 1e-12
    effect = np.full(pooled.shape, np.nan)
    effect[varies] = (mean[0] - mean[1])[varies] / pooled[varies]
    p = np.full(pooled.shape, np.nan)
    sd = [np.sqrt(v[varies]) for v in variance]
    p[varies] = ttest_ind_from_stats(
        mean[0][varies], sd[0], n[0], mean[1][varies], sd[1], n[1], equal_var=False
    ).pvalue
    return effect, p


def _phenotypes(embeddings: Embeddings, member: NDArray[np.intp], side: NDArray[np.int64]) -> pd.DataFrame:
    table = embeddings.table().drop(columns=["recording_id", "subject_id"])
    rows: list[dict[str, Any]] = []
    for column in table:
        told = _column(table[column], member, side)
        if told is not None:
            rows.append({"column": column, **told})
    out = pd.DataFrame(rows, columns=["column", "selected", "rest", "effect", "p"])
    out["q"] = false_discovery(out["p"].to_numpy(np.float64))
    return out.sort_values("p", na_position="last", ignore_index=True)


def _column(column: pd.Series, member: NDArray[np.intp], side: NDArray[np.int64]) -> dict[str, Any] | None:
    if pd.api.types.is_numeric_dtype(column.dtype):
        person = column.groupby(member).mean().to_numpy(np.float64)
        one, other = (person[(side == s) & np.isfinite(person)] for s in (1, 0))
        if min(len(one), len(other)) < MIN_PEOPLE:
            return None
        effect, p = _welch(one[:, None], other[:, None])
        if not np.isfinite(p[0]):
            return None
        return {"selected": _number(one), "rest": _number(other), "effect": effect[0], "p": p[0]}
    person = column.replace("", np.nan).groupby(member).first()
    known = person.notna().to_numpy() & (side >= 0)
    names = person[known].astype(str)
    if not 2 <= names.nunique() <= MAX_GROUPS or min((side[known] == s).sum() for s in (0, 1)) < MIN_PEOPLE:
        return None
    counts = pd.crosstab(names.to_numpy(), side[known])
    from scipy.stats import chi2_contingency, fisher_exact

    statistic = chi2_contingency(counts, correction=False)
    exact = counts.shape == (2, 2)
    chance = float(fisher_exact(counts.to_numpy()).pvalue if exact else statistic.pvalue)
    cramer = float(np.sqrt(statistic.statistic / counts.to_numpy().sum()))
    shares = {s: counts[s] / counts[s].sum() for s in (1, 0)}
    return {"selected": _shares(shares[1]), "rest": _shares(shares[0]), "effect": cramer, "p": chance}


def _number(values: Array) -> str:
    return f"{values.mean():.3g} ± {values.std(ddof=1):.2g}"


def _shares(shares: pd.Series) -> str:
    top = shares[shares > 0].sort_values(ascending=False)
    told = ", ".join(f"{name} {share:.0%}" for name, share in top.head(3).items())
    return told + (" …" if len(top) > 3 else "")
