"""What an attribution is asked of: a line through an embedding, from a map's axis or a decoded column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.decode.inputs import DecodeOptions, feature_sets, pose
from brainlm_core.features.decode.nested import FeatureSet
from brainlm_core.features.decode.pipelines import PENALTIES, inner_folds, pipeline, ridge
from brainlm_core.features.embedding.analysis import checked, principal

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Direction:
    """A linear read-out of an embedding.

    Parameters
    ----------
    name : str
        For titles: ``component 1``, ``age_years``, ``diagnosis: autism rather than control``.
    layer : {"cls", "mean"}
        Which embedding it reads.
    weights : ndarray (d,), float64
    offset : float
        Read-out of an embedding ``e``: ``weights @ e + offset``.
    unit : str
    """

    name: str
    layer: str
    weights: Array
    offset: float
    unit: str

    def read(self, vectors: NDArray[np.floating]) -> Array:
        """Return the read-out of embeddings (..., d)."""
        return np.asarray(vectors.astype(np.float64) @ self.weights + self.offset)


def axis_direction(embeddings: Embeddings, component: int, layer: str = "cls") -> Direction:
    """Return a principal component of a cohort's embeddings, counted from 1, in SD of the cohort.

    Raises
    ------
    ConfigError
        If there is no such component.
    """
    vectors = checked(embeddings, layer)
    mean, axes, _ = principal(vectors)
    if not 1 <= component <= len(axes):
        raise ConfigError(f"there is no component {component}", f"choose 1 to {len(axes)}")
    axis = axes[component - 1]
    weights = axis / max(float(((vectors - mean) @ axis).std()), 1e-12)
    return Direction(f"component {component}", layer, weights, float(-mean @ weights), "SD of the cohort")


def decoded_direction(embeddings: Embeddings, options: DecodeOptions, number: int = 1) -> Direction:
    """Return what a ridge decoder reads, fitted on the whole cohort with a cross-validated penalty.

    Say beside it how well it decodes (:func:`brainlm_core.features.decode.analysis.decode`): what explains a
    decoder that does not work explains nothing.

    Parameters
    ----------
    embeddings : Embeddings
    options : DecodeOptions
        Target, layer, confounds, groups; the predictor is ridge.
    number : int
        Class to read, for more than two.

    Raises
    ------
    ConfigError, AnalysisError
        As :func:`brainlm_core.features.decode.inputs.pose`.
    """
    from sklearn.model_selection import GridSearchCV

    question = pose(embeddings, options)
    features: FeatureSet = feature_sets(embeddings, question, options)["model"]
    x = features.variants[0]
    if question.task == "regression":
        y, unit, name = question.truth.astype(np.float64), options.target, options.target
    else:
        positive = question.classes[number if len(question.classes) > 2 else 1]
        y = np.where(question.truth == question.classes.index(positive), 1.0, -1.0)
        rather = f" rather than {question.classes[0]}" if len(question.classes) == 2 else ""
        name, unit = f"{options.target}: {positive}{rather}", "decision value"
    search = GridSearchCV(
        pipeline(ridge(1.0), features.n_confounds),
        {"predict__alpha": list(PENALTIES)},
        scoring="neg_mean_squared_error",
        cv=inner_folds(question.groups, options.n_folds, options.seed),
    ).fit(x, y)
    d = x.shape[1] - features.n_confounds
    typical = np.nanmedian(x, axis=0)[None]
    typical[:, :d] = 0.0
    steps = np.repeat(typical, d, axis=0)
    steps[:, :d] = np.eye(d)
    at_zero = float(search.predict(typical)[0])
    return Direction(name, options.layer, np.asarray(search.predict(steps)) - at_zero, at_zero, unit)
