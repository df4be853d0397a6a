"""What a page shows while a job runs: stage, progress, time left, cancel. The old picture stays."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from app.jobs import Job, running
from app.state import visitor

#: How often the progress line is refreshed, in s: at best, and at least when many jobs run.
REFRESH_S, SLOWEST_S = 0.4, 3.0


def collect(slot: str) -> Job[Any] | None:
    """Return the job in ``slot`` once it has ended and take it out; a defect in it is raised.

    Raises
    ------
    BaseException
        Whatever unexpected error ended the job: a defect must reach the log.
    """
    who = visitor()
    job = who.jobs.get(slot)
    if job is None or not job.done:
        return None
    del who.jobs[slot]
    if job.defect is not None:
        raise job.defect
    return job


def progress(slot: str, n_parts: int = 0) -> None:
    """Show the job in ``slot``; run the page again when it ends or publishes a part beyond ``n_parts``."""
    st.fragment(_progress, run_every=refresh_s(running()))(slot, n_parts)


def refresh_s(n_jobs: int) -> float:
    """Return how often to refresh: lines of many visitors together must leave the cores to the work."""
    return min(SLOWEST_S, REFRESH_S * max(1.0, n_jobs / (os.cpu_count() or 1)))


def _progress(slot: str, n_parts: int) -> None:
    who = visitor()
    job = who.jobs.get(slot)
    if job is None or job.done or len(job.parts) > n_parts:
        st.rerun()
        return
    left = job.seconds_left
    ending = "" if left is None else f" · about {_duration(left)} left"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"progress-{slot}"):
        st.progress(job.fraction, text=f"{job.stage}{ending}")
        if st.button("Cancel", key=f"cancel-{slot}", type="tertiary"):
            job.cancel()
            who.jobs.pop(slot, None)
            st.rerun()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min"
