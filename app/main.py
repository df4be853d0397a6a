"""Entry of the dashboard: ``streamlit run app/main.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts app/ there, not the folder that holds app, pages and brainlm_core
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app import theme  # noqa: E402
from app.navigation import PAGES  # noqa: E402

st.set_page_config(page_title="BrainLM Explorer", page_icon=str(ROOT / "app" / "static" / "icon.svg"), layout="wide")
st.logo(str(ROOT / "app" / "static" / "logo.svg"), size="large")
theme.inject_css()
page = st.navigation(
    [st.Page(entry.path, title=entry.title, url_path=entry.url, default=not i) for i, entry in enumerate(PAGES)],
    position="top",
)
page.run()
