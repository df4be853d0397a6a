"""A real Dask scheduler and workers on the loopback, each a process of its own that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Lab:
    """A scheduler; workers are added and killed.

    Parameters
    ----------
    folder : Path
        Where all of them work and could leave files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler = self._start(
            "dask_scheduler", "--port", "0", "--scheduler-file", str(self._file), path=ROOT
        )
        deadline = time.monotonic() + 60
        while not self._file.is_file() or not self._file.read_text().strip():
            assert time.monotonic() < deadline and self._scheduler.poll() is None
            time.sleep(0.05)
        self.address: str = json.loads(self._file.read_text())["address"]

    def add_worker(self, *, path: Path = ROOT) -> subprocess.Popen[bytes]:
        """Start a worker that imports from ``path``, and return it when the scheduler knows it."""
        before = self.n_workers()
        worker = self._start(
            "dask_worker", self.address, "--nthreads", "1", "--no-nanny",
            "--local-directory", str(self.folder), path=path,
        )  # fmt: skip
        self.workers.append(worker)
        deadline = time.monotonic() + 60
        while self.n_workers() <= before:
            assert time.monotonic() < deadline and worker.poll() is None
            time.sleep(0.05)
        return worker

    def n_workers(self) -> int:
        """Return how many workers the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.nthreads())

    def kill(self, pid: int) -> None:
        """Kill one worker with signal 9 and wait until it is gone."""
        worker = next(w for w in self.workers if w.pid == pid)
        worker.kill()
        worker.wait()

    def close(self) -> None:
        """Kill all of it."""
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait()

    def _start(self, module: str, *arguments: str, path: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        command += ["--host", "127.0.0.1", "--no-dashboard"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(path)}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
