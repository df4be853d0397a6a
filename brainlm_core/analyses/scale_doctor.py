"""The input-scale doctor: the gain at which a model understands a recording best.

Published weights were trained on signals of one intensity scale. On another scanner the robust
scaling may leave the signals larger or smaller than the model knows. The doctor multiplies the
scaled windows by a row of gains, hides the same random 20 % of the patches each time, and scores the
model's reconstruction of what was hidden, in units of the unmultiplied signal, so that all gains are
judged by the same yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.analyses.result_files import ResultFiles, Saved
from brainlm_core.errors import AnalysisError, ConfigError

if TYPE_CHECKING:
    from brainlm_core.engine import Cancel, Engine, Progress
    from brainlm_core.recording import Recording
    from brainlm_core.windows import Windows

#: Gains that are tried: a quarter to four times the model's own scaling.
GAINS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
#: Share of the patches that is hidden.
HIDDEN_SHARE = 0.2
#: The scan lies outside when the best gain is farther from 1 than this factor …
FAR_GAIN = 2.0
#: … or when even the best gain explains less than this share of the hidden variance.
POOR_R2 = 0.02


@dataclass(frozen=True)
class ScaleDoctorResult(Saved):
    """The curve and what to make of it.

    Parameters
    ----------
    gains : tuple of float
        Multipliers of the scaled signals.
    r2 : tuple of float
        Share of the hidden variance explained at each gain, 1 − SSE / SST over hidden observed entries,
        where SST is taken about zero, the value that means "no idea".
    best_gain : float
    best_r2 : float
    r2_at_one : float
        At the gain that the model was trained with.
    outside_training : bool
        The best gain is farther from 1 than a factor of 2, or the best R² is below 0.02.
    sentence : str
        The finding in words.
    model : str
    is_random : bool
    n_windows : int
        Windows used.
    seed : int
    provenance : dict
        Of the recording.
    """

    gains: tuple[float, ...]
    r2: tuple[float, ...]
    best_gain: float
    best_r2: float
    r2_at_one: float
    outside_training: bool
    sentence: str
    model: str
    is_random: bool
    n_windows: int
    seed: int
    provenance: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            **self.__dict__,
            "gains": list(self.gains),
            "r2": list(self.r2),
            "hidden_share": HIDDEN_SHARE,
        }

    def files(self) -> ResultFiles:
        """Return ``scale_doctor.json`` and ``scale_doctor.csv``."""
        table = pd.DataFrame({"gain": self.gains, "r2": self.r2})
        return ResultFiles(
            {"scale_doctor.json": self.to_dict()}, tables={"scale_doctor.csv": table}, float_format=None
        )


def examine(
    engine: Engine,
    recording: Recording,
    *,
    gains: Sequence[float] = GAINS,
    max_windows: int = 2,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScaleDoctorResult:
    """Sweep the gain on this very recording.

    Steps: cut windows with the model's own scaling; hide a random 20 % of the patches, the same for
    every gain; for each gain multiply, reconstruct, divide; score the hidden, observed entries of
    parcels that vary.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    gains : sequence of float
        Positive; 1 is added when missing.
    max_windows : int
        Windows used, spread over the recording.
    seed : int
        Of the mask.
    progress, cancel : callable or None

    Returns
    -------
    ScaleDoctorResult

    Raises
    ------
    ConfigError
        If a gain is not positive.
    AnalysisError
        If nothing in the recording varies.
    """
    row = sorted({float(g) for g in gains} | {1.0})
    if not all(np.isfinite(g) and g > 0 for g in row):
        raise ConfigError("a gain must be a positive number", "give gains such as 0.5, 1, 2")
    windows = engine.windows(recording)
    chosen = np.unique(np.linspace(0, windows.n_windows - 1, max(1, max_windows)).round().astype(np.intp))
    windows = windows.pick(chosen)
    hidden = _random_patches(windows, engine.spec.patch_length, seed)
    r2: list[float] = []
    for i, gain in enumerate(row):
        if progress is not None:
            progress(i / len(row), f"Trying gain {gain:g}")
        scaled = replace(windows, values=windows.values * np.float32(gain), gain=windows.gain * gain)
        answer = engine.reconstruct(scaled, hidden, cancel=cancel)
        r2.append(_r2(answer.predicted / gain, windows, answer.hidden & hidden))
    if progress is not None:
        progress(1.0, "Done")
    best = int(np.argmax(r2))
    outside = r2[best] < POOR_R2 or not 1 / FAR_GAIN <= row[best] <= FAR_GAIN
    return ScaleDoctorResult(
        tuple(row),
        tuple(r2),
        row[best],
        r2[best],
        r2[row.index(1.0)],
        outside,
        _sentence(row[best], r2[best], r2[row.index(1.0)]),
        engine.info.model_name,
        engine.info.is_random,
        windows.n_windows,
        seed,
        recording.provenance.to_dict(),
    )


def _random_patches(windows: Windows, length: int, seed: int) -> NDArray[np.bool_]:
    """Hide whole patches at random, (W, P, T)."""
    n_patches = -(-windows.n_timepoints // length)
    rng = np.random.default_rng(seed)
    patches = rng.random((windows.n_windows, windows.n_parcels, n_patches)) < HIDDEN_SHARE
    return np.repeat(patches, length, axis=2)[:, :, : windows.n_timepoints]


def _r2(predicted: NDArray[np.float32], windows: Windows, hidden: NDArray[np.bool_]) -> float:
    scored = hidden & windows.observed[:, None] & ~windows.flat[None, :, None]
    truth = windows.values[scored].astype(np.float64)
    total = float((truth**2).sum())
    if truth.size == 0 or total == 0:
        raise AnalysisError("nothing varies in this recording", "check the scan")
    return 1.0 - float(((predicted[scored] - truth) ** 2).sum()) / total


def _sentence(gain: float, r2: float, r2_at_one: float) -> str:
    found = f"The model explains {r2:.0%} of hidden signal at gain {gain:g} and {r2_at_one:.0%} at gain 1"
    if r2 < POOR_R2:
        return f"{found}: it does not understand this scan at any gain, which lies outside its training."
    if not 1 / FAR_GAIN <= gain <= FAR_GAIN:
        return f"{found}: this scan lies outside the scale that the model was trained on; use that gain."
    return f"{found}: this scan lies within the scale that the model was trained on."
