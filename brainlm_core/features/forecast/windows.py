"""From a recording to what a masked model sees of its past, and back from its answer to volumes.

A model forecasts by having the end of its window hidden. The steps, in their order, for each look:

1. take the seen volumes before the start point and nothing after it;
2. bring them to the model's sampling interval with the newest sample kept in place (a filter that
   ran over the whole recording would let the future leak into the past);
3. scale them on the seen samples alone and put them before the hidden end of a window;
4. run the model; for a longer horizon put its own answer into the window and roll on;
5. undo the scaling and read the answer off at the recording's own volumes.

Steps 2 and 5 are the same linear map for every start point, kept as a matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.progress import Cancel, Progress, portion
from brainlm_core.features.shared.baselines import MIN_SEEN
from brainlm_core.inference.windows import TR_TOLERANCE, Windows, make_windows

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.inference.engine import Engine
    from brainlm_core.model.base import InputSpec

FloatArray = NDArray[np.float32]
Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

#: Steps of the published task: this many samples at the end of a window are hidden, or a few more
#: where the model's patches demand it.
TASK_STEPS = 20
#: Forecasting farther than this many volumes is refused.
MAX_STEPS = 200
#: Samples of the seen part that the way back to the recording's volumes may lean on.
_TAIL = 8
#: Windows held in memory at once.
_CHUNK = 64


@dataclass(frozen=True)
class Grid:
    """The recording's clock beside the model's.

    Parameters
    ----------
    tr_s, model_tr_s : float
        Sampling intervals in s; equal when the model runs on the recording's own volumes.
    steps : int
        Horizon in volumes.
    model_steps : int
        Samples that the model must forecast to reach it.
    window, patch, block : int
        Samples of a window, of a patch, and of its hidden end.
    context : int
        Seen volumes.
    """

    tr_s: float
    model_tr_s: float
    steps: int
    model_steps: int
    window: int
    patch: int
    block: int
    context: int

    @property
    def resampled(self) -> bool:
        """Whether the model works at another interval than the recording."""
        return self.tr_s != self.model_tr_s

    def samples(self, volumes: int) -> int:
        """Return how many samples some seen volumes fill: whole patches, at most the window's."""
        count = volumes if not self.resampled else int((volumes - 1) * self.tr_s / self.model_tr_s + 1e-6) + 1
        return min(count // self.patch * self.patch, self.window - self.block)

    @property
    def shortest(self) -> int:
        """Fewest seen volumes that a forecast needs."""
        volumes = MIN_SEEN
        while self.samples(volumes) < self.patch:
            volumes += 1
        return volumes

    @property
    def n_rolls(self) -> int:
        """How often the model runs to reach the horizon."""
        return -(-self.model_steps // self.block)


@dataclass(frozen=True)
class Look:
    """One look at the past.

    Parameters
    ----------
    start : int
        First volume that is not seen.
    context : int
        Seen volumes.
    extra_hidden : float
        Share of the seen tokens that is hidden besides, drawn at random.
    seed : int
        Of that draw.
    """

    start: int
    context: int
    extra_hidden: float = 0.0
    seed: int = 0


def make_grid(recording: Recording, spec: InputSpec, steps: int, context: int | None = None) -> Grid:
    """Lay out a forecast.

    Parameters
    ----------
    recording : Recording
    spec : InputSpec
        Of the model.
    steps : int
        Horizon in volumes.
    context : int, optional
        Seen volumes; by default all that fit before the hidden end of the model's window
        (180 of 200 in the published task).

    Raises
    ------
    ConfigError
        If horizon or context are out of range.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"a horizon of {steps} volumes is impossible", f"choose 1 to {MAX_STEPS}")
    tr = recording.tr_s
    model_tr = tr if spec.tr_s is None or abs(tr / spec.tr_s - 1) <= TR_TOLERANCE else spec.tr_s
    seen_end = (spec.n_timepoints - TASK_STEPS) // spec.patch_length * spec.patch_length
    if seen_end < spec.patch_length:
        raise ConfigError(
            f"a window of {spec.n_timepoints} samples leaves nothing to see before {TASK_STEPS} hidden ones",
            "choose a model with a longer window",
        )
    model_steps = steps if model_tr == tr else int(np.ceil(steps * tr / model_tr - 1e-9)) + 1
    block = spec.n_timepoints - seen_end
    grid = Grid(tr, model_tr, steps, model_steps, spec.n_timepoints, spec.patch_length, block, 0)
    whole = seen_end if not grid.resampled else int(np.ceil((seen_end - 1) * model_tr / tr)) + 1
    grid = replace(grid, context=max(whole, MIN_SEEN) if context is None else context)
    if not grid.shortest <= grid.context <= max(whole, grid.shortest):
        raise ConfigError(
            f"a context of {grid.context} volumes does not fit this model",
            f"choose {grid.shortest} to {max(whole, grid.shortest)} volumes at {tr:g} s",
        )
    return grid


def seen_part(recording: Recording, starts: Sequence[int] | NDArray[np.int64], context: int) -> FloatArray:
    """Return the volumes before each start point, (n_starts, n_parcels, context)."""
    return np.stack([recording.signals[:, s - context : s] for s in starts])


def forecast_looks(
    engine: Engine,
    recording: Recording,
    grid: Grid,
    looks: Sequence[Look],
    *,
    scaling: str | None = None,
    gain: float = 1.0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FloatArray:
    """Forecast from every look with the model's masked-future path.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    grid : Grid
    looks : sequence of Look
        Run together, in batches that fit the device.
    scaling, gain
        As in :func:`brainlm_core.inference.windows.make_windows`.
    progress, cancel : callable, optional

    Returns
    -------
    ndarray (n_looks, steps, n_parcels), float32
        In the recording's units.

    Raises
    ------
    AnalysisError
        If a look reaches before the recording's beginning.
    EngineError, ConfigError
    """
    parts = []
    for first in range(0, len(looks), _CHUNK):
        chunk = looks[first : first + _CHUNK]
        share = (first / len(looks), (first + len(chunk)) / len(looks))
        parts.append(
            _forecast_chunk(engine, recording, grid, chunk, scaling, gain, portion(progress, *share), cancel)
        )
    return np.concatenate(parts)


def _forecast_chunk(
    engine: Engine,
    recording: Recording,
    grid: Grid,
    looks: Sequence[Look],
    scaling: str | None,
    gain: float,
    progress: Progress | None,
    cancel: Cancel | None,
) -> FloatArray:
    windows, hidden, centre, scale = _cut(engine.spec, recording, grid, looks, scaling, gain)
    seen_end = grid.window - grid.block
    tail = windows.values[:, :, seen_end - _tail(grid) : seen_end]
    answers = []
    for roll in range(grid.n_rolls):
        share = (roll / grid.n_rolls, (roll + 1) / grid.n_rolls)
        answer = engine.reconstruct(
            windows, hidden, only_hidden=True, progress=portion(progress, *share), cancel=cancel
        )
        block = answer.predicted[:, :, seen_end:]
        answers.append(block)
        moved = np.concatenate(
            [windows.values[:, :, grid.block : seen_end], block, np.zeros_like(block)], axis=2
        )
        windows = replace(windows, values=moved)
    ahead = np.concatenate(answers, axis=2)[:, :, : grid.model_steps]  # (W, P, model_steps)
    if grid.resampled:
        way_back = _to_volumes(grid.tr_s, grid.model_tr_s, grid.steps, grid.model_steps, tail.shape[2])
        ahead = np.concatenate([tail, ahead], axis=2) @ way_back.T  # (W, P, steps)
    out = ahead / np.float32(windows.gain) * scale[:, :, None] + centre[:, :, None]
    return np.ascontiguousarray(out.transpose(0, 2, 1), dtype=np.float32)


def _cut(
    spec: InputSpec,
    recording: Recording,
    grid: Grid,
    looks: Sequence[Look],
    scaling: str | None,
    gain: float,
) -> tuple[Windows, BoolArray, FloatArray, FloatArray]:
    """Return windows, what is hidden in them (W, P, T), and centre and scale of each look (W, P)."""
    n, p = len(looks), recording.n_parcels
    values = np.zeros((n, p, grid.window), dtype=np.float32)
    hidden = np.zeros((n, p, grid.window), dtype=bool)
    centre, scale = np.empty((n, p), np.float32), np.empty((n, p), np.float32)
    seen_end = grid.window - grid.block
    first: Windows | None = None
    for i, look in enumerate(looks):
        first_seen = seen_end - grid.samples(look.context)
        one = _one_window(spec, recording, grid, look, scaling, gain)
        first = first or one
        values[i], centre[i], scale[i] = one.values[0], one.centre, one.scale
        hidden[i, :, :first_seen] = True
        hidden[i, :, seen_end:] = True
        if look.extra_hidden > 0:
            shape = (p, (seen_end - first_seen) // grid.patch)
            drawn = np.random.default_rng(look.seed).random(shape) < look.extra_hidden
            hidden[i, :, first_seen:seen_end] |= np.repeat(drawn, grid.patch, axis=1)
    assert first is not None  # callers give at least one look
    windows = replace(
        first,
        values=values,
        starts_s=np.array([(look.start * grid.tr_s - seen_end * grid.model_tr_s) for look in looks]),
        observed=np.ones((n, grid.window), dtype=bool),
        centre=np.zeros(p, np.float32),
        scale=np.ones(p, np.float32),
    )
    return windows, hidden, centre, scale


def _one_window(
    spec: InputSpec, recording: Recording, grid: Grid, look: Look, scaling: str | None, gain: float
) -> Windows:
    """Scale the seen part of one look and lay it before the hidden end of a window."""
    if look.start - look.context < 0:
        raise AnalysisError(
            f"{look.context} seen volumes before volume {look.start} reach beyond the recording's beginning",
            "start later or show less context",
        )
    seen = recording.signals[:, look.start - look.context : look.start]
    count = grid.samples(look.context)
    if grid.resampled:
        seen = seen @ _to_samples(grid.tr_s, grid.model_tr_s, look.context, count).T
    seen_end = grid.window - grid.block
    # What lies outside the seen samples is hidden; the newest value there keeps it finite.
    signals = np.repeat(seen[:, -1:], grid.window, axis=1)
    signals[:, seen_end - count : seen_end] = seen[:, -count:]
    piece = replace(recording, signals=signals, tr_s=grid.model_tr_s, quality=None)
    # Resampled above, or near enough; a forecast reads nothing but what it is shown.
    exact = replace(spec, tr_s=None, context="window")
    return make_windows(piece, exact, scaling=scaling, gain=gain, reference=slice(seen_end - count, seen_end))


@lru_cache(maxsize=64)
def _to_samples(tr_s: float, model_tr_s: float, volumes: int, samples: int) -> FloatArray:
    """Return the map (samples, volumes) from seen volumes to the model's interval, newest in place."""
    from scipy.signal import resample_poly

    ratio = Fraction(tr_s / model_tr_s).limit_denominator(1000)
    # Reversed in time, so that the newest volume is the one that stays where it is.
    eye = np.eye(volumes)
    out = resample_poly(eye, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    return np.ascontiguousarray(out[:samples][::-1, ::-1], dtype=np.float32)


@lru_cache(maxsize=64)
def _to_volumes(tr_s: float, model_tr_s: float, steps: int, model_steps: int, tail: int) -> FloatArray:
    """Return the cubic spline map (steps, tail + model_steps) from model samples to the next volumes."""
    from scipy.interpolate import CubicSpline

    knots = (np.arange(tail + model_steps) - (tail - 1)) * model_tr_s
    times = (np.arange(steps) + 1) * tr_s
    return np.asarray(CubicSpline(knots, np.eye(len(knots)), axis=0)(times), dtype=np.float32)


def _tail(grid: Grid) -> int:
    return min(_TAIL, grid.patch)
