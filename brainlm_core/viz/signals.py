"""Signals as the moving brain shows them."""

from __future__ import annotations

import numpy as np

from brainlm_core.base.recording import FloatArray, Recording

#: Where the signal scale is cut, in SD.
LIMIT_SD = 2.5


def standardised(recording: Recording) -> FloatArray:
    """Return signals in SD from each parcel's mean, (n_parcels, n_timepoints); flat parcels are NaN."""
    signals = recording.signals
    spread = signals.std(axis=1, keepdims=True)
    flat = spread <= 1e-6 * np.maximum(np.abs(signals).max(axis=1, keepdims=True), 1e-12)
    if recording.quality is not None:
        flat |= recording.quality.flat[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (signals - signals.mean(axis=1, keepdims=True)) / spread
    return np.where(flat, np.float32(np.nan), out).astype(np.float32)


def frames(recording: Recording) -> FloatArray:
    """Return the frames of the moving brain, (n_timepoints, n_parcels) in SD."""
    return np.ascontiguousarray(standardised(recording).T)
