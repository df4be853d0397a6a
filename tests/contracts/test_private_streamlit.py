"""What Streamlit does not promise is used in ``app/shell/streamlit_patches/`` alone, with a test there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = ROOT / "app" / "shell" / "streamlit_patches"
#: Documented modules; everything else below ``streamlit`` may change with any version.
PUBLIC = {"streamlit", "streamlit.testing.v1"}
#: ``st.App`` is documented; its import path is not yet the short one.
DOCUMENTED = {("app/main.py", "streamlit.starlette")}


def private_uses(text: str) -> set[str]:
    """Return modules of Streamlit's that are not public, and private attributes of ``st``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "streamlit":
            found |= {str(node.module)} - PUBLIC
        elif isinstance(node, ast.Import):
            found |= {n.name for n in node.names if n.name.split(".")[0] == "streamlit"} - PUBLIC
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("st.runtime", "st._")):
            found.add(f"st.{node.attr}")
    return found


def test_private_parts_of_streamlit_are_used_in_one_folder() -> None:
    found = set()
    for folder in ("app", "pages", "brainlm_core", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.parent != PATCHES:
                name = path.relative_to(ROOT).as_posix()
                found |= {(name, use) for use in private_uses(path.read_text(encoding="utf-8"))}
    assert found == DOCUMENTED


@pytest.mark.parametrize(
    "line", ["from streamlit.runtime import x", "import streamlit.runtime", "st.runtime.exists()", "st._main"]
)
def test_a_private_use_would_be_seen(line: str) -> None:
    assert private_uses(line)


def test_the_version_is_bounded_from_above() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"streamlit>=1.67,<1.68"' in text
