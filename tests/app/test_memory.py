"""What the server's C library keeps of memory that nobody uses any more."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from tests.browser_tools import ROOT

#: Arrays that are dropped between small things that stay; prints MB kept beyond those. Dropping the first
#: array is what makes glibc take the next ones from its heap, where the small things then hold their places.
WORK = """
import sys, threading
import numpy as np, psutil
from app.shell.memory import keep_little
if sys.argv[1] == "little":
    keep_little()
kept = []
def work():
    first = np.ones(250_000)  # 2 MB
    del first
    pairs = [(np.ones(190_000), bytes(100_000)) for _ in range(40)]
    kept.append([small for _, small in pairs])
before = psutil.Process().memory_info().rss
work()
for _ in range(3):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
small = sum(len(s) for some in kept for s in some)
print((psutil.Process().memory_info().rss - before - small) / 1e6)
"""


def kept_mb(how: str) -> float:
    # Dask sets such variables for its workers, in the process that starts them too.
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", WORK, how],
        cwd=ROOT,
        env=plain,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the GNU C library")
def test_what_threads_have_dropped_goes_back() -> None:
    usual, little = kept_mb("usual"), kept_mb("little")
    assert usual > 40, "the control: the library's own way keeps the places of 61 MB of arrays at least"
    assert little < 15
