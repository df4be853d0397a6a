"""Maps of a cohort: embeddings in two dimensions, with how far each point can be trusted.

Steps, in order: centre the vectors; turn them to their principal components; for UMAP and PaCMAP keep the
first 50 and lay them out; count for every point how many of its true neighbours are still its neighbours on
the map.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.embedding.neighbours import Neighbours, preservation
from brainlm_core.inference.engine import Cancelled

FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Ways to draw a map, by key.
METHOD_WORDS = {"pca": "PCA", "umap": "UMAP", "pacmap": "PaCMAP"}
#: Embeddings that a map is made of, by key.
LAYER_WORDS = {
    "cls": "Summary token",
    "mean": "Mean of all tokens",
    "twin_cls": "Random weights, summary token",
    "twin_mean": "Random weights, mean of all tokens",
}
#: Fewest recordings on a map.
MIN_POINTS = 8
#: Neighbours that UMAP and PaCMAP look at, at most, and that trust is counted over.
N_NEIGHBOURS = 15
#: Principal components that UMAP and PaCMAP see.
N_COMPONENTS = 50
#: What a map does not show.
CAVEAT = (
    "Distances between far groups, their sizes and densities mean nothing on a UMAP or PaCMAP map; "
    "only who is beside whom does, and only where trust is high."
)


@dataclass(frozen=True, eq=False)
class EmbeddingMap(Saved):
    """A cohort in two dimensions.

    Parameters
    ----------
    method : {"pca", "umap", "pacmap"}
    layer : str
        Kind of embedding, as in :meth:`Embeddings.vectors`.
    ids : tuple of str, length n
    xy : ndarray (n, 2), float32
        PCA: in the embedding's units; else arbitrary units.
    trust : ndarray (n,), float32
        Share of each point's nearest neighbours in the embedding that are among its nearest on the map.
    n_neighbours : int
        How many neighbours ``trust`` counts.
    explained : tuple of float
        PCA: share of the embedding's variance on each axis; else empty.
    neighbours : Neighbours
        Of the embedding, for nearest scans and for how far a new one is.
    provenance : mapping
        Cohort, model, whether simulated, seed.
    components : tuple of ndarray
        Mean (d,) and principal axes (k, d) that vectors are projected on first.
    reducer : object
        The fitted UMAP or PaCMAP; None for PCA.
    seen : ndarray (n, k) or None
        What a PaCMAP was fitted on; its transform needs it.
    """

    method: str
    layer: str
    ids: tuple[str, ...]
    xy: FloatArray
    trust: FloatArray
    n_neighbours: int
    explained: tuple[float, ...]
    neighbours: Neighbours
    provenance: dict[str, Any]
    components: tuple[Array, Array]
    reducer: Any = None
    seen: FloatArray | None = None

    @property
    def chance(self) -> float:
        """Trust that a shuffled map has on average."""
        return self.n_neighbours / (len(self.ids) - 1)

    def place(self, vector: NDArray[np.floating]) -> Placement:
        """Put a new recording on the map; the map itself stays as it is.

        Parameters
        ----------
        vector : ndarray (d,)
            Embedding of the same kind by the same model.

        Raises
        ------
        AnalysisError
            If the vector does not fit.
        """
        new = np.asarray(vector, dtype=np.float64)
        mean, axes = self.components
        if new.shape != mean.shape or not np.isfinite(new).all():
            raise AnalysisError(
                f"an embedding of {new.size} numbers does not fit a map of {mean.size}",
                "embed the scan with the model that made the map",
            )
        scores = ((new - mean) @ axes.T).astype(np.float32)[None]
        if self.method == "umap":
            xy = self.reducer.transform(scores)
        elif self.method == "pacmap":
            xy = self.reducer.transform(scores, basis=self.seen)
        else:
            xy = scores[:, :2]
        near, distances = self.neighbours.nearest(new)
        percentile = self.neighbours.percentile(new)
        return Placement(
            np.asarray(xy[0], dtype=np.float32),
            tuple(self.ids[i] for i in near),
            tuple(float(d) for d in distances),
            percentile,
        )

    def nearest(self, row: int, n: int = N_NEIGHBOURS) -> pd.DataFrame:
        """Return the scans nearest to one of the map's, in the embedding: ``recording_id``, ``distance``."""
        near, distances = self.neighbours.nearest_of(row, n)
        return pd.DataFrame({"recording_id": [self.ids[i] for i in near], "distance": distances})

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "method": self.method,
            "layer": self.layer,
            "n": len(self.ids),
            "trust_mean": float(self.trust.mean()),
            "trust_chance": self.chance,
            "n_neighbours": self.n_neighbours,
            "explained": list(self.explained),
            **self.provenance,
            "caveat": CAVEAT,
        }

    def table(self) -> pd.DataFrame:
        """Return one row per recording: ``recording_id``, ``x``, ``y``, ``trust``."""
        return pd.DataFrame(
            {"recording_id": self.ids, "x": self.xy[:, 0], "y": self.xy[:, 1], "trust": self.trust}
        )

    def files(self) -> ResultFiles:
        """Return ``map.json``, ``map.csv`` and ``map.npz``."""
        return ResultFiles(
            {"map.json": self.to_dict()},
            tables={"map.csv": self.table()},
            arrays={"map.npz": {"xy": self.xy, "trust": self.trust}},
            float_format=None,
        )


@dataclass(frozen=True, eq=False)
class Placement:
    """A new recording on a map.

    Parameters
    ----------
    xy : ndarray (2,), float32
    nearest : tuple of str
        Recordings nearest in the embedding, the nearest first.
    distances : tuple of float
        In the embedding's units.
    percentile : float
        Share of the cohort's recordings that lie nearer to their own neighbours than this one to its, 0 to 1.
    """

    xy: FloatArray
    nearest: tuple[str, ...]
    distances: tuple[float, ...]
    percentile: float

    @property
    def is_far(self) -> bool:
        """Whether fewer than 1 in 100 of the cohort are as far from their neighbours."""
        return self.percentile > 0.99

    def sentence(self) -> str:
        """Return how this scan lies to the cohort, in words."""
        if not self.is_far:
            nearer = f"{self.percentile:.0%}"
            return f"Within this cohort: {nearer} of its scans lie nearer to their own nearest scans."
        than = f"than {self.percentile:.1%} of the cohort"
        if self.percentile >= 1:
            than = "than any scan of the cohort from its own"
        return (
            f"Far from this cohort: farther from its nearest scans {than}. "
            "Its place on the map and its neighbours mean little."
        )


def make_map(
    embeddings: Embeddings,
    method: str = "pca",
    layer: str = "cls",
    *,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> EmbeddingMap:
    """Draw a map.

    Parameters
    ----------
    embeddings : Embeddings
    method : {"pca", "umap", "pacmap"}
    layer : {"cls", "mean", "twin_cls", "twin_mean"}
    seed : int
        Of UMAP and PaCMAP; the same seed gives the same map.
    progress, cancel : callable, optional
        Between the steps.

    Raises
    ------
    ConfigError
        If there is no such method or layer.
    AnalysisError
        With fewer than 8 recordings, or where all embeddings are the same.
    Cancelled
    """
    if method not in METHOD_WORDS:
        raise ConfigError(f"there is no map {method!r}", f"choose one of {', '.join(METHOD_WORDS)}")
    vectors = checked(embeddings, layer)
    _step(progress, cancel, 0.05, "Map: turning to principal components")
    mean, axes, variance = principal(vectors)
    scores = ((vectors - mean) @ axes.T).astype(np.float32)
    k = min(N_NEIGHBOURS, (len(vectors) - 1) // 2)
    _step(progress, cancel, 0.2, f"Map: {METHOD_WORDS[method]}")
    reducer, seen = None, None
    xy = scores[:, :2]
    if method == "umap":
        reducer, xy = _umap(scores, k, seed)
    elif method == "pacmap":
        reducer, xy = _pacmap(scores, k, seed)
        seen = scores
    _step(progress, cancel, 0.7, "Map: counting kept neighbours")
    neighbours = Neighbours(vectors)
    trust = preservation(neighbours, xy, k)
    _step(progress, cancel, 1.0, "Map: done")
    about = embeddings.provenance
    return EmbeddingMap(
        method,
        layer,
        embeddings.ids,
        np.ascontiguousarray(xy, dtype=np.float32),
        trust,
        k,
        tuple(float(v) for v in variance[:2]) if method == "pca" else (),
        neighbours,
        {
            "cohort": about.cohort,
            "model": about.model.get("model_name"),
            "input": about.model.get("input"),
            "simulated": about.simulated,
            "seed": seed,
        },
        (mean, axes),
        reducer,
        seen,
    )


def checked(embeddings: Embeddings, layer: str) -> Array:
    """Return the vectors (n, d) of a layer, float64.

    Raises
    ------
    AnalysisError
        If there are too few, or they do not differ, or are not all finite.
    """
    vectors = embeddings.vectors(layer).astype(np.float64)
    if len(vectors) < MIN_POINTS:
        raise AnalysisError(
            f"{len(vectors)} recordings are too few for a map", f"embed at least {MIN_POINTS}"
        )
    if not np.isfinite(vectors).all():
        raise AnalysisError("some embeddings are not finite", "embed the cohort again")
    if float(vectors.std(axis=0).max()) < 1e-12:
        raise AnalysisError("all embeddings are the same", "choose another layer or model")
    return vectors


def principal(vectors: Array, n: int = N_COMPONENTS) -> tuple[Array, Array, Array]:
    """Return the mean (d,), the first principal axes (k, d), and each one's share of the variance (k,).

    Signs are fixed so that each axis' largest weight is positive. At least two axes.
    """
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    if centred.shape[1] <= len(centred):
        values, axes = np.linalg.eigh(centred.T @ centred)
        values, axes = values[::-1], axes[:, ::-1].T
    else:
        values, turned = np.linalg.eigh(centred @ centred.T)
        values, turned = values[::-1], turned[:, ::-1]
        axes = (centred.T @ turned / np.sqrt(np.maximum(values, 1e-300))).T
    kept = max(2, min(n, int((values > 1e-9 * values[0]).sum())))
    axes = np.array(axes[:kept])
    if len(axes) < 2:  # one number per embedding: the second axis is empty
        axes = np.vstack([axes, np.zeros_like(axes)])
        values = np.append(values, 0.0)
    largest = np.abs(axes).argmax(axis=1)
    axes *= np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
    values = np.maximum(values, 0)
    return mean, axes, values[: len(axes)] / values.sum()


def _umap(scores: FloatArray, k: int, seed: int) -> tuple[Any, FloatArray]:
    with warnings.catch_warnings():  # parametric UMAP, which is not used, asks for Tensorflow at import
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP

    reducer = UMAP(n_neighbors=k, random_state=seed, n_jobs=1)
    return reducer, np.asarray(reducer.fit_transform(scores))


def _pacmap(scores: FloatArray, k: int, seed: int) -> tuple[Any, FloatArray]:
    from pacmap import PaCMAP

    logging.getLogger("pacmap").setLevel(logging.ERROR)  # it warns that a seed is set
    reducer = PaCMAP(n_neighbors=k, random_state=seed, apply_pca=False)
    return reducer, np.asarray(reducer.fit_transform(scores, init="pca"))


def _step(progress: Progress | None, cancel: Cancel | None, share: float, sentence: str) -> None:
    if cancel is not None and cancel():
        raise Cancelled
    if progress is not None:
        progress(share, sentence)
