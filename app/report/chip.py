"""The report chip: makes one file of everything about the recording in hand."""

from __future__ import annotations

import streamlit as st

from app.report import work as report_work
from app.report.work import MAX_LABEL, SLOT
from app.shell.session import Visitor
from app.shell.task_bar import task_bar
from app.shell.words import note
from brainlm_core.base.recording import Recording


def report_chip(who: Visitor, recording: Recording) -> None:
    """Draw the chip as a popover: heading, one button, then progress, then the file."""
    with st.popover("Report", icon=":material/description:", key="report-chip"):
        note(
            "One HTML file that works offline: recording, networks, forecast and perturbation as set on the "
            "pages, origin, and a script for each figure. The name of your file is left out."
        )
        st.text_input(
            "Heading (optional)",
            key="report-label",
            max_chars=MAX_LABEL,
            persist_state="session",
            placeholder="Example: pilot 3, second run",
        )
        options = report_work.options_in_hand(who, recording)
        report_work.advance(who, options)
        done = report_work.made(who, options)
        if SLOT in who.tasks:
            task_bar(who, SLOT)
        elif done is not None:
            st.download_button(
                f"Save the report ({len(done) / 1e6:.1f} MB)",
                done,
                "brainlm-report.html",
                "text/html",
                key="report-save",
                type="primary",
                on_click="ignore",
            )
        else:
            st.button("Make the report", key="report-make", on_click=report_work.start, args=(who,))
