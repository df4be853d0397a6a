"""Turns at something of which there is one: fair between those who ask, with a place in the queue."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from brainlm_core.errors import EngineError

#: On whose behalf this thread works; a dashboard sets it to the visitor. One who asks for much waits behind
#: one who asks for little.
OWNER: ContextVar[str] = ContextVar("owner", default="")

#: How often a waiting request says its place and asks whether it is still wanted, in s.
ASK_EVERY_S = 0.2
#: Owners whose last turn is remembered.
_MAX_OWNERS = 1000


@dataclass(frozen=True)
class _Ticket:
    owner: str
    number: int


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
        self._changed = threading.Condition()
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
            while not self._reached(mine):
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
        with self._changed:
            line = self._line()
            before = line.index(ticket) if ticket in line else 0
            return before + (self._holder is not None and self._holder is not ticket)

    @property
    def idle(self) -> bool:
        """Whether nobody holds or waits."""
        with self._changed:
            return self._holder is None and not self._waiting

    def _join(self) -> _Ticket:
        with self._changed:
            ticket = _Ticket(OWNER.get(), next(self._numbers))
            self._waiting.append(ticket)
            return ticket

    def _line(self) -> list[_Ticket]:
        return sorted(self._waiting, key=lambda t: (self._last.get(t.owner, 0), t.number))

    def _reached(self, ticket: _Ticket) -> bool:
        """Wait a little; return whether the turn has come, and take it."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._holder is None and self._line()[0] is ticket, ASK_EVERY_S
            ):
                return False
            self._waiting.remove(ticket)
            self._holder = ticket
            self._last[ticket.owner] = next(self._numbers)
            self._last.move_to_end(ticket.owner)
            while len(self._last) > _MAX_OWNERS:
                self._last.popitem(last=False)
            return True

    def _leave(self, ticket: _Ticket) -> None:
        with self._changed:
            if self._holder is ticket:
                self._holder = None
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            self._changed.notify_all()
