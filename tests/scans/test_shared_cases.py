"""Small files as the programs of the field write them, with the right outcome (in the shared material)."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from pathlib import Path

import pytest

from brainlm_core.cli import main

#: Kinds of tables; images and folders are held by their own tests.
KINDS = {
    *("names order", "coordinates order", "table orientation", "TR row index", "numeric header"),
    *("coordinates format", "lost parcel", "table layout", "missing volumes"),
}


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    folder = shared / "cases"
    if not (folder / "run_cases.py").is_file():
        pytest.skip("the shared material holds no cases")
    return folder


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_cases_of_a_kind_are_right(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    spec = importlib.util.spec_from_file_location("run_cases", cases / "run_cases.py")
    assert spec is not None and spec.loader is not None
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    monkeypatch.chdir(cases)
    chosen = [c for c in json.loads((cases / "cases.json").read_text("utf-8")) if c["kind"] == kind]
    assert chosen
    wrong = {}
    for case in chosen:
        out, err = io.StringIO(), io.StringIO()
        folder = tmp_path / case["name"]
        folder.mkdir()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(runner.command(case, [], folder))
        run = runner.Run(case["files"], code, out.getvalue(), err.getvalue(), folder / "x.npz")
        found = runner.judge(case["expect"], run, cases)
        if found is not None:
            wrong[case["name"]] = found
    assert not wrong
