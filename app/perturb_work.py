"""What the Perturb page computes, in its order: a first answer, the sliders' responses, the companions.

The first answer takes :data:`~app.perturb_desk.FIRST_DRAWS` mask draws, so that it comes while the hand is
still near the slider; the companions begin with all the draws that the scenario asks for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.jobs import Job, Report, within
from app.perturb_desk import (
    FIRST_DRAWS,
    MAX_ANSWERS,
    MAX_RESULTS,
    Desk,
    fill_bank,
    same_mask_interaction,
)
from app.perturb_rows import SliderRow
from app.perturb_state import PageState, rows_of
from app.state import ModelChoice, Visitor
from app.waiting import collect
from brainlm_core.analyses.scenario import Scenario
from brainlm_core.errors import ConfigError
from brainlm_core.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.analyses.perturb import PerturbResult, Response

#: Slots of the jobs.
ANSWER, BANK, COMPANIONS = "perturb-answer", "perturb-bank", "perturb-companions"
#: An answer is waited for this long before progress is shown, in s.
PATIENCE_S = 1.5
#: Sliders' responses reach the browser at most this often, in s.
PUBLISH_S = 3.0


def desk_key(who: Visitor) -> tuple[str, ...]:
    """Identify the desk of the recording and the model in hand."""
    return ("perturb", who.key, who.model.name, who.model.device)


def desk_of(who: Visitor) -> Desk | None:
    """Return what has been computed, None before the model is loaded."""
    desk: Desk | None = who.results.get(desk_key(who))
    if desk is not None:
        who.results.move_to_end(desk_key(who))
    return desk


def answer_job(
    who: Visitor, recording: Recording, desk: Desk | None, scenarios: tuple[Scenario, ...]
) -> Job[Desk]:
    """Load the model if need be and answer scenarios."""
    model = who.model

    def work(report: Report) -> Desk:
        report(0.0, "Loading the model" if desk is None else "Asking the model")
        from brainlm_core.analyses.perturb import prepare, respond

        here = desk
        if here is None:
            # A response is a small difference of two outputs: half precision would round it away.
            here = Desk(model.engine(within(report, 0, 0.5), precision="fp32"))
        for i, scenario in enumerate(scenarios):
            if scenario.window not in here.stages:
                here.stages[scenario.window] = prepare(here.engine, recording, scenario.window)
            if not scenario.actions or scenario in here.answers:
                continue
            tell = within(report, 0.5 + 0.5 * i / len(scenarios), 0.5 + 0.5 * (i + 1) / len(scenarios))
            answer = respond(
                here.engine,
                here.stages[scenario.window],
                [scenario],
                draws=min(FIRST_DRAWS, scenario.draws),
                progress=tell,
                cancel=report.cancelled,
            )[0]
            here.keep(here.answers, scenario, answer, MAX_ANSWERS)
        return here

    return Job("Asking the model", work)


def bank_job(desk: Desk, state: PageState, rows: tuple[SliderRow, ...]) -> Job[int]:
    """Compute the responses of single sliders: those that make each slider move first, then the rest."""
    base = state.base

    def work(report: Report) -> int:
        stage, done, told = desk.stages[base.window], 0, time.monotonic()
        while wanted := desk.missing(rows, base):

            def stored(n: int, before: int = done, last: int = len(wanted)) -> None:
                nonlocal told
                # Each part that is published draws the page again: not more often than a hand would notice.
                if n == last or time.monotonic() - told > PUBLISH_S:
                    report.publish(f"{before}+{n}", n)
                    told = time.monotonic()

            fill_bank(desk, stage, wanted, base, report, report.cancelled, stored)
            done += len(wanted)
        return done

    return Job("Preparing the sliders", work)


def companions_job(
    recording: Recording, model: ModelChoice, desk: Desk, scenario: Scenario, first: Response
) -> Job[PerturbResult]:
    """Compute what must stand beside a response; parts are published as they come."""

    def work(report: Report) -> PerturbResult:
        from brainlm_core.analyses import perturb_companions as companions
        from brainlm_core.analyses.perturb import PerturbResult, notices_of, respond
        from brainlm_core.analyses.perturb_controls import response_dependence
        from brainlm_core.analyses.perturb_null import matched_plans, null_map

        stage, engine = desk.stages[scenario.window], desk.engine
        stop = report.cancelled
        response = first
        if scenario.draws > FIRST_DRAWS:
            tell = within(report, 0.0, 0.08)
            label = f"Asking with {scenario.draws} mask draws"
            response = respond(engine, stage, [scenario], progress=tell, cancel=stop, label=label)[0]
            desk.keep(desk.full, scenario, response, MAX_ANSWERS)
        known = companions.knowledge(engine, stage, stop)
        try:
            sets = matched_plans(stage, response.plan)
        except ConfigError:
            sets = ()  # the null itself says why there are none
        report.publish("agreement", companions.agreements(known, response, sets))
        tell = within(report, 0.08, 0.15)
        dose = companions.dose_curve(engine, stage, scenario, progress=tell, cancel=stop)
        report.publish("dose", dose)
        if len(scenario.actions) > 1:
            desk.interactions[scenario] = same_mask_interaction(desk, stage, scenario, stop)
        tell = within(report, 0.15, 0.18)
        found = response_dependence(engine, recording, stage, response, progress=tell, cancel=stop)
        control = companions.scan_agreement(response, found)
        report.publish("dependence", found)
        report.publish("agreement", (*companions.agreements(known, response, sets), control))
        twin = engine if engine.info.is_random else model.twin(precision="fp32")
        tell = within(report, 0.18, 0.2)
        other = companions.twin_response(twin, stage, scenario, progress=tell, cancel=stop)
        own = companions.twin_agreement(response, other)
        report.publish("twin", (*companions.agreements(known, response, sets), control, own))
        null = null_map(engine, stage, response, progress=within(report, 0.2, 1.0), cancel=stop)
        agreement = (*companions.agreements(known, response, null.sets), control, own)
        notices = notices_of(stage, response)
        return PerturbResult(stage, response, null, dose, agreement, other, notices, found)

    return Job("Comparing with random sets", work)


def advance(who: Visitor, recording: Recording, state: PageState) -> None:
    """Take over what has been computed and start what is missing, the most urgent first."""
    rows = rows_of(state, recording)
    scenarios = tuple(s for s in (state.scenario or state.base, state.compare) if s is not None)
    wanted: dict[str, object] = {
        ANSWER: scenarios,
        BANK: (state.base, tuple(replace(r, value=0.0) for r in rows)),
        COMPANIONS: state.scenario,
    }
    for slot, key in wanted.items():
        if slot in who.jobs and getattr(who.jobs[slot], "wanted", None) != (who.key, key):
            who.jobs.pop(slot).cancel()
        _collect(who, state, slot)
    if state.error is not None or who.model_error is not None:
        return
    desk = desk_of(who)
    if desk is None or not _answered(desk, scenarios):
        if desk is not None:
            for slot in (BANK, COMPANIONS):  # the hand on the slider comes first; what they stored stays
                if slot in who.jobs:
                    who.jobs.pop(slot).cancel()
                    _forget(state, slot)
        job = _start(who, state, ANSWER, wanted[ANSWER], lambda: answer_job(who, recording, desk, scenarios))
        if job is not None and desk is not None and job.wait(PATIENCE_S):
            _collect(who, state, ANSWER)
        desk = desk_of(who)
        if desk is None or not _answered(desk, scenarios):
            return
    info = desk.engine.info
    who.device, who.licence = info.where, info.licence
    here = desk
    if desk.missing(rows, state.base):
        _start(who, state, BANK, wanted[BANK], lambda: bank_job(here, state, rows))
        if BANK in who.jobs:
            return
    scenario = state.scenario
    if scenario is not None and scenario not in desk.results:
        response = desk.answers[scenario]
        _start(
            who,
            state,
            COMPANIONS,
            wanted[COMPANIONS],
            lambda: companions_job(recording, who.model, here, scenario, response),
        )


def _answered(desk: Desk, scenarios: tuple[Scenario, ...]) -> bool:
    return all(s.window in desk.stages and (not s.actions or s in desk.answers) for s in scenarios)


def _start(
    who: Visitor, state: PageState, slot: str, key: object, job: Callable[[], Job[Any]]
) -> Job[Any] | None:
    """Start a job unless it runs or the visitor has stopped this very one."""
    if slot in who.jobs or (slot, key) in state.stopped:
        return who.jobs.get(slot)
    state.stopped = (*state.stopped, (slot, key))  # if it vanishes without a result, it was cancelled
    started = who.start(slot, job())
    started.wanted = (who.key, key)  # type: ignore[attr-defined]
    return started


def _collect(who: Visitor, state: PageState, slot: str) -> None:
    job = collect(slot)
    if job is None:
        return
    _forget(state, slot)
    if job.error is not None:
        if isinstance(job.error, ConfigError):
            state.error = job.error
        else:
            who.model_error = job.error
    elif job.result is not None:
        if slot == ANSWER:
            who.remember(desk_key(who), job.result)
        elif slot == COMPANIONS and (desk := desk_of(who)) is not None:
            desk.keep(desk.results, job.wanted[1], job.result, MAX_RESULTS)  # type: ignore[attr-defined]


def _forget(state: PageState, slot: str) -> None:
    state.stopped = tuple(s for s in state.stopped if s[0] != slot)


def stopped(who: Visitor, state: PageState) -> bool:
    """Whether something is missing that nobody is computing (the visitor has stopped it)."""
    return any(slot not in who.jobs for slot, _ in state.stopped)
