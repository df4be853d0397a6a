"""Masked reconstruction without a trained network, and the masks that everybody is scored on.

All functions take scaled windows ``values`` (W, P, T) and ``hidden`` (W, P, T) and return
predictions of the same shape, for the hidden entries (visible ones are returned as they are or as predicted).

- mean: the mean of the parcel's visible samples, 0 where none is visible;
- last value: the parcel's newest visible sample, before the first one that one;
- interpolation: linear in time between the parcel's visible samples, the nearest one beyond them;
- ridge: from the parcels visible at the same time, by the covariance of the training set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.shared.group_statistics import STATISTICS_NAME, group_covariance
from brainlm_core.inference.weights import default_folder

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Masks that are scored: shares of random tokens, the future, whole parcels.
MASKS = ("random20", "random75", "random90", "future", "parcel")
#: Share of parcels hidden throughout in the mask "parcel".
PARCEL_SHARE = 0.1
#: Samples hidden at the end in the mask "future".
FUTURE_SAMPLES = 20
#: Ridge penalty in units of the mean variance; flat between .1 and .2 on the validation subjects.
RIDGE = 0.15


def statistics_folder(model_name: str) -> Path:
    """Return where the training set's statistics lie: beside local weights, else the bundled ones."""
    own = Path(model_name.removeprefix("random:")).expanduser()
    return own if (own / STATISTICS_NAME).is_file() else default_folder()


def draw_mask(
    kind: str,
    shape: tuple[int, int, int],
    patch: int,
    rng: np.random.Generator,
    *,
    share: float | None = None,
) -> BoolArray:
    """Draw what is hidden.

    Parameters
    ----------
    kind : str
        One of :data:`MASKS`.
    shape : (W, P, T)
    patch : int
        Samples per token.
    rng : numpy.random.Generator
    share : float or None
        Share of the window (``future``) or of the parcels (``parcel``) that is hidden; None takes
        :data:`FUTURE_SAMPLES` and :data:`PARCEL_SHARE`, those of the evaluation.

    Returns
    -------
    ndarray (W, P, T), bool
    """
    _, n_parcels, n_timepoints = shape
    hidden = np.zeros(shape, dtype=bool)
    if kind == "future":
        samples = FUTURE_SAMPLES if share is None else max(1, round(share * n_timepoints))
        hidden[:, :, -samples:] = True
    elif kind == "parcel":
        count = max(1, round((PARCEL_SHARE if share is None else share) * n_parcels))
        for window in hidden:
            window[rng.permutation(n_parcels)[:count]] = True
    elif kind.startswith("random") and kind.removeprefix("random").isdigit():
        patches = -(-n_timepoints // patch)
        total = n_parcels * patches
        count = total - int(total * (1 - int(kind.removeprefix("random")) / 100))
        for window in hidden:
            tokens = np.zeros(total, dtype=bool)
            tokens[rng.permutation(total)[:count]] = True
            window[:] = np.repeat(tokens.reshape(n_parcels, patches), patch, axis=1)[:, :n_timepoints]
    else:
        raise ConfigError(f"there is no mask named {kind!r}", f"choose one of {', '.join(MASKS)}")
    return hidden


def mean_fill(values: FloatArray, hidden: BoolArray) -> FloatArray:
    """Predict each parcel's visible mean; see the module."""
    visible = ~hidden
    count = visible.sum(axis=2, keepdims=True)
    total = np.where(visible, values, 0).sum(axis=2, keepdims=True)
    mean = np.where(count > 0, total / np.maximum(count, 1), 0)
    return np.broadcast_to(mean, values.shape).astype(np.float32)


def carry_forward(values: FloatArray, hidden: BoolArray) -> FloatArray:
    """Predict the last value seen; see the module."""
    visible = ~hidden
    time = np.arange(values.shape[2])
    newest = np.maximum.accumulate(np.where(visible, time, -1), axis=2)  # (W, P, T), -1 before the first
    first = visible.argmax(axis=2)[:, :, None]
    taken = np.take_along_axis(values, np.where(newest < 0, first, newest), axis=2)
    return np.where(visible.any(axis=2, keepdims=True), taken, 0).astype(np.float32)


def interpolate(values: FloatArray, hidden: BoolArray) -> FloatArray:
    """Predict by linear interpolation in time; see the module."""
    out = np.zeros_like(values)
    time = np.arange(values.shape[2])
    for w in range(values.shape[0]):
        for p in range(values.shape[1]):
            seen = np.flatnonzero(~hidden[w, p])
            if seen.size:
                out[w, p] = np.interp(time, seen, values[w, p, seen])
    return out


@dataclass(frozen=True, eq=False)
class GroupRidge:
    """Ridge regression on the parcels visible at the same time.

    Parameters
    ----------
    covariance : ndarray (P, P)
        Of the training set, for the parcels of the recording.
    """

    covariance: NDArray[np.float64]

    @classmethod
    def load(cls, folder: Path, xyz: NDArray[np.floating]) -> GroupRidge | None:
        """Read the training set's covariance for parcels at ``xyz`` (P, 3) in mm.

        None when the statistics are missing or know nothing near such parcels.
        """
        group = group_covariance(xyz, folder)
        return None if group is None else cls(group.matrix)

    def predict(self, values: FloatArray, hidden: BoolArray) -> FloatArray:
        """Predict hidden entries; moments with the same visible parcels are solved together."""
        out = values.copy()
        penalty = RIDGE * np.trace(self.covariance) / len(self.covariance)
        for w in range(values.shape[0]):
            patterns, member = np.unique(hidden[w].T, axis=0, return_inverse=True)
            for k, pattern in enumerate(patterns):
                times = np.flatnonzero(member == k)
                seen, gone = np.flatnonzero(~pattern), np.flatnonzero(pattern)
                if not gone.size:
                    continue
                if not seen.size:
                    out[w][np.ix_(gone, times)] = 0
                    continue
                inner = self.covariance[np.ix_(seen, seen)] + penalty * np.eye(len(seen))
                weights = np.linalg.solve(inner, self.covariance[np.ix_(seen, gone)])
                out[w][np.ix_(gone, times)] = weights.T @ values[w][np.ix_(seen, times)]
        return out
