"""Secrets files: one that makes a login, and ways to break it that must never be taken for "no login"."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

#: Not a secret: signs the cookies of servers that live for one test.
COOKIE_SECRET = "k" * 40

GOOD = f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{COOKIE_SECRET}"
client_id = "brainlm-test"
client_secret = "s"
server_metadata_url = "PROVIDER/.well-known/openid-configuration"

[access]
allow = ["@lab.example.org"]
"""


def good(provider: str = "https://login.lab.example.org") -> str:
    """Return a file that makes a login at a provider."""
    return GOOD.replace("PROVIDER", provider)


def _write(change: Callable[[str], str | bytes]) -> Callable[[Path, str], None]:
    def write(path: Path, text: str) -> None:
        changed = change(text)
        path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())

    return write


def _folder(path: Path, _: str) -> None:
    path.mkdir()


def _dangling(path: Path, _: str) -> None:
    path.symlink_to(path.with_name("nowhere.toml"))


def _circle(path: Path, _: str) -> None:
    path.symlink_to(path)


def _pipe(path: Path, _: str) -> None:
    os.mkfifo(path)


def _without(key: str) -> Callable[[str], str]:
    return lambda text: "\n".join(line for line in text.splitlines() if not line.startswith(key))


def _with(key: str, value: str) -> Callable[[str], str]:
    return lambda text: "\n".join(
        f"{key} = {value}" if line.startswith(f"{key} =") else line for line in text.splitlines()
    )


def _swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def _only_access(text: str) -> str:
    return text[text.index("[access]") :]


#: Name → writes the broken file, given its path and the text of a good one.
BROKEN: dict[str, Callable[[Path, str], None]] = {
    "one quote missing": _write(_swap('client_id = "brainlm-test"', 'client_id = "brainlm-test')),
    "empty": _write(lambda _: ""),
    "blank lines": _write(lambda _: "\n \n# [auth]\n"),
    "[Auth]": _write(_swap("[auth]", "[Auth]")),
    "[AUTH]": _write(_swap("[auth]", "[AUTH]")),
    "[auht]": _write(_swap("[auth]", "[auht]")),
    "[[auth]]": _write(_swap("[auth]", "[[auth]]")),
    '["auth "]': _write(_swap("[auth]", '["auth "]')),
    "[secrets.auth]": _write(_swap("[auth]", "[secrets.auth]")),
    "auth as text": _write(lambda text: 'auth = "yes"\n' + _only_access(text)),
    "keys without section": _write(_swap("[auth]\n", "")),
    "[access] without [auth]": _write(_only_access),
    "[Access] beside [auth]": _write(_swap("[access]", "[Access]")),
    "[acces] beside [auth]": _write(_swap("[access]", "[acces]")),
    "allow is one text": _write(_with("allow", '"@lab.example.org"')),
    "allow holds a number": _write(_with("allow", '["a@b.org", 3]')),
    "Allow": _write(_swap("allow =", "Allow =")),
    "other section only": _write(lambda _: '[database]\npassword = "p"\n'),
    "no redirect_uri": _write(_without("redirect_uri")),
    "redirect_uri elsewhere": _write(_with("redirect_uri", '"http://127.0.0.1/"')),
    "no cookie_secret": _write(_without("cookie_secret")),
    "empty cookie_secret": _write(_with("cookie_secret", '""')),
    "blank cookie_secret": _write(_with("cookie_secret", '" "')),
    "short cookie_secret": _write(_with("cookie_secret", '"secret"')),
    "example's cookie_secret": _write(_with("cookie_secret", '"a long random text: openssl rand -hex 32"')),
    "no client_id": _write(_without("client_id")),
    "client_id as number": _write(_with("client_id", "7")),
    "placeholder client_id": _write(_with("client_id", '"…"')),
    "no client_secret": _write(_without("client_secret")),
    "no server_metadata_url": _write(_without("server_metadata_url")),
    "server_metadata_url is no address": _write(_with("server_metadata_url", '"login.example.org"')),
    "provider without TLS": _write(_with("server_metadata_url", '"http://login.lab.example.org/x"')),
    "Client_ID": _write(_swap("client_id", "Client_ID")),
    "misspelt key beside good ones": _write(_swap("[access]", 'cookie_sekret = "x"\n\n[access]')),
    "unknown provider section": _write(_swap("[access]", '[auth.gogle]\nid = "x"\n\n[access]')),
    "half a provider": _write(_swap("[access]", '[auth.google]\nclient_id = "x"\n\n[access]')),
    "twice [auth]": _write(lambda text: text + "\n" + text),
    "UTF-16": _write(lambda text: text.encode("utf-16")),
    "byte order mark": _write(lambda text: text.encode("utf-8-sig")),
    "Latin-1": _write(lambda text: (text + "# Zürich\n").encode("latin-1")),
    "null bytes": _write(lambda text: text.encode() + b"\0"),
    "nested without end": _write(lambda text: text + "\nx = " + "[" * 5000),
    "very long": _write(lambda text: text + "#" * (1 << 21)),
    "JSON": _write(lambda _: '{"auth": {}}'),
    "a folder": _folder,
    "a link to nowhere": _dangling,
    "a link to itself": _circle,
    "a pipe": _pipe,
}
