"""A Chromium with WebGL and a running Streamlit app, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: Software WebGL 2 without a GPU, without a sandbox (containers rarely allow one).
FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)


class NoBrowser(Exception):
    """There is no Chromium here; the message says what was tried."""


@dataclass(frozen=True)
class App:
    """A Streamlit server.

    Parameters
    ----------
    url : str
        Where it listens.
    log : Path
        File with everything it printed.
    """

    url: str
    log: Path


def chromium_path() -> str | None:
    """Return a Chromium: ``$BROWSER_PATH``, one on the PATH, or None for Playwright's own."""
    override = os.environ.get("BROWSER_PATH")
    if override:
        return override
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


@contextlib.contextmanager
def open_browser(*, webgl: bool = True) -> Iterator[Any]:
    """Start a headless Chromium and yield Playwright's Browser.

    Raises
    ------
    NoBrowser
        If neither the system nor Playwright has one.
    """
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise NoBrowser("the package playwright is not installed (pip install playwright)") from error
    with sync_playwright() as playwright:
        flags = FLAGS if webgl else ("--no-sandbox", "--disable-gpu", "--disable-3d-apis")
        try:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(flags))
        except Error as error:
            raise NoBrowser(
                "no Chromium was found: set BROWSER_PATH, install chromium, or run `playwright install chromium`"
            ) from error
        try:
            yield browser
        finally:
            browser.close()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def start_streamlit(
    script: Path | str,
    *,
    environment: dict[str, str] | None = None,
    options: tuple[str, ...] = (),
    wait_s: float = 60,
) -> Iterator[App]:
    """Run a script with Streamlit on a free port until the block ends.

    Parameters
    ----------
    script : path
        Entry script.
    environment : dict or None
        Added to this process's environment.
    options : tuple of str
        More command-line options, e.g. ``("--server.maxUploadSize=1",)``.
    wait_s : float
        Longest wait for the server to answer, in s.

    Raises
    ------
    RuntimeError
        If the server ends or does not answer in time; the message holds its log.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "streamlit.log"
        command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
        command += ["--server.address=127.0.0.1", "--server.headless=true", "--server.fileWatcherType=none"]
        command += ["--browser.gatherUsageStats=false", *options]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(environment or {})}
        with log.open("wb") as stream:
            # The server may start children: a session of its own lets all of them be ended.
            server = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                _wait_until_healthy(server, port, log, wait_s)
                yield App(f"http://127.0.0.1:{port}", log)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGTERM)
                try:
                    server.wait(10)
                except subprocess.TimeoutExpired:
                    os.killpg(server.pid, signal.SIGKILL)
                    server.wait(10)


def _wait_until_healthy(server: subprocess.Popen[bytes], port: int, log: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        time.sleep(0.2)
    raise RuntimeError(f"the Streamlit server did not start:\n{log.read_text(errors='replace')[-4000:]}")
