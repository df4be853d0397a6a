from __future__ import annotations

import threading

import pytest

from app.shell import jobs
from app.shell.jobs import Job, running
from app.shell.task_bar import refresh_s
from brainlm_core.base.errors import ScanError
from brainlm_core.base.fair_lock import OWNER


def test_result_and_progress_are_seen_from_outside() -> None:
    reached, go_on = threading.Event(), threading.Event()

    def work(report: object) -> int:
        report(0.4, "Half way")  # type: ignore[operator]
        report.publish("part", 7)  # type: ignore[attr-defined]
        reached.set()
        go_on.wait(5)
        return 42

    job = Job("Counting", work)
    assert reached.wait(5)
    assert (job.fraction, job.stage, job.parts, job.done) == (0.4, "Half way", {"part": 7}, False)
    go_on.set()
    assert job.wait(5)
    assert job.result == 42
    assert job.error is None and job.defect is None


def test_work_is_done_on_behalf_of_who_started_it() -> None:
    token = OWNER.set("ann")
    try:
        job = Job("Asking", lambda report: OWNER.get())
    finally:
        OWNER.reset(token)
    assert job.wait(5) and job.result == "ann"


def test_running_jobs_are_counted_until_they_end() -> None:
    before, go_on = running(), threading.Event()
    jobs = [Job("Waiting", lambda report: go_on.wait(5)) for _ in range(3)]
    assert running() == before + 3
    go_on.set()
    assert all(job.wait(5) for job in jobs)
    assert running() == before


def test_lines_are_refreshed_less_often_when_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert [refresh_s(n) for n in (0, 1, 2)] == [0.4, 0.4, 0.4]
    assert refresh_s(10) == pytest.approx(2.0)
    assert refresh_s(1000) == 3.0


def test_cancelled_work_ends_at_its_next_report_without_result_or_error() -> None:
    started = threading.Event()

    def work(report: object) -> int:
        started.set()
        while True:
            report(0.5, "Busy")  # type: ignore[operator]

    job = Job("Busy", work)
    assert started.wait(5)
    job.cancel()
    assert job.wait(5)
    assert (job.result, job.error, job.defect) == (None, None, None)


def test_expected_failures_and_defects_are_kept_apart() -> None:
    def refuse(report: object) -> None:
        raise ScanError("no scan", "give one")

    def break_down(report: object) -> None:
        raise ZeroDivisionError

    refused, broken = Job("A", refuse), Job("B", break_down)
    assert refused.wait(5) and broken.wait(5)
    assert str(refused.error) == "no scan; give one" and refused.defect is None
    assert isinstance(broken.defect, ZeroDivisionError) and broken.error is None


@pytest.mark.parametrize(("fraction", "known"), [(0.0, False), (0.5, False)])
def test_time_left_is_not_guessed_in_the_first_second(fraction: float, known: bool) -> None:
    job = Job("Quick", lambda report: report(fraction, "x"))
    assert job.wait(5)
    assert (job.seconds_left is not None) is known


def test_work_waits_while_the_server_loads_and_hurries_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, wanted = threading.Event(), threading.Event()
    monkeypatch.setattr(jobs, "LOADED", loaded)
    monkeypatch.setattr(jobs, "WANTED", wanted)
    job = Job("Quick", lambda report: 1)
    assert wanted.wait(5)
    assert not job.wait(0.1)
    loaded.set()
    assert job.wait(5)
    assert job.result == 1
