"""Model: what it fills in of what it does not see, what it costs, what its card says, where it ends."""

from __future__ import annotations

import streamlit as st

from app.components.brain_view import brain_view
from app.components.flat_brain import flat_brains
from app.components.parcel_order import groups_present, label
from app.components.strip import baseline_strip
from app.model import charts as model_charts
from app.model import tabs as model_tabs
from app.model.work import RECONSTRUCT, Picture, advance, chosen_options, picture
from app.shell import exports, tasks
from app.shell.chips import chip_row
from app.shell.links import Setting, keep, one_of, restore, whole
from app.shell.model_chooser import title_of
from app.shell.reproduce import reproduce
from app.shell.session import Visitor, visitor
from app.shell.task_bar import refusals, refused_model
from app.shell.task_bar import working as work_line
from app.shell.theme import group_words
from app.shell.words import capital, how, note, one_of_row, sentence
from brainlm_core.base.methods import words_of
from brainlm_core.base.recording import Recording
from brainlm_core.features.reconstruct import figures as look

KINDS = {"random": "Pieces", "future": "The end", "parcels": "Parcels", "network": "Network"}
BLOCKS = (5, 10, 20, 40, 100)
LAST_SEED = 10_000
LINK = (
    Setting("md-kind", "hide", "random", one_of(KINDS)),
    Setting("md-share", "share", 75, one_of(range(5, 100, 5))),
    Setting("md-block", "piece", 20, one_of(BLOCKS)),
    Setting("md-seed", "mask", 0, whole(0, LAST_SEED)),
    Setting("md-third", "third", "filled", one_of(model_charts.THIRD)),
)


def main() -> None:
    """Draw the page: the recording at once, what the model fills in as it comes."""
    who = visitor()
    restore(who, "model", lambda: LINK)
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    options = chosen_options(recording)
    advance(who, recording, options)
    now = picture(who, options)
    chip_row(who, recording)
    left, right = st.columns([5, 2], gap="large")
    with left:
        working(who, now)
        brain(who, recording, now)
        trace(who, recording, now)
    with right:
        summary(who, now)
        controls(recording, now)
        strip(now)
        remarks(who, now)
    keep(who, LINK)
    details(who.key)


def working(who: Visitor, now: Picture) -> None:
    """Draw what the third brain shows, and progress or refusal beside it; the picture stays."""
    with st.container(horizontal=True, vertical_alignment="center", key="picture-bar"):
        st.segmented_control(
            "Third brain",
            list(model_charts.THIRD),
            required=True,
            format_func=model_charts.THIRD.__getitem__,
            key="md-third",
            label_visibility="collapsed",
        )
        with st.container(key="md-work"):
            if work_line(who, RECONSTRUCT) and now.stale:
                st.html("<style>.st-key-picture{opacity:.45}</style>")
    refused_model(who)
    refusals(who, RECONSTRUCT)


def brain(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw observed, seen and filled in on one clock and one camera."""
    if now.result is None:
        panels, times = model_charts.waiting_panels(recording.signals[:, :200]), None
    else:
        third = str(st.session_state["md-third"])
        panels = look.panels(now.result, third, simulated=recording.provenance.simulated)
        times = now.result.times_s
    with st.container(key="picture"):
        event = brain_view(
            panels, recording.parcellation, key="md-brain", times_s=times, picked=who.picked, height=250
        )
    if event.webgl_missing:
        flat_brains(panels, recording.parcellation, event.frame)
    if event.changed:
        who.picked = event.picked
    note(
        "Grey in the middle: hidden from the model. Not shown: whether another person's scan would be "
        "filled in as well; the model card's figures say that."
    )


def trace(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the picked parcel's signal with what was hidden of it."""
    if now.result is None:
        return
    parcel = model_charts.default_parcel(now.result) if who.picked is None else who.picked
    st.plotly_chart(
        model_charts.trace_figure(now.result, recording.parcellation, parcel),
        key="md-trace",
        config={"displayModeBar": False},
        alt=f"Signal of {label(recording.parcellation, parcel)}: observed, hidden pieces, filled in.",
    )
    note(
        f"{label(recording.parcellation, parcel)}. Bands: hidden from the model. Click another on the brain."
    )


def summary(who: Visitor, now: Picture) -> None:
    """Draw the one sentence."""
    if now.result is not None:
        sentence(look.sentence(now.result))
    elif who.model_error is not None or tasks.failure(who, RECONSTRUCT) is not None:
        sentence("The model could not be used; the recording is shown.")
    else:
        sentence("A part of this scan is hidden from the model, which fills it in.")


def controls(recording: Recording, now: Picture) -> None:
    """Draw what is hidden, of which window."""
    kind = one_of_row(
        "Hide",
        list(KINDS),
        format_func=KINDS.__getitem__,
        key="md-kind",
        persist_state="session",
    )
    if kind == "network":
        st.selectbox(
            "Network",
            groups_present(recording.parcellation),
            format_func=group_words,
            key="md-network",
            persist_state="session",
        )
    else:
        of = {"random": "of all pieces", "future": "of the window", "parcels": "of the parcels"}[kind]
        st.slider(f"Hidden, % {of}", 5, 95, step=5, key="md-share", persist_state="session")
    if kind == "random":
        st.select_slider("Length of a piece (samples)", BLOCKS, key="md-block", persist_state="session")
    with st.expander("More settings"):
        n_windows = 1 if now.result is None else now.result.n_windows
        if n_windows > 1:
            st.slider("Window of the recording", 1, n_windows, key="md-window", persist_state="session")
        st.number_input("Mask number", 0, LAST_SEED, key="md-seed", persist_state="session")


def strip(now: Picture) -> None:
    """Draw the baseline strip."""
    st.html(
        baseline_strip(
            look.strip_rows(now.result),
            title="Explained variance R² of what was hidden",
            limits=(-0.2, 0.6),
        )
    )


def remarks(who: Visitor, now: Picture) -> None:
    """Draw what a reader must know."""
    if now.result is not None:
        start, stop = now.result.times_s[0], now.result.times_s[-1]
        note(
            f"Window from {start:.0f} to {stop:.0f} s. Intervals: which parcels there are, not other people."
        )
        for method, value in look.off_scale(now.result).items():
            note(f"Off the scale: {words_of(method, 'reconstruct')} {value:.2f}.")
        for text in now.result.notices:
            note(capital(text))
    if who.recording is not None and who.recording.provenance.simulated:
        note(
            "This recording was drawn from group statistics, which favours methods that know the group: "
            "judge the model on a measured scan."
        )


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    tabs = st.tabs(
        [
            "Model card",
            "Choices",
            "Input scale",
            "Weights and machine",
            "Limits",
            "How this is computed",
            "Export",
        ],
        key="md-tabs",
        on_change="rerun",
    )
    drawn = (
        model_tabs.card,
        model_tabs.choices,
        model_tabs.input_scale,
        model_tabs.machine,
        model_tabs.limits,
        tab_how,
        tab_export,
    )
    for tab, draw in zip(tabs, drawn, strict=True):
        if tab.open:
            with tab:
                draw(who, recording)


def tab_how(who: Visitor, _: Recording) -> None:
    """Say how the pictures are computed."""
    how(
        [
            "The recording is brought to the model's sampling interval, each parcel is scaled, and one "
            "window of 200 samples is cut.",
            f"A part is hidden. {title_of(who.model.name)} sees the rest and fills the part in; so does the "
            "same architecture with random weights.",
            "Baselines from the same visible entries: each parcel's mean; straight lines in time; a ridge "
            "regression from the parcels visible at the same moment, by the covariance of the training "
            "recordings.",
            "Score: 1 minus the squared error over the variance of the hidden entries, all parcels together.",
            "Intervals: 500 draws of parcels with replacement.",
        ],
        "masked autoencoder: He et al. 2022; on fMRI: Ortega Caro et al. 2024.",
        "whether the model understands anything: a smooth and correlated signal can be filled in by any "
        "method that knows smoothness and correlation.",
    )


def tab_export(who: Visitor, recording: Recording) -> None:
    """Offer the reconstruction as a file."""
    result = picture(who, chosen_options(recording)).result
    if result is None:
        note("The reconstruction is not there yet.")
        return
    stem = exports.safe_stem(recording.provenance.source_name)
    st.download_button(
        "Reconstruction (.zip)",
        lambda: exports.saved(result),
        f"{stem}-reconstruction.zip",
        "application/zip",
        key="md-zip",
        help="What `brainlm reconstruct` writes: scores, settings, provenance, arrays.",
        on_click="ignore",
    )
    note("The brains on screen are saved with the camera button of the brain view.")
    reproduce("md", {"reconstruction": result.options}, model=result.model, recording=recording)
