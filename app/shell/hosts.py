"""Names under which the dashboard answers, as protection against DNS rebinding.

A web site can give its own name the address of this machine. The browser then takes the dashboard for a page
of that site, and only the ``Host`` header tells the two apart: it holds the site's name. So a request is
answered only when its ``Host`` is a name that the server was started for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from brainlm_core.base.loopback import is_loopback_name

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#\\\s]+)(?::(?P<port>[0-9]{1,5}))?")


def plain_host(header: str) -> tuple[str, int | None] | None:
    """Return name and port that a ``Host`` header says; None when it is no proper one.

    Parameters
    ----------
    header : str
        As sent. Upper case, one final dot and brackets around an IPv6 address are spellings of the same name.
    """
    match = _HOST.fullmatch(header)
    if match is None or not header.isascii():
        return None
    port = int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port < 65536:
        return None
    name = match["name"].lower()
    if name.startswith("["):
        try:
            return ipaddress.IPv6Address(name[1:-1]).compressed, port
        except ValueError:
            return None
    name = name[:-1] if name.endswith(".") else name
    return (name, port) if len(name) < 254 and _NAME.fullmatch(name) else None


def host_of(text: str) -> str:
    """Return the plain name in an address or a ``Host``-like text; empty when there is none."""
    try:
        name = urlsplit(text).hostname if "://" in text else None
    except ValueError:
        return ""
    if name is None:
        name = text
    found = plain_host(f"[{name}]" if ":" in name and not name.startswith("[") else name)
    return found[0] if found else ""


@dataclass(frozen=True)
class ServedNames:
    """The names that a server answers to.

    Parameters
    ----------
    names : frozenset of str
        Plain names besides those of the loopback interface.
    any_own_address : bool
        Whether the machine's own addresses count too, as the connection says them: for a server that
        listens on all of them.
    """

    names: frozenset[str] = field(default_factory=frozenset)
    any_own_address: bool = False

    @classmethod
    def of(cls, address: str, public: Iterable[str] = ()) -> ServedNames:
        """Return the names of a server that listens on ``address`` and is known as ``public`` outside."""
        wild = not address or _is_unspecified(address)
        named = {host_of(text) for text in (*public, *(() if wild else (address,)))} - {""}
        return cls(frozenset(named), wild)

    def answers(self, header: str, own_address: str | None = None) -> bool:
        """Whether a request with this ``Host`` header is answered.

        Parameters
        ----------
        header : str
            The header as sent.
        own_address : str or None
            The address of this machine at which the request came in.
        """
        found = plain_host(header)
        if found is None:
            return False
        name = found[0]
        if name in _LOOPBACK_NAMES or name in self.names:
            return True
        return self.any_own_address and own_address is not None and name == host_of(own_address)

    def same_site(self, origin: str, header: str) -> bool:
        """Whether a page of ``origin`` belongs to the dashboard that was asked for as ``header``."""
        try:
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.username:
                return False
            said, asked = plain_host(parts.netloc), plain_host(header)
        except ValueError:
            return False
        if said is None or asked is None or said[0] != asked[0]:
            return False
        usual = {"http": 80, "https": 443}[parts.scheme]
        # Behind a proxy with TLS the page's port is 443 and nobody says so.
        return (said[1] or usual) == (asked[1] or usual)


def _is_unspecified(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_unspecified
    except ValueError:
        return False


def only_this_machine(address: str) -> bool:
    """Whether a server that listens on ``address`` can be reached from this machine alone."""
    import socket

    if not address:
        return False
    if is_loopback_name(address):
        return True
    try:
        found = socket.getaddrinfo(address.strip("[]"), None)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(is_loopback_name(str(entry[4][0])) for entry in found)
