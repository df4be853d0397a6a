"""The report of the recording in hand: what the pages show now, put into one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app import forecast_controls, forecast_work, networks_work, perturb_state, perturb_work
from app.jobs import Job, Report
from app.state import ModelChoice, Visitor
from app.waiting import collect
from app.words import capital
from brainlm_core.errors import BrainLMError
from brainlm_core.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.analyses.scenario import Scenario
    from brainlm_core.report import Parts, ReportOptions

SLOT = "report"
#: Random sets of the perturbation's null, as on its page.
NULL_SETS = 200
#: Longest heading.
MAX_LABEL = 80
_MADE, _ERROR = "report-made", "report-error"


def label() -> str:
    """Return the heading that the visitor typed."""
    return str(st.session_state.get("report-label") or "").strip()[:MAX_LABEL]


def options_in_hand(who: Visitor, recording: Recording) -> ReportOptions:
    """Return what the pages are set to now; what nobody has touched is at its default."""
    from brainlm_core.analyses.perturb import PerturbOptions
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
    options = options_in_hand(who, recording)
    st.session_state.pop(_ERROR, None)
    job = report_job(recording, who.model, options, known_parts(who, recording, options))
    who.start(SLOT, job).wanted = key_of(who, options)  # type: ignore[attr-defined]


def report_job(recording: Recording, model: ModelChoice, options: ReportOptions, known: Parts) -> Job[bytes]:
    """Compute what is missing and write the file."""

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

    return Job("Making the report", work)


def advance(who: Visitor) -> None:
    """Take over a report that has just been finished, or the reason why there is none."""
    wanted = getattr(who.jobs.get(SLOT), "wanted", None)
    job = collect(SLOT)
    if job is None:
        return
    if job.error is not None:
        st.session_state[_ERROR] = job.error
    elif job.result is not None:
        st.session_state[_MADE] = (wanted, job.result)


def made(who: Visitor, options: ReportOptions) -> bytes | None:
    """Return the finished report of what is in hand now, None when there is none (any more)."""
    known = st.session_state.get(_MADE)
    if known is not None and known[0][0] != who.key:
        del st.session_state[_MADE]  # of a recording that was let go
        return None
    return known[1] if known is not None and known[0] == key_of(who, options) else None


def error() -> BrainLMError | None:
    """Return what went wrong last."""
    found = st.session_state.get(_ERROR)
    return found if isinstance(found, BrainLMError) else None
