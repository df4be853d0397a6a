"""Every page treats its work alike: stopped stays stopped, failed offers a way out, new questions count.

The model's engine, or what stands in for it, is held at a gate, so that nothing here waits for a model.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.shell.navigation import PAGES
from app.shell.session import ModelChoice
from app.shell.tasks import State, TaskDefect
from brainlm_core.base.errors import EngineError
from tests.app.conftest import Open, Tab
from tests.app.conftest import open_page as open_page

WAIT_S = 60
GO_ON, TRY_AGAIN = "Go on with the calculation", "Try again"


class Gate:
    """Stands for work: waits until it is told how to end."""

    def __init__(self) -> None:
        self.calls, self.closed = 0, threading.Event()
        self.reached = threading.Event()
        self.error: Callable[[], BaseException] = lambda: EngineError("the gate is shut", "open it")

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.calls += 1
        self.reached.set()
        assert self.closed.wait(WAIT_S)
        raise self.error()


#: Page to the slot whose task it starts by itself, and what that calls.
STARTS = {
    "networks.py": ("networks", "app.shell.session.ModelChoice.engine"),
    "forecast.py": ("forecast", "app.shell.session.ModelChoice.engine"),
    "perturb.py": ("perturb-answer", "app.shell.session.ModelChoice.engine"),
    "embeddings.py": ("embeddings-map", "app.embeddings.work.make_map"),
    "model.py": ("reconstruct", "app.shell.session.ModelChoice.engine"),
    "scan.py": ("intake", "app.shell.intake._fetch_public"),
}
#: What asks another question on each page.
ANOTHER: dict[str, Callable[[Tab], Any]] = {
    "networks.py": lambda tab: tab.widget("slider", "net-k").set_value(5),
    "forecast.py": lambda tab: tab.widget("select_slider", "fc-steps").set_value(10),
    "perturb.py": lambda tab: setattr(tab.app.session_state["perturb-state"], "scenario", None),
    "embeddings.py": lambda tab: tab.widget("selectbox", "emb-kind-").set_value("mean"),
    "model.py": lambda tab: tab.widget("segmented_control", "md-kind").set_value("future"),
    "scan.py": lambda tab: tab.widget("selectbox", "ready-").set_value(1),
}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, open_page: Open) -> Iterator[Gate]:
    held = Gate()  # opened before the pages are closed, which wait for their work
    for _, place in STARTS.values():
        monkeypatch.setattr(place, held)
    yield held
    held.closed.set()


@pytest.fixture(params=list(STARTS))
def busy(request: pytest.FixtureRequest, gate: Gate, open_page: Open) -> tuple[Tab, str, str]:
    """A page whose own task waits at the gate."""
    page: str = request.param
    tab, slot = open_page(page), STARTS[page][0]
    if page == "scan.py":
        tab.widget("selectbox", "ready-").set_value("public")
        tab.run()
    assert list(tab.who.jobs)[:1] == [slot]
    assert gate.reached.wait(WAIT_S), "the work of this page never called what it is said to call"
    return tab, slot, page


def button(tab: Tab, label: str) -> Any:
    found = [b for b in tab.app.button if b.label == label]
    assert found, f"no button {label!r} among {[b.label for b in tab.app.button]}"
    return found[0]


def end(tab: Tab, gate: Gate, slot: str) -> None:
    gate.closed.set()
    assert tab.who.tasks[slot].job.wait(WAIT_S)
    gate.closed.clear()
    tab.app.run()
    assert not tab.app.exception


def test_every_page_is_in_this_contract() -> None:
    assert {entry.file for entry in PAGES} == set(STARTS) == set(ANOTHER)


def test_cancel_stays_cancelled_and_offers_to_go_on(busy: tuple[Tab, str, str], gate: Gate) -> None:
    tab, slot, _ = busy
    calls = gate.calls
    button(tab, "Cancel").click()
    tab.run()
    for _ in range(3):
        assert tab.who.tasks[slot].state is State.STOPPED and slot not in tab.who.jobs
        assert button(tab, GO_ON)
        tab.run()
    assert gate.calls == calls
    button(tab, GO_ON).click()
    tab.run()
    assert slot in tab.who.jobs


def test_an_error_is_said_once_and_offers_a_way_out(busy: tuple[Tab, str, str], gate: Gate) -> None:
    tab, slot, _ = busy
    end(tab, gate, slot)
    assert tab.words().count("The gate is shut") == 1
    for _ in range(2):
        tab.run()
        assert slot not in tab.who.jobs, "what has failed must not start again by itself"
    button(tab, TRY_AGAIN).click()
    tab.run()
    assert slot in tab.who.jobs and "The gate is shut" not in tab.words()


def test_a_fault_of_the_program_reaches_nobody_as_such(busy: tuple[Tab, str, str], gate: Gate) -> None:
    tab, slot, _ = busy
    gate.error = ZeroDivisionError
    end(tab, gate, slot)
    assert isinstance(tab.who.tasks[slot].error, TaskDefect)
    assert "fault in the program" in tab.words() and "ZeroDivision" not in tab.words()
    assert button(tab, TRY_AGAIN)


def test_another_question_drops_the_old_work(busy: tuple[Tab, str, str], gate: Gate) -> None:
    tab, slot, page = busy
    old = tab.who.tasks[slot]
    ANOTHER[page](tab)
    tab.run()
    assert old.job.cancelled() or page == "scan.py"  # one comes in beside one being read
    if page != "scan.py":
        assert tab.who.tasks[slot].task.key != old.task.key
    gate.closed.set()


def test_a_stopped_question_does_not_stop_the_next(busy: tuple[Tab, str, str], gate: Gate) -> None:
    tab, slot, page = busy
    button(tab, "Cancel").click()
    tab.run()
    ANOTHER[page](tab)
    tab.run()
    assert slot in tab.who.jobs or page == "scan.py"
    assert GO_ON not in [b.label for b in tab.app.button]


def test_the_report_is_stopped_and_fails_like_everything_else(gate: Gate, open_page: Open) -> None:
    tab = open_page("scan.py")
    tab.widget("button", "report-make").click()
    tab.run()
    button(tab, "Cancel").click()
    tab.run()
    assert tab.who.tasks["report"].state is State.STOPPED
    button(tab, GO_ON).click()
    tab.run()
    end(tab, gate, "report")
    assert "The gate is shut" in tab.words() and button(tab, TRY_AGAIN)


def test_a_link_to_a_model_that_may_not_be_loaded_leaves_a_way_on(gate: Gate, open_page: Open) -> None:
    for entry in PAGES[1:4]:
        tab = open_page(entry.file)
        tab.who.change_model(ModelChoice("default"))
        tab.who.model_error = EngineError("the link asks for another model", "choose it")
        tab.run()
        assert "The link asks for another model" in tab.words()
        button(tab, "Go on with the model in use").click()
        tab.run()
        assert tab.who.model_error is None and tab.who.jobs
