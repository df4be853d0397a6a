"""What the Forecast page asks for, in the order in which it can be shown: forecast, race, twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app import errands
from app.jobs import Job, Report, within
from app.state import ModelChoice, Visitor
from app.waiting import collect
from brainlm_core.analyses.forecast_intervals import Coverage
from brainlm_core.analyses.forecast_metrics import Backtest, Race
from brainlm_core.analyses.forecast_plan import ForecastOptions, Plan
from brainlm_core.analyses.forecast_result import Forecast, ForecastResult
from brainlm_core.analyses.forecast_verdict import Verdict
from brainlm_core.model.base import InputSpec
from brainlm_core.recording import FloatArray, Recording

if TYPE_CHECKING:
    from brainlm_core.engine import EngineInfo

#: Slots of the two jobs.
FORECAST, BACKTEST = "forecast", "backtest"


@dataclass(frozen=True, eq=False)
class Made:
    """A forecast and what it was made with.

    Parameters
    ----------
    forecast : Forecast
    plan : Plan
    spec : InputSpec
        Of the model.
    model : EngineInfo
    """

    forecast: Forecast
    plan: Plan
    spec: InputSpec
    model: EngineInfo


@dataclass(frozen=True, eq=False)
class Tested:
    """A back-test and what it says.

    Parameters
    ----------
    backtest : Backtest or None
        None when the recording holds no start point with a known truth.
    member_sd : ndarray (W, H, P), float32, or None
    race : Race or None
    coverage : Coverage
    verdict : Verdict
    """

    backtest: Backtest | None
    member_sd: FloatArray | None
    race: Race | None
    coverage: Coverage
    verdict: Verdict


@dataclass(frozen=True, eq=False)
class Picture:
    """What can be drawn now; None for what is still being computed.

    Parameters
    ----------
    made : Made or None
    stale : bool
        The forecast is of an earlier choice; the one asked for is still being computed.
    tested : Tested or None
    """

    made: Made | None = None
    stale: bool = False
    tested: Tested | None = None


def forecast_key(who: Visitor, options: ForecastOptions) -> tuple[str, ...]:
    """Identify one forecast of the recording in hand; the back-test's size does not matter."""
    return (FORECAST, who.key, who.model.name, repr(replace(options, n_starts=1)))


def backtest_key(who: Visitor, options: ForecastOptions) -> tuple[str, ...]:
    """Identify one back-test of the recording in hand; the start point does not matter."""
    return (BACKTEST, who.key, who.model.name, repr(replace(options, start=None, beyond=False)))


def latest_key(who: Visitor) -> tuple[str, ...]:
    """Identify the newest forecast of the recording in hand by whatever choice."""
    return ("forecast-latest", who.key, who.model.name)


def forecast_job(recording: Recording, model: ModelChoice, options: ForecastOptions) -> Job[Made]:
    """Load the model if need be and forecast from one start point."""

    def work(report: Report) -> Made:
        report(0.0, "Loading the model")
        from brainlm_core.analyses.forecast import forecast_from, plan

        engine = model.engine(within(report, 0.0, 0.3))
        what = plan(recording, engine.spec, options)
        report(0.3, "Forecasting")
        made = forecast_from(engine, recording, what, within(report, 0.3, 1.0), report.cancelled)
        return Made(made, what, engine.spec, engine.info)

    return Job("Forecasting", work)


def backtest_job(recording: Recording, model: ModelChoice, what: Plan) -> Job[Tested]:
    """Forecast from many start points; the race is published before the random-weights twin has run."""

    def work(report: Report) -> Tested:
        from brainlm_core.analyses import forecast as analysis

        report(0.0, "Forecasting from earlier start points")
        engine = model.engine()
        if not len(analysis.even_starts(recording, what.grid, what.options.n_starts)):
            said = Verdict("The recording is too short to test a forecast on: no start has a known truth.")
            return Tested(None, None, None, Coverage(None, (), 0), said)
        test, member_sd = analysis.back_test(
            engine, recording, what, progress=within(report, 0.0, 0.6), cancel=report.cancelled
        )
        report(0.6, "Comparing with the baselines")
        report.publish("tested", Tested(test, member_sd, *analysis.compare(test, member_sd)))
        report(0.65, "Running the random-weights twin")
        twin = model.twin()
        own = analysis.twin_back_test(
            twin, recording, what, test.starts, within(report, 0.65, 1.0), report.cancelled
        )
        test = replace(test, forecasts={**test.forecasts, "random_twin": own})
        return Tested(test, member_sd, *analysis.compare(test, member_sd))

    return Job("Testing the forecast", work)


def advance(who: Visitor, recording: Recording, options: ForecastOptions) -> None:
    """Take over what has been computed, and start what is missing."""
    wanted = {FORECAST: forecast_key(who, options), BACKTEST: backtest_key(who, options)}
    for slot, key in wanted.items():
        errands.drop_outdated(who, slot, key)
        job = collect(slot)
        if job is None:
            continue
        if job.error is not None:
            who.model_error = job.error
        elif job.result is not None:
            who.model_error = None
            errands.finished(slot)
            who.remember(key, job.result)
            if slot == FORECAST:
                who.remember(latest_key(who), job.result)
    if wanted[FORECAST] not in who.results:
        start(who, FORECAST, wanted[FORECAST], lambda: forecast_job(recording, who.model, options))
        return
    made: Made = who.results[wanted[FORECAST]]
    who.remember(latest_key(who), made)
    who.device, who.licence = made.model.where, made.model.licence
    if wanted[BACKTEST] not in who.results:
        what = replace(made.plan, options=options)
        start(who, BACKTEST, wanted[BACKTEST], lambda: backtest_job(recording, who.model, what))


def start(who: Visitor, slot: str, key: tuple[str, ...], job: Callable[[], Job[object]]) -> None:
    """Start a job once; a new question forgets what went wrong with the last."""
    if errands.start_once(who, slot, key, job):
        who.model_error = None


def stopped(who: Visitor, options: ForecastOptions) -> bool:
    """Whether something is missing that nobody is computing (the visitor has stopped it)."""
    keys = {FORECAST: forecast_key(who, options), BACKTEST: backtest_key(who, options)}
    return who.model_error is None and any(errands.stopped(who, slot, key) for slot, key in keys.items())


def picture(who: Visitor, options: ForecastOptions) -> Picture:
    """Return what is known now, from finished results and from parts of the running job."""
    made = who.results.get(forecast_key(who, options))
    latest = who.results.get(latest_key(who))
    tested = who.results.get(backtest_key(who, options))
    if tested is None and BACKTEST in who.jobs:
        tested = who.jobs[BACKTEST].parts.get("tested")
    return Picture(made or latest, made is None and latest is not None, tested)


def result(recording: Recording, now: Picture) -> ForecastResult | None:
    """Return everything as one result, for export; None while something is missing."""
    if now.made is None or now.tested is None:
        return None
    from brainlm_core.analyses.forecast import put_together

    tested = now.tested
    pair = (
        None if tested.backtest is None or tested.member_sd is None else (tested.backtest, tested.member_sd)
    )
    return put_together(now.made.model, recording, now.made.plan, now.made.forecast, pair)
