"""README and documentation promise nothing that is not there: commands, files, links, pictures, pages."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from app.shell.navigation import PAGES, PageEntry
from brainlm_core.cli import build_parser
from brainlm_core.command_line import COMMANDS
from tests.browser_tools import ROOT

TEXTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "assets/weights/default/MODEL_CARD.md"]
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
#: First parts of paths that belong to this repository.
PLACES = (
    "app/",
    "assets/",
    "benchmarks/",
    "brainlm_core/",
    "configs/",
    "docs/",
    "pages/",
    "tests/",
    "tools/",
)
#: What a run makes, named in the documentation and not part of the repository.
MADE = ("runs/", "site/")


def _ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(text: str, *languages: str) -> Iterator[str]:
    for _, language, block in FENCE.findall(text):
        if language in languages:
            yield block


def _lines(text: str) -> Iterator[list[str]]:
    """Give each command of the fenced blocks, split into words."""
    for block in _blocks(text, "", "sh", "bash", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True) if line.strip() else []
            if words:
                yield words


def _parse(words: list[str]) -> None:
    """Parse a command line as the program would; nothing is run."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            build_parser(words[0]).parse_args(words)
    except SystemExit as ended:
        raise AssertionError(f"brainlm {' '.join(words)}: {said.getvalue().strip()}") from ended


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", TEXTS, ids=_ids)
def test_every_command_in_a_block_exists(path: Path) -> None:
    for words in _lines(path.read_text("utf-8")):
        match words:
            case ["brainlm", *rest]:
                _parse(rest)
            case ["python", script, *_] if script.endswith(".py"):
                assert (ROOT / script).is_file(), f"{script} is not there"
            case ["make", target, *_]:
                assert target in _targets(), f"make {target} does nothing"


@pytest.mark.parametrize("path", TEXTS, ids=_ids)
def test_every_command_and_path_in_a_sentence_exists(path: Path) -> None:
    text = FENCE.sub("", path.read_text("utf-8"))
    for code in CODE.findall(text):
        words = code.split()
        if words[0] == "brainlm" and len(words) > 1 and words[1][0] != "…":
            assert words[1] in COMMANDS, f"`{code}`: there is no such command"
            known = _options(words[1])
            unknown = {w for w in words[2:] if w.startswith("--")} - known
            assert not unknown, f"`{code}`: no option {unknown}"
        elif words[0] == "make" and len(words) > 1:
            assert words[1] in _targets(), f"`{code}` does nothing"
        elif len(words) == 1 and code.startswith(PLACES) and not set("*{<…") & set(code):
            assert (ROOT / code).exists(), f"`{code}` is not there"


def _options(command: str) -> set[str]:
    import argparse

    parser = build_parser(command)
    (subs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {option for action in subs.choices[command]._actions for option in action.option_strings}


@pytest.mark.parametrize("path", TEXTS, ids=_ids)
def test_every_link_and_picture_resolves(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", path.read_text("utf-8"))):
        address = urlsplit(target)
        if address.scheme or not address.path:
            continue
        assert (path.parent / unquote(address.path)).exists(), f"{target} leads nowhere"


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in COMMANDS if f"brainlm {name}" not in text]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_every_page_has_a_how_to_with_its_picture_in_both_themes(page: PageEntry) -> None:
    text = (ROOT / "docs" / "how-to" / f"{page.url}.md").read_text("utf-8")
    for theme in ("light", "dark"):
        assert f"../img/{page.url}-{theme}.webp#only-{theme}" in text


def test_every_picture_has_words() -> None:
    for path in TEXTS:
        assert not re.findall(r"!\[\s*\]\(", path.read_text("utf-8")), f"{path.name}: a picture without words"


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from brainlm_core.scans.demo import demo_recordings

    demo_recordings()[0].save(tmp_path / "rec.npz")
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    for path in TEXTS:
        for block in _blocks(path.read_text("utf-8"), "python"):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block, _ids(path), "exec"), {"__name__": "example"})
            said.append(out.getvalue())
    assert len(said) >= 2 and all(said)
    assert (tmp_path / "filled").is_dir()


class _Addresses(HTMLParser):
    """Collect what a page loads, where it links to, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if given.get("src"):
            self.loads.append(str(given["src"]))
        if given.get("href"):
            (self.loads if tag == "link" and given.get("rel") != "canonical" else self.links).append(
                str(given["href"])
            )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built documentation; the build fails on any warning."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_the_site_is_whole_and_fetches_nothing(site: Path) -> None:
    pages: dict[Path, _Addresses] = {}
    for path in site.rglob("*.html"):
        pages[path] = _Addresses()
        pages[path].feed(path.read_text("utf-8"))
    assert len(pages) > 15
    for path, found in pages.items():
        for address in [*found.loads, *found.links]:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https"):
                assert address in found.links, f"{path.name} fetches {address}"
            elif parts.path and path.name != "404.html":
                there = (path.parent / unquote(parts.path)).resolve()
                assert there.exists(), f"{path.name}: {address} leads nowhere"
                if parts.fragment and there in pages:
                    assert unquote(parts.fragment) in pages[there].anchors, f"{path.name}: {address}"


@pytest.mark.slow
def test_the_site_holds_commands_files_and_functions(site: Path) -> None:
    commands = (site / "command-line.html").read_text("utf-8")
    assert all(f'id="brainlm-{name}"' in commands for name in COMMANDS)
    assert "a424_parcels.csv" in (site / "licences.html").read_text("utf-8")
    assert "Distance to the bars" in (site / "model-card.html").read_text("utf-8")
    analyses = (site / "reference" / "analyses.html").read_text("utf-8")
    assert 'id="brainlm_core.features.networks.analysis.analyse"' in analyses
    rest = re.findall(r":(?:class|func|meth|mod|data):", analyses)
    assert not rest, "a role of another documentation system is shown as it is"
