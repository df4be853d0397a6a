"""What the server's C library keeps of memory that nobody uses any more."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.browser_tools import ROOT

#: Threads that make and drop arrays, and between them small things that stay; prints MB kept beyond those.
WORK = """
import sys, threading
import numpy as np, psutil
from app.memory import keep_little
if sys.argv[1] == "little":
    keep_little()
kept = []
def work():
    for k in range(60):
        arrays = [np.ones(shape) for shape in (150_000, 200_000, 250_000)]  # 1.2 to 2 MB
        kept.append([bytes(2000) for _ in range(5)])
        del arrays[k % 3], arrays
before = psutil.Process().memory_info().rss
for _ in range(3):
    threads = [threading.Thread(target=work) for _ in range(12)]
    for t in threads: t.start()
    for t in threads: t.join()
print((psutil.Process().memory_info().rss - before) / 1e6)
"""


def kept_mb(how: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", WORK, how], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return float(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not the GNU C library")
def test_what_threads_have_dropped_goes_back() -> None:
    usual, little = kept_mb("usual"), kept_mb("little")
    assert little < 60, "the small things that stay are 22 MB"
    assert little < 0.7 * usual
