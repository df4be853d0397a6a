"""Jobs that a page starts by itself, each question once: what a visitor has stopped stays stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.jobs import Job
from app.state import Visitor

_STARTED = "started-jobs"


def start_once(who: Visitor, slot: str, key: tuple[str, ...], job: Callable[[], Job[Any]]) -> bool:
    """Start a job unless one runs, or this very question was asked before; return whether it did.

    A question counts as asked until :func:`finished` or :func:`try_again`: one that vanished without a
    result was stopped by the visitor or has failed.
    """
    if slot in who.jobs or _started().get(slot) == key:
        return False
    st.session_state[_STARTED] = {**_started(), slot: key}
    who.start(slot, job()).wanted = key  # type: ignore[attr-defined]
    return True


def drop_outdated(who: Visitor, slot: str, key: tuple[str, ...]) -> None:
    """Stop a job that answers another question."""
    if slot in who.jobs and getattr(who.jobs[slot], "wanted", None) != key:
        who.jobs.pop(slot).cancel()


def finished(slot: str) -> None:
    """Forget a question that has its answer."""
    st.session_state[_STARTED] = {name: key for name, key in _started().items() if name != slot}


def stopped(who: Visitor, slot: str, key: tuple[str, ...]) -> bool:
    """Whether this very question was asked and nobody is at it, without an answer."""
    return _started().get(slot) == key and slot not in who.jobs and key not in who.results


def try_again(who: Visitor) -> None:
    """Forget what was stopped or has failed, so that the next run starts it."""
    who.model_error = None
    st.session_state.pop(_STARTED, None)


def _started() -> dict[str, tuple[str, ...]]:
    return dict(st.session_state.get(_STARTED, {}))
