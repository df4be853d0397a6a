"""The server as it was started: its login, its names, its limits; refused before it listens if unsafe.

``app/main.py`` asks :func:`checked_rules` while Streamlit starts, so ``streamlit run app/main.py`` and
``brainlm app`` go by the same rules.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import streamlit as st

from app.shell.guard import Rules
from app.shell.headers import page_policy
from app.shell.hosts import ServedNames, host_of, only_this_machine
from app.shell.login import Login, LoginError, may_enter, read_login, signature
from app.shell.streamlit_patches.inline_scripts import inline_script_sources
from app.shell.streamlit_patches.rerun import ask_page
from app.shell.streamlit_patches.secrets_again import forget_secrets
from app.shell.streamlit_patches.uploads import uploaded, uploaded_by_all
from app.shell.streamlit_patches.user_cookie import claims_of, login_address
from app.shell.upload_limits import UploadLimits, UploadMeter
from brainlm_core.base.errors import BrainLMError, ConfigError

#: Set by ``--open-to-everyone``: other machines may come in although there is no login.
OPEN_VARIABLE = "BRAINLM_OPEN_TO_EVERYONE"
#: Set by ``--no-login``: no secrets file is read, there is no login.
NO_LOGIN_VARIABLE = "BRAINLM_NO_LOGIN"
#: Set by ``--public-url``: addresses under which people reach the dashboard, separated by spaces.
PUBLIC_VARIABLE = "BRAINLM_PUBLIC_URL"
#: Set by `brainlm app`: the address to announce, and whether to open a window.
URL_VARIABLE, WINDOW_VARIABLE = "BRAINLM_URL", "BRAINLM_OPEN_WINDOW"
OPEN_FLAG, NO_LOGIN_FLAG = "--open-to-everyone", "--no-login"


class LoginWatch:
    """The login in force, read again whenever a secrets file changes.

    Parameters
    ----------
    places : sequence of path
        Where secrets files may lie.
    on_change : callable
        Called whenever they have been read again.
    """

    def __init__(self, places: Sequence[str | Path], on_change: Callable[[], None] = lambda: None) -> None:
        self._places, self._lock, self._on_change = tuple(places), threading.Lock(), on_change
        self._seen = signature(self._places)
        self._now: Login | LoginError | None = read_login(self._places)
        self.at_start = self._now

    def login(self) -> Login | None:
        """Return the login in force, None when the server was started without one.

        Raises
        ------
        LoginError
            If a secrets file has become unusable, has gone, or has come.
        """
        with self._lock:
            seen = signature(self._places)
            if seen != self._seen:
                self._seen, self._now = seen, self._read()
                self._on_change()
            if isinstance(self._now, LoginError):
                raise self._now
            return self._now

    def _read(self) -> Login | LoginError | None:
        try:
            login = read_login(self._places)
        except LoginError as error:
            return error
        if (login is None) != (self.at_start is None):
            what = "a secrets file has come" if login else "the secrets file has gone"
            return LoginError(f"{what} since the server was started", "start the server again")
        return login


def wants(variable: str, flag: str) -> bool:
    """Whether a switch was given, in the environment or after ``--`` on Streamlit's command line."""
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes") or flag in sys.argv[1:]


@cache
def watch() -> LoginWatch:
    """Return the server's one watch over its login.

    Raises
    ------
    LoginError
        If there ought to be a login and there is none, at the first call.
    """
    if wants(NO_LOGIN_VARIABLE, NO_LOGIN_FLAG):
        return LoginWatch(())
    return LoginWatch(tuple(st.get_option("secrets.files") or ()), forget_secrets)


@cache
def meter() -> UploadMeter:
    """Return the server's one meter of uploads."""
    limits = UploadLimits.from_environment(float(st.get_option("server.maxUploadSize")))
    return UploadMeter(limits, uploaded, uploaded_by_all)


def public_urls() -> tuple[str, ...]:
    """Return the addresses under which people reach the dashboard, as told at the start."""
    named = os.environ.get(PUBLIC_VARIABLE, "").split()
    return (
        *named,
        *(st.get_option("server.allowedHosts") or ()),
        str(st.get_option("browser.serverAddress")),
    )


def served_names() -> ServedNames:
    """Return the names that are answered to, with that of the login's own address."""
    try:
        login = watch().login()
    except LoginError:
        login = None
    own = (login.origin(_port()),) if login else ()
    return ServedNames.of(str(st.get_option("server.address") or ""), (*public_urls(), *own))


def reached_through_tls() -> bool:
    """Whether people reach the dashboard through TLS, as far as its settings say."""
    try:
        login = watch().login()
    except LoginError:
        login = None
    public = os.environ.get(PUBLIC_VARIABLE, "").split()
    return bool(
        st.get_option("server.sslCertFile")
        or (login and login.redirect_uri.startswith("https:"))
        or (public and all(url.startswith("https:") for url in public))
    )


def checked_rules() -> Rules:
    """Return what the server goes by.

    Raises
    ------
    ConfigError
        If it must not start like this.
    """
    login = watch().at_start
    assert not isinstance(login, LoginError)
    _check_address(login)
    for url in os.environ.get(PUBLIC_VARIABLE, "").split():
        if not host_of(url):
            raise ConfigError(f"{url!r} is no address", "give --public-url https://NAME")
    if login and st.get_option("server.trustedUserHeaders"):
        raise ConfigError(
            "server.trustedUserHeaders would let a request say whose it is, past the login",
            "take that setting away",
        )
    base = (st.get_option("server.baseUrlPath") or "").strip("/")
    return Rules(
        names=served_names,
        login=watch().login,
        claims=claims_of,
        may_enter=may_enter,
        login_address=login_address,
        meter=meter(),
        ask_page=ask_page,
        https=reached_through_tls,
        port=_port,
        policy=page_policy(inline_script_sources()),
        base=f"/{base}" if base else "",
    )


def _check_address(login: Login | None) -> None:
    address = str(st.get_option("server.address") or "")
    if login is not None:
        if not login.allow:
            sys.stderr.write("Careful: nobody may come in, the secrets have no [access] with a list.\n")
        return
    if not only_this_machine(address) and not wants(OPEN_VARIABLE, OPEN_FLAG):
        raise ConfigError(
            f"other machines would reach {address or 'every address of this machine'} and there is no login",
            "set one up (deploy/secrets.example.toml), listen on 127.0.0.1, or let everybody in on purpose "
            f"with {OPEN_FLAG}",
        )


def _port() -> int:
    return int(st.get_option("server.port"))


def announce() -> None:
    """Say where the dashboard is, and show it when `brainlm app` asked for that."""
    url = os.environ.get(URL_VARIABLE) or f"http://localhost:{_port()}"  # a name that it answers to
    reach = "only from this machine"
    if not only_this_machine(str(st.get_option("server.address") or "")):
        reach = "from other machines too, after a login"
        if watch().at_start is None:
            reach = "from other machines too, by everybody"
    sys.stderr.write(f"BrainLM Explorer is at {url}, reachable {reach}. Stop it with Ctrl+C.\n")
    if os.environ.get(WINDOW_VARIABLE):
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def or_exit(error: BrainLMError) -> NoReturn:
    """Say in one sentence why the server does not start, and end with the exit code for wrong input."""
    sys.stderr.write(f"error: {error}\n")
    sys.stderr.flush()
    raise SystemExit(2)


__all__ = [
    "NO_LOGIN_VARIABLE",
    "OPEN_VARIABLE",
    "PUBLIC_VARIABLE",
    "LoginWatch",
    "checked_rules",
    "meter",
    "or_exit",
    "served_names",
    "watch",
]
