"""What decoding is asked, checked before anything is fitted, and the features that stand side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.cohort.columns import words
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.decode.nested import FeatureSet

Array = NDArray[np.float64]

PREDICTORS = ("ridge", "logistic", "svm", "mlp")
TASKS = ("auto", "regression", "classification")
#: Fewest people, fewest people per class, and fewest sites when sites are left out.
MIN_PEOPLE, MIN_PER_CLASS, MIN_SITES = 20, 10, 3
#: With fewer people than this a score says little, and this is said.
FEW_PEOPLE = 40
#: A numeric column with more different values than this is a number, with fewer a set of classes.
MAX_CLASSES = 10
#: Acquisition columns that are regressed out of brain features, and that stand as a baseline of their own.
CONFOUNDS = ("mean_fd_mm", "tr_s", "duration_s")
#: Phenotypes that stand beside them in the baseline "age, sex, motion, site".
PEOPLE = ("age_years", "age", "sex", "gender")


@dataclass(frozen=True)
class DecodeOptions:
    """How to decode.

    Parameters
    ----------
    target : str
        Column to tell.
    group : str
        Column whose values are never split over training and test; a person must have one value.
    leave_out : str or None
        Column whose values are left out whole, one at a time (``site``); None leaves out groups.
    layer : {"cls", "mean"}
        Which embedding.
    predictor : {"ridge", "logistic", "svm", "mlp"}
        ``ridge`` tells classes by their ±1; ``logistic`` tells numbers by ridge.
    task : {"auto", "regression", "classification"}
    confounds : tuple of str
        Columns regressed out of the brain features inside the folds; those that are not there or do not vary
        are left out.
    n_permutations, n_bootstrap, n_folds, n_inner, seed : int
        0 permutations leave p out.
    """

    target: str
    group: str = "subject_id"
    leave_out: str | None = None
    layer: str = "cls"
    predictor: str = "ridge"
    task: str = "auto"
    confounds: tuple[str, ...] = CONFOUNDS
    n_permutations: int = 199
    n_bootstrap: int = 1000
    n_folds: int = 5
    n_inner: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("predictor", self.predictor, PREDICTORS),
            ("task", self.task, TASKS),
            ("layer", self.layer, ("cls", "mean")),
        ):
            if value not in known:
                raise ConfigError(f"there is no {name} {value!r}", f"choose one of {', '.join(known)}")
        if self.n_permutations < 0 or self.n_bootstrap < 100 or self.n_folds < 2 or self.n_inner < 2:
            raise ConfigError(
                "the numbers of permutations, bootstrap samples or folds are too small",
                "take at least 0 permutations, 100 samples and 2 folds",
            )


@dataclass(frozen=True, eq=False)
class Question:
    """A target that can be decoded.

    Parameters
    ----------
    task : {"regression", "classification"}
    rows : ndarray (n,), int
        Recordings with a value.
    truth : ndarray (n,)
        Numbers, or class numbers.
    classes : tuple of str
        In the order of their numbers; empty for regression.
    subjects, groups, sites : ndarray (n,), str
        ``groups`` is what is kept on one side of every fold: the left-out column, else the group column.
    notices : tuple of str
    """

    task: str
    rows: NDArray[np.intp]
    truth: NDArray[np.generic]
    classes: tuple[str, ...]
    subjects: NDArray[np.str_]
    groups: NDArray[np.str_]
    sites: NDArray[np.str_]
    notices: tuple[str, ...]


def pose(embeddings: Embeddings, options: DecodeOptions) -> Question:
    """Check everything that could make a score a lie.

    Raises
    ------
    ConfigError
        If a column is not there, or a text column is to be told as a number.
    AnalysisError
        If there are too few people, one class only, or a person or a recording on both sides of a fold.
    """
    table = embeddings.table()
    for column in filter(None, (options.target, options.group, options.leave_out)):
        if column not in table:
            raise ConfigError(f"there is no column {column}", f"choose one of {', '.join(table.columns)}")
    column = table[options.target]
    task, values, notices = _values(column, options)
    rows = np.flatnonzero(values.notna().to_numpy())
    values, part = values.iloc[rows], table.iloc[rows]
    notices += _left_out(len(table) - len(rows), options.target)
    subjects = part["subject_id"].astype(str).to_numpy(np.str_)
    n_people = len(np.unique(subjects))
    if n_people < MIN_PEOPLE:
        raise AnalysisError(
            f"{n_people} people with {options.target} are too few to decode",
            f"bring at least {MIN_PEOPLE}",
        )
    if n_people < FEW_PEOPLE:
        notices += (f"{n_people} people are few: the intervals are wide, and a score may be chance.",)
    groups = _groups(part, options)
    classes: tuple[str, ...] = ()
    if task == "classification":
        values, classes, few = _classes(values, subjects, options.target)
        notices += few
        kept = values.notna().to_numpy()
        rows, values = rows[kept], values[kept].astype(int)
        subjects, groups, part = subjects[kept], groups[kept], part[kept]
    elif float(values.std()) == 0:
        raise AnalysisError(f"{options.target} is the same for everyone", "choose a column that varies")
    _check_leaks(embeddings, rows, subjects, groups, options)
    sites = part["site"].astype(str).to_numpy(np.str_)
    return Question(task, rows, values.to_numpy(), classes, subjects, groups, sites, notices)


def _values(column: pd.Series, options: DecodeOptions) -> tuple[str, pd.Series, tuple[str, ...]]:
    number = pd.to_numeric(column, errors="coerce")
    is_number = bool((number.notna() == column.notna()).all()) and not pd.api.types.is_bool_dtype(
        column.dtype
    )
    n_values = column.nunique()
    task = options.task
    told = int(number.notna().sum())
    if not is_number and n_values > MAX_CLASSES and told >= 0.5 * int(column.notna().sum()):
        odd = [str(v) for v in column[column.notna() & number.isna()].unique()]
        raise ConfigError(
            f"{options.target} holds text among its numbers ({', '.join(map(repr, odd[:3]))})",
            "write plain numbers with a decimal point, or leave these cells empty",
        )
    if task == "auto":
        task = "regression" if is_number and n_values > MAX_CLASSES else "classification"
    if task == "regression" and not is_number:
        example = next(v for v in column.dropna() if pd.isna(pd.to_numeric(v, errors="coerce")))
        raise ConfigError(
            f"{options.target} holds text ({example!r}), which is no number to predict",
            "choose a numeric column, or tell its classes apart",
        )
    if task == "regression":
        number = number.astype(float)
        return task, number.where(np.isfinite(number)), ()
    if n_values > MAX_CLASSES:
        raise ConfigError(
            f"{options.target} has {n_values} different values, too many for classes",
            f"choose a column with 2 to {MAX_CLASSES}, or a numeric one",
        )
    return task, column.astype(object).where(column.notna(), None), ()


def _left_out(n: int, target: str) -> tuple[str, ...]:
    if not n:
        return ()
    have = "recordings have" if n > 1 else "recording has"
    return (f"{n} {have} no value for “{words(target)}” and {'were' if n > 1 else 'was'} left out.",)


def _classes(
    values: pd.Series, subjects: NDArray[np.str_], target: str
) -> tuple[pd.Series, tuple[str, ...], tuple[str, ...]]:
    names = values.astype(str)
    people = pd.Series(subjects, index=names.index).groupby(names).nunique()
    kept = tuple(sorted(people.index[people >= MIN_PER_CLASS]))
    small = tuple(sorted(people.index[people < MIN_PER_CLASS]))
    if len(people) < 2:
        raise AnalysisError(
            f"everyone has the same {target}, {names.iloc[0]}", "choose a column with at least two classes"
        )
    if len(kept) < 2:
        raise AnalysisError(
            f"only {len(kept)} class of {target} has {MIN_PER_CLASS} people or more",
            "bring more people, or join classes",
        )
    notice = (
        (f"Classes with fewer than {MIN_PER_CLASS} people left out: {', '.join(small)}.",) if small else ()
    )
    return names.map({name: i for i, name in enumerate(kept)}), kept, notice


def _groups(part: pd.DataFrame, options: DecodeOptions) -> NDArray[np.str_]:
    column = options.leave_out or options.group
    groups = part[column]
    missing = groups.isna() | (groups.astype(str) == "")
    if missing.any():
        raise AnalysisError(
            f"{int(missing.sum())} recordings have no {column}", "fill the column, or choose another"
        )
    out = groups.astype(str).to_numpy(np.str_)
    n = len(np.unique(out))
    if options.leave_out and n < MIN_SITES:
        raise AnalysisError(
            f"{column} has {n} value{'s' if n > 1 else ''}, too few to leave one out",
            f"bring at least {MIN_SITES}, or leave people out",
        )
    if not options.leave_out and n < MIN_PEOPLE:
        raise AnalysisError(
            f"{column} has {n} different values, too few groups to cross-validate",
            f"bring at least {MIN_PEOPLE}, or leave {column} out whole",
        )
    return out


def _check_leaks(
    embeddings: Embeddings,
    rows: NDArray[np.intp],
    subjects: NDArray[np.str_],
    groups: NDArray[np.str_],
    options: DecodeOptions,
) -> None:
    """Refuse a person, or a copied recording, on both sides of a fold."""
    column = options.leave_out or options.group
    per_person = pd.Series(groups).groupby(subjects).nunique()
    torn = list(per_person.index[per_person > 1])
    if torn:
        raise AnalysisError(
            f"{len(torn)} people have several values of {column} (first: {torn[0]}) and would be "
            "in training and test",
            "group by subject_id, or leave their other recordings out",
        )
    _, first, twin = np.unique(embeddings.cls[rows], axis=0, return_index=True, return_inverse=True)
    copied = np.flatnonzero(groups[first][twin] != groups)
    if len(copied):
        row = copied[0]
        pair = embeddings.ids[rows[first[twin[row]]]], embeddings.ids[rows[row]]
        raise AnalysisError(
            f"recordings {pair[0]} and {pair[1]} are the same scan under two names, one would be in training "
            "and one in test",
            "keep one of them, or give both the same subject_id",
        )


def feature_sets(embeddings: Embeddings, question: Question, options: DecodeOptions) -> dict[str, FeatureSet]:
    """Return the model's features and everything that they must be compared with.

    Keys, where the embeddings have what it takes: ``model``, ``random_twin``, ``functional_connectivity``,
    ``autocorrelation`` (mean of each network; of each parcel where no networks are known), ``confounds``.
    """
    rows = question.rows
    confounds = _columns(embeddings, options.confounds, question, options)
    sites = question.groups if options.leave_out else None
    brain: dict[str, tuple[Array, bool]] = {"model": (_double(embeddings.vectors(options.layer), rows), True)}
    twin = embeddings.twin_cls if options.layer == "cls" else embeddings.twin_mean
    if twin is not None:
        brain["random_twin"] = _double(twin, rows), True
    if embeddings.connectivity is not None:
        brain["functional_connectivity"] = rotated(embeddings.connectivity[rows]), False
    if embeddings.autocorrelation is not None:
        brain["autocorrelation"] = network_autocorrelation(embeddings)[rows], True
    out = {
        name: FeatureSet(name, _variants(x, confounds, sites), confounds.shape[1], scaled)
        for name, (x, scaled) in brain.items()
    }
    plain = _columns(embeddings, (*CONFOUNDS, *PEOPLE, "site"), question, options)
    if plain.shape[1]:
        out["confounds"] = FeatureSet("confounds", (plain,))
    return out


def rotated(x: NDArray[np.floating]) -> Array:
    """Return coordinates (n, ≤ n) with the same distances between rows as ``x`` (n, p).

    Ridge and linear margins depend on distances alone, so nothing is lost, and 90,000 correlations cost no
    more than n numbers.
    """
    if x.shape[1] <= len(x):
        return x.astype(np.float64)
    centre = x.mean(axis=0, dtype=np.float64)
    gram = np.zeros((len(x), len(x)))
    for start in range(0, x.shape[1], 4096):
        block = x[:, start : start + 4096] - centre[start : start + 4096]
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-9 * max(float(values[-1]), 1e-300)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def network_autocorrelation(embeddings: Embeddings) -> Array:
    """Return the lag-1 autocorrelation averaged per network (n, networks), per parcel without networks."""
    values = embeddings.autocorrelation
    if values is None:
        raise ConfigError("these embeddings hold no autocorrelation", "embed the cohort again")
    parcels = embeddings.parcellation
    if parcels is None or not any(parcels.yeo7):
        return values.astype(np.float64)
    group = np.array(parcels.group)
    return np.stack([values[:, group == g].mean(axis=1, dtype=np.float64) for g in np.unique(group)], axis=1)


def _double(values: NDArray[np.floating], rows: NDArray[np.intp]) -> Array:
    return values[rows].astype(np.float64)


def _variants(x: Array, confounds: Array, sites: NDArray[np.str_] | None) -> tuple[Array, ...]:
    """Return the features as they are and, when whole sites are left out, without each site's mean.

    The mean of a site needs no label and mixes no two sites, so no fold sees into another.
    """
    own = np.column_stack([x, confounds])
    if sites is None:
        return (own,)
    centred = own.copy()
    for site in np.unique(sites):
        rows = sites == site
        known = ~np.isnan(own[rows])
        mean = np.where(known, own[rows], 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred[rows] -= mean
    return own, centred


def _columns(
    embeddings: Embeddings, names: tuple[str, ...], question: Question, options: DecodeOptions
) -> Array:
    """Return table columns as numbers (n, k); text becomes one column per value, but the target never."""
    table = embeddings.table().iloc[question.rows]
    parts: list[Array] = []
    for name in dict.fromkeys(names):
        if name not in table or name in (options.target, options.leave_out):
            continue
        number = pd.to_numeric(table[name], errors="coerce")
        if number.notna().sum() >= 0.5 * table[name].notna().sum() > 0:
            values = number.to_numpy(np.float64)[:, None]
        else:
            values = pd.get_dummies(table[name].astype(str)).to_numpy(np.float64)
        spread = np.nanstd(values, axis=0) if np.isfinite(values).any() else np.zeros(values.shape[1])
        parts.append(values[:, spread > 1e-9])
    return np.column_stack(parts) if parts else np.zeros((len(table), 0))
