"""The panel through which a recording comes in: drop zone, list of ready ones, settings for an own scan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.shell import tasks
from app.shell.intake import (
    FORMATS,
    INTAKE,
    Options,
    Uploads,
    read_path,
    read_public_example,
    read_upload,
    started_locally,
)
from app.shell.session import Visitor
from app.shell.streamlit_patches.uploads import forget_upload, unread
from app.shell.task_bar import refusals, working
from app.shell.tasks import Task
from app.shell.words import note, refusal
from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from app.shell.streamlit_patches.uploads import UploadedFile
    from brainlm_core.scans.types import MissingChoice

#: Work that ends within this time shows no progress line, in s.
PATIENCE_S = 0.3
_DROP = "drop-scan"
_PUBLIC, _PATH = "public", "path"
_CLEANING = {
    "none": "None",
    "simple": "Motion (24), white matter, CSF, high-pass",
    "compcor": "Motion (24), CompCor, high-pass",
}


def intake_bar(who: Visitor) -> None:
    """Draw how far a scan is read, or why it could not be, with what may be missing and the ways on."""
    working(who, INTAKE)
    if INTAKE in who.tasks and INTAKE not in who.jobs:
        if isinstance(who.intake_error, ScanError):  # the same file would be refused again
            refusal(who.intake_error)
        else:
            refusals(who, INTAKE)
        missing_answer(who)
        st.button("Keep the recording in hand", key="intake-dismiss", on_click=tasks.drop, args=(who, INTAKE))
        note("The picture below is still the recording you had before.")


def dropped_scan(who: Visitor) -> UploadedFile | None:
    """Return the file in the drop zone that is not in hand yet."""
    return unread(st.session_state.get(_DROP), who.read_uploads)


def let_go(who: Visitor, uploads: Uploads | None) -> None:
    """Let go of the files that were read, in the server's memory, and of the settings made for them.

    The drop zone itself stays the same widget for the whole visit: a file that is dropped in just this
    moment would go away with the old one, without a word.
    """
    for file in () if uploads is None else uploads.files:
        who.read_uploads.add(file.file_id)
        forget_upload(file)
    who.drop_count += 1
    who.last_attempt = ""


def drop_zone(who: Visitor) -> None:
    """Draw the panel and start reading when something was dropped or chosen."""
    st.file_uploader(
        "Drop your own scan",
        key=_DROP,
        help=f"Read here: {FORMATS}. Up to {st.get_option('server.maxUploadSize')} MB. "
        "The file is deleted as soon as its parcel signals are read.",
    )
    scan = dropped_scan(who)
    if scan is None:  # what stands there is in hand and no longer on the server: nothing to take away
        st.html(f"<style>.st-key-{_DROP} [data-testid=stFileChipDeleteBtn]{{display:none}}</style>")
    note(
        "4D NIfTI in MNI space, CIFTI, GIFTI, or a table with one column per parcel, up to "
        f"{st.get_option('server.maxUploadSize')} MB. The file is deleted once it is read; only parcel "
        "signals stay, for you alone."
    )
    _ready_ones(who)
    options, uploads = _settings(who, scan)
    if uploads is not None:
        signature = uploads.signature(options)
        if signature != who.last_attempt:
            who.last_attempt = signature
            begin(who, read_upload(uploads, options), uploads)


def missing_answer(who: Visitor) -> None:
    """Ask in place for the one thing that the dropped file does not say."""
    if dropped_scan(who) is None:
        return
    if type(who.intake_error).__name__ == "MissingChoice":
        _offer(who, cast("MissingChoice", who.intake_error))
    if type(who.intake_error).__name__ != "MissingTR":
        return

    def answer() -> None:
        st.session_state[f"tr-{who.drop_count}"] = st.session_state["ask-tr"]

    stated = getattr(who.intake_error, "stated_s", None)

    def confirm() -> None:
        st.session_state[f"tr-{who.drop_count}"] = stated

    if stated is not None and 0.05 <= stated <= 20:
        st.button(f"It is {stated:g} s", key="confirm-tr", on_click=confirm)
    with st.form("ask", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Repetition time (s)", min_value=0.05, max_value=20.0, value=None, format="%.3f", key="ask-tr"
        )
        st.form_submit_button("Read the file", type="primary", on_click=answer)


def _offer(who: Visitor, question: MissingChoice) -> None:
    """Draw the readings that are possible: beside a glimpse of each, or in a list."""
    key = f"answers-{who.drop_count}"

    def choose(chosen: dict[str, str]) -> None:
        st.session_state[key] = {**st.session_state.get(key, {}), **chosen}

    if question.previews:
        for column, (words, chosen), signals in zip(
            st.columns(len(question.options)), question.options, question.previews, strict=True
        ):
            with column:
                st.image(_glimpse(signals), width="stretch", caption="One line per parcel, time to the right")
                st.button(words, key=f"choose-{words}", on_click=choose, args=(chosen,))
    elif question.options:
        readings = dict(question.options)
        if len(readings) == 1:
            ((words, chosen),) = question.options
            st.button(words, key="choose-only", on_click=choose, args=(chosen,))
            return

        def take() -> None:
            choose(readings[st.session_state["choose-reading"]])

        with st.form("choose", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
            st.selectbox("Read it as", list(readings), key="choose-reading")
            st.form_submit_button("Read the file", type="primary", on_click=take)


def _glimpse(signals: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return z-scored signals (parcels, volumes) as grey levels, each value some pixels large."""
    grey = np.clip(signals * 42 + 128, 0, 255).astype(np.uint8)
    return np.kron(grey, np.ones((4, 4), np.uint8))


def begin(who: Visitor, task: Task[Recording], uploads: Uploads | None = None) -> None:
    """Start reading; a quick file is in hand at once, a long one shows its progress."""

    def take(recording: Recording) -> None:
        who.take(recording)
        let_go(who, uploads)

    tasks.start(who, replace(task, then=take)).job.wait(PATIENCE_S)
    st.rerun()


def _ready_ones(who: Visitor) -> None:
    from brainlm_core.scans.demo import SCENARIOS, demo_recordings

    choices: list[int | str] = [*range(len(SCENARIOS)), _PUBLIC]
    if started_locally():
        choices.append(_PATH)
    words = {_PUBLIC: "Public scan (download)", _PATH: "A file on this machine"}

    def title(choice: int | str) -> str:
        return SCENARIOS[choice].title if isinstance(choice, int) else words[choice]

    key = f"ready-{who.drop_count}"
    if key not in st.session_state:
        st.session_state[key] = who.last_choice = who.demo_index
    choice = st.selectbox(
        "Or open", choices, index=None, key=key, format_func=title, placeholder="A ready recording"
    )
    # No on_change callback: Streamlit also calls it when the drop zone is emptied and this key goes away.
    if choice != who.last_choice:
        who.last_choice = choice
        if isinstance(choice, int):
            who.take(demo_recordings()[choice], demo_index=choice)
            st.rerun()
        elif choice == _PUBLIC:
            begin(who, read_public_example())
    if choice == _PATH:
        with st.form("server-path", border=False):
            path = st.text_input(
                "File or run folder on this machine", placeholder="/data/sub-01_task-rest_bold.nii.gz"
            )
            if st.form_submit_button("Open") and path.strip():
                begin(who, read_path(path, Options()))


def _settings(who: Visitor, scan: UploadedFile | None) -> tuple[Options, Uploads | None]:
    """Draw the optional inputs; return them, and the dropped files by role when there is a scan."""
    n = who.drop_count
    asks = type(who.intake_error).__name__ if who.intake_error else ""
    with st.expander(
        "Settings for your scan", expanded=asks in ("MissingTR", "MissingCoordinates", "MissingChoice")
    ):
        tr_s = st.number_input(
            "Repetition time (s)",
            min_value=0.05,
            max_value=20.0,
            value=None,
            step=0.01,
            format="%.3f",
            placeholder="from the file",
            key=f"tr-{n}",
        )
        coordinates = st.file_uploader(
            "Coordinates of the parcels (CSV: x, y, z in mm, MNI)",
            type=["csv", "tsv", "txt", "xlsx"],
            key=f"coordinates-{n}",
        )
        confounds = st.file_uploader(
            "Confounds (fMRIPrep TSV, or the motion file of SPM, FSL, AFNI, HCP)",
            type=["tsv", "csv", "txt", "par", "1D"],
            key=f"confounds-{n}",
        )
        partner = st.file_uploader(
            "Second file: other hemisphere, or the other half of .hdr/.img or .HEAD/.BRIK",
            type=["gii", "gz", "img", "hdr", "HEAD", "BRIK", "nii", "mgz"],
            key=f"partner-{n}",
        )
        atlas = st.file_uploader(
            "Own parcels: label image in MNI space", type=["nii", "gz"], key=f"atlas-{n}"
        )
        labels = st.file_uploader(
            "Names of its labels", type=["tsv", "csv", "txt", "lut", "ctab", "json"], key=f"labels-{n}"
        )
        cleaning = _cleaning(n)
        st.caption("Settings apply to the next scan you drop. Nothing is cleaned unless you ask for it.")
    uploads = None if scan is None else Uploads(scan, partner, confounds, coordinates, atlas, labels)
    return Options(tr_s, cleaning, st.session_state.get(f"answers-{n}", {})), uploads


def _cleaning(n: int) -> dict[str, Any]:
    strategy = st.selectbox(
        "Regress out", list(_CLEANING), format_func=lambda s: _CLEANING[s], key=f"clean-strategy-{n}"
    )
    detrend = st.checkbox("Remove linear trends", key=f"clean-detrend-{n}")
    low, high = st.columns(2)
    high_pass = low.number_input(
        "High-pass (Hz)",
        min_value=0.0,
        value=None,
        step=0.001,
        format="%.3f",
        placeholder="off",
        key=f"clean-hp-{n}",
    )
    low_pass = high.number_input(
        "Low-pass (Hz)",
        min_value=0.0,
        value=None,
        step=0.01,
        format="%.3f",
        placeholder="off",
        key=f"clean-lp-{n}",
    )
    censor = st.number_input(
        "Censor volumes that moved more than (mm)",
        min_value=0.0,
        value=None,
        step=0.1,
        placeholder="off",
        key=f"clean-fd-{n}",
    )
    chosen = {
        "detrend": detrend,
        "strategy": () if strategy == "none" else (strategy,),
        "high_pass_hz": high_pass or None,
        "low_pass_hz": low_pass or None,
        "censor_fd_mm": censor or None,
    }
    return chosen if any(chosen.values()) else {}
