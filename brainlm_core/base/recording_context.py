"""What of a recording a model may read beside a window: second moments of all samples outside it.

Memory does not grow with the recording: the sum of outer products over all samples is kept, and what belongs
to a window is taken off when the window is asked about.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: What may be read beside the window.
CONTEXTS = ("recording", "window")
#: Fewest samples outside a window that are read, at the model's interval.
MIN_CONTEXT = 60
#: Samples that are multiplied at a time.
_BLOCK = 2048
#: Diagonalised contexts that are kept.
_MAX_REMEMBERED = 8


def check_share(steadied: float) -> None:
    """Refuse a share of the group in a map that lies outside 0 to 1; raise ConfigError."""
    if not 0 <= steadied <= 1:
        raise ConfigError(f"a group share of {steadied:g} is impossible", "give a share from 0 to 1")


class Memo:
    """Results for single windows that are expensive; the last few are kept. Safe between threads."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Any) -> Any:
        """Return what is known, or None."""
        with self._lock:
            return self._known.get(key)

    def put(self, key: Any, value: Any) -> None:
        """Keep a result; the oldest leaves."""
        with self._lock:
            while len(self._known) >= _MAX_REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return (Memo, ())  # on another machine it starts empty


@dataclass(frozen=True, eq=False)
class RecordingContext:
    """The rest of the recording of each of some windows.

    Parameters
    ----------
    total : ndarray (P, P), float64
        Sum over all samples of the outer products of the scaled signals.
    n_samples : int
        Samples of the recording at the model's interval.
    values : ndarray (V, P, T), float32
        Distinct windows as they were cut, whatever has been done to them since.
    observed : ndarray (V, T), bool
        False where a sample is padding.
    numbers : ndarray (V,), int
        Names of the distinct windows.
    rows : ndarray (W,), int
        Which distinct window each window is.
    memo : Memo
        Shared by all picks of one recording's windows.
    """

    total: NDArray[np.float64]
    n_samples: int
    values: FloatArray
    observed: BoolArray
    numbers: NDArray[np.intp]
    rows: NDArray[np.intp]
    memo: Memo = field(default_factory=Memo)

    @classmethod
    def of_recording(cls, scaled: FloatArray, values: FloatArray, observed: BoolArray) -> RecordingContext:
        """Sum a scaled recording (P, N) up, of which ``values`` (W, P, T) are windows."""
        total = np.zeros((len(scaled), len(scaled)))
        for start in range(0, scaled.shape[1], _BLOCK):
            piece = scaled[:, start : start + _BLOCK]
            total += piece @ piece.T
        every = np.arange(len(values))
        return cls(total, int(scaled.shape[1]), values, observed, every, every)

    def pick(self, index: NDArray[np.intp] | slice) -> RecordingContext:
        """Return that of some of the windows."""
        rows = self.rows[index]
        needed, rows = np.unique(rows, return_inverse=True)
        if len(needed) == len(self.values):
            return replace(self, rows=rows)
        return replace(
            self,
            values=self.values[needed],
            observed=self.observed[needed],
            numbers=self.numbers[needed],
            rows=rows,
        )

    def n_outside(self) -> NDArray[np.intp]:
        """Return how many samples may be read beside each distinct window (V,); 0 where they are too few."""
        left = self.n_samples - self.observed.sum(axis=1)
        return np.where(left >= MIN_CONTEXT, left, 0)

    def outside(self, row: int) -> FloatArray:
        """Return the mean outer product (P, P) of the samples outside a distinct window."""
        left = self.n_outside()[row]
        if not left:
            return np.zeros(self.total.shape, dtype=np.float32)
        own = self.values[row].astype(np.float64)
        return np.asarray((self.total - own @ own.T) / left, dtype=np.float32)

    def whole(self) -> FloatArray:
        """Return the mean outer product (P, P) of all samples of the recording."""
        return np.asarray(self.total / self.n_samples, dtype=np.float32)
