"""The report of the recording in hand: what the pages show now, put into one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.forecast import controls as forecast_controls
from app.forecast import work as forecast_work
from app.networks import work as networks_work
from app.perturb import state as perturb_state
from app.perturb import work as perturb_work
from app.shell import tasks
from app.shell.jobs import Report
from app.shell.session import Visitor
from app.shell.tasks import Task
from app.shell.words import capital
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.features.perturb.scenario import Scenario
    from brainlm_core.report import Parts, ReportOptions

SLOT = "report"
#: Random sets of the perturbation's null, as on its page.
NULL_SETS = 200
#: Longest heading.
MAX_LABEL = 80
_MADE = "report-made"


def label() -> str:
    """Return the heading that the visitor typed."""
    return str(st.session_state.get("report-label") or "").strip()[:MAX_LABEL]


def options_in_hand(who: Visitor, recording: Recording) -> ReportOptions:
    """Return what the pages are set to now; what nobody has touched is at its default."""
    from brainlm_core.features.perturb.analysis import PerturbOptions
    from brainlm_core.report import ReportOptions

    return ReportOptions(
        networks=networks_work.chosen_options(who),
        forecast=forecast_controls.chosen_options(who, recording),
        scenario=_scenario(who),
        null=PerturbOptions(NULL_SETS),
        label=label(),
    )


def _scenario(who: Visitor) -> Scenario | None:
    state = perturb_state.known_state()
    if state is None or state.recording_key != who.key or state.base.model != who.model.name:
        return None
    return state.scenario


def known_parts(who: Visitor, recording: Recording, options: ReportOptions) -> Parts:
    """Return the results that the pages hold already for exactly these options."""
    from brainlm_core.report import Parts

    forecast = None
    if (
        forecast_work.forecast_key(who, options.forecast) in who.results
        and forecast_work.backtest_key(who, options.forecast) in who.results
    ):
        forecast = forecast_work.result(recording, forecast_work.picture(who, options.forecast))
    desk = perturb_work.desk_of(who)
    perturbed = None if desk is None or options.scenario is None else desk.results.get(options.scenario)
    return Parts(who.results.get(networks_work.scores_key(who, options.networks)), forecast, perturbed)


def key_of(who: Visitor, options: ReportOptions) -> tuple[str, ...]:
    """Identify one report."""
    return (who.key, who.model.name, repr(options))


def start(who: Visitor) -> None:
    """Begin the report of what is in hand now."""
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    tasks.start(who, report_task(who, recording, options_in_hand(who, recording)))


def report_task(who: Visitor, recording: Recording, options: ReportOptions) -> Task[bytes]:
    """Compute what is missing and write the file."""
    model, known, key = who.model, known_parts(who, recording, options), key_of(who, options)

    def work(report: Report) -> bytes:
        report(0.0, "Loading the model")
        from brainlm_core.report import gather, page_html

        contents = gather(
            recording,
            model.name,
            options,
            load=lambda precision: model.engine(precision=precision or ""),
            known=known,
            progress=lambda share, text: report(0.95 * share, capital(text).rstrip(".")),
            cancel=report.cancelled,
        )
        report(0.96, "Writing the report")
        return page_html(contents)

    def keep(made: bytes) -> None:
        st.session_state[_MADE] = (key, made)

    return Task(SLOT, key, "Making the report", work, then=keep)


def advance(who: Visitor, options: ReportOptions) -> None:
    """Take over a report that has just been finished; one of something else is not gone on with."""
    tasks.look(who, SLOT)
    if SLOT not in who.jobs:
        tasks.expect(who, SLOT, key_of(who, options))


def made(who: Visitor, options: ReportOptions) -> bytes | None:
    """Return the finished report of what is in hand now, None when there is none (any more)."""
    known = st.session_state.get(_MADE)
    if known is not None and known[0][0] != who.key:
        del st.session_state[_MADE]  # of a recording that was let go
        return None
    return known[1] if known is not None and known[0] == key_of(who, options) else None
