"""Controls: the same question asked of no scan.

A control recording has the length, the sampling interval, the parcels and, for shuffled phases, the spectrum
of each parcel of the real one, and nothing that two parcels share. What a model draws from it, it draws from
what it was trained on. The whole recording is replaced, so that a window and whatever else of the recording
a model reads are replaced alike.
"""

from __future__ import annotations

import numpy as np

from brainlm_core.base.recording import Recording, Step
from brainlm_core.base.surrogates import shuffled_phases, white_noise_like

#: Control -> how its signals are made.
SURROGATES = {"no_scan": shuffled_phases, "white_noise": white_noise_like}
#: First number of the generator's key: controls share no draws with masks, folds or null sets.
_KEY = 1404


def control_recording(recording: Recording, kind: str = "no_scan", seed: int = 0) -> Recording:
    """Return the recording with nothing of the scan left but what the control keeps.

    Parameters
    ----------
    recording : Recording
    kind : {"no_scan", "white_noise"}
        Phases shuffled per parcel, or white noise of the same mean and spread.
    seed : int
        Different seeds give independent controls.

    Returns
    -------
    Recording
        Without quality figures: they are about the real one. Flat parcels stay flat.
    """
    rng = np.random.default_rng([_KEY, list(SURROGATES).index(kind), seed])
    signals = SURROGATES[kind](recording.signals, rng)
    flat = np.ptp(recording.signals, axis=1) == 0
    signals[flat] = recording.signals[flat]
    step = Step("control", {"kind": kind, "seed": seed})
    return recording.with_step(step, signals=signals, quality=None)


def halves_of(recording: Recording) -> tuple[Recording, Recording]:
    """Return the first and the second half of a recording; they share no volume."""
    middle = recording.n_timepoints // 2
    parts = (slice(0, middle), slice(middle, recording.n_timepoints))
    return tuple(  # type: ignore[return-value]
        recording.with_step(
            Step("cut", {"from_volume": part.start, "to_volume": part.stop}),
            signals=recording.signals[:, part],
            quality=None,
        )
        for part in parts
    )
