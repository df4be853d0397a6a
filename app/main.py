"""Entry of the dashboard: ``streamlit run app/main.py``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts app/ there, not the folder that holds app and pages
    sys.path.insert(0, str(ROOT))

import streamlit as st  # noqa: E402

from app import access, cached, theme  # noqa: E402
from app.navigation import PAGES  # noqa: E402
from brainlm_core import __version__  # noqa: E402

ABOUT = (
    f"**BrainLM Explorer {__version__}** shows what a foundation model of brain activity makes of an fMRI "
    "scan, beside what simple baselines make of it. For research, not for diagnosis."
)

st.set_page_config(
    page_title="BrainLM Explorer",
    page_icon=str(ROOT / "app" / "static" / "icon.svg"),
    layout="wide",
    menu_items={"About": ABOUT},
)
st.logo(str(ROOT / "app" / "static" / "icon.svg"), size="large")
theme.inject_css(n_pages=len(PAGES))
theme.follow_theme()
access.gate()
first, *others = PAGES
pages = [
    st.Page(first.path, title=first.title, url_path="start", default=True),
    *(st.Page(entry.path, title=entry.title, url_path=entry.url) for entry in others),
]
# The first page answers at the root; who types or shares its name must find it too.
named = st.Page(
    lambda: st.switch_page(pages[0], query_params=st.query_params.to_dict()),
    title=first.title,
    url_path=first.url,
    visibility="hidden",
)
page = st.navigation([*pages, named], position="top")
cached.tidy_up()
cached.warm_up()
page.run()
