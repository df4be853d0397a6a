"""A disk that fills up: one sentence, nothing that was there is lost, and the same command goes on."""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser_tools import ROOT
from tests.faults.small_disk import CASES, NO_DISK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="small disks are made with Linux's tmpfs")
#: Bytes of the disk.
SIZE = 12 << 20


@functools.cache
def can_mount() -> bool:
    """Whether this user may make a disk of its own, in a namespace that nobody else sees."""
    probe = "mount -t tmpfs -o size=64k none /mnt"
    return subprocess.run(["unshare", "-rm", "sh", "-c", probe], capture_output=True).returncode == 0


def on_a_small_disk(case: str, folder: Path) -> dict[str, Any]:
    disk, aside = folder / "disk", folder / "aside"
    disk.mkdir()
    aside.mkdir()
    command = [sys.executable, "-m", "tests.faults.small_disk", str(disk), str(aside), case]
    if can_mount():
        mount = f"mount -t tmpfs -o size={SIZE} none {shlex.quote(str(disk))} && exec {shlex.join(command)}"
        command = ["unshare", "-rm", "sh", "-c", mount]
    else:
        command.append(NO_DISK)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.parametrize("case", sorted(CASES))
def test_full_disk_is_a_sentence_and_nothing_is_lost(case: str, tmp_path: Path) -> None:
    answer = on_a_small_disk(case, tmp_path)
    words = "disk" if can_mount() or case == "training" else "cannot be"
    for sentence in answer["said"]:
        assert words in sentence and "; " in sentence, sentence
    assert answer["kept"]
    assert not any(answer.get("again", [])), answer
