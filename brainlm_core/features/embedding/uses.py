"""What an embedding uses: how much of it goes with motion, site and the way of scanning.

For each factor: a linear model (numbers with their square, sites one by one) predicts the axes of the map,
the first principal components, and the whole embedding (its first 100 components) of people that it was not
fitted on. Explained variance is that of the held-out people, so what chance explains counts as nothing;
permutations give p.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.embedding.analysis import EmbeddingMap, checked, principal

Array = NDArray[np.float64]

#: Factor -> columns of :meth:`Embeddings.table`.
FACTORS: dict[str, tuple[str, ...]] = {
    "motion": ("mean_fd_mm",),
    "site": ("site",),
    "repetition time": ("tr_s",),
    "scan length": ("duration_s", "n_volumes"),
    "autocorrelation": ("mean_autocorrelation",),
    "amplitude": ("mean_amplitude",),
}
#: Row of all factors at once.
TOGETHER = "all together"
N_COMPONENTS = 5
#: Principal components that stand for the whole embedding.
N_WHOLE = 100
#: Fewest recordings that a factor must be known of.
MIN_KNOWN = 30
_N_FOLDS = 5
#: Numbers fitted at once.
_MAX_NUMBERS = 20_000_000


@dataclass(frozen=True, eq=False)
class Uses(Saved):
    """Share of variance that each factor explains in people left out.

    Parameters
    ----------
    factors : tuple of str
        Keys of :data:`FACTORS` that are known and vary, then :data:`TOGETHER`.
    columns : tuple of str
        ``map x``, ``map y``, ``component 1`` …, ``embedding``.
    r2 : ndarray (factors, columns)
        Cross-validated; at or below 0 is nothing beyond chance.
    p : ndarray (factors, columns)
        Share of permutations of the recordings that explain as much.
    n : tuple of int
        Recordings that the factor is known of.
    left_out : mapping of str to str
        Factor to the reason why it is not there.
    """

    factors: tuple[str, ...]
    columns: tuple[str, ...]
    r2: Array
    p: Array
    n: tuple[int, ...]
    left_out: dict[str, str]

    def table(self) -> pd.DataFrame:
        """Return one row per factor and column: ``factor``, ``of``, ``r2``, ``p``, ``n``."""
        rows = [
            {"factor": f, "of": c, "r2": self.r2[i, j], "p": self.p[i, j], "n": self.n[i]}
            for i, f in enumerate(self.factors)
            for j, c in enumerate(self.columns)
        ]
        return pd.DataFrame(rows, columns=["factor", "of", "r2", "p", "n"])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "r2": {
                f: dict(zip(self.columns, map(float, self.r2[i]), strict=True))
                for i, f in enumerate(self.factors)
            },
            "p": {
                f: dict(zip(self.columns, map(float, self.p[i]), strict=True))
                for i, f in enumerate(self.factors)
            },
            "left_out": dict(self.left_out),
        }

    def files(self) -> ResultFiles:
        """Return ``uses.json``, ``uses.csv`` and ``uses.npz``."""
        return ResultFiles(
            {"uses.json": self.to_dict()},
            tables={"uses.csv": self.table()},
            arrays={"uses.npz": {"r2": self.r2, "p": self.p}},
            float_format=None,
        )


def what_it_uses(
    embeddings: Embeddings, drawn: EmbeddingMap, *, n_permutations: int = 99, seed: int = 0
) -> Uses:
    """Measure what a map and its embedding go with.

    Parameters
    ----------
    embeddings : Embeddings
    drawn : EmbeddingMap
        Of the same recordings.
    n_permutations, seed : int

    Returns
    -------
    Uses

    Raises
    ------
    ConfigError
        If the map shows other recordings.
    """
    if drawn.ids != embeddings.ids:
        raise ConfigError("the map shows other recordings than the embeddings", "draw the map again")
    vectors = checked(embeddings, drawn.layer)
    mean, axes, _ = principal(vectors, N_WHOLE)
    scores = (vectors - mean) @ axes.T  # (n, k)
    shown = min(N_COMPONENTS, scores.shape[1])
    columns = ("map x", "map y", *(f"component {i + 1}" for i in range(shown)), "embedding")
    table, subjects = embeddings.table(), np.array(embeddings.subjects)
    known, left_out = _designs(table)
    if known:
        known[TOGETHER] = np.column_stack(list(known.values()))
    r2, p, n = [], [], []
    for design in known.values():
        rows = np.flatnonzero(~np.isnan(design).any(axis=1))
        if len(rows) < MIN_KNOWN:  # only possible for all together: factors known of different people
            r2.append(np.full(len(columns), np.nan))
            p.append(np.full(len(columns), np.nan))
        else:
            targets = np.column_stack([drawn.xy[rows].astype(np.float64), scores[rows]])
            real, chance = _explained(design[rows], targets, subjects[rows], shown, n_permutations, seed)
            r2.append(real)
            p.append((1 + (chance >= real).sum(axis=0)) / (1 + n_permutations))
        n.append(len(rows))
    width = len(columns)
    return Uses(
        tuple(known),
        columns,
        np.array(r2).reshape(-1, width),
        np.array(p).reshape(-1, width),
        tuple(n),
        left_out,
    )


def _designs(table: pd.DataFrame) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the columns (n, k) that stand for each factor, and why others are left out."""
    known: dict[str, Array] = {}
    left_out: dict[str, str] = {}
    for factor, names in FACTORS.items():
        parts = []
        for name in names:
            if name not in table:
                continue
            if name == "site":
                text = table[name].astype(str).where(table[name].astype(str) != "")
                if text.notna().sum() < MIN_KNOWN or text.nunique() < 2:
                    continue
                values = np.array(pd.get_dummies(text), dtype=np.float64)
                values[text.isna().to_numpy()] = np.nan
            else:
                number = table[name].to_numpy(np.float64)
                if np.isfinite(number).sum() < MIN_KNOWN or np.nanstd(number) < 1e-6 * np.nanmax(
                    np.abs(number)
                ):
                    continue
                z = (number - np.nanmean(number)) / np.nanstd(number)
                values = np.column_stack([z, z**2])
            parts.append(values)
        if parts:
            known[factor] = np.column_stack(parts)
        else:
            left_out[factor] = f"not known of {MIN_KNOWN} recordings, or the same in all"
    return known, left_out


def _explained(
    design: Array, targets: Array, subjects: NDArray[np.str_], shown: int, n_permutations: int, seed: int
) -> tuple[Array, Array]:
    """Return cross-validated R² per column (columns,) and of permuted recordings (permutations, columns).

    Permuted targets are fitted side by side, some at a time so that memory stays flat.
    """
    n_folds = min(_N_FOLDS, len(np.unique(subjects)))
    folds = list(GroupKFold(n_folds, shuffle=True, random_state=seed).split(targets, groups=subjects))
    random = np.random.default_rng(seed)
    orders = [np.arange(len(design)), *(random.permutation(len(design)) for _ in range(n_permutations))]
    at_once = max(1, _MAX_NUMBERS // targets.size)
    parts = [
        _r2(design, targets, orders[start : start + at_once], folds, shown)
        for start in range(0, len(orders), at_once)
    ]
    out = np.concatenate(parts)
    return out[0], out[1:]


def _r2(design: Array, targets: Array, orders: list[NDArray[np.intp]], folds: Any, shown: int) -> Array:
    """Return R² (orders, columns) of targets (n, m) in each of the orders."""
    stacked = np.stack([targets[order] for order in orders], axis=1)  # (n, orders, m)
    guess = cross_val_predict(LinearRegression(), design, stacked.reshape(len(design), -1), cv=folds)
    error = ((stacked - guess.reshape(stacked.shape)) ** 2).sum(axis=0)  # (orders, m)
    total = np.maximum(((targets - targets.mean(axis=0)) ** 2).sum(axis=0), 1e-300)  # (m,)
    single = 1 - error / total
    whole = 1 - error[:, 2:].sum(axis=1) / total[2:].sum()
    return np.column_stack([single[:, : 2 + shown], whole])
