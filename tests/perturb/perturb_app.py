"""Entry script of the browser test: the Perturb page alone, with a small recording and a small model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app.shell import theme  # noqa: E402
from app.shell.session import ModelChoice, Visitor  # noqa: E402
from brainlm_core.base.recording import Recording  # noqa: E402

st.set_page_config(layout="wide")
theme.inject_css(n_pages=1)
if "visitor" not in st.session_state:
    who = Visitor(model=ModelChoice(os.environ["PERTURB_TEST_MODEL"]))
    who.take(Recording.load(os.environ["PERTURB_TEST_RECORDING"]))
    st.session_state["visitor"] = who
st.navigation(
    [st.Page(ROOT / "pages" / "perturb.py", title="Perturb", url_path="perturb", default=True)],
    position="top",
).run()
