"""Networks: which networks the model's attention draws on the cortex, beside what needs no model."""

from __future__ import annotations

import streamlit as st

from app.components.brain_view import brain_view
from app.components.flat_brain import flat_brains
from app.components.matrix_view import head_grid, matrix_view
from app.components.parcel_order import by_network, label
from app.components.strip import baseline_strip
from app.networks import attention_charts as charts
from app.networks.work import (
    NETWORKS,
    Picture,
    advance,
    chosen_options,
    picture,
    scores_key,
)
from app.shell import exports, tasks
from app.shell.chips import chip_row
from app.shell.links import Setting, keep, one_of, restore, whole
from app.shell.model_chooser import reads_recording, title_of
from app.shell.reproduce import reproduce
from app.shell.session import Visitor, visitor
from app.shell.task_bar import refusals, refused_model, working
from app.shell.theme import colour_stops
from app.shell.words import capital, how, legend, note, one_of_row, sentence
from brainlm_core.base.recording import Recording

SHOWN = {
    "networks": "Networks",
    "row": "Attention of a parcel",
    "adds": "What this scan adds",
    "cls": "Summary token",
}
REDUCTIONS = {"average": "Average", "rollout": "Rollout", "layer/head": "Layer or head"}

LINK = (
    Setting("net-shown", "show", "networks", one_of(SHOWN)),
    Setting("net-reduction", "map", "average", one_of(REDUCTIONS)),
    Setting("net-k", "networks", 7, whole(2, 20)),
    Setting("net-windows", "windows", "first", one_of(("first", "all"))),
    Setting("net-group", "group", 0, whole(0, 100)),
    Setting("net-layer", "layer", None, whole(0, 99)),
    Setting("net-head", "head", None, whole(0, 99)),
)


def main() -> None:
    """Draw the page: what is known at once, the model's part as it comes."""
    who = visitor()
    restore(who, "networks", lambda: LINK)
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    apply_clicks()
    options = chosen_options(who)
    advance(who, recording, options)
    now = picture(who, options)
    chip_row(who, recording)
    left, right = st.columns([2, 1], gap="large")
    with left:
        brain(who, recording, now)
    with right:
        summary(who, now)
        controls(who, recording, now)
        if not refused(who):
            strips(now)
    keep(who, LINK)
    details(who.key)


def apply_clicks() -> None:
    """Move clicks in pictures into the widgets that they stand for; must run before those are drawn."""
    state = st.session_state
    for setting in LINK:
        if setting.default is not None:
            state.setdefault(
                setting.key, setting.default
            )  # instead of `default=`, which must not meet a value set from outside
    state.setdefault("net-parcel", visitor().picked)
    for widget, value in state.pop("net-clicks", {}).items():
        state[widget] = value


def click(**widgets: object) -> None:
    """Remember what a click in a picture means for the widgets, and run the page again."""
    st.session_state["net-clicks"] = {f"net-{name}": value for name, value in widgets.items()}
    st.rerun()


def brain(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw two linked brains: what the model shows, and what is known without it."""
    parcels = recording.parcellation
    with st.container(horizontal=True, vertical_alignment="center", key="picture-bar"):
        shown = one_of_row(
            "On the brain",
            list(SHOWN),
            format_func=SHOWN.__getitem__,
            key="net-shown",
            persist_state="session",
            label_visibility="collapsed",
        )
        with st.container(key="net-work"):
            working(who, NETWORKS)
    refused_model(who)
    refusals(who, NETWORKS)
    panels = [charts.known_networks(parcels)]
    if shown == "networks" and now.clustering is not None:
        panels.insert(0, charts.found_networks(now.clustering))
    elif shown == "row" and now.view is not None and now.attention is not None:
        parcel = who.picked if who.picked is not None else default_parcel(recording)
        panels = [
            charts.attention_row(now.attention, parcels, parcel),
            charts.connectivity_row(now.view.connectivity, parcels, parcel),
        ]
    elif shown == "adds" and now.dependence is not None:
        parcel = who.picked if who.picked is not None else default_parcel(recording)
        panels = charts.added_by_scan(now.dependence, parcels, parcel)
    elif shown == "cls" and now.cls is not None:
        panels.insert(0, charts.summary_map(now.cls))
    with st.container(key="picture"):
        event = brain_view(panels, parcels, key="net-brain", picked=who.picked, height=430)
    if event.webgl_missing:
        flat_brains(panels, parcels)
    if event.changed:
        pick(who, event.picked)
    if shown == "row" and now.attention is not None:
        parcel = who.picked if who.picked is not None else default_parcel(recording)
        note(charts.strongest_groups(now.attention[parcel], parcels, parcel))
    if shown == "adds":
        note(
            "This appears once the halves of the recording have been compared."
            if now.dependence is None
            else charts.dependence_words(now.dependence)
        )
    family = "" if now.view is None else now.view.model.family
    note("Click a parcel to see where it attends. " + not_shown(shown, family))


def not_shown(shown: str, family: str) -> str:
    """Return the one line on what the picture does not show."""
    return {
        "networks": "Not shown: how sure the clustering is of a parcel; borders are softer than they look.",
        "row": f"Not shown: cause. {charts.attention_words(family)}",
        "adds": "Not shown: why they differ. State, movement and the scanner differ between scans too.",
        "cls": "Not shown: importance. Other paths than attention reach the summary token too.",
    }[shown]


def default_parcel(recording: Recording) -> int:
    """Return the parcel whose row is shown before one was picked: a visual one, else the first."""
    networks = list(recording.parcellation.yeo7)
    return networks.index("Visual") if "Visual" in networks else 0


def pick(who: Visitor, parcel: int | None) -> None:
    """Put a parcel in hand and show its row."""
    who.picked = parcel
    click(parcel=parcel, **({"shown": "row"} if parcel is not None else {}))


def refused(who: Visitor) -> bool:
    """Whether the model cannot be used, for whatever reason."""
    return who.model_error is not None or tasks.failure(who, NETWORKS) is not None


def summary(who: Visitor, now: Picture) -> None:
    """Draw the one sentence and what a reader must know."""
    if refused(who):
        sentence("The model could not be used; the known networks are shown.")
        return
    is_random = now.view is not None and now.view.model.is_random
    sentence(charts.who_wins(now.scores, is_random=is_random, dependence=now.dependence))
    if now.dependence is not None:
        note(charts.dependence_words(now.dependence))
    if now.view is not None:
        for text in now.view.notices:
            note(capital(text))
    if now.scores and who.recording is not None and who.recording.provenance.simulated:
        note(
            "This recording was drawn from group statistics, which favours methods that know the group: "
            "judge the model on a measured scan."
        )


def controls(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the few controls of the picture."""
    parcels = recording.parcellation
    chosen = st.selectbox(
        "Parcel",
        range(parcels.n_parcels),
        index=None,
        format_func=lambda i: label(parcels, i),
        key="net-parcel",
        placeholder="Click one on the brain, or type a name",
    )
    if chosen != who.picked:
        pick(who, chosen)
    reduction = st.segmented_control(
        "Attention map",
        list(REDUCTIONS),
        required=True,
        format_func=REDUCTIONS.__getitem__,
        key="net-reduction",
        persist_state="session",
        width="stretch",
    )
    if reduction == "layer/head" and now.view is not None:
        layers, heads = now.view.attention.n_layers, now.view.attention.n_heads
        for key, size in (("net-layer", layers), ("net-head", heads)):
            if (st.session_state.get(key) or 0) >= size:
                st.session_state[key] = None  # chosen for another model
        one, two = st.columns(2)
        one.selectbox(
            "Layer", [None, *range(layers)], format_func=counted("All layers", "Layer"), key="net-layer"
        )
        two.selectbox("Head", [None, *range(heads)], format_func=counted("All heads", "Head"), key="net-head")
    if reads_recording(who):
        st.slider(
            "Share of the group",
            0,
            100,
            step=5,
            format="%d %%",
            key="net-group",
            persist_state="session",
            help="0 % is this scan alone. More steadies the map with what all brains share: networks get "
            "clearer, and less of them is this scan's. From about 20 % on, noise draws them nearly as well.",
        )
    with st.expander("More settings"):
        st.slider("Networks to draw", 2, 20, key="net-k", persist_state="session")
        st.segmented_control(
            "Windows",
            ["first", "all"],
            required=True,
            key="net-windows",
            persist_state="session",
            format_func={"first": "First 200 samples", "all": "Whole recording"}.__getitem__,
        )


def counted(all_words: str, one_word: str):  # type: ignore[no-untyped-def]
    """Return a function that names 0-based numbers from 1."""
    return lambda i: all_words if i is None else f"{one_word} {i + 1}"


def strips(now: Picture) -> None:
    """Draw the baseline strips."""
    st.html(
        baseline_strip(
            charts.strip_rows(now.scores, "knn"),
            title="Known network named by the five nearest parcels (share)",
            limits=(0.1, 0.9),
        )
        + baseline_strip(
            charts.strip_rows(now.scores, "ari"),
            title="Clusters against known networks (adjusted Rand index)",
            limits=(0.0, 0.6),
        )
    )


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    now = picture(who, chosen_options(who))
    tabs = st.tabs(
        ["Matrix", "Layers and heads", "Scores", "Networks", "How this is computed", "Export"],
        key="net-tabs",
        on_change="rerun",
    )
    drawn = (tab_matrix, tab_heads, tab_scores, tab_networks, tab_how, tab_export)
    for tab, draw in zip(tabs, drawn, strict=True):
        if tab.open:
            with tab:
                if now.view is None and draw is not tab_how:
                    note("The model's attention is not there yet.")
                else:
                    draw(who, recording, now)


def tab_matrix(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the chosen attention beside the connectivity of the same window, both ordered by network."""
    assert now.view is not None and now.attention is not None  # or no tab is drawn
    parcels = recording.parcellation
    order, bands = by_network(parcels)
    values = charts.relative(now.attention)
    one, other = st.columns(2, gap="medium")
    with one:
        note("Attention, query by row.")
        row = matrix_view(
            values,
            key="net-matrix",
            names=parcels.names,
            order=order,
            bands=bands,
            limits=charts.limits(values),
            unit=charts.EVEN,
            colours=colour_stops("sequential"),
            picked=who.picked,
            alt="Attention between all parcels, query by row and key by column, ordered by network.",
        )
    with other:
        note("Functional connectivity of the same window.")
        same = matrix_view(
            now.view.connectivity,
            key="net-connectivity",
            names=parcels.names,
            order=order,
            bands=bands,
            limits=(-charts.LIMIT_R, charts.LIMIT_R),
            unit="correlation",
            colours=colour_stops("diverging"),
            picked=who.picked,
            alt="Correlation between all parcels, in the same order.",
        )
    row = same if row is None else row
    if row is not None and row != who.picked:
        pick(who, row)


def tab_heads(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw every layer and head small; choosing one shows it everywhere."""
    assert now.view is not None  # or no tab is drawn
    options = chosen_options(who)
    picked = head_grid(
        charts.thumbnail_scale(now.view),
        key="net-heads",
        colours=colour_stops("sequential"),
        picked=None if options.layer is None or options.head is None else (options.layer, options.head),
        alt="One small attention matrix per layer and head, ordered by network, each on its own scale.",
    )
    note("Each thumbnail has its own colour scale, so that faint heads can be seen too.")
    if picked is not None:
        click(reduction="layer/head", layer=picked[0], head=picked[1])


def tab_scores(_: Visitor, __: Recording, now: Picture) -> None:
    """Draw all scores as a table."""
    from app.networks.tables import scores_table

    st.dataframe(scores_table(now.scores), hide_index=True, alt="Scores of every method with 95 % intervals.")
    note(
        "Value, and in brackets the 95 % interval over which parcels there are. "
        "Homologues in one fold: a parcel cannot copy its mirror image. " + charts.PUBLISHED_WORDS
    )


def tab_networks(_: Visitor, recording: Recording, now: Picture) -> None:
    """Draw one row per network found."""
    from app.networks.tables import clusters_table

    if now.clustering is None:
        note("The networks are being drawn.")
        return
    st.html(legend(charts.cluster_categories(now.clustering)))
    st.dataframe(
        clusters_table(now.clustering, recording.parcellation),
        hide_index=True,
        column_config={"Overlap (Dice)": st.column_config.NumberColumn(format="%.2f")},
        alt="Networks found in the attention, the known network that each resembles, and their members.",
    )


def tab_how(who: Visitor, _: Recording, now: Picture) -> None:
    """Say how the pictures are computed."""
    how(
        [
            f"One window of 200 samples passes the encoder of {title_of(who.model.name)}, nothing hidden. "
            "Attention is summed over the tokens of the key parcel, averaged over those of the query parcel.",
            "1 × even spread is what a parcel would get if attention were spread evenly over all parcels.",
            "For scores: logarithm, symmetrised, row and column effects removed; the five nearest parcels "
            "(cosine) vote, 5 folds, 10 draws. Every baseline is scored in the same way.",
            "Networks: normalised-cut spectral clustering, matched one to one to the seven known networks by "
            "overlap (Hungarian method).",
            "Intervals: which parcels there are (bootstrap or jackknife over homologues), not other people.",
            "No scan: the same question asked of the recording with each parcel's phases shuffled. What this "
            "scan adds: its map minus that of no scan, shrunk by how far the two halves of the recording, "
            "each against a control of its own, agree on it.",
        ],
        "model: Ortega Caro et al. 2024; networks: Yeo et al. 2011; rollout: Abnar & Zuidema 2020.",
        "what drives what. "
        + charts.attention_words("" if now.view is None else now.view.model.family)
        + " Connectivity alone may say as much.",
    )
    if now.view is not None:
        st.caption(
            f"Weights: {now.view.model.source}, licence {now.view.model.licence}. "
            f"Precision {now.view.model.precision}."
        )


def tab_export(who: Visitor, recording: Recording, now: Picture) -> None:
    """Offer tables and surface maps."""
    assert now.cls is not None and now.attention is not None  # or no tab is drawn
    parcels, stem = recording.parcellation, exports.safe_stem(recording.provenance.source_name)
    attention = now.attention
    maps, names = charts.export_maps(now.cls, now.clustering, now.attention, who.picked, parcels)
    with st.container(horizontal=True):
        st.download_button(
            "Attention (.csv)",
            lambda: exports.matrix_csv(attention, parcels.names),
            f"{stem}-attention.csv",
            "text/csv",
            key="net-csv",
            help="Parcel by parcel, query by row.",
            on_click="ignore",
        )
        st.download_button(
            "Parcels (.csv)",
            lambda: charts.export_table(maps, names, parcels),
            f"{stem}-parcels.csv",
            "text/csv",
            key="net-parcels",
            help="One row per parcel: network found, summary token, picked row.",
            on_click="ignore",
        )
        st.download_button(
            "Brain map (CIFTI)",
            lambda: exports.cifti_map(maps, parcels, names),
            f"{stem}-networks.dscalar.nii",
            key="net-cifti",
            help="fsaverage5, both hemispheres.",
            on_click="ignore",
        )
        st.download_button(
            "Brain maps (GIFTI)",
            lambda: exports.gifti_maps(maps, parcels, names),
            f"{stem}-networks.zip",
            "application/zip",
            key="net-gifti",
            help="fsaverage5, one file per hemisphere.",
            on_click="ignore",
        )
        result = who.results.get(scores_key(who, chosen_options(who)))
        if result is not None:
            st.download_button(
                "Everything (.zip)",
                lambda: exports.saved(result),
                f"{stem}-networks-all.zip",
                "application/zip",
                key="net-all",
                help="What `brainlm networks` writes: tables, matrices, maps, provenance.",
                on_click="ignore",
            )
    note("Pictures are saved with the buttons of the brain and of the matrix.")
    if now.view is not None:
        asked = dict.fromkeys(("networks", "network-scores"), chosen_options(who))
        reproduce("net", asked, model=now.view.model, recording=recording)
