"""Task line of a page: stage, progress, time left, Cancel; then "Go on", or what failed and "Try again"."""

from __future__ import annotations

import os

import streamlit as st

from app.shell import tasks
from app.shell.jobs import running
from app.shell.session import Visitor, visitor
from app.shell.tasks import State
from app.shell.words import refusal

#: How often the progress line is refreshed, in s: at best, and at least when many jobs run.
REFRESH_S, SLOWEST_S = 0.4, 3.0


def task_bar(who: Visitor, *slots: str) -> None:
    """Draw the first of these slots that has something to say, and why others have failed."""
    working(who, *slots)
    refusals(who, *slots)


def working(who: Visitor, *slots: str) -> bool:
    """Draw the progress of the first task that runs, or a way to go on with those that were stopped.

    Returns
    -------
    bool
        Whether a task runs.
    """
    for slot in slots:
        if tasks.is_running(who, slot):
            progress(slot)
            return True
    stopped = [s for s in slots if s in who.tasks and who.tasks[s].state is State.STOPPED]
    if stopped:
        st.button(
            "Go on with the calculation",
            key=f"{stopped[0]}-go",
            on_click=tasks.restart,
            args=(who, *stopped),
        )
    return False


def refusals(who: Visitor, *slots: str, draw_error: bool = True) -> None:
    """Draw why tasks have failed, each reason once, with a way to try again."""
    failed = [s for s in slots if s in who.tasks and who.tasks[s].state is State.FAILED]
    if not failed:
        return
    if draw_error:
        for error in {str(e): e for s in failed if (e := who.tasks[s].error) is not None}.values():
            refusal(error)
    st.button("Try again", key=f"{failed[0]}-again", on_click=tasks.restart, args=(who, *failed))


def refused_model(who: Visitor) -> None:
    """Draw why the model of a link is not in use, and the way on with the one that is."""
    if who.model_error is not None:
        refusal(who.model_error)
        st.button("Go on with the model in use", key="model-go-on", on_click=_forget, args=(who,))


def progress(slot: str) -> None:
    """Show the task in ``slot``; run the page again when it ends or publishes another part."""
    found = visitor().tasks.get(slot)
    n_known = 0 if found is None else found.job.n_published
    st.fragment(_progress, run_every=refresh_s(running()))(slot, n_known)


def refresh_s(n_jobs: int) -> float:
    """Return how often to refresh: lines of many visitors together must leave the cores to the work."""
    return min(SLOWEST_S, REFRESH_S * max(1.0, n_jobs / (os.cpu_count() or 1)))


def _progress(slot: str, n_known: int) -> None:
    found = visitor().tasks.get(slot)
    if found is None or found.state is not State.RUNNING:
        st.rerun()
        return
    if found.job.done or found.job.n_published > n_known:
        st.rerun()
        return
    left = found.job.seconds_left
    ending = "" if left is None else f" · about {_duration(left)} left"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"progress-{slot}"):
        st.progress(found.job.fraction, text=f"{found.job.stage}{ending}")
        if st.button("Cancel", key=f"cancel-{slot}", type="tertiary"):
            found.stop()
            st.rerun()


def _forget(who: Visitor) -> None:
    who.model_error = None


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min"
