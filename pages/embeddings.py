"""Embeddings: a cohort on one map, and what in it can be believed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import embeddings_charts as charts
from app import embeddings_exports
from app.brain_view import brain_view
from app.chips import chip_row
from app.embeddings_state import Desk, desk, take_upload
from app.embeddings_work import (
    COMPARE,
    HERE,
    KINDS,
    advance,
    comparison,
    kinds_of,
    map_of,
    placed,
    why_not_placed,
)
from app.flat_brain import flat_brains
from app.models import title_of
from app.points_view import PointMap, points_view
from app.state import Visitor, visitor
from app.waiting import progress
from app.words import facts, how, note, refusal, sentence
from brainlm_core.analyses.cohort_compare import MEASURES, measures_of, nearest_to
from brainlm_core.analyses.cohort_map import AxesMap, Placed
from brainlm_core.errors import BrainLMError
from brainlm_core.recording import Recording

#: More recordings than this are searched by a text field instead of a list.
MAX_LISTED = 5000
#: What stands beside the map.
NOTHING, OTHER = "nothing", "other"


def main() -> None:
    """Draw the page."""
    who, own = visitor(), desk()
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    advance(who, own, recording)
    chip_row(who, recording)
    table = own.cohort.table()
    left, right = st.columns([2, 1], gap="large")
    with right:
        head = st.container()
        column, kind, beside = controls(own, table)
    try:
        made = map_of(own, kind)
    except BrainLMError as error:
        with left:
            refusal(error)
        made = None
    with head:
        sentence("This cohort cannot be mapped." if made is None else charts.one_sentence(own.cohort, made))
        if own.cohort.provenance.simulated:
            note(
                "This cohort is simulated: nobody was scanned. What was planted in it is listed under Cohort."
            )
    place = placed(who, own, kind)
    if made is not None:
        with left:
            the_map(who, own, made, kind, beside, column, table, place)
    with right:
        scan_in_hand(who, own, place)
        cohort_panel(own)
    details(who.key, own.serial)


def controls(own: Desk, table: pd.DataFrame) -> tuple[str | None, str, str]:
    """Draw the few controls of the map; return the colour's column, the embedding, and what stands beside."""
    columns = charts.colour_columns(table)
    column = st.selectbox("Colour by", columns, format_func=charts.words, key=f"emb-colour-{own.serial}")
    kinds = kinds_of(own.cohort)
    one, two = st.columns(2)
    kind = one.selectbox("Embedding", kinds, format_func=KINDS.__getitem__, key=f"emb-kind-{own.serial}")
    choices = [NOTHING, *(k for k in kinds if k != kind)]
    if own.other is not None:
        choices.append(OTHER)
    titles = {**KINDS, NOTHING: "Nothing", OTHER: own.other_name}
    beside = two.selectbox(
        "Beside it", choices, format_func=titles.__getitem__, key=f"emb-beside-{own.serial}"
    )
    search(own)
    return column, kind, beside


def search(own: Desk) -> None:
    """Draw the field that finds a recording by its identifier."""
    ids = own.cohort.ids
    if len(ids) > MAX_LISTED:
        text = st.text_input("Find a recording", key=f"emb-find-{own.serial}", placeholder="Part of its name")
        if text:
            hits = [i for i, name in enumerate(ids) if text.lower() in name.lower()]
            note(f"{len(hits)} names hold that." if hits else "No name holds that.")
            own.picked = hits[0] if hits else own.picked
        return
    chosen = st.selectbox(
        "Find a recording",
        range(len(ids)),
        index=own.picked,
        format_func=lambda i: ids[i],
        key=f"emb-find-{own.serial}-{own.picked}",
        placeholder="Click one on the map, or type its name",
    )
    if chosen != own.picked:
        own.picked = chosen
        st.rerun()


def the_map(
    who: Visitor,
    own: Desk,
    made: AxesMap,
    kind: str,
    beside: str,
    column: str | None,
    table: pd.DataFrame,
    place: Placed | BrainLMError | None,
) -> None:
    """Draw the map, a second one beside it when asked for, and take over what was selected."""
    here = place if isinstance(place, Placed) else None
    maps = [
        PointMap(
            KINDS[kind],
            made.xy,
            charts.axis_names(made),
            None if here is None else here.xy,
            () if here is None else here.rows[:5].tolist(),
        )
    ]
    if beside != NOTHING:
        second = map_of(own, kind if beside == OTHER else beside, other=beside == OTHER)
        title = own.other_name if beside == OTHER else KINDS[beside]
        maps.append(PointMap(title, second.xy, charts.axis_names(second)))
    name = "Site" if column is None else column
    values = table["site"] if column is None else table[column]
    with st.container(key="picture"):
        event = points_view(
            maps,
            charts.point_colour(values, charts.words(name)),
            key="emb-map",
            ids=own.cohort.ids,
            selected=own.selected,
            picked=own.picked,
            alt=f"{len(own.cohort)} recordings, coloured by {charts.words(name).lower()}.",
        )
    if event.selected is not None and not np.array_equal(event.selected, own.selected):
        own.selected = event.selected
        st.rerun()
    if event.picked is not None and event.picked != own.picked:
        own.picked = event.picked
        st.rerun()
    note(
        "Draw around points to select them, click one to see its neighbours; hold Shift to add, Esc to "
        "clear. Not shown: all other axes. Points that look near here can lie far apart in the whole "
        "embedding."
    )


def scan_in_hand(who: Visitor, own: Desk, place: Placed | BrainLMError | None) -> None:
    """Say where the scan in hand lies."""
    with st.container(key="emb-here"):
        if HERE in who.jobs:
            progress(HERE)
        elif why := why_not_placed(who, own):
            note(why)
        elif isinstance(place, BrainLMError):
            note(f"Your scan is not on the map: {place}.")
        elif isinstance(place, Placed):
            note(charts.place_sentence(place))


def cohort_panel(own: Desk) -> None:
    """Draw the panel through which another cohort, another checkpoint or phenotypes come in."""
    if own.error is not None:
        refusal(own.error)
    if own.told:
        note(own.told)
    with st.expander("Another cohort", expanded=own.error is not None):
        n = own.drop_count
        for role, label, kinds in (
            ("cohort", "Embeddings of your cohort (embeddings.parquet)", ["parquet"]),
            ("other", "The same recordings from another model, to put beside it", ["parquet"]),
            ("phenotypes", "Phenotypes (CSV or TSV with recording_id or subject_id)", ["csv", "tsv"]),
        ):
            file = st.file_uploader(label, type=kinds, key=f"emb-drop-{role}-{n}")
            if file is not None:
                take_upload(own, file, role)
                st.rerun()
        note("Made with `brainlm embed COHORT -o embeddings.parquet`. Files stay in your session alone.")
        from brainlm_core.cohort.reference import NAME, reference_cohort

        if own.name != NAME and st.button("Back to the simulated cohort", key="emb-back"):
            own.take(reference_cohort(), NAME)
            st.rerun()


@st.fragment
def details(key: str, serial: int) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who, own = visitor(), desk()
    recording = who.recording
    if recording is None or who.key != key or own.serial != serial:
        return
    names = [
        "Selection",
        "Selected against the rest",
        "Neighbours",
        "Cohort",
        "How this is computed",
        "Export",
    ]
    draws = (tab_selection, tab_compare, tab_neighbours, tab_cohort, tab_how, tab_export)
    for tab, draw in zip(st.tabs(names, key="emb-tabs", on_change="rerun"), draws, strict=True):
        if tab.open:
            with tab:
                draw(who, own, recording)


def tab_selection(_: Visitor, own: Desk, __: Recording) -> None:
    """Draw the selected recordings as a table."""
    if not len(own.selected):
        note("Nothing is selected: draw around points on the map, or click a name in its legend.")
        return
    table = charts.selection_table(own.cohort, own.selected)
    people = table["Person"].nunique()
    note(f"{len(table)} recordings of {people} people.")
    st.dataframe(table, hide_index=True, alt="The selected recordings with all that is known of them.")


def tab_compare(who: Visitor, own: Desk, _: Recording) -> None:
    """Draw the selected against the rest: on the brain, and by phenotype."""
    parcels = own.cohort.parcellation
    if not len(own.selected) or parcels is None:
        what = "the recordings of this cohort do not share their parcels" if parcels is None else ""
        note(what.capitalize() + "." if what else "Select people on the map to compare them with the rest.")
        return
    options = list(measures_of(own.cohort))
    if own.cohort.provenance.simulated and "connectivity" not in options:
        options.insert(0, "connectivity")
    measure = st.segmented_control(
        "Compare",
        options,
        default=options[-1],
        required=True,
        key="emb-measure",
        format_func=lambda m: MEASURES[m][:1].upper() + MEASURES[m][1:],
    )
    result = comparison(who, own, measure)
    if result is None:
        progress(COMPARE)
        return
    if isinstance(result, BrainLMError):
        refusal(result)
        return
    st.html(f"<p>{charts.difference_sentence(result)}</p>")
    only = st.toggle("Only parcels that differ (q < .05)", key="emb-significant")
    panel = charts.difference_panel(result, only)
    event = brain_view([panel], parcels, key="emb-difference", picked=who.picked, height=380)
    if event.webgl_missing:
        flat_brains([panel], parcels)
    if event.changed:
        who.picked = event.picked
    note(
        "A selection by eye is not a hypothesis: the map was made from the same recordings, so some "
        "difference is certain. Not shown: whether it would be found in other people."
    )
    st.dataframe(
        charts.phenotype_table(result),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format=form)
            for name, form in (("Effect (d or V)", "%.2f"), ("p", "%.2g"), ("q (FDR)", "%.2g"))
        },
        alt="How the selected differ from the rest in every column.",
    )


def tab_neighbours(who: Visitor, own: Desk, _: Recording) -> None:
    """Draw what lies near the picked recording and near the scan in hand."""
    kind = st.session_state.get(f"emb-kind-{own.serial}", "cls")
    columns = [c for c in charts.colour_columns(own.cohort.table())][:5]
    one, two = st.columns(2, gap="large")
    numbers = {n: st.column_config.NumberColumn(format="%.2f") for n in ("Similarity", "Distance")}
    with one:
        if own.picked is None:
            note("Click a recording on the map to see what lies near it.")
        else:
            note(f"Nearest to {own.cohort.ids[own.picked]}, in the whole embedding.")
            near = charts.neighbour_table(own.cohort, nearest_to(own.cohort, own.picked, kind), columns)
            st.dataframe(near, hide_index=True, column_config=numbers, alt="Nearest recordings.")
    with two:
        place = placed(who, own, kind)
        if isinstance(place, Placed):
            note("Nearest to your scan; 1 is the usual distance between neighbours of this cohort.")
            near = charts.placed_table(own.cohort, place, columns)
            st.dataframe(near, hide_index=True, column_config=numbers, alt="Recordings nearest to your scan.")
        else:
            note(why_not_placed(who, own) or "Your scan is not on this map.")


def tab_cohort(_: Visitor, own: Desk, __: Recording) -> None:
    """Say what this cohort is."""
    made, cohort = own.cohort.provenance, own.cohort
    parcels = cohort.parcellation
    facts(
        [
            ("Cohort", own.name),
            ("Recordings", f"{len(cohort)} of {len(set(cohort.subjects))} people"),
            ("Sites", ", ".join(sorted(set(filter(None, cohort.sites)))) or "unknown"),
            ("Model", title_of(str(made.model.get("model_name", "")))),
            ("Licence of the weights", str(made.model.get("licence", ""))),
            ("Embedding", f"{cohort.width} numbers, averaged over windows"),
            ("Parcels", "differ between recordings" if parcels is None else parcels.name),
        ]
    )
    if made.notices:
        st.markdown("\n".join(f"- {text}" for text in made.notices))


def tab_how(_: Visitor, __: Desk, ___: Recording) -> None:
    """Say how the pictures are computed."""
    how(
        [
            "Each recording is cut into windows of 200 samples side by side; the model of the cohort embeds "
            "each, nothing hidden, and the windows are averaged.",
            "The map shows the two main axes of all embeddings (principal components). Neighbours are found "
            "in the whole embedding, not on the map.",
            "Your scan counts as far when 99 % of the cohort lie closer to their five nearest of other "
            "people.",
            "Selected against the rest: recordings of one person are averaged, then Cohen's d and Welch's "
            "test per parcel, false discovery rate over parcels (Benjamini–Hochberg).",
            "Groups are compared by Fisher's exact or the chi-squared test (Cramér's V).",
        ],
        "model: Ortega Caro et al. 2024; false discovery rate: Benjamini & Hochberg 1995.",
        "why recordings lie where they lie. Scanner, motion and length move them as much as people do: "
        "colour the map by these first. Not for diagnosis.",
    )


def tab_export(who: Visitor, own: Desk, _: Recording) -> None:
    """Offer the map, the selection and the embeddings."""
    kind = st.session_state.get(f"emb-kind-{own.serial}", "cls")
    try:
        made = map_of(own, kind)
    except BrainLMError as error:
        refusal(error)
        return
    embeddings_exports.buttons(own, made)
    note("The picture of the map is saved with its own button.")


main()
