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

import pytest

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
def open_browser() -> Iterator[Any]:
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
        try:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        except Error as error:
            raise NoBrowser(
                "no Chromium was found: set BROWSER_PATH, install chromium, "
                "or run `playwright install chromium`"
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
        address = f"http://127.0.0.1:{port}/_stcore/health"
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the Streamlit server did not start:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Give Playwright's Browser with software WebGL; skips, saying why, where there is none."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(open_browser())
        except NoBrowser as missing:
            pytest.skip(str(missing))
        yield browser


#: JavaScript function that gives the first brain view of a page.
FIND_BRAIN = """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .map((host) => host.shadowRoot?.querySelector(".bv")?.brainView).find(Boolean)"""


def brain(page: Any, expression: str, *, wait_s: float = 30) -> Any:
    """Evaluate JavaScript with ``view`` bound to the page's brain view, once that has drawn.

    Parameters
    ----------
    page : playwright Page
        Any page with a brain view.
    expression : str
        JavaScript expression; its JSON-serialisable value is returned. Promises are awaited.
    wait_s : float
        Longest wait for the first picture, in s.
    """
    page.wait_for_function(f"() => ({FIND_BRAIN})()?.root.dataset.drawn", timeout=wait_s * 1000)
    return page.evaluate(f"async () => {{ const view = ({FIND_BRAIN})(); return {expression}; }}")


def brain_pixels(page: Any) -> dict[str, float]:
    """Say what the canvas of the page's brain view shows.

    Returns
    -------
    dict
        ``covered``: share of pixels that are not background, 0–1. ``colours``: number of
        distinct colours (to 16 levels a channel). ``checksum``: changes with any pixel.
    """
    return brain(
        page,
        """(() => {
            view.drawNow();  // the drawing buffer is only readable in the task that drew it
            const copy = document.createElement("canvas");
            copy.width = view.canvas.width; copy.height = view.canvas.height;
            const context = copy.getContext("2d");
            context.drawImage(view.canvas, 0, 0);
            const { data } = context.getImageData(0, 0, copy.width, copy.height);
            const colours = new Set();
            let covered = 0, checksum = 0;
            for (let i = 0; i < data.length; i += 4) {
                checksum = (checksum * 31 + data[i] + 3 * data[i + 1] + 7 * data[i + 2]) % 2147483647;
                if (data[i + 3] < 200) continue;
                covered += 1;
                colours.add(((data[i] >> 4) << 8) | ((data[i + 1] >> 4) << 4) | (data[i + 2] >> 4));
            }
            return { covered: covered / (data.length / 4), colours: colours.size, checksum };
        })()""",
    )
