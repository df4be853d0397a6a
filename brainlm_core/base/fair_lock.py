"""Turns at something of which there is one: fair between those who ask, with a place in the queue."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from brainlm_core.base.errors import EngineError

#: On whose behalf this thread works; a dashboard sets it to the visitor. One who asks for much waits behind
#: one who asks for little.
OWNER: ContextVar[str] = ContextVar("owner", default="")

#: How often a waiting request says its place and asks whether it is still wanted, in s.
ASK_EVERY_S = 0.2
#: Owners whose last turn is remembered.
_MAX_OWNERS = 1000


@dataclass(frozen=True, eq=False)
class _Ticket:
    owner: str
    number: int
    called: threading.Event = field(default_factory=threading.Event)


class Cancelled(EngineError):
    """The caller asked to stop."""

    def __init__(self) -> None:
        super().__init__("the calculation was stopped", "start it again when wanted")


class Turns:
    """A lock whose next holder is whoever's last turn is longest ago; among equals, who asked first.

    A long piece of work that takes a turn for each of its batches therefore alternates with the others, and
    a visitor with three jobs gets no more than one with a single job.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._holder: _Ticket | None = None
        self._waiting: list[_Ticket] = []
        self._last: OrderedDict[str, int] = OrderedDict()

    @contextmanager
    def take(
        self, waiting: Callable[[int], None] | None = None, cancel: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Wait for a turn and hold it until the block ends.

        Parameters
        ----------
        waiting : callable or None
            Called now and then while others are before, with how many; whatever it raises ends the waiting.
        cancel : callable or None
            True ends the waiting with :class:`Cancelled`.

        Raises
        ------
        Cancelled
            If ``cancel`` said so.
        """
        mine = self._join()
        try:
            while not mine.called.wait(ASK_EVERY_S):
                if cancel is not None and cancel():
                    raise Cancelled
                if waiting is not None:
                    waiting(self.ahead(mine))
        except BaseException:
            self._leave(mine)
            raise
        try:
            yield
        finally:
            self._leave(mine)

    def ahead(self, ticket: _Ticket) -> int:
        """Return how many requests come before one that waits, the running one included."""
        with self._lock:
            line = sorted(self._waiting, key=self._rank)
            before = line.index(ticket) if ticket in line else 0
            return before + (self._holder is not None and self._holder is not ticket)

    @property
    def idle(self) -> bool:
        """Whether nobody holds or waits."""
        with self._lock:
            return self._holder is None and not self._waiting

    def _join(self) -> _Ticket:
        with self._lock:
            ticket = _Ticket(OWNER.get(), next(self._numbers))
            self._waiting.append(ticket)
            self._call_next()
            return ticket

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if self._holder is ticket:
                self._holder = None
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            self._call_next()

    def _call_next(self) -> None:
        """Hand a free turn to the one whose it is, and wake nobody else; the lock is held."""
        if self._holder is not None or not self._waiting:
            return
        ticket = min(self._waiting, key=self._rank)
        self._waiting.remove(ticket)
        self._holder = ticket
        self._last[ticket.owner] = next(self._numbers)
        self._last.move_to_end(ticket.owner)
        while len(self._last) > _MAX_OWNERS:
            self._last.popitem(last=False)
        ticket.called.set()

    def _rank(self, ticket: _Ticket) -> tuple[int, int]:
        return self._last.get(ticket.owner, 0), ticket.number
