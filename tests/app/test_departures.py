"""Who leaves takes everything along; who only lost the connection does not."""

from __future__ import annotations

import gc
import threading
import weakref

from app.shell.session import Visitor
from app.shell.tasks import Task, start
from app.shell.visitor_cleanup import Doorkeeper
from brainlm_core.scans.demo import demo_recordings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_who_stays_away_is_seen_off_and_only_once() -> None:
    here, clock, left = {"ann", "bob"}, Clock(), []  # type: ignore[var-annotated]
    keeper = Doorkeeper(here.__contains__, 45, clock)
    for name in ("ann", "bob"):
        keeper.welcome(name, lambda name=name: left.append(name))
    assert keeper.look() == 0
    here.clear()
    keeper.look()
    clock.now = 44
    assert keeper.look() == 0
    here.add("ann")  # the connection is back in time
    keeper.look()
    here.clear()
    clock.now = 46
    assert keeper.look() == 1 and left == ["bob"]
    assert keeper.n_guests == 1
    clock.now = 90
    assert keeper.look() == 0  # ann's time began anew
    clock.now = 92
    assert keeper.look() == 1
    assert keeper.look() == 0 and left == ["bob", "ann"] and keeper.n_guests == 0


def test_a_visitor_who_leaves_stops_the_work_and_lets_go_of_the_scan() -> None:
    who = Visitor()
    who.take(demo_recordings()[0], demo_index=0)
    started = threading.Event()

    def busy(report) -> None:  # type: ignore[no-untyped-def]
        started.set()
        while True:
            report(0.5, "Busy")

    job = start(who, Task("networks", ("now",), "Busy", busy)).job
    assert started.wait(30)

    class Result:
        pass

    result = Result()
    there = weakref.ref(result)
    who.results.remember(("a",), result)
    del result
    who.leave()
    assert job.wait(30)
    gc.collect()
    assert there() is None
    assert who.recording is None and not who.jobs and not who.results
