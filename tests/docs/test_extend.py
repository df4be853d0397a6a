"""The examples of ``docs/extend.md`` are carried out, word for word, in a copy of the source."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_BLOCK = re.compile(
    r"^```python title=\"(?P<file>[^\"]+)\"(?: (?P<where>above|below)='(?P<line>[^\n]*)')?\n"
    r"(?P<code>.*?)^```$",
    re.M | re.S,
)
_CHECKS = """
import contextlib, io, json, sys, pathlib
import numpy as np, torch
here = pathlib.Path(sys.argv[1])
from brainlm_core.features.shared.baselines import baseline_forecasts
from brainlm_core.base.methods import methods_of
seen = np.random.default_rng(0).normal(size=(1, 6, 40)).astype(np.float32)
out = baseline_forecasts(seen, 3)
assert "half_way" in methods_of("forecast", "baseline")
assert np.allclose(out["half_way"], (out["mean"] + out["last_value"]) / 2)

from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.scans import read_scan
table = np.random.default_rng(1).normal(size=(60, 424))
lines = "\\n".join(" ".join(f"{v:.3f}" for v in row) for row in table)
for name in ("a", "b"):
    (here / "scans").mkdir(exist_ok=True)
    (here / "scans" / f"{name}.roi").write_text(f"#ROI tr=1.5\\n{lines}")
recording = read_scan(here / "scans" / "a.roi")
assert recording.tr_s == 1.5 and recording.signals.shape == (424, 60)
assert {s.recording_id for s in find_scans(here / "scans", ImportOptions()).scans} == {"a", "b"}

from brainlm_core.model import build
model = build({"family": "neighbours", "width_mm": 30.0}).eval()
signal, xyz = torch.randn(2, 8, 20), torch.randn(8, 3) * 20
hidden = torch.zeros(2, 8, 20, dtype=torch.bool); hidden[:, 0] = True
with torch.inference_mode():
    filled = model.reconstruct(signal, xyz, hidden).predicted
    again = model.reconstruct(signal.masked_fill(hidden, 9.0), xyz, hidden).predicted
    assert torch.equal(filled, again) and model.encode(signal, xyz).tokens.shape == (2, 8, 2)
    assert torch.allclose(model.attention(signal, xyz).maps.sum(-1), torch.ones(2, 1, 1, 8))

from brainlm_core.cli import main
said = io.StringIO()
with contextlib.redirect_stdout(said):
    code = main(["smoothness", "demo:simulated-1", "-o", str(here / "out"), "--json"])
facts = json.loads(said.getvalue())
assert code == 0 and 0 < facts["mean_lag1"] < 1, said.getvalue()
assert sorted(p.name for p in (here / "out").iterdir()) == ["smoothness.csv", "smoothness.json"]

from streamlit.testing.v1 import AppTest
page = AppTest.from_file("app/main.py", default_timeout=120)
page.run()
page.switch_page("../pages/smoothness.py")
page.run()
assert not page.exception, [e.value for e in page.exception]
assert any("Neighbouring volumes correlate" in h.proto.body for h in page.get("html"))
import app, brainlm_core
print(json.dumps([app.__file__, brainlm_core.__file__]))
"""


@pytest.mark.slow
def test_the_examples_work_as_they_stand(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "source"
    for folder in ("app", "brainlm_core", "pages", ".streamlit"):
        shutil.copytree(root / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "assets").symlink_to(root / "assets")
    blocks = list(_BLOCK.finditer((root / "docs" / "extend.md").read_text(encoding="utf-8")))
    assert len(blocks) == 15
    for block in blocks:
        path, code = copy / block["file"], block["code"]
        if block["where"] is None:
            assert not path.exists()
            path.parent.mkdir(exist_ok=True)
            path.write_text(code, encoding="utf-8")
            continue
        line = block["line"].replace("\\n", "\n")
        text = path.read_text(encoding="utf-8")
        assert text.count(f"\n{line}\n") == 1, f"{block['file']} has not one line {line!r}"
        beside = f"{code}{line}" if block["where"] == "above" else f"{line}\n{code.rstrip()}"
        path.write_text(text.replace(f"\n{line}\n", f"\n{beside}\n"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _CHECKS, str(tmp_path)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    used = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(file).is_relative_to(copy) for file in used)
