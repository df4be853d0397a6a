"""Whoever ends the server ends all of it, quickly, with whatever it is doing."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from brainlm_core.base.processes import children
from tests.browser_tools import ROOT, free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]
#: What the issue asks for, in s.
LIMIT_S = 5.0
#: In every run of the page: a thread that Python would wait for, and a child that does not listen to SIGTERM.
BUSY = """
import subprocess, sys, threading, time
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
                  "print('deaf', flush=True); time.sleep(600)"])
threading.Thread(target=time.sleep, args=(600,)).start()
"""


@pytest.fixture(autouse=True)
def heard_signals() -> Iterator[None]:
    """Undo what a shell may have done: a signal that it ignores (nohup) is ignored by all children."""
    ignored = [s for s in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(s) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def dashboard(tmp_path: Path, *, busy: bool) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `brainlm app`; with ``busy`` every visit starts a thread and a child that go on for ten minutes."""
    port = free_port()
    site = tmp_path / "site"
    site.mkdir()
    if busy:  # sitecustomize of our own: the page itself is left as it is
        (site / "sitecustomize.py").write_text(
            "import sys\n"
            "if 'streamlit' in ' '.join(sys.orig_argv):\n"
            "    import importlib.abc, threading\n"
            f"    source = {BUSY!r}\n"
            "    def later():\n"
            "        import time\n"
            "        time.sleep(2); exec(source, {})\n"
            "    threading.Thread(target=later, daemon=True).start()\n"
        )
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-m", "brainlm_core", "app", "--no-browser", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: is_healthy(port), 90)
            yield server, port
        finally:
            for pid in (*children(server.pid), server.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            server.wait(10)


def is_healthy(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer,
    ):
        return answer.status == 200
    return False


def wait_until(true: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_signal_ends_server_threads_and_children(tmp_path: Path, number: signal.Signals) -> None:
    with dashboard(tmp_path, busy=True) as (server, port):
        wait_until(lambda: b"deaf" in (tmp_path / "log").read_bytes(), 30)
        below = children(server.pid)
        assert below, "there is a child to end"
        address = f"ws://127.0.0.1:{port}/_stcore/stream"
        with connect(address, origin=f"http://127.0.0.1:{port}", subprotocols=["streamlit"]):
            began = time.monotonic()
            server.send_signal(number)
            code = server.wait(LIMIT_S + 10)
            took = time.monotonic() - began
        assert took < LIMIT_S and code == 0, (took, code, (tmp_path / "log").read_text())
        assert not listens(port) and not any(map(lives, below))
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_command_is_the_server_so_that_killing_it_kills_the_server(tmp_path: Path) -> None:
    with dashboard(tmp_path, busy=False) as (server, port):
        assert b"streamlit" in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        server.kill()
        server.wait(10)
        assert not listens(port)


def test_nohup_is_respected(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with dashboard(tmp_path, busy=False) as (server, port):
            server.send_signal(signal.SIGHUP)
            time.sleep(1)
            assert is_healthy(port)
    finally:
        signal.signal(signal.SIGHUP, before)
