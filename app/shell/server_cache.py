"""The only place that keeps things for all visitors: nothing here may depend on a visitor's scan."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import streamlit as st

from app.shell import jobs

if TYPE_CHECKING:
    from brainlm_core.features.verify.analysis import VerifyResult

#: Left to the first visitor's first picture before heavy imports compete with it, in s.
HEAD_START_S = 2.0


def licence_accepted() -> bool:
    """Whether the licence of the published weights was accepted on this machine."""
    from brainlm_core.inference.weights import licence_accepted

    return licence_accepted()


@st.cache_resource(show_spinner=False)
def verified() -> tuple[VerifyResult, ...]:
    """Hold this build against the bundled numbers of the published code, once per server."""
    from brainlm_core.features.verify.analysis import bundled_cases, verify

    return tuple(verify(folder) for folder in bundled_cases())


@st.cache_resource(show_spinner=False)
def tidy_up() -> None:
    """Prepare a server: remove what killed ones left, keep memory low, answers and files until fetched."""
    from app.shell.memory import keep_little
    from app.shell.streamlit_patches.media_files import take_away_slowly
    from app.shell.streamlit_patches.message_queue import keep_answers
    from app.shell.streamlit_patches.session import runtime
    from brainlm_core.base.scratch import sweep

    sweep()
    keep_answers()
    server = runtime()
    if server is not None:
        keep_little()
        take_away_slowly(server.media_file_mgr)


@st.cache_resource(show_spinner=False)
def warm_up() -> None:
    """Load what scans and the model need once per server, in the background, after the first picture."""
    from app.shell.streamlit_patches.session import runtime

    if runtime() is not None:
        jobs.LOADED.clear()
        threading.Thread(target=_load, daemon=True, name="warm-up").start()


def _load() -> None:
    try:
        jobs.WANTED.wait(HEAD_START_S)
        _import_heavy_parts()
    finally:
        jobs.LOADED.set()


def _import_heavy_parts() -> None:
    from brainlm_core.scans import isolation

    # The readers load in a process of their own meanwhile: seconds of a first upload.
    threading.Thread(target=isolation.warm_up, daemon=True, name="warm-up of the readers").start()
    import brainlm_core.inference.engine  # noqa: F401  (torch, a second or two)
    from brainlm_core.features.forecast import analysis as forecast  # noqa: F401
    from brainlm_core.features.networks import analysis as networks  # noqa: F401
    from brainlm_core.features.perturb import analysis as perturb  # noqa: F401

    spare_the_collector()


def spare_the_collector() -> None:
    """Take what has been imported out of the garbage collector's sight.

    Streamlit collects in full after every script run, and a progress line is one every 0.4 s. Walking over
    the some 300,000 objects of the libraries takes 0.15 s each time, during which no thread computes. Called
    once, while at most the first visitor's first page lives: cycles among what is frozen would never go.
    """
    gc.collect()
    gc.freeze()
