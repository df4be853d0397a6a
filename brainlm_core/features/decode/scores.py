"""How well people are told apart: measures over many label sets at once, intervals, p values.

Where whole sites are left out, guesses of different sites come from different training sets, so a pooled
score also measures how sites differ: in their means, and in how common a class is. Beside it stands the score
within sites, and intervals draw sites, not people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from scipy.stats import t as student

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WithinSites:
    """A score that compares people of one site with each other only.

    Parameters
    ----------
    value : float
        Area under the ROC curve of each site, weighted by its recordings; or 1 minus squared errors over
        squared deviations from the mean of the site, both summed over sites.
    ci95 : (float, float)
        Percentiles of a bootstrap over sites.
    n_sites : int
        Sites in which it can be measured.
    """

    value: float
    ci95: tuple[float, float]
    n_sites: int

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-serialisable dictionary."""
        return {"value": self.value, "ci95": list(self.ci95), "n_sites": self.n_sites}


@dataclass(frozen=True)
class Score:
    """One method's score.

    Parameters
    ----------
    value : float
        R² (regression) or area under the ROC curve, pooled over all test folds.
    ci95 : (float, float)
        Percentiles of a bootstrap over people.
    p : float or None
        Share of permuted label sets that score as well; None when none were drawn.
    difference : (float, float, float) or None
        The model's score minus this one, with the 95 % interval of the paired bootstrap, over sites where
        whole sites are left out, else over people.
    extra : mapping
        Further figures: ``mae``, ``r`` or ``balanced_accuracy``.
    ci95_sites : (float, float) or None
        Percentiles of a bootstrap over sites, where whole sites are left out.
    within_site : WithinSites or None
        Where whole sites are left out and one of them holds enough to compare.
    """

    value: float
    ci95: tuple[float, float]
    p: float | None
    difference: tuple[float, float, float] | None
    extra: Mapping[str, float]
    ci95_sites: tuple[float, float] | None = None
    within_site: WithinSites | None = None

    @property
    def interval(self) -> tuple[float, float]:
        """The interval over what was left out: sites where whole sites are, else people."""
        return self.ci95 if self.ci95_sites is None else self.ci95_sites

    def to_dict(self) -> dict[str, object]:
        """Return a JSON-serialisable dictionary."""
        out: dict[str, object] = {"value": self.value, "ci95": list(self.ci95), "p": self.p, **self.extra}
        if self.difference is not None:
            value, low, high = self.difference
            out["model_minus_this"] = {"value": value, "ci95": [low, high]}
        if self.ci95_sites is not None:
            out["ci95_sites"] = list(self.ci95_sites)
            out["within_site"] = None if self.within_site is None else self.within_site.to_dict()
        return out


def r2(guess: Array, truth: Array) -> Array:
    """Return R² about the mean of the tested values, for each label set.

    Parameters
    ----------
    guess, truth : ndarray (n, m)

    Returns
    -------
    ndarray (m,)
        NaN where the truth does not vary.
    """
    total = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    error = ((truth - guess) ** 2).sum(axis=0)
    return np.where(total > 0, 1 - error / np.where(total > 0, total, 1), np.nan)


def auc(guess: Array, truth: NDArray[np.integer]) -> Array:
    """Return the area under the ROC curve; of each class against the rest, averaged, for more than two.

    Parameters
    ----------
    guess : ndarray (n, m, c)
        Decision values; c = 1 for two classes, else one column per class.
    truth : ndarray (n, m), int
        Class numbers.

    Returns
    -------
    ndarray (m,)
        NaN where only one class is there.
    """
    columns = [1] if guess.shape[2] == 1 else list(range(guess.shape[2]))
    parts = []
    for k, label in enumerate(columns):
        positive = truth == label
        n, m = positive.sum(axis=0), (~positive).sum(axis=0)
        ranks = rankdata(guess[:, :, k], axis=0)
        area = ((ranks * positive).sum(axis=0) - n * (n + 1) / 2) / np.maximum(n * m, 1)
        parts.append(np.where((n > 0) & (m > 0), area, np.nan))
    stacked = np.stack(parts)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def measure(guess: Array, truth: NDArray[np.generic], task: str) -> Array:
    """Return :func:`r2` or :func:`auc` of guesses (n, m, c) and truths (n, m), (m,)."""
    if task == "regression":
        return r2(guess[:, :, 0], truth.astype(np.float64))
    return auc(guess, truth.astype(np.int64))


def score_methods(
    guesses: Mapping[str, Array],
    truths: NDArray[np.generic],
    subjects: NDArray[np.generic],
    task: str,
    n_bootstrap: int,
    seed: int,
    *,
    sites: NDArray[np.generic] | None = None,
) -> dict[str, Score]:
    """Score every method on the same people, with paired intervals.

    Parameters
    ----------
    guesses : mapping of str to ndarray (n, m, c)
        Out-of-fold guesses; column 0 for the true labels, the others for permuted ones.
    truths : ndarray (n, M)
        Labels in the same columns; a method with fewer columns has fewer permutations.
    subjects : ndarray (n,)
    task : {"regression", "classification"}
    n_bootstrap, seed : int
    sites : ndarray (n,), optional
        Of each recording, where whole sites are left out.

    Returns
    -------
    dict of str to Score
    """
    draws = _draws(subjects, n_bootstrap, seed)
    drawn = {name: _bootstrap(g[:, 0], truths[:, 0], draws, task) for name, g in guesses.items()}
    by_site: dict[str, Array] = {}
    n_sites = None if sites is None else len(np.unique(sites))
    if sites is not None:
        picks = _draws(sites, n_bootstrap, seed)
        by_site = {name: _bootstrap(g[:, 0], truths[:, 0], picks, task) for name, g in guesses.items()}
    values = {name: measure(g, truths[:, : g.shape[1]], task) for name, g in guesses.items()}
    out = {}
    for name, guess in guesses.items():
        value = float(values[name][0])
        difference = None
        if name != "model" and "model" in drawn:
            paired = by_site or drawn
            gap = paired["model"] - paired[name]
            difference = (float(values["model"][0]) - value, *_interval(gap, n_sites))
        out[name] = Score(
            value,
            _interval(drawn[name]),
            p_value(values[name]),
            difference,
            _extra(guess[:, 0], truths[:, 0], task),
            None if sites is None else _interval(by_site[name], n_sites),
            None
            if sites is None
            else within_sites(guess[:, 0], truths[:, 0], sites, task, n_bootstrap, seed),
        )
    return out


def within_sites(
    guess: Array,
    truth: NDArray[np.generic],
    sites: NDArray[np.generic],
    task: str,
    n_bootstrap: int,
    seed: int,
) -> WithinSites | None:
    """Score guesses (n, c) of truths (n,) within each site; None where no site holds enough to compare.

    Returns
    -------
    WithinSites or None
    """
    parts = []
    for site in np.unique(sites):
        rows = sites == site
        if task == "regression":
            y = truth[rows].astype(np.float64)
            total = float(((y - y.mean()) ** 2).sum())
            parts.append((total - float(((y - guess[rows, 0]) ** 2).sum()), total))
        else:
            area = float(auc(guess[rows][:, None], truth[rows].astype(np.int64)[:, None])[0])
            parts.append((area * rows.sum(), float(rows.sum())) if np.isfinite(area) else (0.0, 0.0))
    table = np.array([part for part in parts if part[1] > 0])  # (sites, 2): share of, out of
    if not len(table):
        return None
    picks = np.random.default_rng(seed).integers(0, len(table), (n_bootstrap, len(table)))
    drawn = table[picks].sum(axis=1)
    value, out_of = table.sum(axis=0)
    return WithinSites(float(value / out_of), _interval(drawn[:, 0] / drawn[:, 1], len(table)), len(table))


def p_value(values: Array) -> float | None:
    """Return the share of values that reach the first one, itself counted (Phipson & Smyth 2010)."""
    null = values[1:][~np.isnan(values[1:])]
    if not len(null) or np.isnan(values[0]):
        return None
    return float((1 + (null >= values[0] - 1e-12).sum()) / (1 + len(null)))


def _draws(subjects: NDArray[np.generic], n: int, seed: int) -> list[NDArray[np.intp]]:
    """Return the rows of each bootstrap sample of people."""
    _, member = np.unique(subjects, return_inverse=True)
    rows = np.argsort(member, kind="stable")
    counts = np.bincount(member)
    ends = np.cumsum(counts)
    own = [rows[end - count : end] for end, count in zip(ends, counts, strict=True)]
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(own), (n, len(own)))
    if len(own) == len(rows):
        return [rows[p] for p in picks]
    return [np.concatenate([own[i] for i in p]) for p in picks]


def _bootstrap(guess: Array, truth: NDArray[np.generic], draws: list[NDArray[np.intp]], task: str) -> Array:
    return np.array([measure(guess[d][:, None], truth[d][:, None], task)[0] for d in draws])


def _interval(values: Array, n_units: int | None = None) -> tuple[float, float]:
    """Return the 95 % interval of bootstrap values; expanded for few units (Hesterberg 2015).

    Plain percentiles of draws of 20 sites are about a tenth too narrow: of guesses that know nothing they
    miss chance in 7 to 9.5 % instead of 5.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    tail = 0.025
    if n_units is not None and n_units > 1:
        tail = float(norm.cdf(-np.sqrt(n_units / (n_units - 1)) * student.ppf(0.975, n_units - 1)))
    low, high = np.percentile(known, [100 * tail, 100 * (1 - tail)])
    return float(low), float(high)


def _extra(guess: Array, truth: NDArray[np.generic], task: str) -> dict[str, float]:
    if task == "regression":
        told, y = guess[:, 0], truth.astype(np.float64)
        varies = told.std() > 1e-9 and y.std() > 0
        r = float(np.corrcoef(told, y)[0, 1]) if varies else 0.0
        return {"mae": float(np.abs(y - told).mean()), "r": r}
    label = truth.astype(np.int64)
    chosen = (guess[:, 0] > 0).astype(np.int64) if guess.shape[1] == 1 else guess.argmax(axis=1)
    hits = [(chosen[label == c] == c).mean() for c in np.unique(label)]
    return {"balanced_accuracy": float(np.mean(hits))}
