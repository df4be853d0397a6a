"""A slice of the search, and every input that once broke a promise."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import CASE_FOLDER, BrokenPromise, Target, all_targets

FOUND = sorted((Path(__file__).parent / "found").iterdir())
TARGETS = all_targets()


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.name)
def test_what_was_found_stays_mended(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BRAINLM_OFFLINE", "1")
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path / "cache"))
    name, _, option = file.name.removesuffix(".gz").rsplit("-", 2)
    target = TARGETS[name]
    folder = tmp_path / CASE_FOLDER
    folder.mkdir()
    path = folder / target.file_name
    path.write_bytes(gzip.decompress(file.read_bytes()))
    target.hold(path, int(option))
    assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR", "CRITICAL")]


def test_a_slice_of_the_search_finds_nothing(root: Path, tmp_path: Path) -> None:
    found = search(root, "--cases", "300", "--workers", "1", "--keep", str(tmp_path))
    assert found["findings"] == []
    assert found["cases"] == 300 and set(found["targets"]) == set(TARGETS)
    assert found["peak_mb"] < 2048


def search(root: Path, *arguments: str) -> dict:  # type: ignore[type-arg]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--json", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    loaded: dict = json.loads(done.stdout.splitlines()[-1])  # type: ignore[type-arg]
    return loaded


def test_every_target_reads_its_healthy_inputs() -> None:
    for target in TARGETS.values():
        assert target.parts(), target.name


@pytest.mark.parametrize(
    ("what", "fix"),
    [("a\nb", "c"), ("a\x1b[31m", "c"), ("a", ""), ("a" * 900, "c"), ("fuzz-case/x", "c")],
)
def test_a_refusal_that_is_no_sentence_is_noticed(tmp_path: Path, what: str, fix: str) -> None:
    from brainlm_core.base.errors import BrainLMError

    class Careless(BrainLMError):
        def __init__(self) -> None:
            Exception.__init__(self, f"{what}; {fix}")
            self.what, self.fix = what, fix

    def run(_path: Path, _option: int) -> None:
        raise Careless

    with pytest.raises(BrokenPromise):
        Target("careless", "x", tuple, run).hold(tmp_path / "x", 0)


def test_errors_are_one_printable_line() -> None:
    from brainlm_core.base.errors import BrainLMError

    error = BrainLMError("a\nb\x1b[31m\ud800" + "x" * 5000, "do")
    assert str(error).isprintable() and len(str(error)) < 500
    str(error).encode()


def test_hangs_deaths_and_hunger_are_noticed(tmp_path: Path) -> None:
    """Hold the watcher itself: a reader that sleeps, dies, eats or raises is reported as such."""
    from tests.fuzz.__main__ import fuzz

    found = fuzz(["fails", "eats", "dies", "sleeps"], 4, 0, 1, tmp_path, 5.0, 250 << 20)
    kinds = {f["what"].split(":")[0] for f in found["findings"]}
    assert kinds == {"hang", "killed", "memory", "ZeroDivisionError"}
    assert found["cases"] == 4
    assert all(Path(f["file"]).is_file() for f in found["findings"])


def test_a_search_that_was_stopped_goes_on_where_it_stood(root: Path, tmp_path: Path) -> None:
    """Nothing is read twice, and the figures are of both runs."""
    work = (
        "--target",
        "message",
        "--target",
        "link",
        "--work",
        str(tmp_path / "work"),
        "--keep",
        str(tmp_path),
    )
    search(root, *work, "--cases", "20")
    log = tmp_path / "work" / "link.log"
    log.write_text(log.read_text("ascii") + "00112233aabbccdd", "ascii")  # killed on its eleventh input
    found = search(root, *work, "--cases", "60")
    lines = log.read_text("ascii").splitlines()
    assert found["cases"] == 60 and len(lines) == len({line.split()[0] for line in lines}) == 30
    assert lines[10] == "00112233aabbccdd" and all(len(line.split()) == 4 for line in lines[:10] + lines[11:])
    assert found["targets"]["link"]["accepted"] == sum(line.split()[1:2] == ["1"] for line in lines)
