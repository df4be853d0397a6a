"""Scan: a recording comes in, moves on the brain, and is judged."""

from __future__ import annotations

import html

import numpy as np
import streamlit as st

from app.components.brain_view import BrainPanel, brain_view
from app.components.flat_brain import flat_brains
from app.components.parcel_order import label
from app.scan.drop_zone import drop_zone, intake_bar
from app.shell import exports, tasks
from app.shell.chips import chip_row
from app.shell.intake import FIRST_LOOK, INTAKE
from app.shell.links import Setting, keep, one_of, restore
from app.shell.reproduce import reproduce
from app.shell.session import Visitor, visitor
from app.shell.words import capital, duration, facts, how, note, one_of_row, sentence, verdict
from brainlm_core.base.recording import ColumnMatch, Recording
from brainlm_core.viz.signals import LIMIT_SD, frames
from brainlm_core.viz.slices import parcels_seen, slices_html, slices_of, slices_words
from brainlm_core.viz.words import quality_facts

VIEWS = {
    "signal": "Signal over time",
    "tsnr": "Signal to noise",
    "coverage": "Coverage",
    "slices": "Mean image",
}

LINK = (Setting("scan-view", "show", "signal", one_of(VIEWS)),)


def main() -> None:
    """Draw the page."""
    who = visitor()
    restore(who, "scan", lambda: LINK)
    tasks.look(who, INTAKE)
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    chip_row(who, recording)
    picture, side = st.columns([2, 1], gap="large")
    with picture:
        waiting(who)
        if not first_look(who):
            brain(who, recording)
    with side:
        summary(recording)
        drop_zone(who)
    keep(who, LINK)
    details(who.key)


def waiting(who: Visitor) -> None:
    """Draw progress or refusal above the picture that stays."""
    with st.container(key="scan-work"):
        if INTAKE in who.jobs:
            st.html("<style>.st-key-picture{opacity:.45}</style>")
        intake_bar(who)


def first_look(who: Visitor) -> bool:
    """Draw the mean image of a scan that is being read, as soon as there is one; return whether there is."""
    found = tasks.parts(who, INTAKE).get(FIRST_LOOK) if tasks.is_running(who, INTAKE) else None
    if found is None:
        return False
    with st.container(key="first-look"):
        st.html(slices_html(found))
        note(
            f"First look: mean of {found.n_volumes} volumes. Lines are the borders of the parcels; where "
            "they miss the brain, the scan is not in the atlas' space."
        )
    return True


def brain(who: Visitor, recording: Recording) -> None:
    """Draw the brain: the signal moving, or one figure of merit per parcel."""
    known = views_of(recording)
    shown = "signal"
    if len(known) > 1:
        if st.session_state.get("scan-view") not in known:
            st.session_state["scan-view"] = "signal"
        shown = one_of_row(
            "On the brain",
            known,
            format_func=VIEWS.__getitem__,
            key="scan-view",
            label_visibility="collapsed",
        )
    if shown == "slices":
        mean_image(recording)
        return
    shown_panel = panel(recording, shown)
    with st.container(key="picture"):
        event = brain_view(
            [shown_panel],
            recording.parcellation,
            key="scan-brain",
            times_s=np.arange(recording.n_timepoints) * recording.tr_s if shown == "signal" else None,
            picked=who.picked,
            height=460,
            autoplay=True,
        )
    if event.webgl_missing:
        flat_brains([shown_panel], recording.parcellation, event.frame)
    if event.changed:
        who.picked = event.picked
    if who.picked is not None:
        note(f"Picked: {label(recording.parcellation, who.picked)}. Its trace is below.")


def mean_image(recording: Recording) -> None:
    """Draw the mean image in three planes with the parcels on it."""
    slices = slices_of(recording)
    assert slices is not None  # else it is not offered
    lost, partial = parcels_seen(recording)
    with st.container(key="picture"):
        st.html(slices_html(slices, lost, partial))
    note(slices_words(slices, lost, partial))


def views_of(recording: Recording) -> list[str]:
    """Return what the brain can show of a recording: keys of :data:`VIEWS`."""
    quality, known = recording.quality, ["signal"]
    if quality is not None and np.isfinite(quality.tsnr).any():
        known.append("tsnr")
    if quality is not None and np.isfinite(quality.coverage).any():
        known.append("coverage")
    if slices_of(recording) is not None:
        known.append("slices")
    return known


def panel(recording: Recording, shown: str) -> BrainPanel:
    """Return what the brain shows."""
    simulated = " (simulated)" if recording.provenance.simulated else ""
    if shown == "signal" or recording.quality is None:
        return BrainPanel(
            f"Signal over time{simulated}",
            frames(recording),
            "SD from the parcel's mean",
            "diverging",
            (-LIMIT_SD, LIMIT_SD),
            alt=f"Brain surface coloured by the signal of {recording.n_parcels} parcels over "
            f"{duration(recording.duration_s)}.",
        )
    if shown == "tsnr":
        return BrainPanel(
            f"Temporal signal-to-noise ratio{simulated}",
            recording.quality.tsnr,
            "mean / SD",
            "sequential",
            alt="Brain surface coloured by the temporal signal-to-noise ratio of each parcel.",
        )
    return BrainPanel(
        f"Share of each parcel inside the scan{simulated}",
        100 * recording.quality.coverage,
        "%",
        "sequential",
        (0, 100),
        alt="Brain surface coloured by the share of each parcel that lies inside the scan.",
    )


def summary(recording: Recording) -> None:
    """Draw the one sentence and the verdict."""
    quality = recording.quality
    carrying = recording.n_parcels if quality is None else int((~quality.flat).sum())
    length = duration(recording.duration_s)
    if recording.provenance.simulated:
        sentence(f"A simulated brain at rest: {carrying} parcels over {length}. Drop a scan to see your own.")
    else:
        sentence(f"{carrying} of {recording.n_parcels} parcels carry signal over {length}.")
    if quality is not None:
        reasons = "".join(f'<p class="b-note">{html.escape(r)}</p>' for r in quality.reasons)
        st.html(f"<div>Quality: {verdict(quality.verdict)}</div>{reasons}")
    for text in recording.notices:
        note(capital(text))
    slices = slices_of(recording)
    if slices is not None:
        st.html(slices_html(slices, *parcels_seen(recording), first_only=True))
        note("The mean image with the borders of the parcels: they should follow the brain.")


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    tabs = st.tabs(
        ["Carpet", "Traces", "Parcels", "Quality and origin", "How this is computed", "Export"],
        key="scan-tabs",
        on_change="rerun",
    )
    drawn = (tab_carpet, tab_traces, tab_parcels, tab_origin, tab_how, tab_export)
    for tab, draw in zip(tabs, drawn, strict=True):
        if tab.open:
            with tab:
                draw(who, recording)


def tab_carpet(who: Visitor, recording: Recording) -> None:
    """Draw the carpet plot."""
    from app.scan.signal_charts import carpet

    figure, block = carpet(recording, [] if who.picked is None else [who.picked])
    st.plotly_chart(
        figure,
        key="scan-carpet",
        config={"displayModeBar": False},
        alt="Carpet plot: parcels ordered by network against time, with DVARS above.",
    )
    averaged = f" Columns are averages of {block} volumes." if block > 1 else ""
    note(f"Each row is one parcel, ordered by network; colour is its signal in SD from its mean.{averaged}")


def tab_traces(who: Visitor, recording: Recording) -> None:
    """Draw the signals of chosen parcels."""
    from app.scan.signal_charts import traces

    parcels = range(recording.n_parcels)
    more = st.multiselect(
        "Parcels",
        parcels,
        format_func=lambda i: label(recording.parcellation, i),
        max_selections=8,
        key=f"scan-traces-{who.key}",
        placeholder="Type a name, or click a parcel on the brain",
    )
    chosen = list(dict.fromkeys([*([] if who.picked is None else [who.picked]), *more])) or [0]
    st.plotly_chart(
        traces(recording, chosen),
        key="scan-trace-chart",
        config={"displayModeBar": False},
        alt=f"Signals of {', '.join(label(recording.parcellation, i) for i in chosen)} over time.",
    )


def tab_parcels(who: Visitor, recording: Recording) -> None:
    """Draw one row per parcel; choosing a row picks the parcel."""
    quality = recording.quality
    columns: dict[str, np.ndarray] = {"sd": recording.signals.std(axis=1)}
    if quality is not None:
        columns |= {"tsnr": quality.tsnr, "coverage_pct": 100 * quality.coverage, "voxels": quality.n_voxels}
    table = exports.parcel_table(recording.parcellation, columns)
    table = table.drop(
        columns=[c for c in table.columns if table[c].isna().all() or (c == "voxels" and not table[c].any())]
    )
    event = st.dataframe(
        table,
        hide_index=True,
        key=f"scan-table-{who.key}",
        on_select="rerun",
        selection_mode="single-row",
        height=420,
        column_config={
            "sd": st.column_config.NumberColumn("SD (source units)", format="%.3g"),
            "tsnr": st.column_config.NumberColumn("tSNR", format="%.1f"),
            "coverage_pct": st.column_config.NumberColumn("Coverage (%)", format="%.0f"),
            **{f"{a}_mm": st.column_config.NumberColumn(f"{a} (mm)", format="%.0f") for a in "xyz"},
        },
        alt="One row per parcel: name, network, place and quality figures.",
    )
    rows = event["selection"]["rows"]
    if rows and int(rows[0]) != who.picked:
        who.picked = int(rows[0])
        st.rerun()


def tab_origin(_: Visitor, recording: Recording) -> None:
    """Draw quality figures and provenance."""
    quality, source = recording.quality, recording.provenance
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Quality")
        if quality is not None:
            st.html(verdict(quality.verdict))
            facts(figures(recording))
    with right:
        st.subheader("Where it comes from")
        rows = [
            ("Source", source.source_name),
            ("SHA-256", source.sha256 or "not computed"),
            ("Atlas", source.atlas or recording.parcellation.name),
            ("Kind", "Simulated, no person was scanned" if source.simulated else "Measured"),
        ]
        if recording.columns is not None:
            rows.append(("Columns", columns_in_words(recording.columns)))
        for i, step in enumerate(source.steps, 1):
            settings = ", ".join(f"{k} = {v}" for k, v in step.parameters.items())
            rows.append((f"Step {i}", f"{step.name}{': ' if settings else ''}{settings}"))
        facts(rows)


def columns_in_words(columns: ColumnMatch) -> str:
    """Say how the columns of a table found their parcels."""
    named = [c for c in columns.names if c]
    how = {
        "names": f"{len(named)} names matched to {columns.atlas}, first {', '.join(named[:3])}",
        "numbers": f"matched to {columns.atlas} by their numbers",
    }.get(columns.by, f"taken in the order of {columns.atlas}")
    lost = f"; without a column: {', '.join(columns.lost[:5])}" if columns.lost else ""
    aside = f"; set aside: {', '.join(columns.left_out[:5])}" if columns.left_out else ""
    return f"{how}{lost}{aside}"


def figures(recording: Recording) -> list[tuple[str, str]]:
    """Return the quality figures with units."""
    return [
        ("Volumes", f"{recording.n_timepoints}"),
        ("Repetition time", f"{recording.tr_s:g} s"),
        ("Length", duration(recording.duration_s)),
        *quality_facts(recording),
    ]


def tab_how(_: Visitor, __: Recording) -> None:
    """Say how the pictures are computed."""
    how(
        [
            "The scan is read once, volume by volume; the atlas is resampled to the scan's grid, never the "
            "scan to the atlas.",
            "Voxels (or vertices) are averaged per parcel: 424 parcels, 360 of them cortical.",
            "For the picture each parcel is centred on its mean and divided by its standard deviation.",
            "DVARS is the root mean square over parcels of the change from volume to volume; a spike lies "
            "beyond Tukey's outer fence.",
            "Nothing is filtered, detrended or regressed out unless you ask; every step is listed under "
            "Quality and origin.",
        ],
        "parcels: Akiki & Abdallah 2019; DVARS and framewise displacement: Power et al. 2012.",
        "anything finer than a parcel, and absolute levels: colours are relative to a parcel's own mean, so "
        "two parcels of one colour need not have the same signal.",
    )


def tab_export(_: Visitor, recording: Recording) -> None:
    """Offer the parcellated recording and its origin."""
    stem = exports.safe_stem(recording.provenance.source_name)
    with st.container(horizontal=True):
        st.download_button(
            "Recording (.npz)",
            lambda: exports.recording_npz(recording),
            f"{stem}.npz",
            key="scan-npz",
            help="Signals, parcels, provenance and quality; opens here again and in `brainlm`.",
            on_click="ignore",
        )
        st.download_button(
            "Signals (.csv)",
            lambda: exports.recording_csv(recording),
            f"{stem}.csv",
            "text/csv",
            key="scan-csv",
            help="One row per volume, one column per parcel.",
            on_click="ignore",
        )
        st.download_button(
            "Origin (.json)",
            lambda: exports.provenance_json(recording),
            f"{stem}-origin.json",
            "application/json",
            key="scan-json",
            on_click="ignore",
        )
    note("The picture itself is saved with the camera button of the brain.")
    figures = ["signal"]
    if {"tsnr", "coverage"} & set(views_of(recording)):
        figures.append("quality")
    if "slices" in views_of(recording):
        figures.append("slices")
    if recording.quality is not None:
        figures.append("dvars")
    reproduce("scan", dict.fromkeys(figures), recording=recording)
