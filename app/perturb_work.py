"""What the Perturb page asks for, in its order: the answer, the sliders' responses, the companions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.jobs import Job, Report
from app.models import MODELS
from app.perturb_desk import (
    MAX_ANSWERS,
    MAX_RESULTS,
    Desk,
    fill_bank,
    same_mask_interaction,
)
from app.perturb_rows import Common, SliderRow, common_of, make_rows
from app.state import ModelChoice, Visitor
from app.waiting import collect
from brainlm_core.analyses.scenario import READOUTS, Scenario
from brainlm_core.errors import BrainLMError, ConfigError
from brainlm_core.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.analyses.perturb import PerturbResult, Response

#: Slots of the jobs.
ANSWER, BANK, COMPANIONS = "perturb-answer", "perturb-bank", "perturb-companions"
#: An answer is waited for this long before progress is shown, in s.
PATIENCE_S = 1.5
#: Sliders' responses reach the browser at most this often, in s.
PUBLISH_S = 3.0
#: Mask draws on the page; two leave hardly a parcel without an answer.
PAGE_DRAWS = 2
_STATE = "perturb-state"


@dataclass
class PageState:
    """What this visitor asks.

    Parameters
    ----------
    recording_key : str
        Of the recording that it was made for.
    scenario : Scenario or None
        None while every slider is neutral.
    base : Scenario
        The question without actions: draws, seed, window, read-out.
    common : Common
    extra : tuple of int
        Parcels that were added, counted from 1.
    compare : Scenario or None
        Scenario A.
    serial : int
        Of the browser's last message.
    replaced : int
        Counts scenarios that came from outside the sliders.
    camera : str or None
        As in the link.
    error : BrainLMError or None
        What was wrong with the last thing asked.
    stopped : tuple of (str, object)
        Slot and question of every job started; what is listed and not running was cancelled.
    """

    recording_key: str
    base: Scenario
    scenario: Scenario | None = None
    common: Common = field(default_factory=Common)
    extra: tuple[int, ...] = ()
    compare: Scenario | None = None
    serial: int = 0
    replaced: int = 0
    camera: str | None = None
    error: BrainLMError | None = None
    stopped: tuple[tuple[str, object], ...] = ()

    def adopt(self, scenario: Scenario) -> None:
        """Take a scenario from a file or a link; the sliders follow."""
        self.scenario = scenario
        self.base = scenario.with_actions(())
        self.common = common_of(scenario, self.common)
        self.replaced += 1
        self.error = None


def page_state(who: Visitor, recording: Recording) -> PageState:
    """Return the question in hand; a new recording, or the first visit, starts afresh."""
    state: PageState | None = st.session_state.get(_STATE)
    if state is None or state.recording_key != who.key:
        previous = state
        base = Scenario((), "others", PAGE_DRAWS, 0, who.model.name, recording.parcellation.name)
        state = PageState(who.key, base)
        if previous is not None:
            state.serial, state.replaced = previous.serial, previous.replaced + 1
        st.session_state[_STATE] = state
        if previous is None and "s" in st.query_params:
            from_link(who, recording, state)
        if state.scenario is None and state.error is None:
            first = next(iter(make_rows(recording.parcellation, state.common, None, ())), None)
            if first is not None:
                state.adopt(base.with_actions([first.action(2.0)]))
    if state.base.model != who.model.name:
        state.base = replace(state.base, model=who.model.name)
        state.scenario = state.scenario and replace(state.scenario, model=who.model.name)
        state.compare = state.compare and replace(state.compare, model=who.model.name)
    return state


def from_link(who: Visitor, recording: Recording, state: PageState) -> None:
    """Read scenario, comparison and camera from the address; all of it or nothing."""
    link = st.query_params
    try:
        scenario = Scenario.from_url(link["s"])
        compare = Scenario.from_url(link["a"]) if "a" in link else None
        for one in (scenario, compare):
            if one is not None:
                one.check_parcellation(recording.parcellation)
                for action in one.actions:
                    action.targets.rows(recording.parcellation)
        use_model(who, scenario.model)
    except BrainLMError as error:
        state.error = error
        return
    state.adopt(scenario)
    state.compare = compare
    camera = link.get("c", "")
    state.camera = camera if _is_camera(camera) else None


def _is_camera(text: str) -> bool:
    from app.brain_view import VIEWS

    view, *numbers = text.split(",")
    try:
        return (
            view in VIEWS and len([float(n) for n in numbers]) == 6 and "n" not in ",".join(numbers).lower()
        )
    except ValueError:
        return False


def use_model(who: Visitor, name: str) -> None:
    """Work with the model that a scenario names, if that needs nobody's consent.

    Raises
    ------
    ConfigError
        If it is a folder, or published weights whose licence nobody accepted: a link must not load those.
    """
    if name == who.model.name:
        return
    free = {entry.name for entry in MODELS if not entry.published}
    if name not in free:
        raise ConfigError(
            f"the scenario was made with the model {name}",
            "choose that model in the chip above, then open it again",
        )
    who.change_model(ModelChoice(name))


def take_message(event: dict[str, Any]) -> None:
    """Take what the browser sent on release; a message that makes no sense changes nothing but the error."""
    state: PageState | None = st.session_state.get(_STATE)
    if state is None:
        return
    state.serial = int(event.get("serial") or state.serial)
    camera = event.get("camera")
    state.camera = camera if isinstance(camera, str) and _is_camera(camera) else None
    try:
        asked = event.get("scenario")
        scenario = None if asked is None else Scenario.from_dict(asked)
        kept = event.get("a")
        compare = None if kept is None else Scenario.from_dict(kept)
        common = Common.from_message(event.get("common"))
        readout = event.get("readout")
        if readout not in READOUTS:
            raise ConfigError(f"there is no readout {readout!r}", "reload the page")
    except BrainLMError as error:
        state.error = error
        return
    state.scenario, state.compare, state.common, state.error = scenario, compare, common, None
    state.base = (scenario or replace(state.base, readout=readout)).with_actions(())
    state.extra = tuple(n for n in event.get("extra") or () if isinstance(n, int))
    state.stopped = ()


def rows_of(state: PageState, recording: Recording) -> tuple[SliderRow, ...]:
    """Return the sliders of the question in hand."""
    return make_rows(recording.parcellation, state.common, state.scenario, state.extra)


# --- jobs ------------------------------------------------------------------------------------


def desk_key(who: Visitor) -> tuple[str, ...]:
    """Identify the desk of the recording and the model in hand."""
    return ("perturb", who.key, who.model.name)


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
        from brainlm_core.engine import get_engine

        here = desk
        if here is None:
            # A response is a small difference of two outputs: half precision would round it away.
            engine = get_engine(
                model.name,
                precision="fp32",
                accept_licence=model.licence_accepted,
                progress=within(report, 0, 0.5),
            )
            here = Desk(engine, model.name if engine.info.is_random else f"random:{model.name}")
        for i, scenario in enumerate(scenarios):
            if scenario.window not in here.stages:
                here.stages[scenario.window] = prepare(here.engine, recording, scenario.window)
            if not scenario.actions or scenario in here.answers:
                continue
            tell = within(report, 0.5 + 0.5 * i / len(scenarios), 0.5 + 0.5 * (i + 1) / len(scenarios))
            answer = respond(
                here.engine, here.stages[scenario.window], [scenario], progress=tell, cancel=report.cancelled
            )[0]
            here.keep(here.answers, scenario, answer, MAX_ANSWERS)
        return here

    return Job("Asking the model", work)


def bank_job(desk: Desk, state: PageState, rows: tuple[SliderRow, ...]) -> Job[int]:
    """Compute the responses of single sliders: two values each first, then the rest."""
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


def companions_job(desk: Desk, scenario: Scenario, response: Response, licence: bool) -> Job[PerturbResult]:
    """Compute what must stand beside a response; parts are published as they come."""

    def work(report: Report) -> PerturbResult:
        from brainlm_core.analyses import perturb_companions as companions
        from brainlm_core.analyses.perturb import PerturbResult, notices_of
        from brainlm_core.analyses.perturb_null import no_null, null_map
        from brainlm_core.engine import get_engine

        stage, engine = desk.stages[scenario.window], desk.engine
        report(0.0, "Connectivity, distance, attention")
        known = companions.knowledge(engine, stage, report.cancelled)
        pending = no_null(response, "the null is still being computed")
        report.publish("agreement", companions.agreements(known, response, pending))
        dose = companions.dose_curve(
            engine, stage, scenario, progress=within(report, 0.02, 0.15), cancel=report.cancelled
        )
        report.publish("dose", dose)
        if len(scenario.actions) > 1:
            desk.interactions[scenario] = same_mask_interaction(desk, stage, scenario, report.cancelled)
        twin = engine if engine.info.is_random else get_engine(
            desk.twin_name, precision="fp32", accept_licence=licence
        )  # fmt: skip
        other = companions.twin_response(
            twin, stage, scenario, progress=within(report, 0.15, 0.2), cancel=report.cancelled
        )
        own = companions.twin_agreement(response, other)
        report.publish("twin", (*companions.agreements(known, response, pending), own))
        null = null_map(engine, stage, response, progress=within(report, 0.2, 1.0), cancel=report.cancelled)
        agreement = (*companions.agreements(known, response, null), own)
        return PerturbResult(stage, response, null, dose, agreement, other, notices_of(stage, response))

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
    who.device, who.licence = info.device.upper(), info.licence
    here = desk
    if desk.missing(rows, state.base):
        _start(who, state, BANK, wanted[BANK], lambda: bank_job(here, state, rows))
        if BANK in who.jobs:
            return
    scenario = state.scenario
    if scenario is not None and scenario not in desk.results:
        response = desk.answers[scenario]
        licence = who.model.licence_accepted
        _start(
            who,
            state,
            COMPANIONS,
            wanted[COMPANIONS],
            lambda: companions_job(here, scenario, response, licence),
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


def go_on(state: PageState) -> None:
    """Forget what the visitor stopped, so that the next run starts it."""
    state.stopped = ()
    state.error = None


def within(report: Report, start: float, stop: float) -> Callable[[float, str], None]:
    """Map a stage's own 0–1 onto its share of the whole; every call can also stop the job."""

    def tell(share: float, text: str) -> None:
        report(start + (stop - start) * share, text[:1].upper() + text[1:])

    return tell
