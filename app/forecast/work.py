"""Tasks of the Forecast page, in the order in which their answers can be shown: forecast, race, twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.shell import tasks
from app.shell.jobs import Report, within
from app.shell.session import Visitor
from app.shell.tasks import Task
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.plan import ForecastOptions, Plan
from brainlm_core.features.forecast.result import Forecast, ForecastResult, Tested
from brainlm_core.model.base import InputSpec

if TYPE_CHECKING:
    from brainlm_core.inference.engine import EngineInfo

#: Slots of the two tasks.
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


def forecast_task(who: Visitor, recording: Recording, options: ForecastOptions) -> Task[Made]:
    """Load the model if need be and forecast from one start point."""
    model = who.model

    def work(report: Report) -> Made:
        report(0.0, "Loading the model")
        from brainlm_core.features.forecast.analysis import forecast_from, plan

        engine = model.engine(within(report, 0.0, 0.3))
        what = plan(recording, engine.spec, options)
        report(0.3, "Forecasting")
        made = forecast_from(engine, recording, what, within(report, 0.3, 1.0), report.cancelled)
        return Made(made, what, engine.spec, engine.info)

    return Task(FORECAST, forecast_key(who, options), "Forecasting", work)


def backtest_task(who: Visitor, recording: Recording, options: ForecastOptions) -> Task[Tested]:
    """Forecast from many start points; the race is published before the random-weights twin has run."""
    model = who.model

    def work(report: Report) -> Tested:
        report(0.0, "Forecasting from earlier start points")
        from brainlm_core.features.forecast.analysis import assess, plan

        engine = model.engine()
        what = plan(recording, engine.spec, options)
        tell = within(report, 0.0, 1.0)
        return assess(engine, recording, what, tell, report.cancelled, publish=report.publish)

    return Task(BACKTEST, backtest_key(who, options), "Testing the forecast", work)


def advance(who: Visitor, recording: Recording, options: ForecastOptions) -> None:
    """Take over what has been computed, and start what is missing."""
    if who.model_error is not None:
        return
    asked = (forecast_task(who, recording, options), backtest_task(who, recording, options))
    made = tasks.run_in_order(who, asked)[0].result
    if made is not None:
        who.results.remember(latest_key(who), made)
        who.device, who.licence = made.model.where, made.model.licence


def picture(who: Visitor, options: ForecastOptions) -> Picture:
    """Return what is known now, from finished results and from parts of the running job."""
    made = who.results.get(forecast_key(who, options))
    latest = who.results.get(latest_key(who))
    tested = who.results.get(backtest_key(who, options))
    if tested is None:
        tested = tasks.parts(who, BACKTEST).get("tested")
    return Picture(made or latest, made is None and latest is not None, tested)


def result(recording: Recording, now: Picture) -> ForecastResult | None:
    """Return everything as one result, for export; None while something is missing."""
    if now.made is None or now.tested is None:
        return None
    from brainlm_core.features.forecast.analysis import put_together

    return put_together(now.made.model, recording, now.made.plan, now.made.forecast, now.tested)
