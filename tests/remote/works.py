"""Work that tests send to a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def who(engine: Any, *, progress: Any, cancel: Any) -> tuple[int, int]:
    """Return the process, and which model object in it."""
    return os.getpid(), id(engine.model)


def first_hangs(engine: Any, place: str, *, progress: Any, cancel: Any) -> int:
    """Hang in whichever process comes first, leaving its number; another one answers with its own."""
    file = Path(place)
    if file.exists() and file.read_text() != str(os.getpid()):
        return os.getpid()
    file.write_text(str(os.getpid()))
    while not cancel():
        time.sleep(0.05)
    raise AssertionError("nobody was to cancel this")


def until_stopped(engine: Any, place: str, *, progress: Any, cancel: Any) -> None:
    """Leave a file when it begins and another one when it is told to stop."""
    Path(place).write_text("begun")
    while not cancel():
        time.sleep(0.02)
    Path(place).with_suffix(".stopped").write_text("stopped")


def breaks(engine: Any, *, progress: Any, cancel: Any) -> None:
    """Have a defect."""
    raise ZeroDivisionError("a defect on the worker")


def n_stored(engine: Any, *, progress: Any, cancel: Any) -> list[int]:
    """Return how many things lie in the stores of the Dask workers of this process, which may go to disk."""
    from distributed import Worker

    return [len(worker.data) for worker in Worker._instances]
