"""What ships beside the code says the same as the code."""

from __future__ import annotations

from pathlib import Path

from brainlm_core.licences import as_markdown


def test_licences_are_the_one_table(root: Path) -> None:
    assert as_markdown() in (root / "README.md").read_text("utf-8")


def test_container_runs_as_nobody_in_particular_and_only_the_proxy_is_reachable(root: Path) -> None:
    import yaml

    compose = yaml.safe_load((root / "deploy" / "compose.yaml").read_text("utf-8"))
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["proxy"]
    lines = (root / "deploy" / "Dockerfile").read_text("utf-8").splitlines()
    assert "USER brainlm" in lines and any(line.startswith("HEALTHCHECK") for line in lines)
    assert (root / "deploy" / "secrets.example.toml").is_file()
    assert "deploy/secrets.toml" in (root / ".gitignore").read_text("utf-8").splitlines()
