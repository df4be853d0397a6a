"""The documentation is whole: it builds without a warning, and repeats no table by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from brainlm_core.licences import as_markdown

#: What a browser loads by itself, from another address.
FETCHED = r'<(?:script|img|iframe|link rel="stylesheet")[^>]+(?:src|href)="(?:https?:)?//[^"]+'


@pytest.mark.slow
def test_site_builds_strictly_and_fetches_nothing(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(
            r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?:)?//', page.read_text("utf-8")
        )
        assert not fetched, page
    api = (tmp_path / "site" / "api" / "reports" / "index.html").read_text("utf-8")
    assert "brainlm_core.report.contents.gather" in api


def test_licences_are_the_one_table(root: Path) -> None:
    for name in ("README.md", "docs/licences.md"):
        assert as_markdown() in (root / name).read_text("utf-8"), name


def test_container_runs_as_nobody_in_particular_and_only_the_proxy_is_reachable(root: Path) -> None:
    import yaml

    compose = yaml.safe_load((root / "deploy" / "compose.yaml").read_text("utf-8"))
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["proxy"]
    lines = (root / "deploy" / "Dockerfile").read_text("utf-8").splitlines()
    assert "USER brainlm" in lines and any(line.startswith("HEALTHCHECK") for line in lines)
    assert (root / "deploy" / "secrets.example.toml").is_file()
    assert "deploy/secrets.toml" in (root / ".gitignore").read_text("utf-8").splitlines()
