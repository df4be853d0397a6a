"""Recordings made up for the forecast tests."""

from __future__ import annotations

import numpy as np

from brainlm_core.base.atlas import Parcellation, a424
from brainlm_core.base.recording import Provenance, Recording


def place(n: int) -> Parcellation:
    return a424().subset(np.arange(n) * (424 // n), "some of A424")


def recording_of(signals: np.ndarray, tr_s: float = 0.735) -> Recording:
    return Recording(signals.astype(np.float32), tr_s, place(len(signals)), Provenance("made-up.npz"))
