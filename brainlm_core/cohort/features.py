"""What one recording gives to a cohort: embeddings, and the plain features beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

FloatArray = NDArray[np.float32]
#: Correlations are kept below this, so that Fisher's z stays finite.
MAX_CORRELATION = 0.99
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class PlainFeatures:
    """What needs no model.

    Parameters
    ----------
    connectivity : ndarray (P (P - 1) / 2,), float32
        Fisher z of the correlations of the upper triangle, row by row; 0 for parcels that do not vary.
    autocorrelation : ndarray (P,), float32
        At a lag of one volume; 0 for parcels that do not vary.
    amplitude : ndarray (P,), float32
        Standard deviation in the recording's units.
    """

    connectivity: FloatArray
    autocorrelation: FloatArray
    amplitude: FloatArray


def plain_features(signals: NDArray[np.floating]) -> PlainFeatures:
    """Return the features of parcel signals (P, T) that need no model."""
    centred = signals.astype(np.float64)
    level = np.abs(centred).max(axis=1, keepdims=True)
    centred -= centred.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    varies = length > np.maximum(_FLAT * level * np.sqrt(signals.shape[1]), _FLAT)
    unit = np.where(varies, centred / np.where(varies, length, 1), 0)
    upper = np.triu_indices(len(unit), 1)
    correlation = np.clip(unit @ unit.T, -MAX_CORRELATION, MAX_CORRELATION)
    return PlainFeatures(
        np.arctanh(correlation)[upper].astype(np.float32),
        (unit[:, 1:] * unit[:, :-1]).sum(axis=1).astype(np.float32),
        np.where(varies, length, 0)[:, 0].astype(np.float32) / np.float32(np.sqrt(signals.shape[1])),
    )


@dataclass(frozen=True, eq=False)
class RecordingEmbedding:
    """Embeddings of one recording, averaged over its windows.

    Parameters
    ----------
    cls : ndarray (d,), float32
        Summary token.
    parcels : ndarray (P, d), float32
        Mean over each parcel's tokens; all zero for parcels that do not vary.
    mean : ndarray (d,), float32
        Mean over the tokens of the parcels that vary.
    n_windows : int
    """

    cls: FloatArray
    parcels: FloatArray
    mean: FloatArray
    n_windows: int


def embed_recording(engine: Engine, recording: Recording) -> RecordingEmbedding:
    """Embed one recording: windows side by side, all visible, averaged.

    Raises
    ------
    EngineError
        If the recording is too short for the model or has parcels that it does not take.
    """
    interval = engine.spec.tr_s or recording.tr_s
    windows = engine.windows(recording, stride_s=engine.spec.n_timepoints * interval)
    answer = engine.embed(windows)
    parcels = answer.tokens.mean(axis=0)
    varies = ~windows.flat
    pooled = parcels[varies] if varies.any() else parcels
    return RecordingEmbedding(answer.cls.mean(axis=0), parcels, pooled.mean(axis=0), windows.n_windows)
