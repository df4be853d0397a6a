"""What the documentation takes from the program itself, so that it cannot fall behind."""

from __future__ import annotations

import argparse
import html
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
#: Shared with the dashboard, by their place in the documentation.
BORROWED = {
    "img/logo.svg": "app/static/icon.svg",
    "fonts/inter.woff2": "app/static/inter.woff2",
    "fonts/inter-LICENSE.txt": "app/static/inter-LICENSE.txt",
}
#: A Sphinx role in rendered Markdown.
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code>~?([\w.]+)</code>")


def on_config(config: Any) -> Any:
    """List a page that the navigation does not name under About, so that none is lost."""
    named = set(_paths(config.nav))
    pages = sorted(p.relative_to(config.docs_dir).as_posix() for p in Path(config.docs_dir).rglob("*.md"))
    about = next(entry["About"] for entry in config.nav if "About" in entry)
    about.extend(page for page in pages if page not in named)
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Bring the dashboard's logo and typeface along."""
    for there, here in BORROWED.items():
        files.append(File.generated(config, there, abs_src_path=str(ROOT / here)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what is generated."""
    from brainlm_core.base.licences import as_markdown

    made = {
        "<!-- commands -->": commands,
        "<!-- bundled files -->": bundled_files,
        "<!-- licences -->": as_markdown,
        "<!-- environment -->": environment,
        "<!-- limits -->": limits,
    }
    for mark, make in made.items():
        if mark in markdown:
            markdown = markdown.replace(mark, make())
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Turn the roles that docstrings use (``:func:`name```) into links where the name has a place here."""
    return ROLE.sub(r"<autoref optional identifier=\1><code>\1</code></autoref>", content)


def commands() -> str:
    """Return every command with its arguments, from the parser itself."""
    from brainlm_core.cli import build_parser

    parts = []
    for name, parser in _subparsers(build_parser()).items():
        parts.append(f"## `brainlm {name}`\n\n{parser.description}\n")
        rows = [_row(action) for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        parts.append("| argument | what it is |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def bundled_files() -> str:
    """Return the manifest of the bundled files as a table."""
    entries = json.loads((ROOT / "assets" / "MANIFEST.json").read_text("utf-8"))
    rows = [f"| `{e['file']}` | {_cell(e['source'])} | {_cell(e['licence'])} |" for e in entries]
    return "| file | source | licence |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def environment() -> str:
    """Return the table of environment variables."""
    from brainlm_core.base.environment import VARIABLES

    rows = [f"| `{v.name}` | {v.default} | {v.words} |" for v in VARIABLES]
    return "| variable | where it is not set | what it changes |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def limits() -> str:
    """Return what is refused, with the numbers that the program goes by."""
    from app.shell import upload_limits
    from brainlm_core.model import MAX_PARAMETERS
    from brainlm_core.scans import arrow_budgets, containers
    from brainlm_core.scans import limits as scan
    from brainlm_core.scans.isolation import read as child

    of_bytes = (
        f"{scan.FREE_BYTES >> 20} MB, and {scan.UNPACKED_PER_BYTE} bytes for each byte of the file: "
        "signals shrink to a half or a tenth, never to a hundredth"
    )
    memory = (
        f"{child.BASE_BYTES >> 20} MB and {child.BYTES_PER_BYTE} bytes for each byte of the file, "
        f"{child.MOST_BYTES >> 30} GB at most"
    )
    seconds = f"{child.BASE_SECONDS:g} s and {child.SECONDS_PER_MB:g} s for each MB of the file"
    rows = [
        ("Values of one array", f"{scan.MAX_VALUES:,}: more than the longest recording of 424 parcels"),
        ("What a file may unpack to", of_bytes),
        ("Length of a recording", f"{scan.MIN_TIMEPOINTS} to {scan.MAX_TIMEPOINTS:,} volumes"),
        ("Arrays in an `.npz`", f"{scan.MAX_MEMBERS:,}"),
        ("Files in a ZIP of volumes", f"{containers.MAX_MEMBERS:,}"),
        (
            "Columns and blocks of Parquet and Arrow",
            f"{arrow_budgets.MAX_COLUMNS:,} and {arrow_budgets.MAX_BLOCKS:,}",
        ),
        ("Memory of the process that reads a file", memory),
        ("Processor time of that process", seconds),
        ("Numbers of a model", f"{MAX_PARAMETERS:,}, counted before it is built"),
        ("Files that a visitor may have uploaded at one time", f"{upload_limits.DEFAULT_SESSION_FILES}"),
    ]
    lines = [f"| {what} | {bound} |" for what, bound in rows]
    return "| what | at most |\n|---|---|\n" + "\n".join(lines) + "\n"


def _paths(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [path for entry in (nav.values() if isinstance(nav, dict) else nav) for path in _paths(entry)]


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next(dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def _row(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else _value(action)
    name = ", ".join(action.option_strings) or value
    shown = f"{name} {value}" if action.option_strings and value else name
    must = "" if not action.option_strings or not action.required else "Required. "
    words = action.help % vars(action) if action.help else ""
    return f"| <code>{_cell(shown)}</code> | {must}{_cell(words)} |"


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _cell(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "&#124;").replace("*", "&#42;")
