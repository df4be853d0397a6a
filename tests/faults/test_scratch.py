"""Temporary files go with their process, also when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from brainlm_core.base import scratch as scratch_module
from brainlm_core.base.scratch import scratch, sweep
from tests.browser_tools import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="file locks are those of POSIX")

HOLD = """
import time
from brainlm_core.base.scratch import scratch
with scratch() as folder:
    (folder / "scan.nii.gz").write_bytes(b"somebody's scan")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files that only this test uses."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch_module, "_HOME", None)
    return tmp_path


def hold(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert (folder / "scan.nii.gz").is_file()
    return process, folder


def test_what_a_killed_process_left_is_removed_and_nobody_elses(temporary: Path) -> None:
    dead, left = hold(temporary)
    alive, kept = hold(temporary)
    try:
        dead.send_signal(signal.SIGKILL)
        dead.wait(30)
        assert (left / "scan.nii.gz").is_file()  # nobody cleans up after kill -9
        with scratch() as own:
            assert sweep() == 1
            assert not left.exists()
            assert (kept / "scan.nii.gz").is_file()
            assert own.is_dir()
        assert not own.exists()
    finally:
        alive.terminate()
        alive.wait(30)
        for process in (dead, alive):
            assert process.stdout is not None
            process.stdout.close()


def test_only_this_user_can_look_into_it(temporary: Path) -> None:
    with scratch() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.parent.stat().st_mode & 0o077 == 0


def test_a_link_planted_there_is_not_followed(temporary: Path) -> None:
    precious = temporary / "precious"
    precious.mkdir()
    (precious / "lock").write_text("")
    (temporary / "brainlm-scratch-planted").symlink_to(precious)
    assert sweep() == 0
    assert precious.is_dir()


def test_it_comes_back_when_somebody_tidies_up(temporary: Path) -> None:
    with scratch() as folder:
        home = folder.parent
    import shutil

    shutil.rmtree(home)
    with scratch() as folder:
        assert folder.is_dir()
