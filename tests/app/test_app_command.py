from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from brainlm_core.cli import main
from brainlm_core.commands.app import _wants_window, entry_script, working_folder


def test_entry_script_and_settings_are_found(root: Path) -> None:
    assert entry_script() == root / "app" / "main.py"
    assert working_folder() == root


def test_no_window_is_opened_where_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not _wants_window(no_browser=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert _wants_window(no_browser=False) and not _wants_window(no_browser=True)


def test_a_taken_port_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["app", "--port", str(taken.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: port") and said.count("\n") == 1


@pytest.mark.slow
def test_it_answers_on_the_loopback_address_and_stops_when_asked(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "brainlm_core", "app", "--no-browser", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                    assert answer.read() == b"ok"
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.3)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        said = server.communicate(timeout=60)[1].decode()
    assert f"http://127.0.0.1:{port}" in said and "only from this machine" in said
