"""Guard in front of Streamlit: name, origin, login and limits of a request, headers of its answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from app.shell.headers import FILE_POLICY, safe_headers
from app.shell.hosts import ServedNames
from app.shell.login import Login, LoginError
from app.shell.login_page import OUT_OF_ORDER, page
from app.shell.upload_limits import UploadMeter

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_LOG = logging.getLogger("brainlm.server")
#: Refused names and origins that are written to the log; more would let strangers fill it.
_MAX_LOGGED = 50
#: Answered without a login: that the server lives, and the way through the provider and back.
_HEALTH = "/_stcore/health"
_WAY_IN = frozenset({"/auth/login", "/auth/logout", "/oauth2callback"})
_UPLOADS = "/_stcore/upload_file/"
_METRICS = "/_stcore/metrics"
#: Below these there are files and no pages.
_FILES = ("/_stcore/", "/media/", "/component/", "/static/", "/app/static/", "/auth/")


@dataclass(frozen=True)
class Rules:
    """What the guard goes by.

    Parameters
    ----------
    names : callable
        Gives the names that are answered to; they may change with the login.
    login : callable
        Gives the login in force, None for none; raises LoginError when there ought to be one.
    claims : callable
        Gives what the provider said about the owner of some cookies.
    may_enter : callable
        Whether an address, verified or not, may come in by a list.
    login_address : callable
        Gives the address at which the way to a provider begins.
    meter : UploadMeter
    ask_page : callable
        Lets a session's page run again, to say what was refused.
    https : callable
        Whether people reach the server through TLS.
    port : int
    policy : str
        Content security policy of pages.
    base : str
        Path below which everything is served; empty, or with a leading and no final slash.
    """

    names: Callable[[], ServedNames]
    login: Callable[[], Login | None]
    claims: Callable[[dict[str, str], str], dict[str, Any]]
    may_enter: Callable[[object, object, tuple[str, ...]], bool]
    login_address: Callable[[str], str]
    meter: UploadMeter
    ask_page: Callable[[str], None]
    https: Callable[[], bool]
    port: Callable[[], int]
    policy: str
    base: str = ""


class Guard:
    """ASGI middleware; see :class:`Rules`."""

    def __init__(self, app: Any, rules: Rules) -> None:
        self.app, self.rules = app, rules
        self._logged: set[str] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, refuse, or hand on with the answer's headers set."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            return
        send = self._with_headers(scope, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(scope, send, *refusal)
        elif scope["type"] == "http" and scope["method"] == "PUT" and self._path(scope).startswith(_UPLOADS):
            await self._upload(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _log(self, sentence: str) -> None:
        if sentence not in self._logged and len(self._logged) < _MAX_LOGGED:
            self._logged.add(sentence)
            _LOG.warning(sentence)

    def _path(self, scope: Message) -> str:
        path = str(scope.get("path", ""))
        return path.removeprefix(self.rules.base) if self.rules.base else path

    def _refusal(self, scope: Message) -> tuple[int, bytes, str] | None:
        hosts = _all(scope, b"host")
        own = (scope.get("server") or (None,))[0]
        if len(hosts) != 1 or not self.rules.names().answers(hosts[0], own):
            self._log(f"A request under the name {hosts!r:.200} was refused.")
            return 421, b"This server does not answer under this name.\n", "text/plain"
        origins = _all(scope, b"origin")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes and any(not self.rules.names().same_site(origin, hosts[0]) for origin in origins):
            self._log(f"A page of {origins!r:.200} tried to reach this server.")
            return 403, b"Pages of other sites are not answered.\n", "text/plain"
        return self._refusal_by_login(scope, hosts[0])

    def _refusal_by_login(self, scope: Message, host: str) -> tuple[int, bytes, str] | None:
        path, is_read = self._path(scope), scope.get("method") in ("GET", "HEAD")
        if path == _HEALTH and scope["type"] == "http" and is_read:
            return None
        try:
            login = self.rules.login()
        except LoginError as error:
            self._log(f"Nobody is let in: {error}.")
            if not _is_page(scope, path):
                return 503, b"Out of order.\n", "text/plain"
            return 503, page(*OUT_OF_ORDER, []), "text/html"
        if login is None:
            return (404, b"Not here.\n", "text/plain") if path == _METRICS else None
        if path in _WAY_IN and scope["type"] == "http":
            return None
        return self._refusal_of_person(scope, path, login)

    def _refusal_of_person(self, scope: Message, path: str, login: Login) -> tuple[int, bytes, str] | None:
        claims = self.rules.claims(dict(HTTPConnection(scope).cookies), login.origin(self.rules.port()))
        if claims and self.rules.may_enter(claims.get("email"), claims.get("email_verified"), login.allow):
            return None
        if not _is_page(scope, path):
            return (403 if claims else 401), b"Log in first.\n", "text/plain"
        if claims:
            return 403, _refused_page(self.rules.base), "text/html"
        ways = [
            (
                "Log in" if name == "default" else f"Log in with {name}",
                self.rules.base + _local(self.rules.login_address(name), self.rules.base),
            )
            for name in login.providers
        ]
        note = "Your recordings are seen by you alone, and go when you leave."
        return 200, page("Please log in to use BrainLM Explorer.", note, ways), "text/html"

    def _with_headers(self, scope: Message, send: Send) -> Send:
        policy = FILE_POLICY if self._path(scope).startswith("/media/") else self.rules.policy
        https = scope.get("scheme") in ("https", "wss") or self.rules.https()

        async def send_on(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = safe_headers(message.get("headers", ()), policy=policy, https=https)
                message = {**message, "headers": headers}
            await send(message)

        return send_on

    async def _upload(self, scope: Message, receive: Receive, send: Send) -> None:
        session = self._path(scope).removeprefix(_UPLOADS).split("/", 1)[0]
        declared = _declared_length(scope)
        if declared is None:
            await _answer(scope, send, 400, b"Content-Length is no number.\n", "text/plain")
            return
        ticket, sentence = self.rules.meter.begin(session, declared)
        if ticket is None:
            await self._refuse_upload(scope, send, session, sentence)
            return
        n_bytes, started = 0, False

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            too_much = self.rules.meter.received(session, ticket, n_bytes)
            if too_much:
                raise _TooMuchError(too_much)
            return message

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except _TooMuchError as error:
            if not started:
                await self._refuse_upload(scope, send, session, str(error))
        finally:
            self.rules.meter.end(session, ticket)

    async def _refuse_upload(self, scope: Message, send: Send, session: str, sentence: str) -> None:
        self.rules.ask_page(session)
        await _answer(scope, send, 413, sentence.encode() + b"\n", "text/plain")


class _TooMuchError(Exception):
    """More came in than had been said."""


async def _answer(scope: Message, send: Send, status: int, body: bytes, kind: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})  # before acceptance: the server says 403
        return
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _refused_page(base: str) -> bytes:
    return page(
        "This account may not use BrainLM Explorer here.",
        "Ask whoever runs this server to put your address on the list, or log in with another one.",
        [("Log out", f"{base}/auth/logout")],
    )


def _local(address: str, base: str) -> str:
    return address.removeprefix(base) if base else address


def _is_page(scope: Message, path: str) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and not any(path.startswith(prefix) for prefix in _FILES)
    )


def _all(scope: Message, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _declared_length(scope: Message) -> int | None:
    """Return the length that a request says; 0 when it says none, None when that is no number."""
    said = _all(scope, b"content-length")
    if not said:
        return 0
    if len(said) > 1 or not said[0].isascii() or not said[0].isdigit() or len(said[0]) > 15:
        return None
    return int(said[0])
