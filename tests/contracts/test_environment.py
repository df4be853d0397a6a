"""One table says which environment variables there are; the code reads those and no other."""

from __future__ import annotations

import re
from pathlib import Path

from brainlm_core.base.environment import VARIABLES
from tools.docs_hooks import environment, limits

#: What the program sets for a server that it starts, and nobody else should.
OWN = {"BRAINLM_URL", "BRAINLM_OPEN_WINDOW"}
_NAME = re.compile(r"[\"'](BRAINLM_[A-Z_]+)[\"']")


def test_every_variable_that_the_code_reads_is_in_the_table(root: Path) -> None:
    table = root / "brainlm_core" / "base" / "environment.py"
    paths = [p for f in ("brainlm_core", "app") for p in (root / f).rglob("*.py") if p != table]
    read = {name for path in paths for name in _NAME.findall(path.read_text("utf-8"))}
    assert read - OWN == {v.name for v in VARIABLES}


def test_the_documentation_has_each_of_them_and_the_limits() -> None:
    text = environment()
    assert all(f"| `{v.name}` |" in text for v in VARIABLES)
    said = limits()
    assert "110,000 volumes" in said and "1,000,000,000" in said and "256 MB and 6 bytes" in said
