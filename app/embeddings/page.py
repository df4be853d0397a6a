"""Embeddings: a cohort on one map, and what in it can be believed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.components.points_view import PointMap, points_view
from app.embeddings import charts
from app.embeddings import tabs as tab_of
from app.embeddings.link import NOTHING, OTHER, columns_of, keep_link, take_link
from app.embeddings.state import Desk, desk, take_upload
from app.embeddings.work import (
    ABIDE,
    HERE,
    MAP,
    MAX_USES,
    SECOND_MAP,
    USES,
    MapChoice,
    build_abide,
    kinds_of,
    maps,
    placed,
    uses,
    why_not_placed,
)
from app.shell import tasks
from app.shell.chips import chip_row
from app.shell.session import Visitor, visitor
from app.shell.streamlit_patches.uploads import unread
from app.shell.task_bar import refusals, task_bar, working
from app.shell.words import note, refusal, sentence
from brainlm_core.base.errors import BrainLMError
from brainlm_core.cohort.columns import words
from brainlm_core.features.embedding.analysis import LAYER_WORDS, METHOD_WORDS, EmbeddingMap, Placement
from brainlm_core.features.embedding.figures import axis_names, point_colour
from brainlm_core.features.embedding.uses import Uses

#: More recordings than this are searched by a text field instead of a list.
MAX_LISTED = 5000
#: What is below the fold, by its tab.
TABS = {
    "Selection": tab_of.tab_selection,
    "Selected against the rest": tab_of.tab_compare,
    "Neighbours": tab_of.tab_neighbours,
    "What it uses": tab_of.tab_uses,
    "Decode": tab_of.tab_decode,
    "Attribution": tab_of.tab_attribution,
    "Cohort": tab_of.tab_cohort,
    "How this is computed": tab_of.tab_how,
    "Export": tab_of.tab_export,
}


def main() -> None:
    """Draw the page."""
    who, own = visitor(), desk()
    tasks.look(who, ABIDE)
    take_link(who, own, list(TABS))
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    chip_row(who, recording)
    left, right = st.columns([2, 1], gap="large")
    with right:
        head = st.container()
        column = colour_control(own)
        choices = map_controls(own)
        search(own)
    drawn = maps(who, own, choices)
    first = drawn[0]
    place = placed(who, own, recording, first, choices[0])
    used = measured(who, own, first, choices[0])
    with head:
        summary(own, first, used)
        if len(own.cohort) <= MAX_USES:  # the sentence says it when it is known
            task_bar(who, USES)
    with left:
        with st.container(key="emb-work"):
            task_bar(who, MAP, SECOND_MAP)
        made = [(m, c) for m, c in zip(drawn, choices, strict=True) if isinstance(m, EmbeddingMap)]
        if made:
            the_maps(own, made, column, place)
    with right:
        scan_in_hand(who, own, place)
        cohort_panel(who, own)
    details(who.key, own.serial, choices[0])


def summary(own: Desk, first: EmbeddingMap | BrainLMError | None, used: Uses | None) -> None:
    """Draw the one sentence and what a reader must know."""
    if isinstance(first, BrainLMError):
        sentence("This cohort cannot be mapped.")
    else:
        sentence(charts.one_sentence(own.cohort, used))
    if own.cohort.provenance.simulated:
        note("This cohort is simulated: nobody was scanned. What was planted in it is listed under Cohort.")


def measured(
    who: Visitor, own: Desk, first: EmbeddingMap | BrainLMError | None, choice: MapChoice
) -> Uses | None:
    """Return what the embedding uses, once that is known; measured unasked for cohorts of moderate size."""
    if not isinstance(first, EmbeddingMap) or len(own.cohort) > MAX_USES:
        return None
    found = uses(who, own, first, choice)
    return found if isinstance(found, Uses) else None


def colour_control(own: Desk) -> str:
    """Draw the choice of colour; return the column, or ``trust``."""
    return st.selectbox("Colour by", columns_of(own), format_func=words, key=f"emb-colour-{own.serial}")


def map_controls(own: Desk) -> list[MapChoice]:
    """Draw the choice of maps; return one or two."""
    kinds = kinds_of(own.cohort)
    kind = st.selectbox("Embedding", kinds, format_func=LAYER_WORDS.__getitem__, key=f"emb-kind-{own.serial}")
    one, two = st.columns(2)
    method = one.selectbox(
        "Map", list(METHOD_WORDS), format_func=METHOD_WORDS.__getitem__, key=f"emb-method-{own.serial}"
    )
    others = [*(k for k in kinds if k != kind), *(m for m in METHOD_WORDS if m != method)]
    if own.other is not None:
        others.insert(0, OTHER)
    options, state = [NOTHING, *others], st.session_state
    if state.get(f"emb-beside-{own.serial}") not in options:  # it is the map now, or the file is gone
        state.pop(f"emb-beside-{own.serial}", None)
    titles = {**LAYER_WORDS, **METHOD_WORDS, NOTHING: "Nothing", OTHER: own.other_name}
    beside = two.selectbox(
        "Beside it", options, format_func=titles.__getitem__, key=f"emb-beside-{own.serial}"
    )
    choices = [MapChoice(method, kind)]
    if beside == OTHER:
        choices.append(MapChoice(method, kind, other=True))
    elif beside in METHOD_WORDS:
        choices.append(MapChoice(beside, kind))
    elif beside != NOTHING:
        choices.append(MapChoice(method, beside))
    return choices


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


def the_maps(
    own: Desk,
    made: list[tuple[EmbeddingMap, MapChoice]],
    column: str,
    place: Placement | BrainLMError | None,
) -> None:
    """Draw the maps that are there, and take over what was selected."""
    first = made[0][0]
    pictures = []
    for number, (one, choice) in enumerate(made):
        here = place if isinstance(place, Placement) and not number else None
        about = own.other if choice.other and own.other is not None else own.cohort
        title = own.other_name if choice.other else LAYER_WORDS[choice.kind]
        mark = " (simulated)" if about.provenance.simulated else ""
        pictures.append(
            PointMap(
                f"{title} · {METHOD_WORDS[choice.method]}{mark}",
                one.xy,
                axis_names(one),
                None if here is None else (float(here.xy[0]), float(here.xy[1])),
                () if here is None else [one.ids.index(i) for i in here.nearest[:5]],
            )
        )
    values = pd.Series(first.trust) if column == "trust" else own.cohort.table()[column]
    with st.container(key="picture"):
        event = points_view(
            pictures,
            point_colour(values, words(column)),
            key="emb-map",
            ids=own.cohort.ids,
            selected=own.selected,
            picked=own.picked,
            turn=own.turn,
            alt=f"{len(own.cohort)} recordings, coloured by {words(column).lower()}.",
        )
    own.turn = max(own.turn, event.turn)
    if event.selected is not None and not np.array_equal(event.selected, own.selected):
        own.selected = event.selected
        st.rerun()
    if event.picked is not None and event.picked != own.picked:
        own.picked = event.picked
        st.rerun()
    note(charts.trust_sentence(first))
    note(
        "Hold Shift to add to a selection, Esc to clear it. Not shown: all that two axes cannot hold; points "
        "that look near here can lie far apart in the whole embedding."
    )


def scan_in_hand(who: Visitor, own: Desk, place: Placement | BrainLMError | None) -> None:
    """Say where the scan in hand lies."""
    with st.container(key="emb-here"):
        if why := why_not_placed(who, own):
            note(why)
        elif working(who, HERE):
            pass
        elif isinstance(place, BrainLMError):
            note(f"Your scan is not on the map: {place}.")
            refusals(who, HERE, draw_error=False)
        elif isinstance(place, Placement):
            note(f"Your scan. {place.sentence()}")


def cohort_panel(who: Visitor, own: Desk) -> None:
    """Draw the panel through which another cohort, another checkpoint or phenotypes come in."""
    if own.error is not None:
        refusal(own.error)
    if own.told:
        note(own.told)
    task_bar(who, ABIDE)
    with st.expander("Another cohort", expanded=own.error is not None):
        st.html("<style>[class*=st-key-emb-drop] [data-testid=stFileChipDeleteBtn]{display:none}</style>")
        for role, label, kinds in (
            ("cohort", "Embeddings of your cohort (embeddings.parquet)", ["parquet"]),
            ("other", "The same recordings from another model, to put beside it", ["parquet"]),
            ("phenotypes", "Phenotypes (CSV or TSV with recording_id or subject_id)", ["csv", "tsv"]),
        ):
            # One widget for the whole visit: a file dropped while another is read would go with the old one.
            file = unread(st.file_uploader(label, type=kinds, key=f"emb-drop-{role}"), own.read_uploads)
            if file is not None:
                take_upload(own, file, role)
                st.rerun()
        note("Made by the command brainlm embed COHORT -o embeddings.parquet. Files stay in your session.")
        public_cohort(who, own)
        from brainlm_core.cohort.reference import NAME, reference_cohort

        if own.name != NAME and st.button("Back to the simulated cohort", key="emb-back"):
            own.take(reference_cohort(), NAME)
            st.rerun()


def public_cohort(who: Visitor, own: Desk) -> None:
    """Draw the button that builds a cohort of measured scans."""
    n = st.select_slider("Measured scans of a public study", [50, 100, 200, 400, 871], 100, key="emb-abide-n")
    label = f"Download and embed {n} ABIDE scans"
    if st.button(label, key="emb-abide", disabled=ABIDE in who.jobs):
        build_abide(who, own, n)
        st.rerun()
    note(
        "ABIDE I as preprocessed by the PCP, through nilearn: autism and controls of 20 sites, "
        "CC BY-NC-SA 3.0, about 0.5 MB a scan. Another scan or model stops it; it then goes on from there."
    )


@st.fragment
def details(key: str, serial: int, choice: MapChoice) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who, own = visitor(), desk()
    recording = who.recording
    if recording is None or who.key != key or own.serial != serial:
        return
    tabs = st.tabs(list(TABS), key="emb-tabs", on_change="rerun")
    keep_link(who, own, list(TABS))
    for tab, draw in zip(tabs, TABS.values(), strict=True):
        if tab.open:
            with tab:
                draw(who, own, choice)
