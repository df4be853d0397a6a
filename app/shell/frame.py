"""What every page stands in: style, way in, navigation."""

from __future__ import annotations

import streamlit as st

from app.shell import access, theme
from app.shell import server_cache as cached
from app.shell.navigation import PAGES, ROOT
from brainlm_core import __version__

ABOUT = (
    f"**BrainLM Explorer {__version__}** shows what a foundation model of brain activity makes of an fMRI "
    "scan, beside what simple baselines make of it. For research, not for diagnosis."
)


def draw() -> None:
    """Draw the frame and the page in it: one run of the script."""
    icon = str(ROOT / "app" / "static" / "icon.svg")
    st.set_page_config(
        page_title="BrainLM Explorer", page_icon=icon, layout="wide", menu_items={"About": ABOUT}
    )
    st.logo(icon, size="large")
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
    access.say_refused_upload()
    page.run()
