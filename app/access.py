"""Who may come in, where a login is configured: Streamlit's OpenID Connect login and a list of addresses.

Without ``[auth]`` in the secrets there is no login: one person on one machine. With it nobody sees a page
before logging in, and nobody who is not on ``[access] allow``; a missing or broken list lets nobody in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.words import note, sentence


def configured() -> bool:
    """Whether this server asks for a login."""
    return bool(st.secrets.load_if_toml_exists()) and "auth" in st.secrets


def allow_list() -> tuple[str, ...]:
    """Return the addresses and ``@domains`` that may come in; empty when the list is missing or broken."""
    section: Any = st.secrets.get("access", {})
    entries = section.get("allow", ()) if hasattr(section, "get") else ()
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        return ()
    return tuple(entry for entry in entries if isinstance(entry, str))


def may_enter(address: object, verified: object, allow: Sequence[str]) -> bool:
    """Whether the owner of an address may come in.

    Parameters
    ----------
    address : object
        The provider's ``email`` claim.
    verified : object
        The ``email_verified`` claim; None where the provider does not say. Anything but true or None
        refuses: an address that was never proven could be anybody's.
    allow : sequence of str
        Whole addresses, or whole domains as ``@example.org``. Case does not matter.
    """
    if not isinstance(address, str) or verified not in (None, True):
        return False
    name, at, domain = address.rpartition("@")
    if not (name and at and domain) or not address.isprintable() or " " in address:
        return False
    known = {entry.lower() for entry in allow}
    return address.lower() in known or f"@{domain.lower()}" in known


def gate() -> None:
    """End this run of the script unless the visitor may come in; draws the way in."""
    if not configured():
        return
    if not st.user.is_logged_in:
        sentence("Please log in to use BrainLM Explorer.")
        st.button("Log in", type="primary", key="log-in", on_click=st.login)
        st.stop()
    if not may_enter(st.user.get("email"), st.user.get("email_verified"), allow_list()):
        sentence("This account may not use BrainLM Explorer here.")
        note("Ask whoever runs this server to put your address on the list, or log in with another one.")
        st.button("Log out", key="log-out", on_click=st.logout)
        st.stop()


def log_out_button() -> None:
    """Draw the way out, where there was a way in."""
    if configured():
        st.button(
            "Log out", key="log-out", on_click=st.logout, help=str(st.user.get("email")), type="tertiary"
        )
