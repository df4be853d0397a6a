"""What ships beside the code says the same as the code."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path

from brainlm_core.base.licences import as_markdown
from brainlm_core.cli import build_parser


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


def test_container_file_names_what_is_there(root: Path) -> None:
    """What can be held without Docker: paths, the command, ports, the user, one version of torch."""
    text = (root / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    instructions = [line.split(maxsplit=1) for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    ignored = (root / ".dockerignore").read_text("utf-8").splitlines()
    copied = [rest.split()[:-1] for word, rest in instructions if word == "COPY" and "--from" not in rest]
    assert copied
    for source in (name for names in copied for name in names):
        assert (root / source).exists(), source
        assert not any(fnmatch.fnmatch(source, pattern) for pattern in ignored), source
    for name in ("brainlm_core", "app", "pages", "assets", "pyproject.toml", "README.md", "LICENSE"):
        assert (root / name).exists() and name not in ignored, "the wheel is built from it"
    last = dict(instructions)
    command = json.loads(last["CMD"])
    assert command[0] == "brainlm"
    args = build_parser("app").parse_args(command[1:])
    assert (args.host, str(args.port)) == ("0.0.0.0", last["EXPOSE"])
    # That this address answers is held by the tests that start a server.
    assert f"http://127.0.0.1:{args.port}/_stcore/health" in last["HEALTHCHECK"]
    users = [i for i, (word, _) in enumerate(instructions) if word == "USER"]
    assert instructions[users[-1]][1] not in ("root", "0")
    assert not any(word == "RUN" for word, _ in instructions[users[-1] :])
    pinned = re.search(r"^torch==(\S+)$", (root / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned and f"torch=={pinned[1]} " in text


def test_compose_file_names_what_is_there(root: Path) -> None:
    import yaml

    compose = yaml.safe_load((root / "deploy" / "compose.yaml").read_text("utf-8"))
    dashboard, proxy = compose["services"]["dashboard"], compose["services"]["proxy"]
    context = (root / "deploy" / dashboard["build"]["context"]).resolve()
    assert context == root.resolve() and (context / dashboard["build"]["dockerfile"]).is_file()
    for volume in (*dashboard["volumes"], *proxy["volumes"]):
        source = volume.split(":")[0]
        if source.startswith("./"):
            made = source == "./secrets.toml"  # by whoever installs it, from the example
            assert made or (root / "deploy" / source).is_file(), source
        else:
            assert source in compose["volumes"]
    port = dashboard["expose"][0]
    assert f"reverse_proxy dashboard:{port}" in (root / "deploy" / "Caddyfile").read_text("utf-8")


def test_the_proxy_says_nothing_else_than_the_server(root: Path) -> None:
    """Headers in the proxy file replace the server's: each must be one that the server sends as well."""
    from app.shell.headers import safe_headers

    sent = {k.decode(): v.decode() for k, v in safe_headers([], policy="default-src 'self'", https=True)}
    text = (root / "deploy" / "Caddyfile").read_text("utf-8")
    said = re.findall(r'^\s*header ([\w-]+) "([^"]+)"$', text, re.MULTILINE)
    assert said and "header {" not in text
    assert all(sent[name.lower()] == value for name, value in said)


def test_streamlit_is_bounded_from_above(root: Path) -> None:
    """Private parts of it are used; another version is let in once their tests pass with it."""
    text = (root / "pyproject.toml").read_text("utf-8")
    assert re.search(r'"streamlit>=1\.67,<1\.68"', text)
