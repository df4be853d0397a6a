"""How well a description of parcels knows the seven networks: one score for models and baselines alike.

Two questions, on the parcels whose Yeo-7 network is known (356 of A424):

- **k-NN accuracy**: share of parcels whose network the majority of their five nearest labelled
  parcels names, 5-fold cross-validation, mean over repeated fold draws. The grouped form keeps
  left and right homologues in one fold, so that a parcel cannot copy its mirror image.
- **ARI**: adjusted Rand index between spectral clusters and the networks.

Intervals (95 %) of one recording say how far the score depends on which parcels there are:
bootstrap over homologue pairs for accuracy, jackknife over pairs for ARI (a bootstrap would put
copies of one parcel into one cluster and flatter it). Cohort intervals: :func:`mean_interval`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.atlas import YEO7, Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.networks.features import Array, Features

#: Nearest neighbours, folds, fold draws and bootstrap draws; the same for everybody.
N_NEIGHBOURS, N_FOLDS, N_REPEATS, N_BOOTSTRAP = 5, 5, 10, 1000
#: Fewer labelled parcels than this, or fewer networks than two with five parcels each, and no score is given.
MIN_LABELLED = 30
#: Mirror images farther apart than this are no homologues, mm.
MAX_HOMOLOGUE_MM = 15.0


@dataclass(frozen=True)
class Score:
    """A figure with its 95 % interval, or the reason why there is none.

    Parameters
    ----------
    value : float or None
        None when the score means nothing here.
    ci95 : tuple of float, or None
        Lower and upper end.
    reason : str
        Why ``value`` is None; empty otherwise.
    """

    value: float | None
    ci95: tuple[float, float] | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return ``{value, ci95}``, with ``reason`` when there is no value."""
        out: dict[str, Any] = {"value": self.value, "ci95": None if self.ci95 is None else list(self.ci95)}
        return out if self.value is not None else {**out, "reason": self.reason}


@dataclass(frozen=True)
class LabelledParcels:
    """The parcels that take part in scores.

    Parameters
    ----------
    rows : ndarray (n,), int
        Their rows in the recording.
    labels : ndarray (n,), int
        Index into ``networks``.
    pairs : ndarray (n,), int
        Same number for left and right homologues.
    networks : tuple of str
        Networks in Yeo's order.
    reason : str
        Why no score can be given; empty when it can.
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.int64]
    pairs: NDArray[np.int64]
    networks: tuple[str, ...] = YEO7
    reason: str = ""

    def chance(self) -> float:
        """Return the accuracy of always naming the largest network."""
        return float(np.bincount(self.labels).max() / len(self.labels)) if len(self.labels) else float("nan")


def labelled_parcels(parcellation: Parcellation, usable: NDArray[np.bool_] | None = None) -> LabelledParcels:
    """Choose the parcels with a known network and varying signals.

    Parameters
    ----------
    parcellation : Parcellation
    usable : ndarray (n_parcels,), bool, optional
        False for flat parcels.
    """
    order = {name: i for i, name in enumerate(YEO7)}
    known = np.array([order.get(name, -1) for name in parcellation.yeo7], dtype=np.int64)
    keep = known >= 0
    if usable is not None:
        keep &= usable
    rows = np.flatnonzero(keep)
    counts = np.bincount(known[rows], minlength=len(YEO7))
    reason = ""
    if len(rows) < MIN_LABELLED or (counts >= N_FOLDS).sum() < 2:
        reason = (
            f"only {len(rows)} parcels with signal have a known network; "
            f"at least {MIN_LABELLED} are needed, with {N_FOLDS} in each of two networks"
        )
    return LabelledParcels(rows, known[rows], homologue_pairs(parcellation)[rows], YEO7, reason)


def homologue_pairs(parcellation: Parcellation) -> NDArray[np.int64]:
    """Give left and right homologues the same number.

    By name where both ``L_x`` and ``R_x`` exist (HCP-MMP); the rest by position: parcels that are
    each other's nearest after mirroring x, on opposite sides, within :data:`MAX_HOMOLOGUE_MM`.

    Returns
    -------
    ndarray (n_parcels,), int64
        Parcels without a homologue have a number of their own.
    """
    n = parcellation.n_parcels
    pairs = np.arange(n, dtype=np.int64)
    names, sides = parcellation.names, np.array(parcellation.hemisphere)
    stem = [name[2:] if name[:2] == f"{side}_" else "" for name, side in zip(names, sides, strict=True)]
    sided = Counter((s, h) for s, h in zip(stem, sides, strict=True) if s)
    right = {s: i for i, (s, h) in enumerate(zip(stem, sides, strict=True)) if s and h == "R"}
    alone = np.ones(n, dtype=bool)
    for i, (s, side) in enumerate(zip(stem, sides, strict=True)):
        if side == "L" and sided[s, "L"] == 1 and sided[s, "R"] == 1:
            pairs[i] = right[s]
            alone[[i, right[s]]] = False
    left_rows, right_rows = (np.flatnonzero(alone & (sides == side)) for side in ("L", "R"))
    if left_rows.size and right_rows.size:
        mirrored = parcellation.xyz[left_rows] * np.array([-1, 1, 1], dtype=np.float32)
        gap = np.linalg.norm(mirrored[:, None] - parcellation.xyz[right_rows][None], axis=-1)
        best = gap.argmin(axis=1)
        mutual = gap.argmin(axis=0)[best] == np.arange(len(left_rows))
        close = mutual & (gap.min(axis=1) <= MAX_HOMOLOGUE_MM)
        pairs[left_rows[close]] = right_rows[best[close]]
    return pairs


def knn_accuracy(
    features: Features,
    labelled: LabelledParcels,
    *,
    grouped: bool = False,
    k: int = N_NEIGHBOURS,
    n_repeats: int = N_REPEATS,
    seed: int = 0,
) -> Score:
    """Score how well the nearest parcels in feature space name a parcel's network.

    Steps: distances between labelled parcels; for each of ``n_repeats`` draws of five folds
    stratified by network, majority of the ``k`` nearest parcels outside the parcel's fold (a
    draw goes to the network first in Yeo's order, as in scikit-learn); mean over parcels and draws.

    Parameters
    ----------
    features : Features
        One row per parcel of the recording.
    labelled : LabelledParcels
    grouped : bool
        Keep homologues in one fold; folds are then stratified by each pair's first parcel.
    k, n_repeats, seed : int

    Returns
    -------
    Score
        Interval: bootstrap over homologue pairs.
    """
    if labelled.reason:
        return Score(None, reason=labelled.reason)
    if k < 1 or n_repeats < 1:
        raise ConfigError("k and n_repeats must be 1 or more", "use k=5 and n_repeats=10")
    correct = _correct(features.rows(labelled.rows).distances(), labelled, grouped, k, n_repeats, seed)
    return Score(float(correct.mean()), _bootstrap_pairs(correct, labelled.pairs, seed))


def ari(clusters: ArrayLike, labelled: LabelledParcels) -> Score:
    """Compare clusters with the known networks (Hubert & Arabie 1985).

    Parameters
    ----------
    clusters : array_like (n_parcels,), int
        Cluster of each parcel of the recording; negative for none (left out).
    labelled : LabelledParcels

    Returns
    -------
    Score
        Interval: jackknife over homologue pairs.
    """
    if labelled.reason:
        return Score(None, reason=labelled.reason)
    chosen = np.asarray(clusters)[labelled.rows]
    has = chosen >= 0
    if has.sum() < MIN_LABELLED:
        return Score(None, reason="fewer than 30 labelled parcels were clustered")
    pair = np.unique(labelled.pairs[has], return_inverse=True)[1]
    cells = np.zeros((pair.max() + 1, int(chosen.max()) + 1, len(labelled.networks)))
    np.add.at(cells, (pair, chosen[has], labelled.labels[has]), 1)
    total = cells.sum(axis=0)
    value = float(_rand(total[None])[0])
    without = _rand(total[None] - cells)
    n = len(without)
    error = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    return Score(value, (value - 1.96 * error, min(1.0, value + 1.96 * error)))


def mean_interval(values: ArrayLike, subjects: ArrayLike | None = None, *, seed: int = 0) -> Score:
    """Return the mean over recordings with a bootstrap interval over subjects.

    Parameters
    ----------
    values : array_like (n,)
        One score per recording; NaN is left out.
    subjects : array_like (n,), optional
        Who was scanned; without it each recording counts as one person.
    """
    x = np.asarray(values, dtype=np.float64)
    who = np.arange(len(x)) if subjects is None else np.asarray(subjects)
    has = np.isfinite(x)
    if not has.any():
        return Score(None, reason="no recording could be scored")
    person = np.unique(who[has], return_inverse=True)[1]
    if person.max() == 0:
        return Score(float(x[has].mean()))
    return Score(float(x[has].mean()), _bootstrap_pairs(x[has], person, seed))


def _correct(
    distance: Array, labelled: LabelledParcels, grouped: bool, k: int, n_repeats: int, seed: int
) -> Array:
    """Return each parcel's share of draws with the right answer, (n,)."""
    n = len(distance)
    labels = labelled.labels
    folds = _folds(labels.tobytes(), labelled.pairs.tobytes() if grouped else None, n_repeats, seed)
    distance = np.round(distance, 9)  # rounding noise must not decide between equal parcels
    rng = np.random.default_rng(seed)
    hits = np.zeros(n)
    for fold in folds:
        # Parcels that share a token are equally near: draw among them, never take the first by index.
        drawn = distance + 1e-10 * rng.random(n)
        order = _nearest(drawn, 10 * k + 20)
        allowed = fold[order] != fold[:, None]  # (n, m), nearest first
        if (allowed.sum(axis=1) < k).any():
            order = _nearest(drawn, n)
            allowed = fold[order] != fold[:, None]
        chosen = allowed & (np.cumsum(allowed, axis=1) <= k)
        row, column = np.nonzero(chosen)
        vote = row * len(labelled.networks) + labels[order[row, column]]
        votes = np.bincount(vote, minlength=n * len(labelled.networks)).reshape(n, -1)
        hits += votes.argmax(axis=1) == labels
    return hits / len(folds)


def _nearest(distance: Array, m: int) -> NDArray[np.intp]:
    """Return the ``m`` nearest parcels of each parcel, nearest first, (n, min(m, n))."""
    if m >= len(distance):
        return np.argsort(distance, axis=1)
    part = np.argpartition(distance, m, axis=1)[:, :m]
    inner = np.argsort(np.take_along_axis(distance, part, axis=1), axis=1)
    return np.take_along_axis(part, inner, axis=1)


@lru_cache(maxsize=64)
def _folds(labels: bytes, pairs: bytes | None, n_repeats: int, seed: int) -> NDArray[np.int64]:
    """Draw stratified folds, (n_repeats, n): the same for every method scored on these parcels."""
    import warnings

    from sklearn.model_selection import StratifiedKFold

    y = np.frombuffer(labels, dtype=np.int64)
    unit = np.arange(len(y)) if pairs is None else np.frombuffer(pairs, dtype=np.int64)
    _, first, member = np.unique(unit, return_index=True, return_inverse=True)
    target = y[first]
    out = np.empty((n_repeats, len(y)), dtype=np.int64)
    for repeat in range(n_repeats):
        fold = np.empty(len(target), dtype=np.int64)
        draw = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed + repeat)
        with warnings.catch_warnings():  # a network with fewer than five parcels is spread as far as it goes
            warnings.simplefilter("ignore", UserWarning)
            for i, (_, test) in enumerate(draw.split(np.zeros(len(target)), target)):
                fold[test] = i
        out[repeat] = fold[member]
    return out


def _bootstrap_pairs(values: Array, units: NDArray[Any], seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean when whole units are drawn again."""
    unit = np.unique(units, return_inverse=True)[1]
    total = np.bincount(unit, weights=values)
    size = np.bincount(unit)
    draws = np.random.default_rng(seed).integers(0, len(size), (N_BOOTSTRAP, len(size)))
    means = total[draws].sum(axis=1) / size[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _rand(table: Array) -> Array:
    """Return the adjusted Rand index of contingency tables (m, clusters, networks) -> (m,)."""

    def pairs_of(x: Array) -> Array:
        return x * (x - 1) / 2

    together = pairs_of(table).sum(axis=(1, 2))
    a, b = (pairs_of(table.sum(axis=axis)).sum(axis=1) for axis in (1, 2))
    expected = a * b / pairs_of(table.sum(axis=(1, 2)))
    best = (a + b) / 2
    same = np.isclose(best, expected)  # one cluster against one network: agreement without information
    return np.where(same, 1.0, (together - expected) / np.where(same, 1.0, best - expected))
