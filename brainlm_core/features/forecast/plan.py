"""What is to be forecast: options, checked against the recording and the model before anything runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.features.forecast.windows import TASK_STEPS, Grid, Look, make_grid

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.model.base import InputSpec

#: A context that nobody asked for may shrink to this share of the model's own before it is refused.
SMALLEST_SHARE = 0.5
#: Context (share of the whole) and share of extra hidden tokens of an ensemble's members, in turn.
_VARIANTS = ((1.0, 0.0), (0.75, 0.0), (0.5, 0.0), (0.9, 0.0), (0.6, 0.0), (1.0, 0.2), (0.8, 0.0), (1.0, 0.4))
MAX_MEMBERS = 32


@dataclass(frozen=True)
class ForecastOptions:
    """What to forecast.

    Parameters
    ----------
    steps : int
        Horizon in volumes.
    start : int or None
        First volume that is not seen, counted from 0; ``n_timepoints`` forecasts beyond the end. None:
        the last start point whose whole truth was measured.
    beyond : bool
        Allow a start point whose truth was measured in part only.
    context : int or None
        Seen volumes; None takes all that the model's window holds.
    members : int
        Looks at the past (shorter contexts, extra hidden tokens) whose mean is the forecast.
    n_starts : int or None
        Start points of the back-test, spread evenly; None takes every volume.
    scaling, gain
        As in :func:`brainlm_core.inference.windows.make_windows`.
    seed : int
        Of the extra masks.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    steps: int = TASK_STEPS
    start: int | None = None
    beyond: bool = False
    context: int | None = None
    members: int = 1
    n_starts: int | None = 20
    scaling: str | None = None
    gain: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.members <= MAX_MEMBERS:
            raise ConfigError(f"{self.members} ensemble members are impossible", f"choose 1 to {MAX_MEMBERS}")
        if self.n_starts is not None and self.n_starts < 1:
            raise ConfigError(f"{self.n_starts} start points are impossible", "choose 1 or more")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """A forecast that can be run.

    Parameters
    ----------
    options : ForecastOptions
    grid : Grid
    start : int
        First volume that is not seen.
    notices : tuple of str
        What was decided for the reader.
    """

    options: ForecastOptions
    grid: Grid
    start: int
    notices: tuple[str, ...] = ()


def plan(recording: Recording, spec: InputSpec, options: ForecastOptions | None = None) -> Plan:
    """Check options against a recording and a model.

    Parameters
    ----------
    recording : Recording
    spec : InputSpec
        Of the model.
    options : ForecastOptions, optional

    Returns
    -------
    Plan

    Raises
    ------
    AnalysisError
        If the recording is too short, the start too early, or the horizon longer than what is left.
    ConfigError
        If horizon or context do not fit the model.
    """
    options = options or ForecastOptions()
    grid = make_grid(recording, spec, options.steps, options.context)
    start = recording.n_timepoints - options.steps if options.start is None else options.start
    _check_end(recording, options, start)
    notices: list[str] = []
    if start < grid.context:
        grid = _shrunk(recording, grid, options, start)
        notices.append(
            f"The model sees {grid.context} volumes ({grid.context * grid.tr_s:.0f} s): "
            "fewer lie before the start point than its window holds."
        )
    if grid.resampled:
        notices.append(
            f"The seen part was resampled from {grid.tr_s:.3g} s to the model's {grid.model_tr_s:.3g} s "
            "and the forecast back; scores are at the recording's own volumes."
        )
    return Plan(options, grid, start, tuple(notices))


def even_starts(recording: Recording, grid: Grid, n_starts: int | None) -> NDArray[np.int64]:
    """Return start points with a full context and a whole truth, spread evenly; empty when there are none."""
    first, last = grid.context, recording.n_timepoints - grid.steps
    if last < first:
        return np.zeros(0, dtype=np.int64)
    count = last - first + 1 if n_starts is None else min(n_starts, last - first + 1)
    return np.unique(np.round(np.linspace(last, first, count)).astype(np.int64))


def ensemble(start: int, grid: Grid, options: ForecastOptions) -> list[Look]:
    """Return the looks at the past whose mean is the forecast; the first is the plain one."""
    looks = []
    for member in range(options.members):
        share, extra = _VARIANTS[member % len(_VARIANTS)]
        context = max(grid.shortest, round(share * grid.context))
        seed = options.seed + 1000 * member + start
        looks.append(Look(start, min(context, grid.context), extra, seed))
    return looks


def _check_end(recording: Recording, options: ForecastOptions, start: int) -> None:
    n, tr, steps = recording.n_timepoints, recording.tr_s, options.steps
    if start > n:
        raise AnalysisError(
            f"the recording ends at volume {n} ({n * tr:.0f} s), before the start at volume {start}",
            f"start at volume {n} or earlier",
        )
    if start < n < start + steps and not options.beyond:
        raise AnalysisError(
            f"the horizon of {steps} volumes is longer than the {n - start} left after volume {start}",
            f"shorten it, start at volume {max(n - steps, 0)} or earlier, or forecast beyond the end",
        )


def _shrunk(recording: Recording, grid: Grid, options: ForecastOptions, start: int) -> Grid:
    """Return the grid with the context that there is, or refuse."""
    n, tr, wanted = recording.n_timepoints, recording.tr_s, grid.context
    if options.context is None and start >= max(grid.shortest, round(SMALLEST_SHARE * wanted)):
        return replace(grid, context=start)
    less = f"or show it less context (from {grid.shortest} volumes)"
    if options.start is None or start >= n:
        raise AnalysisError(
            f"the recording has {n} volumes ({n * tr:.0f} s) and this model wants to see {wanted} "
            f"({wanted * tr:.0f} s) before it forecasts {options.steps}",
            f"use a longer recording, {less}",
        )
    raise AnalysisError(
        f"a start at volume {start} ({start * tr:.0f} s) is too early: this model wants to see {wanted} "
        f"volumes ({wanted * tr:.0f} s) before it",
        f"start at volume {wanted} or later, {less}",
    )
