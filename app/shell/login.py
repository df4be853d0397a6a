"""Login settings of the server: read strictly, and refused unless they certainly close the door.

A secrets file that exists says that somebody meant to have a login. One that yields none, for whatever
reason, must not be taken for "no login wanted". So nothing here is tolerant: sections and keys are known or
refused, values are there and are no placeholders.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.loopback import is_loopback_name

#: Keys of ``[auth]``; those of a provider may also stand in sections of their own, ``[auth.NAME]``.
SHARED_KEYS = frozenset({"redirect_uri", "cookie_secret", "expose_tokens"})
PROVIDER_KEYS = frozenset({"client_id", "client_secret", "server_metadata_url", "client_kwargs"})
_NEEDED = ("client_id", "client_secret", "server_metadata_url")
#: A cookie secret shorter than this can be guessed, and with it any login be forged; in characters.
MIN_SECRET = 16
#: What the example and the documentation of Streamlit say in place of a value.
_PLACEHOLDERS = frozenset(
    {"…", "...", "xxx", "todo", "changeme", "change-me", "a long random text: openssl rand -hex 32"}
)
_PLACEHOLDER_HOSTS = frozenset({"login.example.org"})
#: Names beside ``secrets.toml`` that Streamlit does not read and that somebody may have meant it to.
_MISSPELT_NAMES = frozenset(
    {"secrets.toml", "secret.toml", "secrets.tml", "secrets.toml.txt", "secrets.txt", "secrets"}
)
_MAX_BYTES = 1 << 20


class LoginError(ConfigError):
    """A secrets file exists and yields no login that can be used."""


@dataclass(frozen=True)
class Login:
    """Who is asked, and who may come in.

    Parameters
    ----------
    redirect_uri : str
        Where the provider sends people back to; its origin is the public address of the dashboard.
    providers : tuple of str
        Names to log in with; ``default`` where ``[auth]`` itself names the provider.
    allow : tuple of str
        Addresses and ``@domains``; empty lets nobody in.
    """

    redirect_uri: str
    providers: tuple[str, ...]
    allow: tuple[str, ...] = ()

    def origin(self, port: int) -> str:
        """Return scheme, host and port of the public address."""
        parts = urlsplit(self.redirect_uri.replace("{port}", str(port)))
        return f"{parts.scheme}://{parts.netloc}"


def read_login(places: Sequence[str | Path]) -> Login | None:
    """Return the login that the secrets files at ``places`` describe; None where there is no file at all.

    As in Streamlit, a later file replaces whole sections of an earlier one.

    Raises
    ------
    LoginError
        If a file is there and they do not add up to a login.
    """
    merged: dict[str, Any] = {}
    found: list[Path] = []
    for place in map(Path, places):
        _refuse_misspelt_neighbours(place)
        if _is_there(place):
            merged.update(_parsed(place))
            found.append(place)
    if not found:
        return None
    return _login_of(merged, " and ".join(map(str, found)))


def signature(places: Sequence[str | Path]) -> tuple[Any, ...]:
    """Return what changes when any file at ``places`` comes, goes or is written to."""
    found: list[tuple[Any, ...]] = []
    for place in places:
        try:
            seen = Path(place).stat()
            found.append((seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_mode))
        except OSError as error:
            found.append((error.errno, os.path.lexists(place)))
    return tuple(found)


def _fix(place: object) -> str:
    return f"mend {place} (deploy/secrets.example.toml shows how), or move it away if there is to be no login"


def _is_there(place: Path) -> bool:
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise LoginError(f"it cannot be told whether {place} exists", _fix(place)) from error
    return True


def _refuse_misspelt_neighbours(place: Path) -> None:
    try:
        names = sorted(path.name for path in place.parent.iterdir())
    except OSError:
        return
    for name in names:
        if name != place.name and place.name == "secrets.toml" and name.casefold() in _MISSPELT_NAMES:
            raise LoginError(
                f"{place.parent / name} is not read: the name is secrets.toml",
                f"rename it to {place.name}, or move it away if there is to be no login",
            )


def _parsed(place: Path) -> dict[str, Any]:
    try:
        seen = place.stat()
        if not stat.S_ISREG(seen.st_mode):
            raise LoginError(f"{place} is not a file", _fix(place))
        if seen.st_size > _MAX_BYTES:
            raise LoginError(f"{place} is too large for a secrets file", _fix(place))
        text = place.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise LoginError(f"{place} is not UTF-8 text", _fix(place)) from error
    except OSError as error:
        raise LoginError(f"{place} exists and cannot be read", _fix(place)) from error
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LoginError(f"{place} is not valid TOML ({error})", _fix(place)) from error


def _login_of(secrets: dict[str, Any], where: str) -> Login:
    def refuse(what: str) -> LoginError:
        return LoginError(f"{what} in {where}", _fix("it"))

    for name in secrets:
        if name not in ("auth", "access") and difflib.get_close_matches(
            name.casefold().strip(), ("auth", "access"), n=1, cutoff=0.7
        ):
            raise refuse(f"[{name}] is no known section, [auth] and [access] are")
    if "auth" not in secrets:
        rules = "there are rules of access but there is no [auth]" if "access" in secrets else "no [auth]"
        raise refuse(rules)
    auth = secrets["auth"]
    if not isinstance(auth, dict) or not auth:
        raise refuse("[auth] is empty")
    providers = _providers(auth, refuse)
    _check_shared(auth, refuse)
    return Login(auth["redirect_uri"], providers, _allowed(secrets, refuse))


def _check_shared(auth: dict[str, Any], refuse: Any) -> None:
    secret = _text(auth, "cookie_secret", "[auth]", refuse)
    if len(secret) < MIN_SECRET:
        raise refuse(f"cookie_secret has fewer than {MIN_SECRET} characters, so a login could be forged,")
    uri = _text(auth, "redirect_uri", "[auth]", refuse)
    if not _is_web_address(uri.replace("{port}", "8501")) or not uri.endswith("/oauth2callback"):
        raise refuse("redirect_uri is not https://YOUR-ADDRESS/oauth2callback")


def _providers(auth: dict[str, Any], refuse: Any) -> tuple[str, ...]:
    names: list[str] = []
    for key, value in auth.items():
        if key in SHARED_KEYS | PROVIDER_KEYS:
            continue
        if not isinstance(value, dict):
            raise refuse(f"{key} is no known key of [auth]")
        names.append(key)
    if any(key in auth for key in _NEEDED) or not names:
        _check_provider(auth, "[auth]", refuse)
        names.insert(0, "default")
    for name in names:
        if name != "default" or "default" in auth:
            section = auth[name]
            unknown = sorted(set(section) - PROVIDER_KEYS)
            if unknown:
                raise refuse(f"{unknown[0]} is no known key of [auth.{name}]")
            _check_provider(section, f"[auth.{name}]", refuse)
    return tuple(dict.fromkeys(names))


def _check_provider(section: dict[str, Any], name: str, refuse: Any) -> None:
    for key in _NEEDED:
        _text(section, key, name, refuse)
    address = section["server_metadata_url"]
    if not _is_web_address(address) or urlsplit(address).hostname in _PLACEHOLDER_HOSTS:
        raise refuse(f"server_metadata_url of {name} is not the address of an OpenID Connect provider")
    parts = urlsplit(address)
    if parts.scheme != "https" and not is_loopback_name(parts.hostname or ""):
        raise refuse(f"server_metadata_url of {name} is not https, so anybody on the way could log in,")
    if not isinstance(section.get("client_kwargs", {}), dict):
        raise refuse(f"client_kwargs of {name} is no table")


def _text(section: dict[str, Any], key: str, name: str, refuse: Any) -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value.strip():
        raise refuse(f"{key} of {name} is missing or empty")
    if value.strip().casefold() in _PLACEHOLDERS:
        raise refuse(f"{key} of {name} is still a placeholder")
    return value


def _allowed(secrets: dict[str, Any], refuse: Any) -> tuple[str, ...]:
    if "access" not in secrets:
        return ()
    access = secrets["access"]
    if not isinstance(access, dict) or set(access) != {"allow"}:
        raise refuse("[access] does not hold one list named allow")
    allow = access["allow"]
    if not isinstance(allow, list) or not all(isinstance(a, str) and "@" in a for a in allow):
        raise refuse("allow is not a list of addresses and @domains")
    return tuple(allow)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


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
