"""The queue before the model: fair, with a place, and one can leave it."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_engines import recording, save_tiny

from brainlm_core.base.errors import EngineError
from brainlm_core.base.fair_lock import OWNER, Cancelled, Turns
from brainlm_core.inference import batches
from brainlm_core.inference import engine as engine_module
from brainlm_core.inference.engine import Engine, get_engine


def as_owner(name: str, work: Callable[[], object]) -> threading.Thread:
    """Start work on behalf of somebody."""

    def run() -> None:
        OWNER.set(name)
        work()

    thread = threading.Thread(target=contextvars.Context().run, args=(run,))
    thread.start()
    return thread


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def queue_up(turns: Turns, owners: str, order: list[str]) -> list[threading.Thread]:
    """Let owners ask one after the other while the turn is held."""
    threads = []
    for k, owner in enumerate(owners):

        def one(owner: str = owner) -> None:
            with turns.take():
                order.append(owner)

        threads.append(as_owner(owner, one))
        wait_until(lambda k=k: len(turns._waiting) == k + 1)
    return threads


def test_who_asked_first_comes_first() -> None:
    turns, order = Turns(), []  # type: ignore[var-annotated]
    with turns.take():
        threads = queue_up(turns, "abcd", order)
    for thread in threads:
        thread.join(30)
    assert order == list("abcd")
    assert turns.idle


def test_one_with_many_requests_waits_behind_one_with_a_single_one() -> None:
    turns, order = Turns(), []  # type: ignore[var-annotated]
    with turns.take():
        threads = queue_up(turns, "aaaab", order)
    for thread in threads:
        thread.join(30)
    assert order == list("abaaa")


def test_a_long_job_alternates_with_a_short_one() -> None:
    turns = Turns()
    order: list[str] = []
    both = threading.Barrier(2)

    def batches(name: str, n: int) -> Callable[[], None]:
        def work() -> None:
            both.wait(30)
            for _ in range(n):
                with turns.take():
                    time.sleep(0.02)  # long enough for the other to be waiting
                    order.append(name)

        return work

    for thread in [as_owner("long", batches("long", 12)), as_owner("short", batches("short", 3))]:
        thread.join(30)
    assert order.index("short") <= 1  # not after the long job
    last = len(order) - 1 - order[::-1].index("short")
    assert last <= 7, order


def test_the_place_in_the_queue_is_told_and_falls() -> None:
    turns = Turns()
    places: list[int] = []
    release = [threading.Event(), threading.Event()]

    def hold(k: int) -> None:
        with turns.take():
            release[k].wait(30)

    first = as_owner("a", lambda: hold(0))
    wait_until(lambda: turns._holder is not None)
    second = as_owner("b", lambda: hold(1))
    wait_until(lambda: len(turns._waiting) == 1)

    def ask() -> None:
        with turns.take(places.append):
            pass

    third = as_owner("c", ask)
    wait_until(lambda: 2 in places)
    release[0].set()
    wait_until(lambda: 1 in places)
    release[1].set()
    for thread in (first, second, third):
        thread.join(30)
    assert places == sorted(places, reverse=True)


def test_one_who_leaves_the_queue_holds_nobody_up() -> None:
    turns = Turns()
    wanted = threading.Event()
    outcome: list[str] = []

    def ask() -> None:
        try:
            with turns.take(cancel=wanted.is_set):
                outcome.append("had a turn")
        except Cancelled:
            outcome.append("left")

    with turns.take():
        thread = as_owner("a", ask)
        wait_until(lambda: len(turns._waiting) == 1)
        wanted.set()
        thread.join(30)
        assert outcome == ["left"]
        assert not turns._waiting
    assert turns.idle


def test_an_error_while_waiting_or_holding_frees_the_turn() -> None:
    turns = Turns()
    with contextlib.suppress(ZeroDivisionError), turns.take():
        raise ZeroDivisionError
    assert turns.idle
    with turns.take():

        def refuse(_: int) -> None:
            raise ValueError

        failed: list[bool] = []

        def ask() -> None:
            try:
                with turns.take(refuse):
                    pass
            except ValueError:
                failed.append(True)

        as_owner("a", ask).join(30)
        assert failed and not turns._waiting


def test_the_engine_says_its_place_and_can_be_cancelled_while_it_waits(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "TURNS", Turns())
    engine = Engine.load(save_tiny(tmp_path / "tiny"), device="cpu")
    windows = engine.windows(recording())
    said: list[str] = []
    stop = threading.Event()
    outcome: list[object] = []

    def ask() -> None:
        try:
            engine.embed(windows, progress=lambda _, text: said.append(text), cancel=stop.is_set)
        except Cancelled as error:
            outcome.append(error)

    with batches.TURNS.take():
        thread = as_owner("a", ask)
        wait_until(lambda: "Waiting for the model, 1 before you" in said)
        stop.set()
        thread.join(30)
    assert len(outcome) == 1
    assert batches.TURNS.idle
    assert engine.embed(windows).cls.shape[0] == windows.n_windows


class Gpu:
    """A device in front of a real engine that holds nothing that is put there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
        self.tries: list[int] = []
        put = type(engine)._put

        def tight(this: Engine, array: np.ndarray) -> torch.Tensor:
            if this.device.type == "cuda":
                self.tries.append(len(array))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return put(this, array)

        monkeypatch.setattr(type(engine), "_put", tight)
        engine.device = torch.device("cuda")


def test_a_gpu_that_holds_no_window_gives_way_to_the_cpu_and_says_so(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_CACHE", type(engine_module._CACHE)())
    name = save_tiny(tmp_path / "tiny")
    engine = get_engine(name, device="cpu", precision="fp32")
    windows = engine.windows(recording(1400))
    expected = engine.embed(windows)
    gpu = Gpu(monkeypatch, engine)
    said: list[str] = []
    got = engine.embed(windows, progress=lambda _, text: said.append(text))
    assert gpu.tries == [7, 3, 1]  # smaller batches first
    assert np.allclose(got.cls, expected.cls, atol=1e-5)
    assert "Going on on the CPU, slower: the CUDA device has too little memory" in said
    assert engine.info.device == "cpu"
    assert engine.info.where == "CPU (the CUDA device has too little memory)"
    assert engine.info.to_dict()["note"] == "the CUDA device has too little memory"
    assert batches.TURNS.idle
    assert get_engine(name, device="cpu", precision="fp32") is not engine  # the next one tries the GPU again


def test_a_model_that_does_not_fit_onto_the_gpu_is_loaded_onto_the_cpu(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brainlm_core.inference import weights

    loaded = weights.load(save_tiny(tmp_path / "tiny"))
    to = torch.nn.Module.to

    def tight(this: torch.nn.Module, device: object) -> torch.nn.Module:
        if torch.device(device).type == "cuda":  # type: ignore[arg-type]
            raise torch.OutOfMemoryError("CUDA out of memory")
        return to(this, device)

    monkeypatch.setattr(torch.nn.Module, "to", tight)
    engine = Engine(loaded, torch.device("cuda"), "fp16")
    assert engine.info.where == "CPU (the CUDA device has too little memory)"
    assert engine.info.precision != "fp16"
    assert engine.embed(engine.windows(recording())).cls.shape[0] == 3


def test_gradients_that_do_not_fit_are_one_sentence(tmp_path) -> None:
    engine = Engine.load(save_tiny(tmp_path / "tiny"), device="cpu")
    with pytest.raises(EngineError, match="do not fit into cpu memory"), engine.gradients():
        raise torch.OutOfMemoryError("out of memory")
    assert batches.TURNS.idle
