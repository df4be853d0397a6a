"""Perturb: drag a slider, watch what the model expects to go along."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app.components.brain_view import BrainPanel, brain_view, fallback_figure
from app.components.flat_brain import flat_brains
from app.components.perturb_view import perturb_view
from app.components.strip import baseline_strip
from app.perturb import charts
from app.perturb import exports as perturb_exports
from app.perturb import state as perturb_state
from app.perturb import work as perturb_work
from app.perturb.answers import Desk
from app.perturb.message import message, sentence_of, share_of
from app.perturb.state import PageState
from app.perturb.work import ANSWER, BANK, COMPANIONS
from app.shell import tasks
from app.shell.chips import chip_row
from app.shell.model_chooser import title_of
from app.shell.reproduce import reproduce
from app.shell.session import Visitor, visitor
from app.shell.task_bar import refused_model, task_bar
from app.shell.theme import palette
from app.shell.words import capital, how, note, refusal, sentence
from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.features.perturb.analysis import PerturbOptions, notices_of
from brainlm_core.features.perturb.figures import (
    added_by_scan,
    dependence_sentence,
    dose_sentence,
    null_sentence,
    strip_rows,
)
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.features.shared.scan_dependence import ScanDependence


def main() -> None:
    """Draw the page: sliders at once, answers and their companions as they come."""
    who = visitor()
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    state = perturb_state.page_state(who, recording)
    perturb_work.advance(who, recording, state)
    address(state)
    chip_row(who, recording)
    said, work = st.columns([2, 1], gap="medium")
    with said:
        desk = perturb_work.desk_of(who)
        sentence(sentence_of(state, recording, None if desk is None else desk.best(state.scenario)))
        if (found := dependence_of(who, state)) is not None:
            sentence(dependence_sentence(found))
    with work:
        working(who, state)
    brain(who, recording, state)
    beside(who, state)
    details(who.key)


def address(state: PageState) -> None:
    """Keep the scenario, its comparison and the camera in the address."""
    wanted = share_of(state) | ({"c": state.camera} if state.camera else {})
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def working(who: Visitor, state: PageState) -> None:
    """Draw progress or refusal; what stands below does not move under the hand (see the house style)."""
    with st.container(key="pt-work"):
        st.html('<div class="b-rest"></div>')
        impossible = impossible_question(who, state)
        if impossible is not None:
            refusal(impossible)
            st.button(way_out(who), key="pt-again", on_click=forget, args=(who, state))
        elif who.model_error is not None:
            refused_model(who)
        else:
            task_bar(who, ANSWER, BANK, COMPANIONS)


def impossible_question(who: Visitor, state: PageState) -> BrainLMError | None:
    """Return why what is asked can never be answered, None where it can: trying again would be in vain."""
    failed = tasks.failure(who, ANSWER)
    return state.error or (failed if isinstance(failed, ConfigError) else None)


def way_out(who: Visitor) -> str:
    """Return what can be done about an impossible question."""
    desk = perturb_work.desk_of(who)
    return (
        "Go on with the last scenario that worked"
        if desk is not None and desk.answers
        else "Go on without it"
    )


def forget(who: Visitor, state: PageState) -> None:
    """Go back to the last question that was answered; to neutral sliders where there is none."""
    desk = perturb_work.desk_of(who)
    if desk is not None and desk.answers:
        state.adopt(next(reversed(desk.answers)))
    elif tasks.failure(who, ANSWER) is not None:
        state.adopt(state.base)
        state.scenario = state.compare = None
    state.error = None
    tasks.drop(who, ANSWER)


def brain(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw sliders and brains."""
    desk = perturb_work.desk_of(who)
    rows = perturb_state.rows_of(state, recording)
    header, arrays = message(f"{who.key}/{who.model.name}", state, recording, rows, desk)
    missing = perturb_view(
        header, arrays, recording.parcellation, key="pt-view", on_release=perturb_state.take_message
    )
    if missing:
        panel = BrainPanel("Model's response", arrays["exact_effect"], "SD", "diverging")
        st.plotly_chart(
            fallback_figure(panel, recording.parcellation, theme=palette().name),
            key="pt-flat",
            alt="Model's response.",
        )
    note(
        "While you drag, the brain shows the sum of single responses; on release, the model's exact answer. "
        "Not shown: cause. A response is what the model expects to go with a change of its input, not what "
        "the change would do to a brain."
    )


def beside(who: Visitor, state: PageState) -> None:
    """Draw what must stand beside a response: predictions without the model's answer, dose, null."""
    desk = perturb_work.desk_of(who)
    scenario = state.scenario
    if desk is None or scenario is None or scenario not in desk.answers:
        return
    result = desk.results.get(scenario)
    parts = tasks.parts(who, COMPANIONS)
    left, right = st.columns(2, gap="large")
    with left:
        agreement = result.agreement if result is not None else parts.get("agreement", ())
        st.html(
            baseline_strip(
                strip_rows(agreement),
                title="What would have said the same? Rank correlation with the response",
                limits=(-0.5, 1.0),
            )
        )
        note("Bars: the middle 95 % of the same for 200 random sets of parcels like the targets.")
        remarks(who, state, desk, scenario)
    with right:
        dose = result.dose if result is not None else parts.get("dose")
        st.subheader("Dose")
        if dose is None:
            note("The response at −3 to +3 SD appears here once it is computed.")
            return
        st.plotly_chart(
            charts.dose_figure(dose),
            key="pt-dose",
            config={"displayModeBar": False},
            alt="Response of the ten strongest responders at doses from −3 to +3 SD, with a line.",
        )
        note(dose_sentence(dose))


def remarks(who: Visitor, state: PageState, desk: Desk, scenario: Scenario) -> None:
    """Draw what the null says, the interaction, and what a reader must know."""
    result = desk.results.get(scenario)
    if result is not None:
        note(null_sentence(result.null))
    elif COMPANIONS in who.jobs:
        note("The null is being computed: the same action on 200 random sets of parcels like the targets.")
    beyond = tasks.parts(who, COMPANIONS).get("interaction") if result is None else result.interaction
    if beyond is not None:
        note(
            f"Interaction of the sliders at the very same masks: {beyond:.3f} SD "
            "(root mean square over parcels)."
        )
    answer = desk.best(scenario)
    if answer is not None:
        for text in notices_of(desk.stages[scenario.window], answer):
            note(capital(text))


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    state = perturb_state.page_state(who, recording)
    tabs = st.tabs(
        [
            "Responders",
            "What this scan adds",
            "Over time",
            "Predictions",
            "Scenario",
            "How this is computed",
            "Export",
        ],
        key="pt-tabs",
        on_change="rerun",
    )
    drawn = (tab_responders, tab_adds, tab_time, tab_predictions, tab_scenario, tab_how, tab_export)
    for tab, draw in zip(tabs, drawn, strict=True):
        if tab.open:
            with tab:
                draw(who, recording, state)


def tab_responders(who: Visitor, _: Recording, state: PageState) -> None:
    """Draw the ranked table."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    answer = desk.best(state.scenario)
    if answer is None:
        return
    result = desk.results.get(state.scenario)
    stage = desk.stages[state.scenario.window]
    table = charts.responders(
        answer, stage, None if result is None else result.null, compare=desk.best(state.compare)
    )
    columns = {name: st.column_config.NumberColumn(format="%.3f") for name in table.columns if "SD" in name}
    columns |= {
        "z": st.column_config.NumberColumn(format="%.2f"),
        "q (FDR)": st.column_config.NumberColumn(format="%.4f"),
    }
    columns["Peak after onset (s)"] = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        table, hide_index=True, height=420, column_config=columns,
        alt="Parcels ranked by their response, with interval, lag and false discovery rate.",
    )  # fmt: skip
    note(
        f"Low and high: 95 % interval over {len(answer.effect_by_draw)} mask draws, that is, over what else "
        "the model saw; not over people. Not shown where fewer than three draws gave an answer. "
        "More draws are under Scenario."
    )


def tab_adds(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw the scan's answer, the answer without it, and the difference."""
    found = dependence_of(who, state)
    if found is None:
        note("The same question has not been asked without the scan yet.")
        return
    panels = added_by_scan(found)
    event = brain_view(panels, recording.parcellation, key="pt-adds", height=360)
    if event.webgl_missing:
        flat_brains(panels, recording.parcellation)
    note(
        "No scan: the same recording with the phases of every parcel shuffled. The difference is shrunk by "
        "how far the two halves of the recording, each against a control of its own, agree on it. Not shown: "
        "why scans differ; state, movement and the scanner differ too."
    )


def dependence_of(who: Visitor, state: PageState) -> ScanDependence | None:
    """Return what the scan adds to the answer, None until it is known."""
    desk = perturb_work.desk_of(who)
    result = None if desk is None or state.scenario is None else desk.results.get(state.scenario)
    if result is not None:
        return result.dependence
    return tasks.parts(who, COMPANIONS).get("dependence")


def tab_time(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw the strongest responders over time."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    from brainlm_core.features.perturb.analysis import responder_table

    response = desk.best(state.scenario)
    if response is None:
        return
    table = responder_table(response, desk.stages[state.scenario.window])
    strongest = [int(n) - 1 for n in table["parcel"].head(5)]
    st.plotly_chart(
        charts.course_figure(response, recording.parcellation, strongest),
        key="pt-course",
        config={"displayModeBar": False},
        alt="Response over time of the five strongest responders.",
    )


def tab_predictions(who: Visitor, _: Recording, state: PageState) -> None:
    """Draw the correlations with their nulls."""
    desk = perturb_work.desk_of(who)
    result = None if desk is None or state.scenario is None else desk.results.get(state.scenario)
    if result is None:
        note("The companions are not there yet.")
        return
    number = st.column_config.NumberColumn
    st.dataframe(
        charts.agreement_table(result.agreement),
        hide_index=True,
        column_config={
            "Rank correlation with the response": number(format="%.3f"),
            "p": number(format="%.3f"),
        },
        alt="Rank correlation of the response with each prediction, beside the same for random sets.",
    )
    note(
        "Predictions for random sets: the middle 95 % of the correlations of this response "
        "with what the same rule "
        "predicts for the random sets. The model also mixes parcels by other paths than attention."
    )


def tab_scenario(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw the finer settings, and the scenario as a file."""
    desk = perturb_work.desk_of(who)
    stage = None if desk is None else desk.stages.get(state.base.window)
    with st.form("pt-finer"):
        one, two, three = st.columns(3)
        draws = one.number_input("Mask draws", 1, 64, state.base.draws)
        window = two.number_input("Window of the recording", 1, 999, state.base.window)
        seed = three.number_input("Seed", 0, 2**32 - 1, state.base.seed)
        if st.form_submit_button("Apply"):

            def changed(scenario: Scenario) -> Scenario:
                return replace(scenario, draws=int(draws), window=int(window), seed=int(seed))

            state.base = changed(state.base)
            state.scenario = state.scenario and changed(state.scenario)
            state.compare = state.compare and changed(state.compare)
            state.error = None
            st.rerun()
    if stage is not None:
        note(f"Window {stage.number} starts at {stage.window.starts_s[0]:.0f} s of the recording.")
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        file = st.file_uploader("Open a scenario.json", type="json", key=f"pt-file-{state.replaced}")
    if file is not None:
        try:
            perturb_state.from_file(who, recording, state, file.getvalue())
        except BrainLMError as error:
            refusal(error)
        else:
            st.rerun()
    with right:
        if state.scenario is not None:
            perturb_exports.scenario_button(state.scenario)


def tab_how(who: Visitor, _: Recording, __: PageState) -> None:
    """Say how the pictures are computed."""
    how(
        [
            f"{title_of(who.model.name)} answers the same window twice, with and without the action, under "
            "the same mask. The difference, in standard deviations of each parcel, is the response.",
            "The model always sees the targets and never the parcels that answer: other parcels are hidden "
            "for the whole window, or the time after the action is, or both. Responses are averaged over "
            "mask draws.",
            "While dragging: responses at a few strengths per slider, joined by straight lines and added up. "
            "The interaction is how far the exact answer lies from that.",
            "Null: the same action on 200 random sets of parcels, as many in each hemisphere, as compact and "
            "as alike, each with masks of its own, compared at their distance to the parcel that answers; z, "
            "and a false discovery rate that such sets themselves keep. Dose: −3 to +3 SD.",
            "No scan: the same question asked of the recording with each parcel's phases shuffled. Group "
            "without a scan: ridge on the group's covariance, from what the model sees.",
            "Predictions without the model's answer: connectivity with the targets, nearness, the targets' "
            "attention; and the same architecture with random weights. The model also mixes parcels by other "
            "paths than attention.",
        ],
        "masked autoencoder: Ortega Caro et al. 2024; false discovery rate: Benjamini & Hochberg 1995.",
        "cause and effect. In five simulated networks with known directed coupling the default model told "
        "coupled pairs from the rest no better than chance by responses of the other parcels (area under the "
        "curve 0.50), and at 0.70 to 0.78 by those of the future; an autoregression of the window has 0.99.",
    )


def tab_export(who: Visitor, recording: Recording, state: PageState) -> None:
    """Offer films, pictures, tables, one self-contained page."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    stage = desk.stages[state.scenario.window]
    answer = desk.best(state.scenario)
    if answer is not None:
        perturb_exports.buttons(stage, answer, desk.results.get(state.scenario))
    note(
        "The brains as they stand on screen are saved by the arrow above them. Copy link gives an address "
        "that opens this scenario and camera."
    )
    asked = (state.scenario, PerturbOptions())
    complete = state.scenario in desk.results
    reproduce(
        "pt",
        {"response": asked, **({"companions": asked} if complete else {})},
        model=stage.model,
        recording=recording,
    )
