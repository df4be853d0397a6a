"""What a model answers when signals are changed: output with the action minus output without it.

The steps, in their order:

1. :func:`prepare`: cut the recording, take one window, find the model's grid of tokens.
2. :func:`brainlm_core.features.perturb.masks.make_plan`: resolve the actions of a scenario.
3. :func:`respond`: per mask draw, run the model with and without the actions at the same mask. All
   scenarios of a request run together; the pass without actions is made once per distinct mask, and a
   scenario that changes nothing needs none: its response is zero.
4. Per parcel and sample, the difference is divided by the parcel's standard deviation and averaged over
   the draws in which it was an answer (hidden, no target).


A response says what the model expects to go with a change. It is not a measured effect and shows no cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.features.perturb.actions import Frame, apply_actions
from brainlm_core.features.perturb.masks import BoolArray, Plan, draw_masks, make_plan, token_grid
from brainlm_core.features.perturb.scenario import SHIFTING, Scenario
from brainlm_core.features.perturb.trials import Cancel, FloatArray, Progress, Stage, Trial, run_trials

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine
    from brainlm_core.inference.windows import Windows


@dataclass(frozen=True, eq=False)
class Response:
    """The model's response to one scenario.

    Parameters
    ----------
    plan : Plan
        The scenario, its targets, and what was hidden.
    mean : ndarray (P, T), float32
        Response in SD of each parcel's signal, averaged over draws; NaN at targets, at parcels that do
        not vary, and where no draw gave an answer.
    spread : ndarray (P, T), float32
        Standard deviation over draws; NaN with fewer than two answers.
    effect : ndarray (P,), float32
        Mean over the counted samples, signed, in SD; averaged over draws.
    magnitude : ndarray (P,), float32
        Root mean square over the counted samples, in SD; averaged over draws.
    effect_by_draw, magnitude_by_draw : ndarray (K, P), float32
        Of each draw.
    input_change : ndarray (P, T), float32
        What the actions changed, in SD of each parcel.
    times_s : ndarray (T,), float64
        From the start of the window, in s.
    """

    plan: Plan
    mean: FloatArray
    spread: FloatArray
    effect: FloatArray
    magnitude: FloatArray
    effect_by_draw: FloatArray
    magnitude_by_draw: FloatArray
    input_change: FloatArray
    times_s: NDArray[np.float64]

    @property
    def statistic(self) -> str:
        """``effect`` where an action shifts signals, ``magnitude`` where the mean stays about the same."""
        shifts = any(a.kind in SHIFTING for a in self.plan.scenario.actions)
        return "effect" if shifts else "magnitude"

    @property
    def summary(self) -> FloatArray:
        """The statistic per parcel, (P,)."""
        return self.effect if self.statistic == "effect" else self.magnitude

    @property
    def summary_by_draw(self) -> FloatArray:
        """The statistic per draw and parcel, (K, P)."""
        return self.effect_by_draw if self.statistic == "effect" else self.magnitude_by_draw

    def interval(self) -> FloatArray:
        """Return the 95 % interval of the summary over mask draws, (P, 2), in SD; NaN with one answer.

        Student's t over draws: how much the answer depends on what else the model saw, not on the person.
        """
        from scipy.stats import t

        values = self.summary_by_draw.astype(np.float64)
        n = (~np.isnan(values)).sum(axis=0)  # a parcel answers in some of the draws only
        deviation = np.where(np.isnan(values), 0.0, values - self.summary)
        total = (deviation**2).sum(axis=0)
        spread = np.sqrt(np.divide(total, n - 1, out=np.full(n.shape, np.nan), where=n > 1))
        half = t.ppf(0.975, np.maximum(n - 1, 1)) * spread / np.sqrt(np.maximum(n, 1))
        return np.stack([self.summary - half, self.summary + half], axis=1).astype(np.float32)

    def lag_s(self) -> FloatArray:
        """Return when each parcel's response is largest, in s after the first onset, (P,).

        NaN where the response stays below a twentieth of the largest one anywhere.
        """
        size = np.where(np.isnan(self.mean), -1.0, np.abs(self.mean))
        peak, at = size.max(axis=1), size.argmax(axis=1)
        out = self.times_s[at] - self.times_s[self.plan.first]
        return np.where((peak > 0) & (peak >= 0.05 * peak.max()), out, np.nan).astype(np.float32)


def prepare(engine: Engine, recording: Recording, window: int = 1) -> Stage:
    """Cut a recording for a model and take one window.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    window : int
        Counted from 1.

    Raises
    ------
    ConfigError
        If there is no such window.
    EngineError
        If the recording does not fit the model.
    """
    windows = engine.windows(recording)
    if not 1 <= window <= windows.n_windows:
        raise ConfigError(
            f"there is no window {window}: the recording has {windows.n_windows} of "
            f"{windows.n_timepoints * windows.tr_s:.0f} s",
            f"choose window 1 to {windows.n_windows}",
        )
    whole = _join(windows)
    mean, sd = whole.mean(axis=1), whole.std(axis=1)
    sd = np.where(windows.flat, 0.0, sd)
    one = windows.pick(slice(window - 1, window))
    frame = Frame(
        recording.parcellation,
        mean.astype(np.float32),
        sd.astype(np.float32),
        windows.tr_s,
        int(one.observed[0].sum()),
    )
    return Stage(one, whole, frame, token_grid(engine, one), engine.info, recording.provenance, window)


def _join(windows: Windows) -> FloatArray:
    """Put windows back together, (P, N): the last one overlaps the one before."""
    starts = np.round(windows.starts_s / windows.tr_s).astype(int)
    pieces, end = [], 0
    for values, seen, start in zip(windows.values, windows.observed, starts, strict=True):
        piece = values[:, seen]
        pieces.append(piece[:, max(0, end - start) :])
        end = start + piece.shape[1]
    return np.concatenate(pieces, axis=1)


def summarise(response: FloatArray, counted: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and root mean square over the counted samples, each (P,); NaN without an answer."""
    part = response[:, counted].astype(np.float64)
    known = ~np.isnan(part)
    n = known.sum(axis=1)
    safe = np.where(known, part, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, safe.sum(axis=1) / n, np.nan)
        size = np.where(n > 0, np.sqrt((safe**2).sum(axis=1) / n), np.nan)
    return mean.astype(np.float32), size.astype(np.float32)


def respond(
    engine: Engine,
    stage: Stage,
    scenarios: Sequence[Scenario],
    *,
    draws: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    label: str = "Asking the model",
) -> tuple[Response, ...]:
    """Return the response to each scenario; all of them run as one request.

    Parameters
    ----------
    engine : Engine
    stage : Stage
        From :func:`prepare`.
    scenarios : sequence of Scenario
        All of them are checked before the first pass.
    draws : int or None
        Mask draws; None takes the largest number that a scenario asks for.
    progress, cancel : callable or None
    label : str
        Said while it runs.

    Raises
    ------
    ConfigError
        If a scenario does not fit the window.
    EngineError
        If the caller cancelled or the model cannot run.
    """
    plans = [make_plan(s, stage.frame, stage.grid) for s in scenarios]
    k = draws if draws is not None else max((s.draws for s in scenarios), default=1)
    trials = [Trial(plan, mask) for plan in plans for mask in draw_masks(plan, stage.grid, range(k))]
    gathered: dict[int, _Gather] = {}
    out: dict[int, Response] = {}
    for i, answer in run_trials(engine, stage, trials, progress=progress, cancel=cancel, label=label):
        at, draw = divmod(i, k)
        if at not in gathered:  # sums take memory: not before the first answer, not after the last
            gathered[at] = _Gather(plans[at], stage, k)
        gathered[at].add(draw, answer)
        if gathered[at].complete:
            out[at] = gathered.pop(at).finish()
    return tuple(out[at] for at in range(len(plans)))


class _Gather:
    """Running sums over the draws of one scenario."""

    def __init__(self, plan: Plan, stage: Stage, n_draws: int) -> None:
        shape = stage.window.values.shape[1:]
        self.plan, self.stage, self.missing = plan, stage, n_draws
        self.count = np.zeros(shape, dtype=np.int32)
        self.total, self.square = np.zeros(shape), np.zeros(shape)
        self.effect = np.full((n_draws, shape[0]), np.nan, dtype=np.float32)
        self.magnitude = self.effect.copy()

    def add(self, draw: int, response: FloatArray) -> None:
        known = ~np.isnan(response)
        value = np.where(known, response, 0.0).astype(np.float64)
        self.count += known
        self.total += value
        self.square += value**2
        self.effect[draw], self.magnitude[draw] = summarise(response, self.plan.counted)
        self.missing -= 1

    @property
    def complete(self) -> bool:
        """Whether every draw is in."""
        return self.missing == 0

    def finish(self) -> Response:
        n = self.count
        mean = np.divide(self.total, n, out=np.full(n.shape, np.nan), where=n > 0)
        variance = np.full(n.shape, np.nan)
        np.divide(self.square - n * np.where(n > 0, mean, 0) ** 2, n - 1, out=variance, where=n > 1)
        spread = np.sqrt(np.clip(variance, 0, None))
        values = self.stage.window.values[0]
        changed = apply_actions(values, self.plan.actions, self.stage.frame, self.plan.scenario.seed)
        sd = np.where(self.stage.frame.sd > 0, self.stage.frame.sd, 1)[:, None]
        return Response(
            self.plan,
            mean.astype(np.float32),
            spread.astype(np.float32),
            mean_over_draws(self.effect),
            mean_over_draws(self.magnitude),
            self.effect,
            self.magnitude,
            ((changed - values) / sd).astype(np.float32),
            self.stage.times_s,
        )


def mean_over_draws(values: FloatArray) -> FloatArray:
    """Mean over the first axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0).astype(np.float32)
