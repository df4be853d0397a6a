"""Child processes of this one, and their end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def children(pid: int | None = None) -> list[int]:
    """Return all descendants of a process, the youngest first; of this process by default.

    Only where ``/proc`` says so (Linux); elsewhere an empty list.
    """
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # "pid (name) state ppid …"; the name may hold spaces and brackets
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found: list[int] = []
    queue = [os.getpid() if pid is None else pid]
    while queue:
        below = parents.get(queue.pop(), [])
        found += below
        queue += below
    return found[::-1]


def end_children(grace_s: float = 0.5) -> None:
    """End all descendants of this process: asked first, killed after ``grace_s`` seconds."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        pids = children()
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, number)
        if not pids or number != signal.SIGTERM:
            return
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(map(_lives, children())):
            time.sleep(0.02)


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError, ValueError, IndexError):
        state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        return state != "Z"
    return False
