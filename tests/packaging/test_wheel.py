"""The wheel by itself: one name, with pages, drawing, settings and weights inside, and it runs anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.shell.navigation import PAGES
from tests.browser_tools import free_port

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that the wheel of this checkout was installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", str(root), "--no-deps", "--no-build-isolation", "-w", str(folder)]
    for command in (build, [*pip, "install", "--no-deps", "--target", str(folder / "site")]):
        wheels = [str(path) for path in folder.glob("*.whl")]
        done = subprocess.run([*command, *wheels], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder / "site"


def environment(site: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def run(site: Path, cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment(site),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def server(installed: Path, tmp_path: Path) -> Iterator[str]:
    """Address of `brainlm app`, started in a folder whose files bear our names."""
    for name in ("app.py", "brainlm_core.py", "pages/__init__.py", "app/__init__.py", "streamlit.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit('a file of the user was imported')\n")
    port = free_port()
    command = [sys.executable, str(installed / "bin" / "brainlm")]
    command += ["app", "--port", str(port), "--no-browser"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(installed), stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(OSError):
                    if fetch(f"http://127.0.0.1:{port}/_stcore/health")[0] == 200:
                        break
                time.sleep(0.3)
            else:
                pytest.fail((tmp_path / "log").read_text(errors="replace")[-3000:])
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(20)


def fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_the_wheel_has_one_importable_name(installed: Path) -> None:
    found = {p.name for p in installed.iterdir() if not p.name.endswith(".dist-info")}
    assert found == {"brainlm_core", "bin"}


def test_dashboard_answers_with_the_house_settings(server: str, root: Path) -> None:
    assert fetch(f"{server}/_stcore/health")[0] == 200
    status, font = fetch(f"{server}/app/static/inter.woff2")
    assert status == 200, "static serving is one of the settings that must travel in the wheel"
    assert font == (root / "app" / "static" / "inter.woff2").read_bytes()


def test_every_page_runs_from_the_installed_files(installed: Path, tmp_path: Path) -> None:
    code = (
        "import brainlm_core, json, sys\n"
        "from pathlib import Path\n"
        "from streamlit.testing.v1 import AppTest\n"
        "site = Path(sys.argv[1])\n"
        "from brainlm_core.commands.app import entry_script\n"
        "t = AppTest.from_file(str(entry_script()), default_timeout=120)\n"
        "t.run()\n"
        "import app\n"
        "assert all(Path(m.__file__).is_relative_to(site / 'brainlm_core') for m in (app, brainlm_core))\n"
        "bad = [e.value for e in t.exception]\n"
        "for page in sys.argv[2:]:\n"
        "    t.switch_page(f'../pages/{page}')\n"
        "    t.run()\n"
        "    bad += [f'{page}: {e.value}' for e in t.exception]\n"
        "for job in list(t.session_state['visitor'].jobs.values()):\n"
        "    job.cancel(); job.wait(120)\n"
        "print(json.dumps(bad))\n"
    )
    files = [entry.file for entry in PAGES[1:]]
    assert json.loads(run(installed, tmp_path, "-c", code, str(installed), *files).splitlines()[-1]) == []


def test_commands_find_weights_and_drawing(installed: Path, tmp_path: Path) -> None:
    facts = json.loads(run(installed, tmp_path, "-m", "brainlm_core", "info", "--json"))
    assert facts["models"][0]["name"] == "default" and facts["models"][0]["ready"]
    code = (
        "from brainlm_core.report.script import page_script\n"
        "from brainlm_core.report.page import _style\n"
        "from brainlm_core.viz.transport import surface_bytes\n"
        "print(len(page_script()), len(_style()), len(surface_bytes()))"
    )
    sizes = [int(n) for n in run(installed, tmp_path, "-c", code).split()]
    assert sizes[0] > 50_000 and sizes[1] > 10_000 and sizes[2] > 500_000
