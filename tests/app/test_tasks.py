"""The task store alone: what a page is told of its task, without any page."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from app.shell import tasks
from app.shell.tasks import Results, Run, State, Task
from brainlm_core.base.errors import ScanError

WAIT_S = 30


@dataclass
class Session:
    tasks: dict[str, Run] = field(default_factory=dict)
    results: Results = field(default_factory=lambda: Results(3))


class Gate:
    """Work that publishes a part, then waits until it is let through or stopped."""

    def __init__(self) -> None:
        self.through, self.calls = threading.Event(), 0

    def __call__(self, report: tasks.Report) -> int:
        self.calls += 1
        report.publish("part", self.calls)
        while not self.through.wait(0.01):
            report(0.5, "Waiting")
        return 42


def ended(session: Session, slot: str) -> tasks.Outcome | None:
    assert session.tasks[slot].job.wait(WAIT_S)
    return tasks.look(session, slot)


def test_an_answer_is_kept_and_not_asked_for_again() -> None:
    session, gate = Session(), Gate()
    task = Task("slot", ("a",), "Counting", gate)
    assert tasks.run(session, task).state is State.RUNNING
    gate.through.set()
    done = ended(session, "slot")
    assert done is not None and (done.state, done.result) == (State.DONE, 42)
    assert tasks.run(session, task).result == 42 and gate.calls == 1 and not session.tasks


def test_what_was_stopped_stays_stopped_keeps_its_parts_and_goes_on_when_asked() -> None:
    session, gate = Session(), Gate()
    task = Task("slot", ("a",), "Counting", gate)
    tasks.run(session, task)
    while not tasks.parts(session, "slot"):
        threading.Event().wait(0.005)
    job = session.tasks["slot"].job
    session.tasks["slot"].stop()
    for _ in range(4):
        outcome = tasks.run(session, task)
        assert outcome.state is State.STOPPED and outcome.parts == {"part": 1}
    assert job.wait(WAIT_S) and gate.calls == 1
    tasks.restart(session, "slot")
    gate.through.set()
    assert ended(session, "slot").result == 42 and gate.calls == 2  # type: ignore[union-attr]


def test_a_failure_stays_until_it_is_tried_again() -> None:
    session, calls = Session(), []

    def refuse(report: tasks.Report) -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ScanError("no scan", "give one")
        return 7

    task = Task("slot", ("a",), "Reading", refuse)
    tasks.run(session, task)
    assert ended(session, "slot").state is State.FAILED  # type: ignore[union-attr]
    assert [tasks.run(session, task).state for _ in range(3)] == [State.FAILED] * 3 and len(calls) == 1
    assert str(tasks.failure(session, "slot")) == "no scan; give one"
    tasks.restart(session, "slot")
    assert ended(session, "slot").result == 7  # type: ignore[union-attr]
    assert tasks.failure(session, "slot") is None


def test_a_fault_of_the_program_is_one_sentence_and_in_the_log(caplog) -> None:  # type: ignore[no-untyped-def]
    session = Session()
    tasks.run(session, Task("slot", ("a",), "Dividing", lambda report: 1 // 0))
    outcome = ended(session, "slot")
    assert outcome is not None and isinstance(outcome.error, tasks.TaskDefect)
    assert "ZeroDivisionError" in caplog.text and "ZeroDivisionError" not in str(outcome.error)
    tasks.run(session, Task("other", ("a",), "Filling", lambda report: _no_memory()))
    assert "free memory" in str(ended(session, "other").error)  # type: ignore[union-attr]


def _no_memory() -> int:
    raise MemoryError


def test_another_question_drops_the_old_work_and_keeps_an_answer_that_is_there() -> None:
    session, slow = Session(), Gate()
    tasks.run(session, Task("slot", ("a",), "Slow", slow))
    old = session.tasks["slot"].job
    quick = Task("slot", ("b",), "Quick", lambda report: 1)
    assert tasks.run(session, quick, patience_s=WAIT_S).result == 1
    assert old.cancelled() and old.wait(WAIT_S)
    late = Gate()
    tasks.run(session, Task("slot", ("c",), "Late", late))
    late.through.set()
    assert session.tasks["slot"].job.wait(WAIT_S)
    tasks.run(session, quick)  # c ended before anybody looked
    assert session.results[("c",)] == 42 and session.results[("b",)] == 1


def test_tasks_in_order_go_as_far_as_they_get_and_outdated_ones_behind_are_dropped() -> None:
    session, first, second = Session(), Gate(), Gate()
    chain = [Task("one", ("a",), "First", first), Task("two", ("b",), "Second", second)]
    old = tasks.start(session, Task("two", ("old",), "Old", Gate())).job
    assert [o.state for o in tasks.run_in_order(session, chain)] == [State.RUNNING]
    assert old.cancelled() and second.calls == 0
    first.through.set()
    assert session.tasks["one"].job.wait(WAIT_S)
    assert [o.state for o in tasks.run_in_order(session, chain)] == [State.DONE, State.RUNNING]
    tasks.drop(session, "two")


def test_results_forget_the_oldest() -> None:
    results = Results(2)
    for name in "abac":
        results.remember(name, name)
    assert list(results) == ["a", "c"]
