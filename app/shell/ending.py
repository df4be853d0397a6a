"""The end of the server: within a few seconds of being asked, with everything that it started.

A page's work runs in threads that nobody can stop from outside, and a browser may hold its connection for as
long as it likes. So whoever asks the server to end is answered by a deadline.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

from brainlm_core.base.processes import end_children

#: From the first signal to the end at the latest, in s.
DEADLINE_S = 3.5
_asked = threading.Event()


def take_signals() -> None:
    """End on SIGTERM, SIGINT and SIGHUP by :data:`DEADLINE_S`; call in the main thread, once it serves."""
    if threading.current_thread() is not threading.main_thread():
        return
    stop = signal.getsignal(signal.SIGTERM)  # the web server's own

    def handle(number: int, frame: FrameType | None) -> None:
        if _asked.is_set() or not callable(stop):  # asked twice: at once
            _end_now()
        _asked.set()
        threading.Thread(target=_end_at_deadline, daemon=True, name="deadline").start()
        stop(signal.SIGTERM, frame)

    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue  # `nohup`: it is meant to stay
        signal.signal(number, handle)


def _end_at_deadline() -> None:
    time.sleep(DEADLINE_S)
    _end_now()


def _end_now() -> NoReturn:
    """End with success: asked to end is no failure."""
    end_children()
    with contextlib.suppress(Exception):
        sys.stderr.flush()
        sys.stdout.flush()
    os._exit(0)


def let_go() -> None:
    """End what this process started, and the process itself, when the web server has ended.

    Threads that still compute would keep Python from ending, and the web server would raise the signal again.
    """
    if not _asked.is_set():
        return
    end_children()
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # temporary folders
    _end_now()
