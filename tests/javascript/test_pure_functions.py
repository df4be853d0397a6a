"""The pure functions of the drawing, by Node's own test runner, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.viz.transport import pack

HERE = Path(__file__).resolve().parent
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="no Node here; the browser tests draw with the same files")
def test_pure_functions_of_the_drawing(tmp_path: Path) -> None:
    container = tmp_path / "packed"
    arrays = {
        "steps": np.array([-128, 0, 127], np.int8),
        "values": np.array([0.5, -1.5], np.float32),
        "labels": np.array([0, 65535], np.uint16),
    }
    container.write_bytes(pack({"title": "Ångström"}, arrays))
    done = subprocess.run(
        [str(NODE), "--test", str(HERE / "pure.test.mjs")],
        env={**os.environ, "PACKED": str(container)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "# skipped 0" in done.stdout and "# fail 0" in done.stdout
