"""Perturb: drag a slider, watch what the model expects to go along."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from app import perturb_charts as charts
from app import perturb_exports, perturb_work
from app.brain_view import BrainPanel, fallback_figure
from app.charts.strip import baseline_strip
from app.chips import chip_row
from app.models import title_of
from app.perturb_message import message, share_of
from app.perturb_view import perturb_view
from app.perturb_work import ANSWER, BANK, COMPANIONS, PageState
from app.state import Visitor, visitor
from app.theme import palette
from app.waiting import progress
from app.words import capital, how, note, refusal
from brainlm_core.analyses.perturb import notices_of
from brainlm_core.analyses.scenario import Scenario
from brainlm_core.errors import BrainLMError
from brainlm_core.recording import Recording


def main() -> None:
    """Draw the page: sliders at once, answers and their companions as they come."""
    who = visitor()
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    state = perturb_work.page_state(who, recording)
    perturb_work.advance(who, recording, state)
    address(state)
    chip_row(who, recording)
    working(who, state)
    brain(who, recording, state)
    beside(who, recording, state)
    details(who.key)


def address(state: PageState) -> None:
    """Keep the scenario, its comparison and the camera in the address."""
    wanted = share_of(state) | ({"c": state.camera} if state.camera else {})
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def working(who: Visitor, state: PageState) -> None:
    """Draw progress or refusal; the picture stays."""
    with st.container(key="pt-work"):
        # A line that comes and goes must not move the sliders under the hand.
        st.html("<style>.st-key-pt-work{min-height:3.5rem}</style>")
        running = next((slot for slot in (ANSWER, BANK, COMPANIONS) if slot in who.jobs), None)
        if running is not None:
            progress(running, len(who.jobs[running].parts))
        elif state.error is not None or who.model_error is not None:
            refusal(state.error or who.model_error)  # type: ignore[arg-type]
            st.button(
                "Go on with the last scenario that worked", key="pt-again", on_click=forget, args=(who, state)
            )
        elif perturb_work.stopped(who, state):
            st.button("Go on with the calculation", key="pt-go", on_click=forget, args=(who, state))


def forget(who: Visitor, state: PageState) -> None:
    """Drop the error, so that the next run tries again with what is set."""
    desk = perturb_work.desk_of(who)
    if state.error is not None and desk is not None and desk.answers:
        state.adopt(next(reversed(desk.answers)))
    who.model_error = None
    perturb_work.go_on(state)


def brain(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw sliders and brains."""
    desk = perturb_work.desk_of(who)
    rows = perturb_work.rows_of(state, recording)
    header, arrays = message(f"{who.key}/{who.model.name}", state, recording, rows, desk)
    missing = perturb_view(
        header, arrays, recording.parcellation, key="pt-view", on_release=perturb_work.take_message
    )
    if missing:
        panel = BrainPanel("Model's response", arrays["exact_effect"], "SD", "diverging")
        st.plotly_chart(
            fallback_figure(panel, recording.parcellation, theme=palette().name),
            key="pt-flat",
            alt="Model's response.",
        )
    note(
        "While you drag, the picture is the sum of single responses, computed in your "
        "browser; on release it is the "
        "model's exact answer. Grey parcels were acted upon or gave no answer. Not shown: "
        "cause. A response is what "
        "the model expects to go with a change, not what the change would do to a brain."
    )


def beside(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw what must stand beside a response: predictions without the model's answer, dose, null."""
    desk = perturb_work.desk_of(who)
    scenario = state.scenario
    if desk is None or scenario is None or scenario not in desk.answers:
        return
    result = desk.results.get(scenario)
    parts = who.jobs[COMPANIONS].parts if COMPANIONS in who.jobs else {}
    agreement = result.agreement if result is not None else parts.get("twin", parts.get("agreement", ()))
    dose = result.dose if result is not None else parts.get("dose")
    left, right = st.columns(2, gap="large")
    with left:
        st.html(
            baseline_strip(
                charts.strip_rows(agreement),
                title="What would have said the same? (rank correlation with the response)",
                limits=(-0.5, 1.0),
            )
        )
        if result is not None:
            note(charts.null_sentence(result.null))
        elif COMPANIONS in who.jobs:
            note("The null is being computed: the same actions on 200 random sets of parcels.")
        if scenario in desk.interactions:
            note(
                f"Interaction between the sliders at the same masks: {desk.interactions[scenario]:.3f} SD "
                "(root mean square over parcels)."
            )
        for text in notices_of(desk.stages[scenario.window], desk.answers[scenario]):
            note(capital(text))
    with right:
        if dose is None:
            note("The dose curve appears with the companions.")
        else:
            st.plotly_chart(
                charts.dose_figure(dose),
                key="pt-dose",
                config={"displayModeBar": False},
                alt="Response of the ten strongest responders at doses from −3 to +3 SD, with a line.",
            )
            note(charts.dose_sentence(dose))


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    state = perturb_work.page_state(who, recording)
    tabs = st.tabs(
        ["Responders", "Over time", "Predictions", "Scenario", "How this is computed", "Export"],
        key="pt-tabs",
        on_change="rerun",
    )
    drawn = (tab_responders, tab_time, tab_predictions, tab_scenario, tab_how, tab_export)
    for tab, draw in zip(tabs, drawn, strict=True):
        if tab.open:
            with tab:
                draw(who, recording, state)


def tab_responders(who: Visitor, _: Recording, state: PageState) -> None:
    """Draw the ranked table."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    result = desk.results.get(state.scenario)
    stage = desk.stages[state.scenario.window]
    table = charts.responders(desk.answers[state.scenario], stage, None if result is None else result.null)
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
        "Low and high: 95 % interval over mask draws, that is, over what else the model saw; "
        "not over people. "
        "More draws are under Scenario."
    )


def tab_time(who: Visitor, recording: Recording, state: PageState) -> None:
    """Draw the strongest responders over time."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    from brainlm_core.analyses.perturb import responder_table

    response = desk.answers[state.scenario]
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
            changes = {"draws": int(draws), "window": int(window), "seed": int(seed)}
            state.base = replace(state.base, **changes)
            state.scenario = state.scenario and replace(state.scenario, **changes)
            state.compare = state.compare and replace(state.compare, **changes)
            perturb_work.go_on(state)
            st.rerun()
    if stage is not None:
        note(f"Window {stage.number} starts at {stage.window.starts_s[0]:.0f} s of the recording.")
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        file = st.file_uploader("Open a scenario.json", type="json", key=f"pt-file-{state.replaced}")
    if file is not None:
        try:
            scenario = Scenario.from_json(file.getvalue())
            scenario.check_parcellation(recording.parcellation)
            for action in scenario.actions:
                action.targets.rows(recording.parcellation)
            perturb_work.use_model(who, scenario.model)
        except BrainLMError as error:
            refusal(error)
        else:
            state.adopt(scenario)
            perturb_work.go_on(state)
            st.rerun()
    with right:
        if state.scenario is not None:
            perturb_exports.scenario_button(state.scenario)


def tab_how(who: Visitor, _: Recording, __: PageState) -> None:
    """Say how the pictures are computed."""
    how(
        [
            f"{title_of(who.model.name)} answers the same window twice, with and without the "
            f"action, under the same "
            "mask. The difference, in standard deviations of each parcel, is the response.",
            "The model always sees the targets and never the parcels that answer: other parcels "
            "are hidden for the "
            "whole window, or the time after the action is, or both. Responses are averaged over mask draws.",
            "While dragging: responses at a few strengths per slider, joined by straight lines "
            "and added up. The "
            "interaction is how far the exact answer lies from that.",
            "Null: the same action on 200 random sets of parcels, as many in each hemisphere, at "
            "the same masks; z "
            "and false discovery rate (Benjamini-Hochberg). Dose: −3 to +3 SD and a straight line.",
            "Predictions without the model's answer: connectivity with the targets, nearness, the "
            "targets' attention; "
            "and the same architecture with random weights.",
        ],
        "masked autoencoder: Ortega Caro et al. 2024; false discovery rate: Benjamini & Hochberg 1995.",
        "cause and effect. In simulations with known directed coupling the bundled model does "
        "not recover the "
        "direction: a response mirrors what tends to go together.",
    )


def tab_export(who: Visitor, _: Recording, state: PageState) -> None:
    """Offer films, pictures, tables, one self-contained page."""
    desk = perturb_work.desk_of(who)
    if desk is None or state.scenario not in desk.answers:
        note("The answer is not there yet.")
        return
    stage = desk.stages[state.scenario.window]
    perturb_exports.buttons(stage, desk.answers[state.scenario], desk.results.get(state.scenario))
    note(
        "The brains on screen are saved with the camera button of the brain view. The link is "
        "in the address bar."
    )


main()
