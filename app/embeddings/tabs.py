"""The tabs below the map: what is selected, how it differs, what lies near, what the embedding uses."""

from __future__ import annotations

import streamlit as st

from app.components.brain_view import brain_view
from app.components.flat_brain import flat_brains
from app.embeddings import attribution as embeddings_attribution
from app.embeddings import charts
from app.embeddings import decode as embeddings_decode
from app.embeddings import exports as embeddings_exports
from app.embeddings.state import Desk
from app.embeddings.work import COMPARE, MAX_USES, USES, MapChoice, comparison, uses, why_not_placed
from app.shell import tasks
from app.shell.model_chooser import title_of
from app.shell.session import Visitor
from app.shell.task_bar import task_bar
from app.shell.words import facts, how, note
from brainlm_core.base.errors import BrainLMError
from brainlm_core.features.embedding.analysis import CAVEAT, EmbeddingMap, Placement
from brainlm_core.features.embedding.comparison import MEASURES, measures_of, nearest_to


def tab_uses(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Draw how much of the embedding goes with the way of scanning."""
    drawn = own.kept.get(choice.key(own))
    if not isinstance(drawn, EmbeddingMap):
        note("The map is not there yet.")
        return
    tasks.expect(who, USES, ("uses", *choice.key(own)))
    asked = len(own.cohort) <= MAX_USES or ("uses", *choice.key(own)) in own.kept or USES in who.tasks
    if not asked and not st.button("Measure what it uses", key="emb-uses"):
        return
    found = uses(who, own, drawn, choice)
    if found is None or isinstance(found, BrainLMError):
        if len(own.cohort) > MAX_USES:
            task_bar(who, USES)
        else:  # progress and the way on are at the top of the page
            running = USES in who.jobs
            note("This is being measured." if running else "This is not measured: see the top of the page.")
    else:
        share = {
            name: st.column_config.ProgressColumn(format="%.1f %%", min_value=0, max_value=100)
            for name in ("Map, across", "Map, up", "Whole embedding")
        }
        st.dataframe(
            charts.uses_table(found),
            hide_index=True,
            column_config={**share, "p": st.column_config.NumberColumn(format="%.2f")},
            alt="Share of the embedding's variance that goes with motion, site and the way of scanning.",
        )
        note(
            "Share of the variance that a factor explains in people it was not fitted on; what chance "
            "explains counts as nothing, p is from 99 permutations. Factors overlap: shares do not add up. "
            "0 % with a small p: it is in there, but too faint to tell one recording from another."
        )
        for factor, why in found.left_out.items():
            note(f"{factor.capitalize()}: {why}.")


def tab_decode(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Draw what can be told from the embedding."""
    embeddings_decode.panel(who, own, choice.kind)


def tab_attribution(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Draw what in the scan in hand moves a read-out."""
    assert who.recording is not None  # the page draws no tab without one
    embeddings_attribution.panel(who, own, who.recording, choice.kind)


def tab_selection(_: Visitor, own: Desk, __: MapChoice) -> None:
    """Draw the selected recordings as a table."""
    if not len(own.selected):
        note("Nothing is selected: draw around points on the map, or click a name in its legend.")
        return
    table = charts.selection_table(own.cohort, own.selected)
    people = table["Person"].nunique()
    note(f"{len(table)} recordings of {people} people.")
    st.dataframe(table, hide_index=True, alt="The selected recordings with all that is known of them.")


def tab_compare(who: Visitor, own: Desk, _: MapChoice) -> None:
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
    if result is None or isinstance(result, BrainLMError):
        task_bar(who, COMPARE)
        return
    st.html(f"<p>{charts.difference_sentence(result)}</p>")
    only = st.toggle("Only parcels that differ (q < .05)", key="emb-significant")
    panel = charts.difference_panel(result, only, simulated=own.cohort.provenance.simulated)
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


def tab_neighbours(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Draw what lies near the picked recording and near the scan in hand."""
    columns = charts.colour_columns(own.cohort.table())[:5]
    one, two = st.columns(2, gap="large")
    numbers = {n: st.column_config.NumberColumn(format="%.2f") for n in ("Similarity", "Distance")}
    with one:
        if own.picked is None:
            note("Click a recording on the map to see what lies near it.")
        else:
            note(f"Nearest to {own.cohort.ids[own.picked]}, in the whole embedding.")
            near = nearest_to(own.cohort, own.picked, choice.kind)
            table = charts.neighbour_table(own.cohort, near, columns)
            st.dataframe(table, hide_index=True, column_config=numbers, alt="Nearest recordings.")
    with two:
        place = own.kept.get(("placed", who.key, *choice.key(own)))
        if isinstance(place, Placement):
            note("Nearest to your scan, in the whole embedding.")
            table = charts.placed_table(own.cohort, place, columns)
            st.dataframe(
                table, hide_index=True, column_config=numbers, alt="Recordings nearest to your scan."
            )
        else:
            note(why_not_placed(who, own) or "Your scan is not on this map.")


def tab_cohort(_: Visitor, own: Desk, __: MapChoice) -> None:
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


def tab_how(_: Visitor, __: Desk, ___: MapChoice) -> None:
    """Say how the pictures are computed."""
    how(
        [
            "Each recording is cut into windows of 200 samples side by side; the model of the cohort embeds "
            "each, nothing hidden, and the windows are averaged.",
            "PCA shows the two main axes of all embeddings; UMAP and PaCMAP keep near points near. Trust "
            "counts how many of the 15 nearest in the embedding are still nearest on the map.",
            "Your scan counts as far when 99 % of the cohort lie nearer to their own neighbours.",
            "What it uses: explained variance in people that a factor was not fitted on.",
            "Selected against the rest: recordings of one person are averaged, then Cohen's d and Welch's "
            "test per parcel, false discovery rate over parcels (Benjamini–Hochberg).",
            "Groups are compared by Fisher's exact or the chi-squared test (Cramér's V).",
            "Decode: every person is told by a model fitted on others, its settings chosen inside those, "
            "confounds regressed out there too; p exchanges labels between people of the same site.",
            "Attribution: gradients along the way from the scan with shuffled phases to the scan itself, or "
            "one parcel replaced after the other; an axis of the map or a ridge read-out of the column.",
        ],
        "model: Ortega Caro et al. 2024; UMAP: McInnes et al. 2018; PaCMAP: Wang et al. 2021; "
        "false discovery rate: Benjamini & Hochberg 1995; integrated gradients: Sundararajan et al. 2017.",
        f"why recordings lie where they lie. {CAVEAT} Scanner, motion and length move recordings as much as "
        "people do: colour the map by these first. Not for diagnosis.",
    )


def tab_export(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Offer the map, the selection and the embeddings."""
    drawn = own.kept.get(choice.key(own))
    if not isinstance(drawn, EmbeddingMap):
        note("The map is not there yet.")
        return
    embeddings_exports.buttons(own, drawn)
    note("The picture of the map is saved with its own button.")
    embeddings_exports.scripts(who, own, choice)
