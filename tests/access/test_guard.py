"""The guard in front of the server: names, login on every route, caps before memory, headers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.shell.guard import Guard, Rules
from app.shell.hosts import ServedNames
from app.shell.login import Login, LoginError, may_enter
from app.shell.upload_limits import UploadLimits, UploadMeter

LOGIN = Login("https://brainlm.example.org/oauth2callback", ("default",), ("@lab.example.org",))
HOST = (b"host", b"localhost:8501")
PUT = "/_stcore/upload_file/session/file"


class Upstream:
    """Stand in for Streamlit: reads the whole body, says what it got."""

    def __init__(self) -> None:
        self.bodies: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        n, more = 0, scope["method"] == "PUT"
        while more:
            message = await receive()
            n, more = n + len(message.get("body", b"")), message.get("more_body", False)
        self.bodies.append(n)
        headers = [
            (b"set-cookie", b"_streamlit_xsrf=a; Path=/; SameSite=Lax"),
            (b"X-Frame-Options", b"ALLOW"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"upstream"})


class Server:
    """A guard in front of an upstream, asked without a network."""

    def __init__(self, login: Login | Exception | None = None, claims: dict[str, Any] | None = None) -> None:
        self.upstream, self.asked = Upstream(), []
        limits = UploadLimits(session_bytes=4 << 20, all_bytes=9 << 20, session_files=3)
        self.held: dict[str, list[int]] = {}
        self.meter = UploadMeter(
            limits,
            lambda session: (len(self.held.get(session, [])), sum(self.held.get(session, []))),
            lambda: sum(map(sum, self.held.values())),
        )

        def current() -> Login | None:
            if isinstance(login, Exception):
                raise login
            return login

        self.guard = Guard(
            self.upstream,
            Rules(
                names=lambda: ServedNames.of("127.0.0.1", ["https://brainlm.example.org"]),
                login=current,
                claims=lambda cookies, origin: (claims or {}) if cookies.get("user") == "1" else {},
                may_enter=may_enter,
                login_address=lambda name: f"/auth/login?provider={name}",
                meter=self.meter,
                ask_page=self.asked.append,
                https=lambda: login is not None,
                port=lambda: 8501,
                policy="default-src 'self'",
            ),
        )

    def ask(
        self,
        path: str = "/",
        *headers: tuple[bytes, bytes],
        method: str = "GET",
        kind: str = "http",
        chunks: tuple[bytes, ...] = (b"",),
        host: tuple[bytes, bytes] = HOST,
    ) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []
        left = list(chunks)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": kind, "path": path, "headers": [host, *headers], "server": ("127.0.0.1", 8501)}
        scope |= {"method": method, "scheme": "http"} if kind == "http" else {"scheme": "ws"}
        asyncio.run(self.guard(scope, receive, send))
        if kind == "websocket":
            return (101 if sent[0]["type"] == "websocket.accept" else 403), {}, b""
        headers_sent = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
        return sent[0]["status"], headers_sent, b"".join(m.get("body", b"") for m in sent[1:])


ROUTES = [
    ("GET", "/_stcore/metrics"),
    ("GET", "/_stcore/host-config"),
    ("GET", "/_stcore/script-health-check"),
    ("GET", "/_stcore/health/"),
    ("POST", "/_stcore/health"),
    ("GET", "/_stcore//health"),
    ("GET", "/x/_stcore/health"),
    ("GET", "/_stcore/agent/openapi.json"),
    ("POST", "/_stcore/agent/mcp"),
    ("PUT", PUT),
    ("DELETE", PUT),
    ("GET", "/media/abc.csv"),
    ("GET", "/component/x/index.html"),
    ("GET", "/_stcore/bidi-components/x/y.js"),
    ("GET", "/app/static/inter.woff2"),
    ("GET", "/static/js/index.js"),
    ("POST", "/"),
    ("OPTIONS", "/media/x"),
    ("BREW", "/"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_asks_for_the_login(method: str, path: str) -> None:
    server = Server(LOGIN)
    status, _, body = server.ask(path, method=method)
    assert (status == 401 and not server.upstream.bodies) or (
        status == 200 and b"Please log in" in body and not server.upstream.bodies
    ), (status, body)
    outsider = Server(LOGIN, {"email": "eve@elsewhere.org", "email_verified": True})
    assert (
        outsider.ask(path, (b"cookie", b"user=1"), method=method)[0] == 403 and not outsider.upstream.bodies
    )
    broken = Server(LoginError("a", "b"), {"email": "ann@lab.example.org"})
    assert broken.ask(path, (b"cookie", b"user=1"), method=method)[0] == 503 and not broken.upstream.bodies
    insider = Server(LOGIN, {"email": "ann@lab.example.org", "email_verified": True})
    assert insider.ask(path, (b"cookie", b"user=1"), method=method)[0] == 200 and insider.upstream.bodies


def test_the_way_in_and_the_health_check_are_open() -> None:
    for path in ("/_stcore/health", "/auth/login", "/oauth2callback", "/auth/logout"):
        server = Server(LOGIN)
        assert server.ask(path)[0] == 200 and server.upstream.bodies, path
    for path in ("/auth/login", "/oauth2callback"):
        assert Server(LoginError("a", "b")).ask(path)[0] == 503, "no way in while the settings are broken"
    assert Server(LoginError("a", "b")).ask("/_stcore/health")[0] == 200
    assert Server().ask("/_stcore/metrics")[0] == 404 and Server().ask("/")[0] == 200


def test_a_websocket_asks_for_name_origin_and_login() -> None:
    own, foreign = (b"origin", b"http://localhost:8501"), (b"origin", b"http://evil.example:8501")
    evil = (b"host", b"evil.example:8501")
    stream = "/_stcore/stream"
    assert Server().ask(stream, own, kind="websocket")[0] == 101
    assert Server().ask(stream, foreign, kind="websocket")[0] == 403
    assert Server().ask(stream, foreign, kind="websocket", host=evil)[0] == 403, "DNS rebinding"
    assert Server().ask(stream, own, foreign, kind="websocket")[0] == 403, "two origins"
    assert Server(LOGIN).ask(stream, own, kind="websocket")[0] == 403
    assert Server(LoginError("a", "b")).ask(stream, own, kind="websocket")[0] == 403
    insider = Server(LOGIN, {"email": "ann@lab.example.org"})
    assert insider.ask(stream, own, (b"cookie", b"user=1"), kind="websocket")[0] == 101


def test_names_are_the_host_headers_alone() -> None:
    evil = (b"host", b"evil.example")
    said = [(b"x-forwarded-host", b"localhost"), (b"forwarded", b"host=localhost"), (b"x-host", b"localhost")]
    assert Server().ask("/", *said, host=evil)[0] == 421
    assert Server().ask("/", (b"host", b"evil.example"))[0] == 421, "two Host headers"
    assert Server().ask("/", host=(b"x", b"y"))[0] == 421, "no Host header"
    assert Server().ask("/_stcore/health", host=evil)[0] == 421
    assert Server().ask("/", (b"x-forwarded-host", b"evil.example"))[0] == 200


def test_changes_from_pages_of_other_sites_are_refused() -> None:
    for method in ("PUT", "DELETE", "POST"):
        server = Server()
        assert server.ask(PUT, (b"origin", b"https://evil.example"), method=method)[0] == 403
        assert server.ask(PUT, (b"origin", b"null"), method=method)[0] == 403
        assert not server.upstream.bodies


def test_every_answer_carries_the_headers_and_cookies_are_for_tls() -> None:
    for server, path in (
        (Server(), "/"),
        (Server(LOGIN), "/"),
        (Server(LOGIN), "/media/x"),
        (Server(), "/media/x"),
    ):
        _, headers, _ = server.ask(path)
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] and headers["permissions-policy"]
        assert ("sandbox" in headers["content-security-policy"]) == path.startswith("/media/")
        assert "ALLOW" not in headers.values()
    assert Server().ask("/")[1]["set-cookie"] == "_streamlit_xsrf=a; Path=/; SameSite=Lax"
    insider = Server(LOGIN, {"email": "ann@lab.example.org"})
    _, headers, _ = insider.ask("/", (b"cookie", b"user=1"))
    assert headers["set-cookie"].endswith("; Secure") and headers["strict-transport-security"]


def megabytes(n: float) -> bytes:
    return b"x" * int(n * (1 << 20))


def length(n: float) -> tuple[bytes, bytes]:
    return (b"content-length", str(int(n * (1 << 20))).encode())


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(lambda s: s.ask(PUT, length(6), method="PUT", chunks=(megabytes(6),)), id="said"),
        pytest.param(lambda s: s.ask(PUT, method="PUT", chunks=(megabytes(1),) * 7), id="not said"),
        pytest.param(lambda s: s.ask(PUT, length(1), method="PUT", chunks=(megabytes(1),) * 7), id="lied"),
    ],
)
def test_too_large_an_upload_is_refused_before_it_is_in_memory(request_: Callable[[Server], Any]) -> None:
    server = Server()
    status, _, body = request_(server)
    assert status == 413 and b"MB are the most" in body and not server.upstream.bodies
    assert server.asked == ["session"], "the page runs again to say so"
    assert "MB are the most" in server.meter.take_refusal("session") and not server.meter.take_refusal(
        "session"
    )
    assert server.ask(PUT, length(1), method="PUT", chunks=(megabytes(1),))[0] == 200, "room is given back"


def test_many_files_and_many_sessions_are_capped() -> None:
    server = Server()
    server.held["session"] = [1, 1, 1]
    status, _, body = server.ask(PUT, length(0), method="PUT")
    assert status == 413 and b"files are the most" in body
    server.held = {name: [4 << 20] for name in ("a", "b")}
    status, _, body = server.ask(PUT, length(3), method="PUT", chunks=(megabytes(3),))
    assert status == 413 and b"This server holds" in body
    assert server.ask(PUT, length(0.5), method="PUT", chunks=(megabytes(0.5),))[0] == 200


def test_uploads_that_come_in_together_count_together() -> None:
    meter = Server().meter
    first, _ = meter.begin("session", 3 << 20)
    assert first is not None
    second, sentence = meter.begin("session", 4 << 20)
    assert second is None and sentence
    meter.end("session", first)
    assert meter.begin("session", 4 << 20)[0] is not None


@pytest.mark.parametrize("said", [b"-1", b"1e3", b"", b"0x10", b"9" * 40, b"1, 1"])
def test_an_odd_length_is_refused(said: bytes) -> None:
    assert Server().ask(PUT, (b"content-length", said), method="PUT")[0] == 400


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from brainlm_core.base.errors import ConfigError

    monkeypatch.setenv("BRAINLM_SESSION_UPLOAD_MB", "10")
    monkeypatch.setenv("BRAINLM_SESSION_UPLOAD_FILES", "2")
    monkeypatch.setenv("BRAINLM_UPLOADS_MB", "20")
    assert UploadLimits.from_environment(2048) == UploadLimits(10 << 20, 20 << 20, 2)
    monkeypatch.setenv("BRAINLM_UPLOADS_MB", "much")
    with pytest.raises(ConfigError, match="BRAINLM_UPLOADS_MB"):
        UploadLimits.from_environment(2048)
