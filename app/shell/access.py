"""Who may come in, where a login is configured: Streamlit's OpenID Connect login and a list of addresses.

Without a secrets file there is no login: one person on one machine. With one nobody sees a page before
logging in, and nobody who is not on ``[access] allow``. The server's guard asks before anything is sent
(:mod:`app.shell.guard`); the pages ask again here, whatever server runs them.
"""

from __future__ import annotations

import logging

import streamlit as st

from app.shell import serving
from app.shell.login import LoginError, may_enter
from app.shell.login_page import OUT_OF_ORDER
from app.shell.streamlit_patches.session import session_id
from app.shell.words import note, refusal, sentence
from brainlm_core.base.errors import BrainLMError

__all__ = ["gate", "log_out_button", "may_enter", "say_refused_upload"]


def gate() -> None:
    """End this run of the script unless the visitor may come in; draws the way in."""
    try:
        login = serving.watch().login()
    except LoginError as error:
        logging.getLogger("brainlm.server").error("Nobody is let in: %s.", error)
        sentence(OUT_OF_ORDER[0])
        note(OUT_OF_ORDER[1])
        st.stop()
    if login is None:
        return
    if st.user.get("is_logged_in") is not True:
        sentence("Please log in to use BrainLM Explorer.")
        for name in login.providers:
            words = "Log in" if name == "default" else f"Log in with {name}"
            chosen = () if name == "default" else (name,)
            st.button(words, type="primary", key=f"log-in-{name}", on_click=st.login, args=chosen)
        st.stop()
    if not may_enter(st.user.get("email"), st.user.get("email_verified"), login.allow):
        sentence("This account may not use BrainLM Explorer here.")
        note("Ask whoever runs this server to put your address on the list, or log in with another one.")
        st.button("Log out", key="log-out", on_click=st.logout)
        st.stop()


def log_out_button() -> None:
    """Draw the way out, where there was a way in."""
    if serving.watch().login() is not None:
        st.button(
            "Log out", key="log-out", on_click=st.logout, help=str(st.user.get("email")), type="tertiary"
        )


def say_refused_upload() -> None:
    """Say in place why the server did not take this visitor's last upload."""
    session = session_id()
    words = serving.meter().take_refusal(session) if session is not None else ""
    if words:
        st.session_state["refused-upload"] = words
    if words := st.session_state.get("refused-upload", ""):
        what, _, fix = words.partition("; ")
        refusal(BrainLMError(what, fix.removesuffix(".")))
        if st.button("All right", key="refused-upload-read", type="tertiary"):
            del st.session_state["refused-upload"]
            st.rerun()
