"""What frozen embeddings tell of people, beside connectivity and beside what is no brain at all.

Kernel ridge regression (for two classes on ±1) with the penalty chosen inside the training part;
whole sites are left out where sites are known, else whole subjects. Features are standardised and
penalties chosen on the training part alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.errors import BrainLMError
from brainlm_core.packs import Cohort

if TYPE_CHECKING:
    from brainlm_core.engine import Engine

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Columns that are decoded, and the measure; age is fitted as its logarithm.
TARGETS = {"age_years": "r2", "sex": "auc", "diagnosis": "auc"}
#: Columns that are no brain: head motion and how the scan was made.
CONFOUNDS = ("mean_fd_mm", "tr_s", "n_volumes")
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
N_FOLDS, N_BOOTSTRAP = 5, 1000
#: Fewer people than this are not decoded.
MIN_PEOPLE = 40


def decode_cohort(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    seed: int,
    notices: list[str],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any] | None:
    """Decode age, sex and diagnosis where the cohort's phenotypes have them.

    Returns
    -------
    dict or None
        ``{target: {metric, n, groups, scores: {method: {value, ci95}}}}``.
    """
    table = cohort.phenotypes
    wanted = [t for t in TARGETS if table is not None and t in table and table[t].nunique() > 1]
    if table is None or not wanted or len(cohort) < MIN_PEOPLE:
        notices.append(f"No decoding: it needs age_years, sex or diagnosis of at least {MIN_PEOPLE} people.")
        return None
    features, rows = _features(engine, twin, cohort, progress, cancel)
    table = table.iloc[rows].reset_index(drop=True)
    confounds = [c for c in CONFOUNDS if c in table]
    if confounds:
        values = table[confounds].apply(pd.to_numeric, errors="coerce")
        features["confounds"] = values.fillna(values.median()).to_numpy(np.float64)
    column = "site" if "site" in table and table["site"].nunique() >= 2 else "subject_id"
    groups = table[column].astype(str) if column in table else pd.Series(range(len(table))).astype(str)
    out = {}
    for target in wanted:
        out[target] = _decode_one(features, table[target], groups.to_numpy(), TARGETS[target], column, seed)
    return out


def _features(
    engine: Engine, twin: Engine, cohort: Cohort, progress: Progress | None, cancel: Cancel | None
) -> tuple[dict[str, Array], list[int]]:
    parts: dict[str, list[Array]] = {"model": [], "random_twin": [], "functional_connectivity": []}
    parts["autocorrelation"] = []
    rows = []
    for row in range(len(cohort)):
        if progress is not None:
            progress(row / len(cohort), f"Embedding: recording {row + 1} of {len(cohort)}")
        try:
            recording = cohort.recording(row)
            stride = engine.spec.n_timepoints * (engine.spec.tr_s or recording.tr_s)
            windows = engine.windows(recording, stride_s=stride)
            own = engine.embed(windows, cancel=cancel).cls.mean(axis=0)
            other = twin.embed(windows, cancel=cancel).cls.mean(axis=0)
        except BrainLMError as error:
            if type(error).__name__ == "Cancelled":
                raise
            continue
        signals = recording.signals.astype(np.float64)
        signals = signals - signals.mean(axis=1, keepdims=True)
        length = np.linalg.norm(signals, axis=1, keepdims=True)
        unit = np.where(length > 1e-9, signals / np.maximum(length, 1e-9), 0)
        upper = np.triu_indices(len(unit), 1)
        parts["model"].append(own.astype(np.float64))
        parts["random_twin"].append(other.astype(np.float64))
        parts["functional_connectivity"].append(np.arctanh(np.clip(unit @ unit.T, -0.99, 0.99))[upper])
        parts["autocorrelation"].append((unit[:, 1:] * unit[:, :-1]).sum(axis=1))
        rows.append(row)
    widths = {len(v) for v in parts["functional_connectivity"]}
    if len(widths) > 1:  # a folder of scans on several parcellations
        del parts["functional_connectivity"], parts["autocorrelation"]
    return {k: np.stack(v) for k, v in parts.items()}, rows


def _decode_one(
    features: dict[str, Array], target: pd.Series, groups: NDArray[Any], metric: str, column: str, seed: int
) -> dict[str, Any]:
    if metric == "auc":
        classes = sorted(target.dropna().unique().tolist(), key=str)[:2]
        keep = target.isin(classes).to_numpy()
        y = np.where(target == classes[1], 1.0, -1.0)
    else:
        number = pd.to_numeric(target, errors="coerce")
        keep = (number > 0).to_numpy()
        y = np.log(number.where(number > 0, 1.0)).to_numpy(np.float64)
    y, groups = y[keep], groups[keep]
    folds = _folds(groups, seed)
    scores: dict[str, Any] = {}
    guesses = {m: _cross_validate(x[keep], y, groups, folds, seed) for m, x in features.items()}
    guesses["dummy"] = _dummy(y, folds)
    if metric == "auc":  # the training part's share of each class differs by fold and must not rank people
        guesses = {m: guess - _dummy(y, folds) for m, guess in guesses.items()}
    for method, guess in guesses.items():
        scores[method] = _with_interval(guess, y, metric, seed)
    return {
        "metric": metric,
        "n": len(y),
        "groups": f"whole values of {column} left out",
        "scores": scores,
    }


def _folds(groups: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Give whole groups to folds of about equal size."""
    names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load, fold = np.zeros(N_FOLDS), np.zeros(len(names), dtype=np.int64)
    for group in order:
        fold[group] = int(load.argmin())
        load[fold[group]] += counts[group]
    return fold[member]


def _cross_validate(x: Array, y: Array, groups: NDArray[Any], folds: NDArray[np.int64], seed: int) -> Array:
    out = np.zeros(len(y))
    for fold in np.unique(folds):
        test = folds == fold
        train = ~test
        own = groups[train] if len(np.unique(groups[train])) > 1 else np.arange(int(train.sum()))
        inner = _folds(own, seed + 1)
        losses = np.zeros(len(PENALTIES))
        for part in np.unique(inner):
            losses += [
                ((y[train][inner == part] - guess) ** 2).sum()
                for guess in _ridge(x[train][inner != part], y[train][inner != part], x[train][inner == part])
            ]
        out[test] = _ridge(x[train], y[train], x[test])[int(losses.argmin())]
    return out


def _ridge(x: Array, y: Array, new: Array) -> list[Array]:
    """Return kernel ridge predictions for each of :data:`PENALTIES`."""
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    x, new = (x - centre) / scale, (new - centre) / scale
    kernel = x @ x.T
    values, vectors = np.linalg.eigh(kernel)
    unit = max(float(values.mean()), 1e-12)
    projected = vectors.T @ (y - y.mean())
    reach = new @ x.T @ vectors
    return [y.mean() + reach @ (projected / (np.maximum(values, 0) + p * unit)) for p in PENALTIES]


def _dummy(y: Array, folds: NDArray[np.int64]) -> Array:
    out = np.zeros(len(y))
    for fold in np.unique(folds):
        out[folds == fold] = y[folds != fold].mean()
    return out


def _measure(guess: Array, y: Array, metric: str) -> float:
    if metric == "auc":
        order = pd.Series(guess).rank().to_numpy()
        positive = y > 0
        n, m = int(positive.sum()), int((~positive).sum())
        return float((order[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")
    truth, told = np.exp(y), np.exp(np.clip(guess, y.min() - 1, y.max() + 1))
    return float(1 - ((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def _with_interval(guess: Array, y: Array, metric: str, seed: int) -> dict[str, Any]:
    draws = np.random.default_rng(seed).integers(0, len(y), (N_BOOTSTRAP, len(y)))
    drawn = [_measure(guess[d], y[d], metric) for d in draws]
    out: dict[str, Any] = {
        "value": _measure(guess, y, metric),
        "ci95": [float(v) for v in np.nanpercentile(drawn, [2.5, 97.5])],
    }
    if metric == "r2":
        told = np.exp(np.clip(guess, y.min() - 1, y.max() + 1))
        out["mae"] = float(np.abs(np.exp(y) - told).mean())
    else:
        hits = [(guess[y == c] * c > 0).mean() for c in (-1.0, 1.0)]
        out["balanced_accuracy"] = float(np.mean(hits))
    return out
