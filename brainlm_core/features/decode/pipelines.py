"""The scikit-learn parts that decoding is made of: folds that keep people together, confounds, predictors.

A pipeline's steps, in order: fill missing numbers with the training median; regress confounds out of every
feature (fitted on the training part); centre, and scale columns where they differ in unit; bring the total
variance to one, so that a penalty means the same for 3 features and for 20,000; predict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

Array = NDArray[np.float64]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]

#: Ridge penalties that are tried, in units of the mean eigenvalue of the people × people kernel.
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
#: Above this many sites they are left out in ten groups instead of one by one.
MAX_SINGLE_GROUPS = 25
#: Hidden units of the MLP head.
MLP_UNITS = 32
_FLAT = 1e-12


class ConfoundRegression(TransformerMixin, BaseEstimator):
    """Remove from each feature what a straight line on the confounds explains in the training part.

    Parameters
    ----------
    n_confounds : int
        The last columns of the input; they are used and dropped. 0 leaves the features alone.
    """

    def __init__(self, n_confounds: int = 0) -> None:
        self.n_confounds = n_confounds

    def fit(self, x: Array, y: Any = None) -> ConfoundRegression:
        """Fit one least-squares line per feature; ``x`` (n, features + confounds)."""
        del y
        features, confounds = self._split(x)
        self.centre_ = confounds.mean(axis=0)
        self.weights_ = np.linalg.lstsq(
            confounds - self.centre_, features - features.mean(axis=0), rcond=1e-8
        )[0]
        return self

    def transform(self, x: Array) -> Array:
        """Return the features without the confounds' part, (n, features)."""
        features, confounds = self._split(x)
        return np.asarray(features - (confounds - self.centre_) @ self.weights_)

    def _split(self, x: Array) -> tuple[Array, Array]:
        cut = x.shape[1] - self.n_confounds
        return x[:, :cut], x[:, cut:]


class UnitVariance(TransformerMixin, BaseEstimator):
    """Divide everything by one number, so that the columns' variances sum to one in the training part."""

    def fit(self, x: Array, y: Any = None) -> UnitVariance:
        """Fit the number; ``x`` (n, features)."""
        del y
        total = float(x.var(axis=0).sum())
        self.scale_ = np.sqrt(total) if total > _FLAT else 1.0
        return self

    def transform(self, x: Array) -> Array:
        """Return the scaled features."""
        return np.asarray(x / self.scale_)


def pipeline(predictor: Any, n_confounds: int, *, scale_columns: bool = True) -> Pipeline:
    """Return the pipeline of the module's description.

    Parameters
    ----------
    predictor : estimator
    n_confounds : int
        Last columns of the input that are confounds.
    scale_columns : bool
        False for features that share a unit (correlations): their columns are only centred.
    """
    return Pipeline(
        [
            ("missing", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("confounds", ConfoundRegression(n_confounds)),
            ("scale", StandardScaler(with_std=scale_columns)),
            ("variance", UnitVariance()),
            ("predict", predictor),
        ]
    )


def ridge(penalties: float | Array) -> Ridge:
    """Return ridge regression of many targets at once; one penalty, or one per target."""
    return Ridge(alpha=penalties, solver="svd")


def searched(name: str, task: str, seed: int) -> tuple[Any, dict[str, list[Any]]]:
    """Return a predictor and the grid that its settings are chosen from.

    Parameters
    ----------
    name : {"logistic", "svm", "mlp"}
    task : {"regression", "classification"}
    seed : int
    """
    classify = task == "classification"
    if name == "svm":
        grid = {"predict__C": [0.1, 1.0, 10.0, 100.0]}
        return (SVC(kernel="linear", class_weight="balanced") if classify else SVR(kernel="linear")), grid
    if name == "mlp":
        kind = MLPClassifier if classify else MLPRegressor
        head = kind(hidden_layer_sizes=(MLP_UNITS,), solver="lbfgs", max_iter=100, random_state=seed)
        return head, {"predict__alpha": [0.01, 0.1, 1.0]}
    return LogisticRegression(max_iter=1000), {"predict__C": [0.1, 1.0, 10.0, 100.0, 1000.0]}


def outer_folds(groups: NDArray[Any], whole_sites: bool, n_folds: int, seed: int) -> list[Fold]:
    """Return training and test rows of each fold; a group is never on both sides.

    Parameters
    ----------
    groups : ndarray (n,)
        Sites when ``whole_sites``, else people.
    whole_sites : bool
        Leave each out in turn, up to :data:`MAX_SINGLE_GROUPS` of them.
    n_folds : int
        Folds otherwise.
    seed : int
    """
    n_groups = len(np.unique(groups))
    if whole_sites and n_groups <= MAX_SINGLE_GROUPS:
        return list(LeaveOneGroupOut().split(groups, groups=groups))
    splitter = GroupKFold(min(10 if whole_sites else n_folds, n_groups), shuffle=True, random_state=seed)
    return list(splitter.split(groups, groups=groups))


def inner_folds(groups: NDArray[Any], n_folds: int, seed: int) -> list[Fold]:
    """Return the folds inside a training part, by the same groups as outside."""
    splitter = GroupKFold(min(n_folds, len(np.unique(groups))), shuffle=True, random_state=seed)
    return list(splitter.split(groups, groups=groups))


def permutations(
    subjects: NDArray[Any], blocks: NDArray[Any], y: NDArray[Any], n: int, seed: int
) -> Iterator[NDArray[np.intp]]:
    """Yield for each permutation whose value each row gets, (n_rows,).

    Values change hands between whole people of the same block (site), so that neither repeated scans of a
    person nor differences between sites make a chance result look rare. Where a value differs between the
    scans of one person, values are exchanged among the scans of each person instead.

    Parameters
    ----------
    subjects, blocks, y : ndarray (n_rows,)
    n, seed : int
    """
    random = np.random.default_rng(seed)
    _, first, member = np.unique(subjects, return_index=True, return_inverse=True)
    constant = bool((y[first][member] == y).all())
    labels = blocks[first] if constant else member
    sets = [np.flatnonzero(labels == value) for value in np.unique(labels)]
    for _ in range(n):
        order = np.arange(len(labels))
        for rows in sets:
            order[rows] = random.permutation(rows)
        yield first[order][member] if constant else order
