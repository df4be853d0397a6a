"""The memory of a process and everything that it started, each shared page counted once among its sharers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


def tree_mb(root: psutil.Process) -> float:
    """Return the proportional set size of a process and all its children, in MB."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(OSError, ValueError, IndexError):
                told = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
                total += int(told.split("\nPss:")[1].split()[0])
    return total / 1000


class Peak:
    """Largest reading above the level before.

    Parameters
    ----------
    before_mb : float
    """

    def __init__(self, before_mb: float) -> None:
        self.before_mb = self.most_mb = before_mb

    @property
    def above_mb(self) -> float:
        """The peak above the level before, in MB."""
        return self.most_mb - self.before_mb


@contextlib.contextmanager
def peak_of_tree(root: psutil.Process | None = None, every_s: float = 0.05) -> Iterator[Peak]:
    """Read the memory of a process tree (this one's) until the block ends."""
    root = root or psutil.Process()
    peak, done = Peak(tree_mb(root)), threading.Event()

    def watch() -> None:
        while not done.wait(every_s):
            peak.most_mb = max(peak.most_mb, tree_mb(root))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.most_mb = max(peak.most_mb, tree_mb(root))


def settle(seconds: float = 0.2) -> None:
    """Let what has just ended go."""
    time.sleep(seconds)
