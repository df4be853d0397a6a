"""The attribution panel: which parcels of the scan in hand, and when, move a read-out of the embedding."""

from __future__ import annotations

import streamlit as st

from app.components.brain_view import brain_view
from app.components.flat_brain import flat_brains
from app.embeddings import attribution_charts as figures
from app.embeddings.decode import targets
from app.embeddings.state import Desk
from app.embeddings.work import ATTRIBUTE, attribute_key, attribution, why_not_placed
from app.shell import exports, tasks
from app.shell.session import Visitor
from app.shell.task_bar import task_bar
from app.shell.words import note
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.columns import words
from brainlm_core.features.attribution import figures as look
from brainlm_core.features.attribution.result import CAVEAT, Attribution

#: Read-outs that are no column.
AXES = {"axis-1": "First axis of the map (PCA)", "axis-2": "Second axis of the map (PCA)"}
#: What each method does, said before it is started.
HOW = {
    "integrated_gradients": "Gradients along the way from the same scan with shuffled phases: which parcels, "
    "and when, move the read-out.",
    "occlusion": "Each parcel in turn gets the same signal with shuffled phases: how far the read-out "
    "changes is its share. Slower, and needs no gradient.",
}


def ask(key: tuple[str, ...]) -> None:
    """Remember that an attribution was asked for."""
    st.session_state["emb-attribute-asked"] = key


def panel(who: Visitor, own: Desk, recording: Recording, kind: str) -> None:
    """Draw the panel."""
    if why := why_not_placed(who, own):
        note(why)
        return
    layer = "mean" if kind == "mean" else "cls"
    options = [*AXES, *targets(own)]
    one, two = st.columns(2, gap="large")
    readout = one.selectbox(
        "Read-out of your scan",
        options,
        format_func=lambda name: AXES.get(name) or words(name),
        key=f"emb-readout-{own.serial}",
    )
    method = two.segmented_control(
        "By",
        list(HOW),
        default=next(iter(HOW)),
        required=True,
        format_func=figures.METHOD_WORDS.__getitem__,
        key="emb-attribute-method",
    )
    key = attribute_key(who, own, readout, layer, method)
    if st.session_state.get("emb-attribute-asked") != key and not isinstance(own.kept.get(key), Attribution):
        tasks.expect(who, ATTRIBUTE, key)
        note(
            f"{HOW[method]} Decode the column first: what explains a decoder that does not work explains "
            "nothing."
        )
        st.button("Attribute", key="emb-attribute", type="primary", on_click=ask, args=(key,))
        return
    found = attribution(who, own, recording, readout, layer, method)
    if found is None or isinstance(found, BrainLMError):
        task_bar(who, ATTRIBUTE)
        return
    parcels = recording.parcellation
    st.html(f"<p><b>{look.one_sentence(found, parcels)}</b></p>")
    note(look.completeness_words(found))
    panels = look.panels(found, simulated=recording.provenance.simulated)
    event = brain_view(panels, parcels, key="emb-attribution", picked=who.picked, height=340)
    if event.webgl_missing:
        flat_brains(panels, parcels)
    if event.changed:
        who.picked = event.picked
    other = next(
        own.kept.get(attribute_key(who, own, readout, layer, name)) for name in HOW if name != method
    )
    left, right = st.columns([2, 1] if found.tells_when else [1, 1], gap="large")
    if found.tells_when:
        with left:
            st.plotly_chart(
                figures.time_figure(found, parcels),
                key="emb-attribution-time",
                config={"displayModeBar": False},
                alt="Shares of each network over time.",
            )
    with right if found.tells_when else left:
        form = {"Rank correlation": st.column_config.NumberColumn(format="%.2f")}
        st.dataframe(
            figures.agreement_table(found, other if isinstance(other, Attribution) else None),
            hide_index=True,
            column_config=form,
            alt="Rank correlation of the shares with attention, connectivity, random twin and other method.",
        )
    with right:
        for text in found.notices:
            note(text)
        if not found.tells_when:
            note("Occluding a parcel for the whole window says which parcels matter, and not when.")
    note(CAVEAT)
    stem = exports.safe_stem(recording.provenance.source_name)
    with st.container(horizontal=True):
        st.download_button(
            "Shares (.csv)",
            lambda: figures.export_table(found, parcels),
            f"{stem}-{method}.csv",
            "text/csv",
            key="emb-attribution-csv",
            on_click="ignore",
        )
        st.download_button(
            "Everything (.zip)",
            lambda: exports.saved(found),
            f"{stem}-{method}.zip",
            "application/zip",
            key="emb-attribution-all",
            help="Shares of every sample with the settings that gave them.",
            on_click="ignore",
        )
