"""The claims in the login cookie of a plain HTTP request.

Streamlit checks the cookie for the WebSocket only; uploads, downloads and components are answered to
whoever asks. Its own functions say what a cookie is worth, so that there is no second opinion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlit.user_info import generate_login_redirect_url
from streamlit.web.server.starlette import starlette_websocket as _ws
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME


def claims_of(cookies: Mapping[str, str], origin: str) -> dict[str, Any]:
    """Return what the provider said about the person whose login cookie this is; empty without one.

    Parameters
    ----------
    cookies : mapping
        Of the request.
    origin : str
        Public scheme, host and port of the dashboard; a cookie made for another one is worth nothing.
    """
    if USER_COOKIE_NAME not in cookies:
        return {}
    try:
        signed = _ws._get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
        claims = _ws._parse_decoded_user_cookie(signed, origin) if signed else {}
    except Exception:  # a stranger wrote the cookie: whatever goes wrong with it, it says nothing
        return {}
    return claims if claims.get("is_logged_in") is True else {}


def login_address(provider: str) -> str:
    """Return where on this server the way to a provider begins; good for two minutes."""
    return str(generate_login_redirect_url(provider))
