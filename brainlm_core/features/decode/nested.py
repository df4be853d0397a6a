"""Guesses for people that no part of the fitting has seen: nested, grouped cross-validation.

In each outer fold the training part alone chooses, by inner folds over the same kind of group, the penalty,
the variant of the features (as they are, or with each site's mean removed) and, for positive numbers, whether
to fit the logarithm. For ridge, all permuted label sets go through that whole choice too, at the cost of a
matrix product: the permutation test is exact. Other predictors keep, for permuted labels, the settings that
the true labels chose.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict

from brainlm_core.features.decode.pipelines import PENALTIES, Fold, inner_folds, pipeline, ridge, searched
from brainlm_core.features.decode.scores import auc

Array = NDArray[np.float64]
Tick = Callable[[float], None]


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Numbers that people are told by.

    Parameters
    ----------
    name : str
        Key of the scores.
    variants : tuple of ndarray (n, p + n_confounds), float64
        One is chosen on the training folds; confounds are the last columns.
    n_confounds : int
        Columns that are regressed out and dropped.
    scale_columns : bool
        Whether the columns differ in unit.
    """

    name: str
    variants: tuple[Array, ...]
    n_confounds: int = 0
    scale_columns: bool = True


@dataclass(frozen=True, eq=False)
class Labels:
    """What is to be told, in the true order and permuted.

    Parameters
    ----------
    task : {"regression", "classification"}
    values : ndarray (n, M)
        Numbers, or class numbers; column 0 is the truth.
    n_classes : int
        0 for regression.
    log : bool
        Whether the logarithm may be fitted (all positive).
    """

    task: str
    values: NDArray[Any]
    n_classes: int = 0
    log: bool = False

    def encoded(self) -> Array:
        """Return (n, M, c): the numbers, ±1 for two classes, or ±1 per class."""
        if self.task == "regression":
            return self.values.astype(np.float64)[:, :, None]
        if self.n_classes == 2:
            return np.where(self.values == 1, 1.0, -1.0)[:, :, None]
        return np.where(self.values[:, :, None] == np.arange(self.n_classes), 1.0, -1.0)


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Guesses, each by a model that has not seen the person (or the site).

    Parameters
    ----------
    guesses : ndarray (n, m, c), float64
        Numbers; or decision values above the training share of the class. Column 0 for the true labels.
    probability : ndarray (n, C) or None
        Of each class, calibrated on the training part; true labels only.
    """

    guesses: Array
    probability: Array | None = None


def ridge_out_of_fold(
    features: FeatureSet,
    labels: Labels,
    folds: Sequence[Fold],
    groups: NDArray[Any],
    n_inner: int,
    seed: int,
    tick: Tick | None = None,
) -> OutOfFold:
    """Guess by ridge regression (for classes: on ±1), every label set through the whole nested choice.

    Parameters
    ----------
    features : FeatureSet
    labels : Labels
    folds : sequence of (train, test)
    groups : ndarray (n,)
        Kept together in the inner folds, too.
    n_inner, seed : int
    tick : callable, optional
        Called with the share done; may raise to stop.
    """
    target = labels.encoded()  # (n, M, c)
    out = np.zeros_like(target)
    chance = np.zeros((len(target), max(labels.n_classes, 1))) if labels.n_classes else None
    for number, (train, test) in enumerate(folds):
        inner = inner_folds(groups[train], n_inner, seed)
        y = target[train]
        best = np.full(y.shape[1], np.inf)  # (M,)
        told = np.zeros((len(train), y.shape[2]))
        for x in features.variants:
            for use_log in (False, True) if labels.log else (False,):
                fit = np.log(y) if use_log else y
                losses, guesses = _inner_losses(features, x[train], fit, y, inner, use_log)
                chosen = losses.argmin(axis=0)  # (M,)
                loss = losses.min(axis=0)
                better = loss < best
                best = np.where(better, loss, best)
                if better[0]:
                    told = guesses[chosen[0]]
                if better.any():
                    columns = np.flatnonzero(better)
                    out[test[:, None], columns] = _fit_and_guess(
                        features, x, fit[:, columns], chosen[columns], train, test, use_log, y[:, columns]
                    )
        if chance is not None:
            chance[test] = _probability(told, y[:, 0], out[test, 0], labels.n_classes)
            out[test] -= y.mean(axis=0)
        if tick is not None:
            tick((number + 1) / len(folds))
    return OutOfFold(out, chance)


def _inner_losses(
    features: FeatureSet, x: Array, fit: Array, y: Array, inner: Sequence[Fold], use_log: bool
) -> tuple[Array, Array]:
    """Return squared errors (penalties, M) and the true labels' guesses (penalties, n, c)."""
    n, m, c = fit.shape
    tiled = np.tile(fit.reshape(n, m * c), (1, len(PENALTIES)))
    model = pipeline(
        ridge(np.repeat(PENALTIES, m * c)), features.n_confounds, scale_columns=features.scale_columns
    )
    guess = cross_val_predict(model, x, tiled, cv=inner).reshape(n, len(PENALTIES), m, c)
    if use_log:
        guess = _back(guess, fit[:, None])
    losses = ((guess - y[:, None]) ** 2).sum(axis=(0, 3))  # (penalties, M)
    return losses, guess[:, :, 0].transpose(1, 0, 2)


def _fit_and_guess(
    features: FeatureSet,
    x: Array,
    fit: Array,
    chosen: NDArray[np.intp],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    use_log: bool,
    y: Array,
) -> Array:
    n, m, c = fit.shape
    penalties = np.repeat(np.asarray(PENALTIES)[chosen], c)
    model = pipeline(ridge(penalties), features.n_confounds, scale_columns=features.scale_columns)
    model.fit(x[train], fit.reshape(n, m * c))
    guess = np.asarray(model.predict(x[test])).reshape(len(test), m, c)
    return _back(guess, fit) if use_log else guess


def _back(guess: Array, fit: Array) -> Array:
    """Undo the logarithm, never beyond a factor of e outside what was trained on."""
    return np.exp(np.clip(guess, fit.min(axis=0) - 1, fit.max(axis=0) + 1))


def _probability(told: Array, y: Array, new: Array, n_classes: int) -> Array:
    """Platt's scaling, fitted on inner guesses of the training part: (n_test, C)."""
    label = (y[:, 0] > 0).astype(int) if n_classes == 2 else y.argmax(axis=1)
    out = np.zeros((len(new), n_classes))
    present = np.unique(label)
    if len(present) < 2 or told.std() < 1e-12:
        out[:, present] = np.bincount(label, minlength=n_classes)[present] / len(label)
        return out
    scale = told.std(axis=0) + 1e-12
    model = LogisticRegression(C=1e3, max_iter=1000).fit(told / scale, label)
    out[:, model.classes_] = model.predict_proba(new / scale)
    return out


def searched_out_of_fold(
    features: FeatureSet,
    labels: Labels,
    folds: Sequence[Fold],
    groups: NDArray[Any],
    n_inner: int,
    seed: int,
    predictor: str,
    n_permutations: int,
    tick: Tick | None = None,
) -> OutOfFold:
    """Guess by another predictor; arguments as in :func:`ridge_out_of_fold`.

    Parameters
    ----------
    predictor : {"logistic", "svm", "mlp"}
    n_permutations : int
        Permuted label sets that are fitted, each with the true labels' settings.
    """
    head, grid = searched(predictor, labels.task, seed)
    m = 1 + min(n_permutations, labels.values.shape[1] - 1)
    c = labels.n_classes if labels.n_classes > 2 else 1
    out = np.zeros((len(labels.values), m, c))
    chance = np.zeros((len(out), labels.n_classes)) if labels.n_classes else None
    with warnings.catch_warnings():
        # A head that is still improving after its last step is a head all the same; its score says how good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number, (train, test) in enumerate(folds):
            best = _search(features, labels, groups, train, head, grid, n_inner, seed)
            for k in range(m):
                model = best.fit(best.variant[train], labels.values[train, k])
                guess = _decision(model, best.variant[test], labels)
                out[test, k] = guess
                if chance is not None and k == 0:
                    inner = inner_folds(groups[train], n_inner, seed)
                    told = _inner_decisions(best, train, inner, labels)
                    one = Labels(labels.task, labels.values[train, :1], labels.n_classes).encoded()[:, 0]
                    chance[test] = _probability(told, one, guess, labels.n_classes)
            if tick is not None:
                tick((number + 1) / len(folds))
    return OutOfFold(out, chance)


@dataclass(frozen=True, eq=False)
class _Chosen:
    """A pipeline with its settings, and the variant of the features that it takes."""

    model: Any
    variant: Array
    log: bool
    classify: bool

    def fit(self, x: Array, y: NDArray[Any]) -> Any:
        """Return a fitted copy; regression targets are standardised, as SVR and the MLP need it."""
        if self.classify:
            return clone(self.model).fit(x, y) if len(np.unique(y)) > 1 else None
        return _Standardised(clone(self.model), self.log).fit(x, y)


class _Standardised:
    """A regression on standardised (log) values."""

    def __init__(self, model: Any, log: bool) -> None:
        self.model, self.log = model, log

    def fit(self, x: Array, y: NDArray[Any]) -> _Standardised:
        z = np.log(y) if self.log else y.astype(np.float64)
        self.centre, self.scale = float(z.mean()), float(z.std()) or 1.0
        self.limits = float(z.min()) - 1, float(z.max()) + 1
        self.model.fit(x, (z - self.centre) / self.scale)
        return self

    def predict(self, x: Array) -> Array:
        z = self.model.predict(x) * self.scale + self.centre
        return np.asarray(np.exp(np.clip(z, *self.limits)) if self.log else z)


def _search(
    features: FeatureSet,
    labels: Labels,
    groups: NDArray[Any],
    train: NDArray[np.intp],
    head: Any,
    grid: dict[str, list[Any]],
    n_inner: int,
    seed: int,
) -> _Chosen:
    inner = inner_folds(groups[train], n_inner, seed)
    y = labels.values[train, 0]
    classify = labels.task == "classification"
    best, score = None, -np.inf
    for x in features.variants:
        for use_log in (False, True) if labels.log else (False,):
            truth = np.log(y) if use_log else y
            if not classify:
                truth = (truth - truth.mean()) / (truth.std() or 1.0)
            model = pipeline(head, features.n_confounds, scale_columns=features.scale_columns)
            usable = [(a, b) for a, b in inner if not classify or len(np.unique(y[a])) > 1]
            if not usable:
                return _Chosen(model, x, False, classify)
            scoring = _ranked if classify else "r2"
            search = GridSearchCV(model, grid, cv=usable, scoring=scoring, refit=False).fit(x[train], truth)
            found = float(search.best_score_)
            if found > score or best is None:
                best = _Chosen(clone(model).set_params(**search.best_params_), x, use_log, classify)
                score = found
    if best is None:
        raise AssertionError("every feature set has a variant")
    return best


def _ranked(model: Any, x: Array, y: NDArray[Any]) -> float:
    """Scorer: area under the ROC curve, one half where a fold holds one class."""
    n_classes = len(model.classes_)
    guess = _values_of(model, x)
    if n_classes > 2:
        area = auc(guess[:, None], np.searchsorted(model.classes_, y)[:, None])[0]
    else:
        area = auc(guess[:, None], (y == model.classes_[1]).astype(int)[:, None])[0]
    return 0.5 if np.isnan(area) else float(area)


def _values_of(model: Any, x: Array) -> Array:
    """Return decision values (n, c) around zero."""
    if hasattr(model, "decision_function"):
        value = np.asarray(model.decision_function(x), dtype=np.float64)
        return value[:, None] if value.ndim == 1 else value
    share = np.clip(np.asarray(model.predict_proba(x), dtype=np.float64), 1e-9, 1 - 1e-9)
    logit = np.log(share) - np.log1p(-share)
    return logit[:, 1:] if share.shape[1] == 2 else logit


def _decision(model: Any, x: Array, labels: Labels) -> Array:
    """Return guesses (n, c); a class that was not trained on gets the lowest value."""
    if labels.task == "regression":
        return np.asarray(model.predict(x))[:, None]
    width = labels.n_classes if labels.n_classes > 2 else 1
    if model is None:
        return np.zeros((len(x), width))
    value = _values_of(model, x)
    if width == 1:
        return value
    out = np.full((len(x), width), value.min() - 1)
    if value.shape[1] == 1:  # two of several classes were there
        out[:, model.classes_] = np.column_stack([-value, value])
    else:
        out[:, model.classes_] = value
    return out


def _inner_decisions(best: _Chosen, train: NDArray[np.intp], inner: Sequence[Fold], labels: Labels) -> Array:
    width = labels.n_classes if labels.n_classes > 2 else 1
    told = np.zeros((len(train), width))
    x, y = best.variant[train], labels.values[train, 0]
    for a, b in inner:
        told[b] = _decision(best.fit(x[a], y[a]), x[b], labels)
    return told
