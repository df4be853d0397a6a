"""The next steps of a recording by the model and by simple methods, and how often each is right.

The steps, in their order:

1. :func:`plan`: start point, horizon, seen volumes; everything impossible is refused here.
2. :func:`forecast_from`: one start point: the model (an ensemble of looks at the past), every
   baseline fitted on the seen part, and a predictive interval from the model's own earlier misses.
3. :func:`back_test`: the same from many start points of the recording, the random-weights twin
   included, in batches.
4. :func:`control_back_test`: the model alone on the recording with its phases shuffled per parcel, from the
   same start points: what each parcel's own past is worth to it.
5. :func:`compare`: the race per step, the coverage of the intervals, and one sentence.
   :func:`assess` does 3 to 5, and publishes the race before control and twin have run.

:func:`analyse` runs all of it. Nothing after a start point
enters the model, the scaling, the baselines or the intervals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.progress import Cancel, Progress, Publish, portion
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.intervals import Coverage, coverage, half_widths, quantiles_at
from brainlm_core.features.forecast.metrics import Backtest, Race, race, with_control
from brainlm_core.features.forecast.plan import ForecastOptions, Plan, ensemble, even_starts, plan
from brainlm_core.features.forecast.result import Forecast, ForecastResult, Tested
from brainlm_core.features.forecast.verdict import Verdict, verdict
from brainlm_core.features.forecast.windows import Grid, Look, forecast_looks, seen_part
from brainlm_core.features.shared.baselines import baseline_forecasts, mean_forecast
from brainlm_core.features.shared.controls import control_recording

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine, EngineInfo

__all__ = [
    "Backtest",
    "Forecast",
    "ForecastOptions",
    "ForecastResult",
    "Plan",
    "Tested",
    "Verdict",
    "analyse",
    "assess",
    "back_test",
    "compare",
    "control_back_test",
    "even_starts",
    "forecast_from",
    "plan",
    "put_together",
    "twin_back_test",
    "twin_forecast",
]

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Earlier forecasts that a single forecast's interval is built on, at most.
N_EARLIER = 8
#: A parcel whose spread is below this share of its largest magnitude counts as flat.
_FLAT = 1e-6


def forecast_from(
    engine: Engine,
    recording: Recording,
    what: Plan,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Forecast:
    """Forecast from the planned start point with the model and every baseline.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    what : Plan
        From :func:`plan`.
    progress, cancel : callable, optional

    Raises
    ------
    AnalysisError, EngineError, ConfigError
    """
    options, grid, start = what.options, what.grid, what.start
    members = ensemble(start, grid, options)
    earlier = _earlier_looks(start, grid)
    answers = forecast_looks(
        engine,
        recording,
        grid,
        [*members, *earlier],
        scaling=options.scaling,
        gain=options.gain,
        progress=progress,
        cancel=cancel,
    )
    own = answers[: len(members)]
    seen = seen_part(recording, [start], grid.context)
    centre, spread, usable = _seen_statistics(seen)
    forecasts = {"model": own.mean(axis=0)}
    forecasts |= {name: f[0] for name, f in baseline_forecasts(seen, grid.steps).items()}
    member_sd = own.std(axis=0, ddof=1) if len(own) > 1 else np.zeros_like(own[0])
    width = np.full_like(own[0], np.nan)
    if earlier:
        past = _as_backtest(recording, grid, earlier, {"model": answers[len(members) :]})
        width = half_widths(quantiles_at(start, past), spread[0], member_sd)
    return Forecast(
        start=start,
        tr_s=recording.tr_s,
        seen=np.ascontiguousarray(seen[0].T),
        truth=_truth(recording, start, grid.steps),
        forecasts=forecasts,
        lower=forecasts["model"] - width,
        upper=forecasts["model"] + width,
        member_sd=member_sd,
        centre=centre[0],
        spread=spread[0],
        usable=usable,
    )


def twin_forecast(
    twin: Engine,
    recording: Recording,
    what: Plan,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FloatArray:
    """Return the random-weights twin's forecast from the planned start point, (H, P)."""
    looks = [Look(what.start, what.grid.context)]
    return forecast_looks(twin, recording, what.grid, looks, progress=progress, cancel=cancel)[0]


def back_test(
    engine: Engine,
    recording: Recording,
    what: Plan,
    *,
    twin: Engine | None = None,
    starts: NDArray[np.int64] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[Backtest, FloatArray]:
    """Forecast from many start points with the model and every baseline.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    what : Plan
        From :func:`plan`.
    twin : Engine, optional
        The random-weights twin, run as one more method.
    starts : ndarray (W,), int, optional
        Start points; by default ``options.n_starts`` of them, spread evenly.
    progress, cancel : callable, optional

    Returns
    -------
    backtest : Backtest
    member_sd : ndarray (W, H, P), float32
        Spread of the ensemble's members, in the recording's units.

    Raises
    ------
    AnalysisError
        If no start point has a known truth.
    """
    options, grid = what.options, what.grid
    starts = even_starts(recording, grid, options.n_starts) if starts is None else np.asarray(starts)
    share = 1.0 if twin is None else 0.5
    looks = [look for s in starts for look in ensemble(int(s), grid, options)]
    answers = forecast_looks(
        engine,
        recording,
        grid,
        looks,
        scaling=options.scaling,
        gain=options.gain,
        progress=portion(progress, 0.0, 0.95 * share),
        cancel=cancel,
    )
    answers = answers.reshape(len(starts), -1, grid.steps, recording.n_parcels)  # (W, members, H, P)
    forecasts = {"model": answers.mean(axis=1)}
    member_sd = answers.std(axis=1, ddof=1) if answers.shape[1] > 1 else np.zeros_like(forecasts["model"])
    if twin is not None:
        forecasts["random_twin"] = twin_back_test(
            twin, recording, what, starts, portion(progress, 0.5, 0.95), cancel
        )
    if progress is not None:
        progress(0.95, "Fitting the baselines")
    return _as_backtest(recording, grid, [Look(int(s), grid.context) for s in starts], forecasts), member_sd


def twin_back_test(
    twin: Engine,
    recording: Recording,
    what: Plan,
    starts: NDArray[np.int64],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> FloatArray:
    """Return the twin's forecasts from some start points, (W, H, P)."""
    looks = [Look(int(s), what.grid.context) for s in starts]
    return forecast_looks(twin, recording, what.grid, looks, progress=progress, cancel=cancel)


def control_back_test(
    engine: Engine,
    recording: Recording,
    what: Plan,
    starts: NDArray[np.int64],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    kind: str = "no_scan",
    seed: int = 0,
) -> Backtest:
    """Forecast a control recording from the same starts with the model alone; its truth is its own.

    Parameters
    ----------
    engine : Engine
    recording : Recording
        The real one.
    what : Plan
        From :func:`plan`.
    starts : ndarray (W,), int
    progress, cancel : callable, optional
    kind, seed
        As :func:`~brainlm_core.features.shared.controls.control_recording` takes them.

    Returns
    -------
    Backtest
        With the methods ``model`` and ``mean``.
    """
    control, options = control_recording(recording, kind, seed), what.options
    looks = [Look(int(s), what.grid.context) for s in starts]
    answers = forecast_looks(
        engine, control, what.grid, looks, scaling=options.scaling, gain=options.gain,
        progress=progress, cancel=cancel,
    )  # fmt: skip
    return _as_backtest(control, what.grid, looks, {"model": answers}, rivals=False)


def compare(
    backtest: Backtest, member_sd: FloatArray, control: Race | None = None
) -> tuple[Race, Coverage, Verdict]:
    """Score a back-test: the race per step, beside it the control, coverage of intervals, one sentence."""
    result = race(backtest)
    if control is not None:
        result = with_control(result, control)
    return result, coverage(backtest, member_sd), verdict(result)


def assess(
    engine: Engine,
    recording: Recording,
    what: Plan,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    twin: Engine | None = None,
    publish: Publish | None = None,
) -> Tested:
    """Test a forecast on earlier start points of the recording, beside every baseline and the twin.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    what : Plan
        From :func:`plan`.
    progress, cancel : callable, optional
    twin : Engine, optional
        The random-weights twin when it is loaded already.
    publish : callable, optional
        Called with ``tested`` and a :class:`Tested` without the twin, before that has run.

    Returns
    -------
    Tested
        Without a back-test where no start point has a known truth.
    """
    if not len(even_starts(recording, what.grid, what.options.n_starts)):
        said = Verdict("No truth was measured after any start point, so nothing can be compared.")
        return Tested(None, None, None, Coverage(None, (), 0), said)
    test, member_sd = back_test(engine, recording, what, progress=portion(progress, 0.0, 0.6), cancel=cancel)
    if publish is not None:
        publish("tested", Tested(test, member_sd, *compare(test, member_sd)))
    if progress is not None:
        progress(0.6, "Asking the same of no scan")
    asked = control_back_test(engine, recording, what, test.starts, portion(progress, 0.6, 0.8), cancel)
    control = race(asked)
    if publish is not None:
        publish("tested", Tested(test, member_sd, *compare(test, member_sd, control)))
    if progress is not None:
        progress(0.8, "Running the random-weights twin")
    twin = twin or engine.twin()
    other = twin_back_test(twin, recording, what, test.starts, portion(progress, 0.8, 1.0), cancel)
    model, rest = test.forecasts["model"], {k: v for k, v in test.forecasts.items() if k != "model"}
    test = replace(test, forecasts={"model": model, "random_twin": other, **rest})
    return Tested(test, member_sd, *compare(test, member_sd, control))


def analyse(
    engine: Engine,
    recording: Recording,
    options: ForecastOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    twin: Engine | None = None,
) -> ForecastResult:
    """Do everything in the module's list for one recording.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    options : ForecastOptions, optional
    progress : callable, optional
        Called with a share 0–1 and what is being done.
    cancel : callable, optional
        Asked between batches; True stops.
    twin : Engine, optional
        The random-weights twin when it is loaded already.

    Returns
    -------
    ForecastResult

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    what = plan(recording, engine.spec, options)
    own = forecast_from(engine, recording, what, portion(progress, 0.0, 0.2), cancel)
    twin = twin or engine.twin()
    own.forecasts["random_twin"] = twin_forecast(twin, recording, what, portion(progress, 0.2, 0.25), cancel)
    tested = assess(engine, recording, what, portion(progress, 0.25, 1.0), cancel, twin=twin)
    return put_together(engine.info, recording, what, own, tested)


def put_together(
    model: EngineInfo, recording: Recording, what: Plan, own: Forecast, tested: Tested
) -> ForecastResult:
    """Put the parts together."""
    return ForecastResult(
        own,
        tested.backtest,
        tested.race,
        tested.coverage,
        tested.verdict,
        what.options,
        what.grid,
        recording.parcellation,
        model,
        (*recording.notices, *what.notices, *_notices(own, tested.backtest)),
        recording.provenance,
    )


def _earlier_looks(start: int, grid: Grid) -> list[Look]:
    """Return start points whose whole truth was seen at ``start``, latest first, as far back as they go."""
    gap = max(1, grid.steps // 4)
    points = (start - grid.steps - gap * i for i in range(N_EARLIER))
    return [Look(p, min(grid.context, p)) for p in points if p >= max(grid.shortest, grid.context // 2)][::-1]


def _as_backtest(
    recording: Recording,
    grid: Grid,
    looks: list[Look],
    forecasts: dict[str, FloatArray],
    *,
    rivals: bool = True,
) -> Backtest:
    """Put truth and baselines beside the forecasts: the mean alone without ``rivals``.

    Looks with a shorter context get no baselines.
    """
    starts = np.array([look.start for look in looks], dtype=np.int64)
    truth = np.stack([_truth(recording, int(s), grid.steps) for s in starts])
    if all(look.context == grid.context for look in looks):
        seen = seen_part(recording, starts, grid.context)
        centre, spread, usable = _seen_statistics(seen)
        others = baseline_forecasts(seen, grid.steps) if rivals else {"mean": mean_forecast(seen, grid.steps)}
        forecasts = forecasts | others
    else:
        each = [_seen_statistics(seen_part(recording, [look.start], look.context)) for look in looks]
        centre, spread = (np.concatenate([e[i] for e in each]) for i in (0, 1))
        usable = np.all([e[2] for e in each], axis=0)
    return Backtest(starts, recording.tr_s, truth, forecasts, centre, spread, usable)


def _seen_statistics(seen: FloatArray) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return mean and SD of the seen part, (W, P), and the parcels that vary in all of it, (P,)."""
    centre, spread = seen.mean(axis=2, dtype=np.float64), seen.std(axis=2, dtype=np.float64)
    usable = (spread > _FLAT * np.maximum(np.abs(seen).max(axis=2), np.finfo(np.float32).tiny)).all(axis=0)
    return centre.astype(np.float32), spread.astype(np.float32), usable


def _truth(recording: Recording, start: int, steps: int) -> FloatArray:
    """Return what was measured after ``start``, (steps, P); NaN beyond the recording's end."""
    out = np.full((steps, recording.n_parcels), np.nan, dtype=np.float32)
    known = recording.signals[:, start : start + steps].T
    out[: len(known)] = known
    return out


def _notices(own: Forecast, backtest: Backtest | None) -> tuple[str, ...]:
    out: list[str] = []
    missing = own.n_steps - own.n_known
    if missing == own.n_steps:
        out.append(
            "This forecast lies beyond the end of the recording: nothing was measured there to compare with."
        )
    elif missing:
        out.append(
            f"The last {missing} of {own.n_steps} steps lie beyond the end of the recording: no truth there."
        )
    flat = int((~own.usable).sum())
    if flat:
        out.append(
            f"{flat} parcels that do not vary in the seen part are drawn grey and take part in no score."
        )
    if np.isnan(own.lower).all():
        out.append("Too little came before this start point for a predictive interval.")
    if backtest is not None and backtest.n_starts < 5:
        out.append(
            f"The back-test has {backtest.n_starts} start point{'s' if backtest.n_starts > 1 else ''}: "
            "too few for intervals, and the order of the methods may be chance."
        )
    return tuple(out)
