"""Children that read, one for each file: forked from a nursery on Linux, started afresh elsewhere."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Protocol

_MODULE = "brainlm_core.scans.isolation.child"
#: One thread for linear algebra: children share the processors.
_ONE_THREAD = {
    n: "1" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")
}
_ROOT = Path(__file__).resolve().parents[3]


class Child(Protocol):
    """A process that reads one file."""

    pid: int
    base_mb: float

    @property
    def asked(self) -> IO[bytes]:
        """Where the request is written."""

    @property
    def answers(self) -> IO[bytes]:
        """Where its lines come from."""

    def end(self) -> int:
        """Kill it if it lives, and return the signal that ended it, 0 for none."""


def start_child(limit: int) -> Child:
    """Return a child that may take ``limit`` bytes more than it begins with.

    Raises
    ------
    OSError
        If no process can be started.
    """
    if sys.platform == "linux":
        return _NURSERY.fork(limit)
    return _Single(limit)


def warm() -> None:
    """Start the nursery ahead of the first file."""
    if sys.platform == "linux":
        _NURSERY.warm()


class _Single:
    """A child of its own interpreter."""

    def __init__(self, limit: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, "once", str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env={**os.environ, **_ONE_THREAD},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.pid, self.base_mb = self._process.pid, 0.0
        self._asked, self._answers = self._process.stdin, self._process.stdout

    @property
    def asked(self) -> IO[bytes]:
        return self._asked

    @property
    def answers(self) -> IO[bytes]:
        return self._answers

    def end(self) -> int:
        self._process.kill()
        self._process.wait()
        return max(-self._process.returncode, 0)


class _Forked:
    """A child of the nursery."""

    def __init__(self, nursery: _Nursery, control: socket.socket, pid: int, link: socket.socket) -> None:
        self._nursery, self._control, self._link = nursery, control, link
        self.pid = pid
        self.base_mb = nursery.base_mb
        self._status: int | None = None
        self._asked, self._answers = link.makefile("wb"), link.makefile("rb")

    @property
    def asked(self) -> IO[bytes]:
        return self._asked

    @property
    def answers(self) -> IO[bytes]:
        return self._answers

    def end(self) -> int:
        if self._status is None:  # once: afterwards the number may be another process's
            self._status = self._nursery.end(self._control, self.pid)
            self._link.close()
        return os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else 0


class _Nursery:
    """The process that forks; started on demand, and again when it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.base_mb = 0.0

    def warm(self) -> None:
        with self._lock:
            self._start()

    def fork(self, limit: int) -> _Forked:
        here, there = socket.socketpair()
        with self._lock, there:
            for attempt in (1, 2):
                control = self._start()
                try:
                    socket.send_fds(control, [str(limit).encode()], [there.fileno()])
                    answer = control.recv(64)
                except OSError:
                    answer = b""
                if answer:
                    return _Forked(self, control, int(answer), here)
                self._stop()
                if attempt == 2:
                    break
        here.close()
        raise OSError("no process can be forked")

    def end(self, control: socket.socket, pid: int) -> int:
        with self._lock:
            if control is not self._control:
                return int(signal.SIGKILL)  # its nursery has gone, and took it along
            try:
                control.send(str(pid).encode())
                return int(control.recv(64) or b"9")
            except OSError:
                return int(signal.SIGKILL)

    def _start(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._stop()
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=_ROOT,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for the program; the nursery ends when it does
            )
        if here.recv(64) != b"ready":
            here.close()
            self._process.wait()
            raise OSError("the process that reads scans does not start")
        self._control = here
        self.base_mb = anonymous_mb(self._process.pid)
        return here

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the nursery and its children."""
        if self._lock.acquire(timeout=1):
            try:
                self._stop()
            finally:
                self._lock.release()


def anonymous_mb(pid: int) -> float:
    """Return memory of a process's own, in MB; 0 where that cannot be asked or it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
        return sum(int(status.split(f"{k}:")[1].split()[0]) for k in ("RssAnon", "RssShmem")) / 1024
    except (OSError, IndexError, ValueError):
        return 0.0


def processor_s(pid: int) -> float | None:
    """Return the processor time that a process has taken, in s; None where that cannot be asked."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError, AttributeError):
        return None


_NURSERY = _Nursery()
atexit.register(_NURSERY.close)
