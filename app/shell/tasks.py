"""Task store of one session: the one way to run something that takes longer than a blink.

A page says what it wants, ``run(session, Task(slot, key, title, work))``, each time it is drawn, and is told
``running``, ``done``, ``failed`` or ``stopped``. A question that was stopped or has failed stays so until
somebody asks for it again (:func:`restart`); another question in the same slot drops it. Nothing here
calls Streamlit; what a visitor sees of it is in :mod:`app.shell.task_bar`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from app.shell.jobs import Job, Report
from brainlm_core.base.errors import BrainLMError

T = TypeVar("T")
_LOG = logging.getLogger(__name__)


class State(StrEnum):
    """How far a task is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


class TaskDefect(BrainLMError):
    """A task ended in a fault of the program; the server's log has the details."""


class Results(OrderedDict[Hashable, Any]):
    """Results by question; the oldest goes first.

    Parameters
    ----------
    limit : int
        How many are kept.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep a result, dropping the oldest beyond the limit."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self.limit:
            self.popitem(last=False)


@dataclass(frozen=True, eq=False)
class Task(Generic[T]):
    """One question and the work that answers it.

    Parameters
    ----------
    slot : str
        Only one task of a slot runs at a time.
    key : tuple, hashable
        The question: recording, model, options. Equal keys have equal answers.
    title : str
        What is being done, in words.
    work : callable
        Takes a :class:`app.shell.jobs.Report`, returns the answer; runs in a thread of its own.
    results : Results, optional
        Where the answer is kept; by default among the session's results.
    then : callable, optional
        Takes the answer over instead, in the thread that draws the page.
    """

    slot: str
    key: tuple[Any, ...]
    title: str
    work: Callable[[Report], T]
    results: Results | None = None
    then: Callable[[T], object] | None = None


@dataclass(eq=False)
class Run:
    """A task that was started and has not been answered.

    Parameters
    ----------
    task : Task
    job : Job
    state : {"running", "failed", "stopped"}
    error : BrainLMError or None
        Why it failed.
    """

    task: Task[Any]
    job: Job[Any]
    state: State = State.RUNNING
    error: BrainLMError | None = None

    def stop(self) -> None:
        """Stop now, as far as anybody can see; the work ends at its next report."""
        self.job.cancel()
        if self.state is State.RUNNING:
            self.state = State.STOPPED


@dataclass(frozen=True, eq=False)
class Outcome:
    """How far a task is, and what there is of it.

    Parameters
    ----------
    state : State
    result : object
        The answer of a task that is done.
    error : BrainLMError or None
        Of one that has failed.
    parts : mapping
        What the work has published so far; also of one that was stopped.
    """

    state: State
    result: Any = None
    error: BrainLMError | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """What the store needs of a session."""

    tasks: dict[str, Run]
    results: Results


def run(session: Session, task: Task[T], *, patience_s: float = 0.0) -> Outcome:
    """Say how far a task is; start it when nobody has asked this question before.

    Parameters
    ----------
    session : Session
    task : Task
    patience_s : float
        A task that was just started is waited for this long, so that quick work shows no progress.
    """
    expect(session, task.slot, task.key)
    outcome = look(session, task.slot)
    if outcome is not None:
        return outcome
    results = _results(session, task)
    if task.then is None and task.key in results:
        results.move_to_end(task.key)
        return Outcome(State.DONE, results[task.key])
    start(session, task).job.wait(patience_s)
    return look(session, task.slot) or Outcome(State.STOPPED)


def run_in_order(session: Session, tasks: Iterable[Task[Any]]) -> list[Outcome]:
    """Run tasks one after the other, as far as they get; a task with an outdated question is dropped at once.

    Returns
    -------
    list of Outcome
        Of the tasks that were reached: all but the last are done.
    """
    tasks, outcomes = list(tasks), []
    for task in tasks:
        expect(session, task.slot, task.key)
    for task in tasks:
        outcomes.append(run(session, task))
        if outcomes[-1].state is not State.DONE:
            break
    return outcomes


def start(session: Session, task: Task[Any]) -> Run:
    """Start a task now, whatever stands in its slot."""
    drop(session, task.slot)
    session.tasks[task.slot] = Run(task, Job(task.title, task.work))
    return session.tasks[task.slot]


def restart(session: Session, *slots: str) -> None:
    """Ask again what was stopped or has failed in these slots."""
    for slot in slots:
        found = session.tasks.get(slot)
        if found is not None and found.state in (State.FAILED, State.STOPPED):
            start(session, found.task)


def expect(session: Session, slot: str, key: Hashable) -> None:
    """Drop what stands in a slot when it answers another question; an answer that is there is kept."""
    found = session.tasks.get(slot)
    if found is not None and found.task.key != key:
        look(session, slot)
        drop(session, slot)


def drop(session: Session, *slots: str) -> None:
    """Stop and forget what stands in these slots."""
    for slot in slots:
        found = session.tasks.pop(slot, None)
        if found is not None:
            found.stop()


def look(session: Session, slot: str) -> Outcome | None:
    """Say how far the task in a slot is, without starting anything; an answer is taken over.

    Returns
    -------
    Outcome or None
        None when nothing stands there: not asked, or answered before.
    """
    found = session.tasks.get(slot)
    if found is None:
        return None
    job = found.job
    if found.state is State.RUNNING and job.done:
        found.error = job.error if job.defect is None else _defect(found.task.title, job.defect)
        if found.error is not None:
            found.state = State.FAILED
        elif job.cancelled():
            found.state = State.STOPPED
        else:
            del session.tasks[slot]
            _deliver(session, found.task, job.result)
            return Outcome(State.DONE, job.result, parts=job.parts)
    return Outcome(found.state, error=found.error, parts=job.parts)


def failure(session: Session, *slots: str) -> BrainLMError | None:
    """Return why the first of these slots that has failed did so; None when none has."""
    runs = (session.tasks.get(slot) for slot in slots)
    return next((r.error for r in runs if r is not None and r.error is not None), None)


def parts(session: Session, slot: str) -> Mapping[str, Any]:
    """Return what the task in a slot has published so far, running or stopped."""
    found = session.tasks.get(slot)
    return {} if found is None else found.job.parts


def is_running(session: Session, slot: str) -> bool:
    """Whether a task runs in a slot, or has just ended and was not looked at."""
    found = session.tasks.get(slot)
    return found is not None and found.state is State.RUNNING


def _results(session: Session, task: Task[Any]) -> Results:
    return session.results if task.results is None else task.results


def _deliver(session: Session, task: Task[Any], result: Any) -> None:
    if task.then is not None:
        task.then(result)
    else:
        _results(session, task).remember(task.key, result)


def _defect(title: str, error: BaseException) -> BrainLMError:
    """Put a fault of the program into the log, and say so in one sentence."""
    _LOG.error("%s broke off", title, exc_info=error)
    if isinstance(error, MemoryError):
        return TaskDefect(
            "the machine has not enough free memory for this calculation",
            "close what else runs there, or ask for less",
        )
    return TaskDefect(
        "this calculation broke off because of a fault in the program",
        "try again; if it fails again, report it with what the server's log says",
    )
