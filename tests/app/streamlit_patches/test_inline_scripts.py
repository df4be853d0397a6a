from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import streamlit

from app.shell.streamlit_patches.inline_scripts import inline_script_sources


def test_every_inline_script_of_streamlits_page_has_its_digest() -> None:
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    tags = page.split("<script")[1:]
    inline = [
        tag.split(">", 1)[1].split("</script>")[0] for tag in tags if "src=" not in tag.split(">", 1)[0]
    ]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in inline]
    assert inline_script_sources() == tuple(f"'sha256-{digest}'" for digest in digests) and digests
