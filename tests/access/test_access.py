"""Who may come in: the list, the login at a real provider, and what a server tells a stranger."""

from __future__ import annotations

import html
import http.cookiejar
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.shell.access import may_enter
from tests.access.provider import Provider, run_provider
from tests.access.secrets_files import BROKEN, good
from tests.browser_tools import ROOT, App, start_streamlit

ALLOW = ("@lab.example.org", "Guest@example.com")


@pytest.mark.parametrize(
    ("address", "verified", "enters"),
    [
        ("a@lab.example.org", True, True),
        ("A@LAB.EXAMPLE.ORG", None, True),
        ("guest@example.com", True, True),
        ("guest@example.com", False, False),
        ("guest@example.com", "false", False),
        ("other@example.com", True, False),
        ("a@evil.lab.example.org", True, False),
        ("a@lab.example.org.evil.com", True, False),
        ("a@lab.example.org@evil.com", True, False),
        ("@lab.example.org", True, False),
        ("a@lab.example.org\n", True, False),
        ("", True, False),
        (None, True, False),
        (["a@lab.example.org"], True, False),
    ],
)
def test_only_listed_addresses_enter(address: object, verified: object, enters: bool) -> None:
    assert may_enter(address, verified, ALLOW) is enters
    assert not may_enter(address, verified, ()), "without a list nobody enters"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with run_provider() as running:
        yield running


@dataclass(frozen=True)
class Guarded:
    """A dashboard with a login, and its secrets file."""

    app: App
    secrets: Path


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    secrets = tmp_path_factory.mktemp("secrets") / "secrets.toml"
    secrets.write_text(good(provider.url), encoding="utf-8")
    with start_streamlit(ROOT / "app" / "main.py", options=(f"--secrets.files={secrets}",)) as app:
        yield Guarded(app, secrets)


@pytest.mark.browser
@pytest.mark.slow
def test_login_lets_listed_people_in_and_nobody_else(
    guarded: Guarded, provider: Provider, chromium: Any
) -> None:
    people = {
        "in": {"email": "ann@lab.example.org", "email_verified": True},
        "out": {"email": "eve@elsewhere.org", "email_verified": True},
        "unproven": {"email": "eve@lab.example.org", "email_verified": False},
    }
    for kind, claims in people.items():
        context = chromium.new_context(viewport={"width": 1200, "height": 800})
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        for page in ("", "/networks", "/perturb"):
            tab.goto(guarded.app.url + page)
            tab.get_by_role("button", name="Log in").wait_for()
            assert not tab.locator("script").count(), "nothing of the dashboard is sent before the login"
        provider.claims = claims
        tab.get_by_role("button", name="Log in").click()
        if kind == "in":
            tab.locator(".b-chips").first.wait_for()
            tab.get_by_role("button", name="Log out").click()
            tab.get_by_role("button", name="Log in").wait_for()
        else:
            tab.get_by_text("This account may not use BrainLM Explorer here.").wait_for()
            assert not tab.locator("script").count()
            tab.get_by_role("button", name="Log out").click()
            tab.get_by_role("button", name="Log in").wait_for()
        context.close()


def log_in(app: App) -> str:
    """Go the way through the provider without a browser; return the cookies that it leaves."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with opener.open(app.url, timeout=30) as answer:
        (address,) = re.findall(r'href="(/auth/login[^"]*)"', answer.read().decode())
    with opener.open(app.url + html.unescape(address), timeout=30) as answer:
        assert answer.geturl().rstrip("/") == app.url and b"<title>Streamlit</title>" in answer.read()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def status(app: App, path: str, method: str = "GET", **headers: str) -> int:
    request = urllib.request.Request(app.url + path, b"" if method == "PUT" else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


def is_connected(app: App, cookie: str) -> bool:
    address = f"{app.url.replace('http', 'ws', 1)}/_stcore/stream"
    headers = {"Cookie": cookie} if cookie else {}
    try:
        with connect(address, origin=app.url, subprotocols=["streamlit"], additional_headers=headers):
            return True
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
        return False


@pytest.mark.slow
def test_nothing_is_answered_without_the_login_or_with_somebody_elses(
    guarded: Guarded, provider: Provider
) -> None:
    provider.claims = {"email": "ann@lab.example.org", "email_verified": True}
    cookie = log_in(guarded.app)
    name = cookie.split("_streamlit_user=", 1)[1].split(";", 1)[0]
    forged = (f"_streamlit_user={name[:-2]}xx", '_streamlit_user={"is_logged_in": true}', "")
    for path in ("/_stcore/metrics", "/_stcore/host-config", "/app/static/inter.woff2", "/media/x"):
        assert all(status(guarded.app, path, Cookie=bad) == 401 for bad in forged)
        assert status(guarded.app, path, Cookie=cookie) in (200, 404)
    upload = "/_stcore/upload_file/no-session/no-file"
    assert all(
        status(guarded.app, upload, method, Cookie=bad) == 401
        for method in ("PUT", "DELETE")
        for bad in forged
    )
    assert not any(is_connected(guarded.app, bad) for bad in forged) and is_connected(guarded.app, cookie)
    assert status(guarded.app, "/_stcore/health") == 200
    guarded.secrets.write_text(good(provider.url).replace("@lab", "@other"))
    try:
        assert status(guarded.app, "/", Cookie=cookie) == 403, "taken off the list, out at once"
        assert not is_connected(guarded.app, cookie)
    finally:
        guarded.secrets.write_text(good(provider.url))


@pytest.mark.slow
def test_a_file_that_breaks_while_the_server_runs_lets_nobody_in(
    guarded: Guarded, provider: Provider
) -> None:
    provider.claims = {"email": "ann@lab.example.org", "email_verified": True}
    cookie = log_in(guarded.app)
    let_in = []
    for name, break_it in BROKEN.items():
        guarded.secrets.unlink()
        break_it(guarded.secrets, good(provider.url))
        answers = [status(guarded.app, path, Cookie=cookie) for path in ("/", "/networks", "/media/x")]
        if answers != [503] * 3 or is_connected(guarded.app, cookie) or is_connected(guarded.app, ""):
            let_in.append((name, answers))
        guarded.secrets.rmdir() if guarded.secrets.is_dir() else guarded.secrets.unlink()
        assert status(guarded.app, "/", Cookie=cookie) == 503, "the file has gone"
        guarded.secrets.write_text(good(provider.url))
        assert status(guarded.app, "/", Cookie=cookie) == 200, name
    assert not let_in
