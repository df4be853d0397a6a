"""What the Model page asks for: the reconstruction at once, the rest when it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from app import errands
from app.jobs import Job, Report
from app.state import ModelChoice, Visitor
from app.waiting import collect
from brainlm_core.analyses.reconstruct import ReconstructOptions, ReconstructResult, Sweep
from brainlm_core.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.analyses.scale_doctor import ScaleDoctorResult
    from brainlm_core.bench.footprint import Footprint

#: Slots of the jobs.
RECONSTRUCT, SWEEP, DOCTOR, COST = "reconstruct", "model-sweep", "model-doctor", "model-cost"
_DEFAULTS: dict[str, object] = {
    "md-kind": "random",
    "md-share": 75,
    "md-block": 20,
    "md-network": "Visual",
    "md-window": 1,
    "md-scaling": "model",
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
    kind, scaling = str(state["md-kind"]), str(state["md-scaling"])
    options = ReconstructOptions(
        kind=kind,
        window=int(state["md-window"]) - 1,
        scaling=None if scaling == "model" else scaling,
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


def reconstruct_job(
    recording: Recording, model: ModelChoice, options: ReconstructOptions
) -> Job[ReconstructResult]:
    """Load the model if need be, hide and fill in; the twin comes after the model's own answer."""

    def work(report: Report) -> ReconstructResult:
        report(0.0, "Loading the model")
        from brainlm_core.analyses.reconstruct import add_twin, reconstruct

        engine = model.engine(lambda share, text: report(0.4 * share, text))
        report(0.4, "Filling in what was hidden")
        result = reconstruct(engine, recording, options, cancel=report.cancelled)
        if engine.info.is_random:
            return result
        report.publish("first", result)
        report(0.7, "Running the random-weights twin")
        return add_twin(result, model.twin(), cancel=report.cancelled)

    return Job("Filling in what was hidden", work)


def sweep_job(
    recording: Recording, model: ModelChoice, options: ReconstructOptions
) -> Job[tuple[Sweep, ...]]:
    """Go through shares, then through lengths of holes."""

    def work(report: Report) -> tuple[Sweep, ...]:
        report(0.0, "Loading the model")
        from brainlm_core.analyses.reconstruct import sweep

        engine = model.engine()
        twin = None if engine.info.is_random else model.twin()
        return tuple(
            sweep(
                engine, recording, options, name, twin=twin, cancel=report.cancelled,
                progress=lambda share, text, at=at: report((at + share) / 2, text),  # type: ignore[misc]
            )
            for at, name in enumerate(("share", "block"))
        )  # fmt: skip

    return Job("Trying other masks", work)


def doctor_job(recording: Recording, model: ModelChoice) -> Job[ScaleDoctorResult]:
    """Sweep the gain on the recording in hand."""

    def work(report: Report) -> ScaleDoctorResult:
        report(0.0, "Loading the model")
        from brainlm_core.analyses.scale_doctor import examine

        return examine(model.engine(), recording, progress=report, cancel=report.cancelled)

    return Job("Trying gains", work)


def cost_job(model: ModelChoice) -> Job[Footprint]:
    """Measure time and memory of one window in a process of its own."""

    def work(report: Report) -> Footprint:
        report(0.1, "Measuring in a process of its own")
        from brainlm_core.bench.footprint import measure_where

        choice = (model.name, model.device, model.precision)
        found: Footprint = model.engine().call(measure_where, *choice, cancel=report.cancelled)
        return found

    return Job("Measuring", work)


def advance(who: Visitor, recording: Recording, options: ReconstructOptions) -> None:
    """Take over what has been computed, and start the reconstruction if it is missing."""
    wanted = result_key(who, options)
    keys = {RECONSTRUCT: wanted} | {slot: side_key(who, slot) for slot in (SWEEP, DOCTOR, COST)}
    for slot, key in keys.items():
        errands.drop_outdated(who, slot, key)
        job = collect(slot)
        if job is None:
            continue
        if job.error is not None:
            who.model_error = job.error
        elif job.result is not None:
            errands.finished(slot)
            who.remember(key, job.result)
            if slot == RECONSTRUCT:
                who.model_error = None
    if wanted in who.results:
        result: ReconstructResult = who.results[wanted]
        who.remember(latest_key(who), result)
        who.device, who.licence = result.model.where, result.model.licence
        return
    errands.start_once(who, RECONSTRUCT, wanted, lambda: reconstruct_job(recording, who.model, options))


def picture(who: Visitor, options: ReconstructOptions) -> Picture:
    """Return what is known now: the result, the model's own answer before its twin, or the one before."""
    result = who.results.get(result_key(who, options))
    if result is None and RECONSTRUCT in who.jobs:
        result = who.jobs[RECONSTRUCT].parts.get("first")
    if result is not None:
        return Picture(result)
    latest = who.results.get(latest_key(who))
    return Picture(latest, latest is not None)
