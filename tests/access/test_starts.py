"""A server that must not start does not, in one sentence and with exit code 2, and a safe one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.access.secrets_files import BROKEN, good
from tests.browser_tools import ROOT, free_port

pytestmark = pytest.mark.slow
Start = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Return a function that starts the server and says how that ended."""
    helper = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "access" / "start_stop.py")],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert helper.stdin is not None and helper.stdout is not None

    def started(*options: str, env: dict[str, str] | None = None, wait_s: float = 20) -> dict[str, Any]:
        port = free_port()
        argv = ["run", str(ROOT / "app" / "main.py"), f"--server.port={port}", "--server.headless=true"]
        argv += options
        assert helper.stdin is not None and helper.stdout is not None
        helper.stdin.write(json.dumps({"argv": argv, "env": env or {}, "wait_s": wait_s}) + "\n")
        helper.stdin.flush()
        answer: dict[str, Any] = json.loads(helper.stdout.readline())
        if answer["code"] is not None:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)), "nothing listens any more"
        return answer

    yield started
    helper.stdin.close()
    helper.wait(30)
    helper.stdout.close()


def is_refusal(answer: dict[str, Any], words: str) -> None:
    lines = [line for line in answer["said"].splitlines() if line.strip()]
    assert answer["code"] == 2, answer
    assert lines[-1].startswith("error: ") and words in lines[-1], answer
    assert "Traceback" not in answer["said"] and len(lines) == 1, answer


@pytest.mark.parametrize("name", BROKEN)
def test_a_secrets_file_without_a_usable_login_stops_the_start(
    start: Start, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "secrets.toml"
    BROKEN[name](place, good())
    is_refusal(start(f"--secrets.files={place}"), "secrets.toml")


def test_the_usual_places_are_looked_at(start: Start, tmp_path: Path) -> None:
    place = tmp_path / ".streamlit" / "secrets.toml"
    place.parent.mkdir()
    place.write_text("")
    is_refusal(start(env={"HOME": str(tmp_path)}), ".streamlit/secrets.toml")
    is_refusal(start(env={"STREAMLIT_SECRETS_FILES": str(place)}), ".streamlit/secrets.toml")


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--server.address=0.0.0.0"], {}),
        (["--server.address=::"], {}),
        ([], {"STREAMLIT_SERVER_ADDRESS": "0.0.0.0"}),
        (["--server.address="], {}),
        (["--server.address=0.0.0.0"], {"BRAINLM_OPEN_TO_EVERYONE": "0"}),
    ],
)
def test_other_machines_need_a_login_or_a_flag(start: Start, options: list[str], env: dict[str, str]) -> None:
    is_refusal(start(*options, env=env), "--open-to-everyone")


def test_the_flag_does_not_overrule_a_broken_login(start: Start, tmp_path: Path) -> None:
    place = tmp_path / "secrets.toml"
    place.write_text("[Auth]\n")
    answer = start(
        f"--secrets.files={place}", "--server.address=0.0.0.0", env={"BRAINLM_OPEN_TO_EVERYONE": "1"}
    )
    is_refusal(answer, "[Auth]")


def test_headers_that_say_who_somebody_is_contradict_a_login(start: Start, tmp_path: Path) -> None:
    place = tmp_path / "secrets.toml"
    place.write_text(good())
    answer = start(f"--secrets.files={place}", '--server.trustedUserHeaders={"X-User": "email"}')
    is_refusal(answer, "trustedUserHeaders")


def test_brainlm_app_says_the_same(tmp_path: Path) -> None:
    """From a folder with a broken file in it: the server starts elsewhere and still looks there."""
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text("[Auth]\n")
    command = [sys.executable, "-m", "brainlm_core", "app", "--no-browser", "--port", str(free_port())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("error: [Auth] is no known section"), done


def test_a_good_file_and_an_open_flag_start(start: Start, tmp_path: Path) -> None:
    """The other side: what is certain is not refused (the helper ends it once it has served for a while)."""
    place = tmp_path / "secrets.toml"
    place.write_text(good())
    answer = start(f"--secrets.files={place}", "--server.address=0.0.0.0", wait_s=6)
    assert answer["code"] is None and "after a login" in answer["said"], answer
