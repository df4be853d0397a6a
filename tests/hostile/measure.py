"""Reads one file after the other, each in a process of its own, and says what it cost.

``python -m tests.hostile.measure`` takes lists of paths as JSON lines and answers with :class:`Cost` as JSON
lines. The readers run without the process that guards them elsewhere: it is their own care that is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What reading one file came to.

    Parameters
    ----------
    kind : str
        Class of the error, ``"read"`` when it was accepted, ``"died"`` when the process did.
    sentence : str
    seconds : float
    peak_mb : float
        Resident memory above the level before.
    """

    kind: str
    sentence: str
    seconds: float
    peak_mb: float


class Readers:
    """A process in which the readers are loaded and that forks for every file."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )

    def read(self, *paths: Path) -> Cost:
        """Read one file, or the two of one run."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(p) for p in paths]) + "\n")
        self._process.stdin.flush()
        return Cost(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _high_water_mb() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _read(paths: list[str]) -> Cost:
    from brainlm_core.base.errors import BrainLMError
    from brainlm_core.scans import read_scan
    from brainlm_core.scans.isolation.guard import read_here

    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before, start = _high_water_mb(), time.perf_counter()
    try:
        with read_here():
            read_scan(paths if len(paths) > 1 else paths[0], tr_s=2.0)
        kind, sentence = "read", ""
    except BrainLMError as error:
        kind, sentence = "BrainLMError", str(error)
    except BaseException as error:  # whatever else comes is what the tests look for
        kind, sentence = type(error).__name__, str(error)
    return Cost(kind, sentence, time.perf_counter() - start, _high_water_mb() - before)


def _serve() -> None:
    import pyarrow.parquet  # noqa: F401
    import scipy.io  # noqa: F401

    from brainlm_core.scans.volumes import warm_up

    warm_up()
    for line in sys.stdin:
        start, (here, there) = time.perf_counter(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(there, json.dumps(asdict(_read(json.loads(line)))).encode())
            os._exit(0)
        os.close(there)
        with os.fdopen(here, "rb") as pipe:
            answer: dict[str, Any] = json.loads(pipe.read() or b"{}")
        os.waitpid(child, 0)
        died = asdict(Cost("died", "", time.perf_counter() - start, 0.0))
        sys.stdout.write(json.dumps(answer or died) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
