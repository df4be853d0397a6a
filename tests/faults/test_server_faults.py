"""A browser that reloads or leaves in the middle of the work, and a server that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from app.shell.chips import LOST
from tests.browser_tools import ROOT, App, free_port, start_streamlit
from tests.e2e.test_visitors_e2e import recording

pytestmark = pytest.mark.browser
#: Time that Streamlit keeps a session without a connection, in s.
KEPT_S = 4


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[App, Path]]:
    """The dashboard with an endless model pass, and the file that says what the server does."""
    status = tmp_path / "status.json"
    with start_streamlit(
        ROOT / "tests" / "faults" / "slow_app.py",
        environment={"STATUS_FILE": str(status)},
        options=(f"--server.disconnectedSessionTTL={KEPT_S}",),
    ) as app:
        yield app, status


def wait_until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def running(status: Path) -> int:
    return len(json.loads(status.read_text())["jobs"]) if status.is_file() else 0


def test_a_reload_in_the_middle_of_the_work_ends_it_cleanly(slow: tuple[App, Path], chromium: Any) -> None:
    app, status = slow
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"{app.url}/networks")
    tab.get_by_text("Working slowly").first.wait_for()
    wait_until(lambda: running(status) == 1)
    tab.reload()
    tab.get_by_text("Working slowly").first.wait_for()  # the page is there again and has asked anew
    wait_until(lambda: running(status) == 1)  # the work for the page that is gone has ended
    tab.get_by_role("button", name="Cancel").first.click()
    tab.get_by_role("link", name="Scan", exact=True).first.click()
    tab.locator(".b-one").first.wait_for()
    assert not tab.locator("[data-testid=stException]").count()
    context.close()
    wait_until(lambda: running(status) == 0)  # who leaves stops what was asked for
    assert "Traceback" not in app.log.read_text(errors="replace")
    assert not errors


def test_who_leaves_takes_uploaded_files_along(slow: tuple[App, Path], chromium: Any, tmp_path: Path) -> None:
    app, status = slow
    context = chromium.new_context()
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    tab.goto(app.url)
    table = tmp_path / "no-repetition-time.csv"  # asks back, so that the file stays in the drop zone
    np.savetxt(table, np.random.default_rng(0).normal(size=(60, 424)), delimiter=",", fmt="%.3f")
    tab.locator("input[type=file]").first.set_input_files(table)
    tab.get_by_role("button", name="Read the file").wait_for()
    wait_until(lambda: json.loads(status.read_text())["files"] == 1)
    context.close()
    wait_until(lambda: json.loads(status.read_text())["files"] == 0)


def answered(port: int) -> bool:
    """Whether anybody listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


@contextlib.contextmanager
def one_command(temporary: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start the dashboard as its users do; yields the process and the address, once it answers."""
    command = [sys.executable, "-m", "brainlm_core", "app", "--no-browser", "--port", str(port)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:

        def answers() -> bool:
            assert server.poll() is None
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return True
            return False

        url = f"http://127.0.0.1:{port}"
        wait_until(answers)
        yield server, url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def test_after_kill_9_one_command_starts_it_again_and_nothing_is_left(chromium: Any, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    scan = tmp_path / "sub-01_bold.nii"
    values = np.random.default_rng(0).integers(0, 1000, (48, 56, 48, 120), dtype=np.int16)
    image = nib.Nifti1Image(values, np.diag([4.0, 4.0, 4.0, 1.0]))
    image.header.set_zooms((4.0, 4.0, 4.0, 2.0))
    nib.save(image, scan)

    def uploads() -> list[Path]:
        return [p for p in temporary.glob("brainlm-scratch-*/*/upload-*") if p.stat().st_size]

    context, port = chromium.new_context(), free_port()
    tab = context.new_page()
    tab.set_default_timeout(90_000)
    with one_command(temporary, port) as (server, url):
        tab.goto(url)
        tab.locator("input[type=file]").first.wait_for(state="attached")
        assert not tab.get_by_text(LOST).count()
        tab.locator("input[type=file]").first.set_input_files(scan)
        wait_until(lambda: bool(uploads()))
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)
        wait_until(lambda: not answered(port))  # the dashboard itself is a child of what was waited for
    assert uploads(), "a killed server cannot clean up"
    with one_command(temporary, port):
        assert not uploads()
        tab.get_by_text(LOST).wait_for()  # the page that was left open says what has become of the scan
        tab.locator("input[type=file]").first.set_input_files(recording(tmp_path / "rec", 220))
        tab.locator('.b-chip[title*="same.npz"][title*="220 volumes"]').wait_for()
        tab.get_by_text(LOST).wait_for(state="detached")
        context.close()
