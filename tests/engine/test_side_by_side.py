"""Passes beside each other: same numbers, all errors heard, torch's own setting left as it was."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from brainlm_core.base import parallel as side_by_side
from brainlm_core.base.errors import EngineError
from brainlm_core.inference.engine import Engine
from brainlm_core.scans.demo import demo_recordings


@pytest.fixture
def two_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at once whatever this machine has."""
    monkeypatch.setattr(side_by_side, "at_once", lambda: 2)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Torch at two threads, as where it was told nothing, and no pool made yet."""
    before = torch.get_num_threads()
    monkeypatch.setattr(side_by_side, "_POOL", None)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_here() -> list[int]:
    """What torch and the libraries under it would use in this thread."""
    said = re.findall(r"_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return [torch.get_num_threads(), *map(int, said)]


@pytest.mark.usefixtures("two_threads")
def test_tasks_meet_on_threads_with_one_core_each() -> None:
    meeting, seen = threading.Barrier(3), []

    def task() -> None:
        meeting.wait(timeout=30)  # passes only when all run at once
        torch.ones(300, 300) @ torch.ones(300, 300)
        seen.append((threading.get_ident(), threads_here()))

    side_by_side.run([task] * 3)
    assert len({ident for ident, _ in seen}) == 3
    assert {n for _, threads in seen for n in threads} == {1}
    assert set(threads_here()) == {2}

    later: list[list[int]] = []
    thread = threading.Thread(target=lambda: later.append(threads_here()))
    thread.start()
    thread.join()
    assert set(later[0]) == {2}


def test_first_error_is_raised_after_all_have_ended() -> None:
    ended = []

    def broken() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        side_by_side.run([broken, lambda: ended.append(1)])
    assert ended == [1]


@pytest.mark.usefixtures("two_lanes")
@pytest.mark.parametrize("only_hidden", [False, True])
def test_same_answers_as_in_turn(only_hidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load("default", device="cpu", precision="fp32")
    windows = engine.windows(demo_recordings()[0])
    windows = windows.pick(np.zeros(5, dtype=np.intp))
    hidden = np.random.default_rng(0).random(windows.values.shape) < np.linspace(0.2, 0.8, 5)[:, None, None]
    beside = engine.reconstruct(windows, hidden, only_hidden=only_hidden)
    monkeypatch.setattr(side_by_side, "at_once", lambda: 1)
    in_turn = engine.reconstruct(windows, hidden, only_hidden=only_hidden)
    where = in_turn.hidden
    np.testing.assert_array_equal(beside.hidden, where)
    np.testing.assert_allclose(beside.predicted[where], in_turn.predicted[where], atol=2e-4)


@pytest.mark.usefixtures("two_lanes")
def test_out_of_memory_goes_on_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load("default", device="cpu", precision="fp32")
    windows = engine.windows(demo_recordings()[0]).pick(np.zeros(2, dtype=np.intp))
    real, crowd = engine.model.reconstruct, threading.Semaphore(1)

    def cramped(*tensors: torch.Tensor) -> object:
        if threading.current_thread().name.startswith("pass"):
            raise MemoryError
        with crowd:
            return real(*tensors)

    monkeypatch.setattr(engine.model, "reconstruct", cramped)
    answer = engine.reconstruct(windows, windows.values > 1)
    assert np.isfinite(answer.predicted).all()

    monkeypatch.setattr(engine.model, "reconstruct", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(EngineError, match="does not fit"):
        engine.reconstruct(windows, windows.values > 1)
