"""What an embedding tells of people, beside what plain features and no brain at all tell of them.

Steps, in order: check the question (:func:`brainlm_core.features.decode.inputs.pose`); cut folds that keep
people, or whole sites, together; guess everyone by models that have not seen them, once for the model and
once for each baseline, with confounds regressed out inside the folds; repeat with labels exchanged between
people of the same site; score, with a bootstrap over people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.methods import methods_of, ordered, words_of
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.cohort.columns import words
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.decode.inputs import DecodeOptions, Question, feature_sets, pose
from brainlm_core.features.decode.nested import (
    FeatureSet,
    Labels,
    OutOfFold,
    ridge_out_of_fold,
    searched_out_of_fold,
)
from brainlm_core.features.decode.pipelines import Fold, outer_folds, permutations
from brainlm_core.features.decode.scores import Score, score_methods
from brainlm_core.inference.engine import Cancelled

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: What a score does not say.
CAVEAT = (
    "A score shows that people can be told apart on average, in this cohort. It shows no mechanism, and is "
    "not good enough to say anything about one person."
)


@dataclass(frozen=True, eq=False)
class DecodeResult(Saved):
    """Scores and guesses.

    Parameters
    ----------
    options : DecodeOptions
    cohort, model : str
        Names.
    simulated : bool
    metric : {"r2", "auc"}
    classes : tuple of str
        Empty for regression.
    ids, subjects : tuple of str, length n
        Recordings that were decoded.
    truth : ndarray (n,)
        Numbers, or class numbers.
    guesses : mapping of str to ndarray (n, c)
        Out-of-fold guesses of every method, as in :class:`OutOfFold`.
    probability : mapping of str to ndarray (n, C)
        Calibrated; classification only.
    scores : mapping of str to Score
    folds : str
        How people were kept apart, in words.
    notices : tuple of str
    """

    options: DecodeOptions
    cohort: str
    model: str
    simulated: bool
    metric: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    truth: NDArray[np.generic]
    guesses: Mapping[str, Array]
    probability: Mapping[str, Array]
    scores: Mapping[str, Score]
    folds: str
    notices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "target": self.options.target,
            "metric": self.metric,
            "n": len(self.ids),
            "n_people": len(set(self.subjects)),
            "groups": self.folds,
            "classes": list(self.classes),
            "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "cohort": self.cohort,
            "simulated": self.simulated,
            "model": self.model,
            "options": {**asdict(self.options), "confounds": list(self.options.confounds)},
            "notices": list(self.notices),
            "caveat": CAVEAT,
        }

    def table(self) -> pd.DataFrame:
        """Return one row per recording: truth, and each method's guess (class: its decision value)."""
        out = pd.DataFrame({"recording_id": self.ids, "subject_id": self.subjects})
        out["truth"] = [self.classes[int(v)] for v in self.truth] if self.classes else self.truth
        for name, guess in self.guesses.items():
            if guess.shape[1] == 1:
                out[f"guess_{name}"] = guess[:, 0]
            else:
                for k, label in enumerate(self.classes):
                    out[f"guess_{name}_{label}"] = guess[:, k]
        for name, share in self.probability.items():
            for k, label in enumerate(self.classes):
                out[f"probability_{name}_{label}"] = share[:, k]
        return out

    def files(self) -> ResultFiles:
        """Return ``decode.json``, ``guesses.csv`` and ``decode.npz``."""
        guesses = {f"guess_{name}": guess for name, guess in self.guesses.items()}
        return ResultFiles(
            {"decode.json": self.to_dict()},
            tables={"guesses.csv": self.table()},
            arrays={"decode.npz": {"truth": np.asarray(self.truth), **guesses}},
            float_format=None,
        )


def decode(
    embeddings: Embeddings,
    options: DecodeOptions,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> DecodeResult:
    """Decode one column.

    Parameters
    ----------
    embeddings : Embeddings
        With the column among its phenotypes (:meth:`Embeddings.with_phenotypes`).
    options : DecodeOptions
    progress, cancel : callable, optional

    Returns
    -------
    DecodeResult

    Raises
    ------
    ConfigError, AnalysisError
        As :func:`brainlm_core.features.decode.inputs.pose`.
    Cancelled
    """
    question = pose(embeddings, options)
    features = feature_sets(embeddings, question, options)
    labels = _labels(question, options)
    folds = outer_folds(question.groups, options.leave_out is not None, options.n_folds, options.seed)
    answers = {"dummy": _dummy(labels, folds)}
    for number, (name, one) in enumerate(features.items()):
        tick = _ticker(number, len(features), name, progress, cancel)
        tick(0.0)
        answers[name] = _guess(one, labels, folds, question, options, tick)
    answers = {name: answers[name] for name in ordered(answers)}
    guesses = {name: a.guesses for name, a in answers.items()}
    scores = score_methods(
        guesses,
        labels.values,
        question.subjects,
        question.task,
        options.n_bootstrap,
        options.seed,
        sites=question.groups if options.leave_out else None,
    )
    if progress is not None:
        progress(1.0, "Decoding: done")
    return DecodeResult(
        options,
        embeddings.provenance.cohort,
        str(embeddings.provenance.model.get("model_name", "")),
        embeddings.provenance.simulated,
        "r2" if question.task == "regression" else "auc",
        question.classes,
        tuple(embeddings.ids[i] for i in question.rows),
        tuple(map(str, question.subjects)),
        question.truth,
        {name: g[:, 0] for name, g in guesses.items()},
        {name: a.probability for name, a in answers.items() if a.probability is not None},
        scores,
        _in_words(question, options, folds),
        (*question.notices, *_notices(features, options), *_how_to_read(scores, question, options)),
    )


def _labels(question: Question, options: DecodeOptions) -> Labels:
    orders = permutations(
        question.subjects, question.sites, question.truth, options.n_permutations, options.seed
    )
    values = np.stack([question.truth, *(question.truth[o] for o in orders)], axis=1)
    log = question.task == "regression" and bool((question.truth.astype(float) > 0).all())
    return Labels(question.task, values, len(question.classes), log)


def _guess(
    features: FeatureSet,
    labels: Labels,
    folds: list[Fold],
    question: Question,
    options: DecodeOptions,
    tick: Callable[[float], None],
) -> OutOfFold:
    settings = (features, labels, folds, question.groups, options.n_inner, options.seed)
    plain_linear = options.predictor == "logistic" and labels.task == "regression"
    if options.predictor == "ridge" or plain_linear:
        return ridge_out_of_fold(*settings, tick=tick)
    return searched_out_of_fold(*settings, options.predictor, options.n_permutations, tick=tick)


def _dummy(labels: Labels, folds: list[Fold]) -> OutOfFold:
    """Guess the training part's mean; for classes nothing is left once that is taken off."""
    target = labels.encoded()[:, :1]
    out = np.zeros_like(target)
    share = np.zeros((len(target), labels.n_classes)) if labels.n_classes else None
    for train, test in folds:
        if share is None:
            out[test] = target[train].mean(axis=0)
        else:
            share[test] = np.bincount(labels.values[train, 0], minlength=labels.n_classes) / len(train)
    return OutOfFold(out, share)


def _ticker(
    number: int, total: int, name: str, progress: Progress | None, cancel: Cancel | None
) -> Callable[[float], None]:
    def tick(share: float) -> None:
        if cancel is not None and cancel():
            raise Cancelled
        if progress is not None:
            progress((number + share) / total * 0.95, f"Decoding: {words_of(name, 'decode')}")

    return tick


def _in_words(question: Question, options: DecodeOptions, folds: list[Fold]) -> str:
    column = options.leave_out or options.group
    n = len(np.unique(question.groups))
    return f"{len(folds)} folds, whole values of “{words(column)}” left out ({n})"


def _how_to_read(scores: Mapping[str, Score], question: Question, options: DecodeOptions) -> tuple[str, ...]:
    """Say what scores and p values are not."""
    out = []
    if question.task == "classification":
        below = [m for m, s in scores.items() if s.ci95_sites is not None and s.ci95_sites[1] < 0.5]
        if below:
            out.append(
                f"Below one half, all sites together: {', '.join(words_of(m, 'decode') for m in below)}. "
                "Sites differ in how common a class is, and each is told by the others, which can turn the "
                "order of sites round. This says nothing of people: read the scores within sites."
            )
    searches = options.predictor != "ridge" and (options.predictor, question.task) != (
        "logistic",
        "regression",
    )
    if searches and options.n_permutations:
        out.append(
            "p: shuffled labels are fitted with the settings that the true labels chose; the search is not "
            "done again for each, so p may be a little too small."
        )
    return tuple(out)


def _notices(features: Mapping[str, FeatureSet], options: DecodeOptions) -> tuple[str, ...]:
    out = []
    missing = [
        words_of(m, "decode")
        for m in methods_of("decode")
        if m not in features and m not in ("model", "dummy")
    ]
    if missing:
        out.append(f"The embeddings lack what these comparisons need: {', '.join(missing)}.")
    if features["model"].n_confounds:
        out.append(
            "Regressed out of brain features inside the folds: "
            + ", ".join(map(words, options.confounds))
            + "."
        )
    if options.leave_out:
        out.append(
            "Each site's mean may be taken off its features (no label needed); "
            "training folds choose whether it is."
        )
    return tuple(out)
