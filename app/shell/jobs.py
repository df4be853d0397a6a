"""Work that takes longer than a blink: runs beside the page, with stage, progress, time left and cancel.

A job belongs to one visitor: it is held in that visitor's session state and nowhere else. It
never calls Streamlit; the page asks it how far it is (see :mod:`app.shell.tasks`).
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from brainlm_core.base.errors import BrainLMError
from brainlm_core.viz.words import capital

T = TypeVar("T")

_RUNNING: set[Job[Any]] = set()
#: Work begins once this is set. Threads that import the same large packages at the same time can be handed
#: half of one (that is how Python breaks the deadlock of their locks): while a server loads them, work waits.
LOADED = threading.Event()
LOADED.set()
#: Somebody waits for it.
WANTED = threading.Event()


class Cancelled(Exception):
    """The visitor asked the job to stop."""


class Report(Protocol):
    """What a job's work calls to say how far it is; raises :class:`Cancelled` when asked to stop."""

    def __call__(self, fraction: float, stage: str) -> None:
        """Report a fraction in 0–1 and a named stage."""

    def cancelled(self) -> bool:
        """Return whether the visitor has asked the job to stop."""

    def publish(self, name: str, value: Any) -> None:
        """Hand a part of the result over before the rest is ready."""


class Job(Generic[T]):
    """One piece of work in its own thread.

    Parameters
    ----------
    title : str
        What is being done, in words.
    work : callable
        Takes a :class:`Report` and returns the result.
    """

    def __init__(self, title: str, work: Callable[[Report], T]) -> None:
        self.title = title
        self.fraction = 0.0
        self.stage = title
        self.error: BrainLMError | None = None
        self.defect: BaseException | None = None
        self.result: T | None = None
        self.parts: dict[str, Any] = {}
        self.n_published = 0
        self._started = time.monotonic()
        self._stop = threading.Event()
        self._finished = threading.Event()
        here = contextvars.copy_context()  # on whose behalf: the queue is fair
        self._thread = threading.Thread(
            target=here.run, args=(self._run, work), daemon=True, name=f"job: {title}"
        )
        _RUNNING.add(self)
        self._thread.start()

    def __call__(self, fraction: float, stage: str) -> None:
        """Report progress (called from the work)."""
        if self._stop.is_set():
            raise Cancelled
        self.fraction, self.stage = min(max(float(fraction), 0.0), 1.0), stage or self.stage

    def cancelled(self) -> bool:
        """Return whether the job was asked to stop."""
        return self._stop.is_set()

    def publish(self, name: str, value: Any) -> None:
        """Hand a part of the result over before the rest is ready (called from the work)."""
        if self._stop.is_set():
            raise Cancelled
        self.parts = {**self.parts, name: value}  # replaced, never changed: the page reads it meanwhile
        self.n_published += 1

    def cancel(self) -> None:
        """Ask the job to stop at its next report."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds``; return whether the job has ended."""
        return self._finished.wait(seconds)

    @property
    def done(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self._finished.is_set()

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left in s, None while that cannot be said."""
        elapsed = time.monotonic() - self._started
        if self.fraction < 0.05 or elapsed < 1.0:
            return None
        return elapsed * (1 - self.fraction) / self.fraction

    def _run(self, work: Callable[[Report], T]) -> None:
        try:
            if not LOADED.is_set():
                WANTED.set()
                LOADED.wait()
            self.result = work(self)
        except Cancelled:
            pass
        except BrainLMError as error:
            if not self._stop.is_set():
                self.error = error
        except BaseException as error:  # a defect: shown to the log by the page, not swallowed here
            self.defect = error
        finally:
            _RUNNING.discard(self)
            self._finished.set()


def running() -> int:
    """Return how many jobs run in this server, of all visitors."""
    return len(_RUNNING)


def within(report: Report, start: float, stop: float) -> Callable[[float, str], None]:
    """Map a stage's own 0–1 onto its share of the whole; every call can also stop the job."""

    def tell(share: float, text: str) -> None:
        report(start + (stop - start) * share, capital(text))

    return tell
