"""Readers with every fault that the search must notice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.fuzz.mutations import Part
from tests.fuzz.targets import Target


def _sleep(_path: Path, _option: int) -> None:
    time.sleep(60)


def _die(_path: Path, _option: int) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _eat(_path: Path, _option: int) -> None:
    np.ones(40_000_000).sum()


def _fail(_path: Path, _option: int) -> None:
    raise ZeroDivisionError


def _target(name: str, run: Callable[[Path, int], None]) -> Target:
    return Target(name, "x", lambda: (Part(b"something to be damaged"),), run)


ITSELF = {
    name: _target(name, run)
    for name, run in (("sleeps", _sleep), ("dies", _die), ("eats", _eat), ("fails", _fail))
}
