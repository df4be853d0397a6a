"""The row of chips: which recording, simulated or not, which atlas, model, licence and device."""

from __future__ import annotations

import html

import streamlit as st

from app.report.chip import report_chip
from app.shell.access import log_out_button
from app.shell.model_chooser import choose_model
from app.shell.session import Visitor
from app.shell.words import note
from brainlm_core.base.input_recipe import KINDS
from brainlm_core.base.recording import Recording

LOST = (
    "The connection was lost for too long, so this page has started afresh, and a scan you had dropped "
    "is deleted. Drop it again on Scan."
)


def chip_row(who: Visitor, recording: Recording) -> None:
    """Draw the chips; the model's chip opens the model chooser, the report's makes a file."""
    with st.container(key="chips", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(
            f'<div class="b-chips" role="group" aria-label="State">{"".join(_chips(who, recording))}</div>',
            width="content",
        )
        choose_model(who)
        report_chip(who, recording)
        log_out_button()
    if who.lost:
        note(LOST)


def _chips(who: Visitor, recording: Recording) -> list[str]:
    source = recording.provenance
    chips = []
    if source.simulated:
        chips.append(_chip("Simulated data", "No person was scanned for this recording.", "warn"))
    chips.append(
        _chip(
            source.source_name.removesuffix(".npz") if source.simulated else source.source_name,
            f"Recording in hand: {source.source_name}, {recording.n_parcels} parcels, "
            f"{recording.n_timepoints} volumes, TR {recording.tr_s:g} s",
        )
    )
    if source.atlas_is_approximation:
        chips.append(
            _chip(
                "Atlas approximate",
                f"{source.atlas}. Parcels overlap the official ones only in part.",
                "warn",
            )
        )
    else:
        official = " official" if "official" in source.atlas else ""
        name = f"{recording.parcellation.name}{official}"
        chips.append(_chip(name, source.atlas or "The parcels of this recording"))
    recipe = who.model.recipe
    chips.append(
        _chip(
            recipe.in_words(),
            f"How signals are scaled for the model, on every page: {KINDS[recipe.kind]}; "
            f"statistics: {recipe.source}. Change it on Model, Input scale.",
        )
    )
    return chips


def _chip(text: str, title: str, kind: str = "") -> str:
    dot = "<i></i>" if kind else ""
    return (
        f'<span class="b-chip {kind}" title="{html.escape(title, quote=True)}">{dot}'
        f"<span>{html.escape(text)}</span></span>"
    )
