"""Several computations at once, one core each.

A pass of many small operations gains little from splitting each operation over the cores, and loses badly
where other programs want the cores too: the threads of an operation wait for the slowest of them, some
thousand times a pass. Passes beside each other never wait for one another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

#: Computations at once at most: each holds the memory of a pass.
MAX_AT_ONCE = 16
_LOCK = threading.Lock()
_POOL: tuple[int, ThreadPoolExecutor] | None = None


def at_once() -> int:
    """Return how many computations may run at once: as many as torch may use threads here."""
    return min(torch.get_num_threads(), MAX_AT_ONCE)


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks at once and wait for all of them.

    Raises
    ------
    BaseException
        What the first failing task raised, after all have ended.
    """
    with _LOCK:
        pool = _pool(max(len(tasks), 1))
    futures = [pool.submit(task) for task in tasks]
    errors = [error for future in futures if (error := future.exception()) is not None]
    if errors:
        raise errors[0]


def _pool(n: int) -> ThreadPoolExecutor:
    """Return a pool of at least ``n`` threads on which torch stays on one core."""
    global _POOL
    if _POOL is not None and _POOL[0] >= n:
        return _POOL[1]
    if _POOL is not None:
        _POOL[1].shutdown(wait=False)  # what it was given, it finishes
    threads = torch.get_num_threads()
    ready = threading.Barrier(n)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first question takes over the general setting
        torch.set_num_threads(1)  # only then does its own one last
        ready.wait()

    pool = ThreadPoolExecutor(n, thread_name_prefix="pass", initializer=begin)
    for future in [pool.submit(ready.wait) for _ in range(n)]:  # every thread takes part
        future.result()
    # The setting above holds for its thread and for threads to come; the latter take the caller's again.
    torch.set_num_threads(threads)
    _POOL = (n, pool)
    return pool
