"""Tasks of the Model page: the reconstruction at once, the rest when it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from app.shell import tasks
from app.shell.jobs import Report, within
from app.shell.session import Visitor
from app.shell.tasks import Task
from brainlm_core.base.recording import Recording
from brainlm_core.features.reconstruct.analysis import ReconstructOptions, ReconstructResult, Sweep

if TYPE_CHECKING:
    from brainlm_core.bench.footprint import Footprint
    from brainlm_core.features.input_scale.doctor import ScaleDoctorResult

#: Slots of the tasks.
RECONSTRUCT, SWEEP, DOCTOR, COST = "reconstruct", "model-sweep", "model-doctor", "model-cost"
_DEFAULTS: dict[str, object] = {
    "md-kind": "random",
    "md-share": 75,
    "md-block": 20,
    "md-network": "Visual",
    "md-window": 1,
    "md-seed": 0,
    "md-third": "filled",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """What can be drawn now.

    Parameters
    ----------
    result : ReconstructResult or None
        None before the first one.
    stale : bool
        It is of an earlier choice; the one asked for is still being computed.
    """

    result: ReconstructResult | None = None
    stale: bool = False


def chosen_options(recording: Recording) -> ReconstructOptions:
    """Return what the controls say (their state is read here, before they are drawn)."""
    state = st.session_state
    for key, value in _DEFAULTS.items():
        state.setdefault(key, value)
    kind = str(state["md-kind"])
    options = ReconstructOptions(
        kind=kind,
        window=int(state["md-window"]) - 1,
        seed=int(state["md-seed"]),
    )
    # What has no meaning for a kind stays out of the question, or the same answer would be computed twice.
    if kind == "network":
        networks, wanted = recording.parcellation.group, str(state["md-network"])
        return replace(options, network=wanted if wanted in networks else networks[0])
    options = replace(options, share=int(state["md-share"]) / 100)
    return replace(options, block=int(state["md-block"])) if kind == "random" else options


def result_key(who: Visitor, options: ReconstructOptions) -> tuple[str, ...]:
    """Identify one reconstruction of the recording in hand."""
    return (RECONSTRUCT, who.key, who.model.name, repr(options))


def latest_key(who: Visitor) -> tuple[str, ...]:
    """Identify the newest reconstruction by whatever choice."""
    return ("reconstruct-latest", who.key, who.model.name)


def side_key(who: Visitor, slot: str) -> tuple[str, ...]:
    """Identify what a tab shows: of the recording and the model, or of the model alone."""
    model = (who.model.name, who.model.device, who.model.precision)
    return (slot, *model) if slot == COST else (slot, who.key, *model)


def reconstruct_task(
    who: Visitor, recording: Recording, options: ReconstructOptions
) -> Task[ReconstructResult]:
    """Load the model if need be, hide and fill in; the twin comes after the model's own answer."""
    model = who.model

    def work(report: Report) -> ReconstructResult:
        report(0.0, "Loading the model")
        from brainlm_core.features.reconstruct.analysis import analyse

        engine = model.engine(within(report, 0.0, 0.4))
        tell = within(report, 0.4, 1.0)
        return analyse(engine, recording, options, tell, report.cancelled, publish=report.publish)

    return Task(RECONSTRUCT, result_key(who, options), "Filling in what was hidden", work)


def sweep_task(who: Visitor, recording: Recording, options: ReconstructOptions) -> Task[tuple[Sweep, ...]]:
    """Go through shares, then through lengths of holes."""
    model = who.model

    def work(report: Report) -> tuple[Sweep, ...]:
        report(0.0, "Loading the model")
        from brainlm_core.features.reconstruct.analysis import sweep

        engine = model.engine()
        twin = None if engine.info.is_random else model.twin()
        return tuple(
            sweep(
                engine, recording, options, name, twin=twin, cancel=report.cancelled,
                progress=within(report, at / 2, (at + 1) / 2),
            )
            for at, name in enumerate(("share", "block"))
        )  # fmt: skip

    return Task(SWEEP, side_key(who, SWEEP), "Trying other masks", work)


def doctor_task(who: Visitor, recording: Recording) -> Task[ScaleDoctorResult]:
    """Sweep the gain on the recording in hand."""
    model = who.model

    def work(report: Report) -> ScaleDoctorResult:
        report(0.0, "Loading the model")
        from brainlm_core.features.input_scale.doctor import examine

        return examine(model.engine(), recording, progress=report, cancel=report.cancelled)

    return Task(DOCTOR, side_key(who, DOCTOR), "Trying gains", work)


def cost_task(who: Visitor) -> Task[Footprint]:
    """Measure time and memory of one window in a process of its own."""
    model = who.model

    def work(report: Report) -> Footprint:
        report(0.1, "Measuring in a process of its own")
        from brainlm_core.bench.footprint import measure_where

        choice = (model.name, model.device, model.precision)
        found: Footprint = model.engine().call(measure_where, *choice, cancel=report.cancelled)
        return found

    return Task(COST, side_key(who, COST), "Measuring", work)


def advance(who: Visitor, recording: Recording, options: ReconstructOptions) -> None:
    """Take over what has been computed, and start the reconstruction if it is missing."""
    for slot in (SWEEP, DOCTOR, COST):
        tasks.expect(who, slot, side_key(who, slot))
        tasks.look(who, slot)
    if who.model_error is not None:
        return
    result: ReconstructResult | None = tasks.run(who, reconstruct_task(who, recording, options)).result
    if result is not None:
        who.results.remember(latest_key(who), result)
        who.device, who.licence = result.model.where, result.model.licence


def picture(who: Visitor, options: ReconstructOptions) -> Picture:
    """Return what is known now: the result, the model's own answer before its twin, or the one before."""
    result = who.results.get(result_key(who, options))
    if result is None:
        result = tasks.parts(who, RECONSTRUCT).get("own")
    if result is not None:
        return Picture(result)
    latest = who.results.get(latest_key(who))
    return Picture(latest, latest is not None)
