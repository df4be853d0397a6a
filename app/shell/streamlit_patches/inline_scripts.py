"""Digests of the scripts that stand in Streamlit's own page, so that no other inline script may run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit

_INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


@cache
def inline_script_sources() -> tuple[str, ...]:
    """Return the sources for a content security policy, ``'sha256-…'``."""
    index = Path(streamlit.__file__).parent / "static" / "index.html"
    digests = (
        hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(index.read_text("utf-8"))
    )
    return tuple(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
