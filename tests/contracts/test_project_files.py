"""The files by which strangers and their programs find their way say what is true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import brainlm_core

ROOT = Path(__file__).resolve().parents[2]


def test_the_citation_names_this_version_and_licence() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert said["version"] == brainlm_core.__version__
    assert said["license"] == project["license"] and said["abstract"] == project["description"]


def test_the_hosted_run_is_the_one_that_holds_here() -> None:
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_hooks_are_the_linters_of_make() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0][
        "hooks"
    ]
    called = {hook["entry"].split()[0].split("/")[-1] for hook in hooks}
    made = re.search(r"^lint:.*?\n\n", (ROOT / "Makefile").read_text(encoding="utf-8"), re.S | re.M)
    assert made is not None and called == set(re.findall(r"\$\(VENV\)/bin/([a-z-]+)", made.group()))


def test_every_pinned_requirement_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(lines: list[str]) -> set[str]:
        found = (re.match(r"[A-Za-z0-9_-]+", line) for line in lines)
        return {m.group().lower() for m in found if m is not None}

    def file(name: str) -> list[str]:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith(("#", "-r"))]

    assert names(file("requirements.txt")) == names(project["dependencies"])
    assert names(file("requirements-dev.txt")) == names(project["optional-dependencies"]["dev"])
