"""Files that are made on a click stay until they have been fetched.

Streamlit takes a file that no page shows away after two script runs, of whatever visitor. A file made on a
click is on no page, and with several people at work two runs end before the browser has asked for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

#: Least time between two rounds of taking away, in s; a file stays for one to two of them.
ROUND_S = 30.0


def take_away_slowly(manager: Any, clock: Callable[[], float] = time.monotonic) -> None:
    """Let a media file manager take files away at most once per :data:`ROUND_S`.

    Parameters
    ----------
    manager : MediaFileManager
        Of Streamlit's server.
    clock : callable
        Time in s.
    """
    take_away, lock, last = manager.remove_orphaned_files, threading.Lock(), [clock()]

    def now_and_then() -> None:
        with lock:
            if clock() - last[0] < ROUND_S:
                return
            last[0] = clock()
        take_away()

    manager.remove_orphaned_files = now_and_then
