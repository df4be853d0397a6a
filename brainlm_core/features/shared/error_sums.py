"""The sums that R² is made of, and intervals by drawing people anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N_BOOTSTRAP = 1000


@dataclass
class ErrorSums:
    """Sums that R² is made of, per recording: entries, Σ truth, Σ truth², Σ squared error."""

    rows: list[Array] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)

    def add(self, subject: str, sums: Array) -> None:
        """Add a recording's sums (4, ...)."""
        self.rows.append(sums)
        self.subjects.append(subject)

    def r2(self, seed: int) -> tuple[Array, Array | None]:
        """Return pooled R² (...) and its interval (2, ...), None with fewer than two subjects."""
        value, drawn = self._drawn(seed)
        return value, None if drawn is None else np.percentile(drawn, [2.5, 97.5], axis=0)

    def minus(self, other: ErrorSums, seed: int) -> tuple[Array, Array | None] | None:
        """Return the difference of two R² and its interval, people drawn for both at once.

        None when the two were not scored on the same recordings.
        """
        if self.subjects != other.subjects:
            return None
        (own, drawn), (its, drawn_its) = self._drawn(seed), other._drawn(seed)
        if drawn is None or drawn_its is None:
            return own - its, None
        return own - its, np.percentile(drawn - drawn_its, [2.5, 97.5], axis=0)

    def _drawn(self, seed: int) -> tuple[Array, Array | None]:
        """Return R² (...) of all people and of each draw (N_BOOTSTRAP, ...)."""
        table = np.stack(self.rows)  # (n, 4, ...)
        people, member = np.unique(np.array(self.subjects), return_inverse=True)
        by_person = np.zeros((len(people), *table.shape[1:]))
        np.add.at(by_person, member, table)
        value = _r2(by_person.sum(axis=0))
        if len(people) < 2:
            return value, None
        draws = np.random.default_rng(seed).integers(0, len(people), (N_BOOTSTRAP, len(people)))
        return value, np.stack([_r2(by_person[d].sum(axis=0)) for d in draws])


def error_sums(truth: NDArray[Any], predicted: NDArray[Any]) -> Array:
    """Return (4,): entries, Σ truth, Σ truth², Σ (truth - predicted)²."""
    y, f = truth.astype(np.float64), predicted.astype(np.float64)
    return np.array([y.size, y.sum(), (y * y).sum(), ((y - f) ** 2).sum()])


def _r2(sums: Array) -> Array:
    n, y, yy, error = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - error / (yy - y * y / n))
