"""Tasks of the Perturb page, in their order: a first answer, the sliders' responses, the companions.

The first answer takes :data:`~app.perturb.answers.FIRST_DRAWS` mask draws, so that it comes while the hand is
still near the slider; the companions begin with all the draws that the scenario asks for.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from app.perturb.answers import FIRST_DRAWS, MAX_ANSWERS, MAX_RESULTS, Desk, fill_bank
from app.perturb.rows import SliderRow
from app.perturb.state import PageState, rows_of
from app.shell import tasks
from app.shell.jobs import Report, within
from app.shell.session import Visitor
from app.shell.tasks import State, Task
from brainlm_core.base.recording import Recording
from brainlm_core.features.perturb.scenario import Scenario

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import PerturbResult, Response

#: Slots of the tasks.
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


def answer_task(
    who: Visitor, recording: Recording, desk: Desk | None, scenarios: tuple[Scenario, ...]
) -> Task[Desk]:
    """Load the model if need be and answer scenarios."""
    model, key = who.model, desk_key(who)

    def work(report: Report) -> Desk:
        report(0.0, "Loading the model" if desk is None else "Asking the model")
        from brainlm_core.features.perturb.analysis import prepare, respond

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

    def take(here: Desk) -> None:
        who.results.remember(key, here)

    return Task(ANSWER, _answer_key(who, scenarios), "Asking the model", work, then=take)


def bank_task(who: Visitor, desk: Desk, state: PageState, rows: tuple[SliderRow, ...]) -> Task[int]:
    """Compute the responses of single sliders: those that make each slider move first, then the rest."""
    base = state.base

    def work(report: Report) -> int:
        stage, done, told = desk.stages[base.window], 0, time.monotonic()
        while wanted := desk.missing(rows, base):

            def stored(n: int, before: int = done, last: int = len(wanted)) -> None:
                nonlocal told
                # Each part that is published draws the page again: not more often than a hand would notice.
                if n == last or time.monotonic() - told > PUBLISH_S:
                    report.publish("n_sliders", before + n)
                    told = time.monotonic()

            fill_bank(desk, stage, wanted, base, report, report.cancelled, stored)
            done += len(wanted)
        return done

    # What is done lies on the desk already.
    return Task(BANK, _bank_key(who, state, rows), "Preparing the sliders", work, then=lambda n_done: None)


def companions_task(
    who: Visitor, recording: Recording, desk: Desk, scenario: Scenario, first: Response
) -> Task[PerturbResult]:
    """Compute what must stand beside a response; parts are published as they come."""

    def work(report: Report) -> PerturbResult:
        from brainlm_core.features.perturb.analysis import accompany, respond

        stage, engine, stop = desk.stages[scenario.window], desk.engine, report.cancelled
        response = first
        if scenario.draws > FIRST_DRAWS:
            tell = within(report, 0.0, 0.08)
            label = f"Asking with {scenario.draws} mask draws"
            response = respond(engine, stage, [scenario], progress=tell, cancel=stop, label=label)[0]
            desk.keep(desk.full, scenario, response, MAX_ANSWERS)
        tell = within(report, 0.08, 1.0)
        return accompany(
            engine, recording, stage, response, progress=tell, cancel=stop, publish=report.publish
        )

    def take(result: PerturbResult) -> None:
        desk.keep(desk.results, scenario, result, MAX_RESULTS)

    key = _companions_key(who, scenario)
    return Task(COMPANIONS, key, "Comparing with random sets", work, then=take)


def advance(who: Visitor, recording: Recording, state: PageState) -> None:
    """Take over what has been computed and start what is missing, the most urgent first."""
    rows, scenario = rows_of(state, recording), state.scenario
    scenarios = tuple(s for s in (scenario or state.base, state.compare) if s is not None)
    wanted = {
        ANSWER: _answer_key(who, scenarios),
        BANK: _bank_key(who, state, rows),
        COMPANIONS: _companions_key(who, scenario),
    }
    for slot, key in wanted.items():
        tasks.expect(who, slot, key)
        tasks.look(who, slot)
    if state.error is not None or who.model_error is not None:
        return
    desk = desk_of(who)
    if desk is None or not _answered(desk, scenarios):
        if desk is not None:  # the hand on the slider comes first; what the others stored stays
            tasks.drop(who, *[slot for slot in (BANK, COMPANIONS) if slot in who.jobs])
        asked = answer_task(who, recording, desk, scenarios)
        tasks.run(who, asked, patience_s=0.0 if desk is None else PATIENCE_S)
        desk = desk_of(who)
        if desk is None or not _answered(desk, scenarios):
            return
    info = desk.engine.info
    who.device, who.licence = info.where, info.licence
    lacking = bool(desk.missing(rows, state.base))
    if lacking and tasks.run(who, bank_task(who, desk, state, rows)).state is State.RUNNING:
        return
    if scenario is not None and scenario not in desk.results:
        tasks.run(who, companions_task(who, recording, desk, scenario, desk.answers[scenario]))


def _answer_key(who: Visitor, scenarios: tuple[Scenario, ...]) -> tuple[object, ...]:
    return (*desk_key(who), scenarios)


def _bank_key(who: Visitor, state: PageState, rows: tuple[SliderRow, ...]) -> tuple[object, ...]:
    return (*desk_key(who), state.base, tuple(replace(row, value=0.0) for row in rows))


def _companions_key(who: Visitor, scenario: Scenario | None) -> tuple[object, ...]:
    return (*desk_key(who), scenario)


def _answered(desk: Desk, scenarios: tuple[Scenario, ...]) -> bool:
    return all(s.window in desk.stages and (not s.actions or s in desk.answers) for s in scenarios)
