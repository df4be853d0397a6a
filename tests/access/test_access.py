"""Who may come in: the list, the login at a real provider, and what a server tells a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.access import may_enter
from tests.access.provider import CLIENT_ID, Provider, run_provider
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


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The dashboard with a login."""
    secrets = tmp_path_factory.mktemp("secrets") / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"\n'
        f'cookie_secret = "{"k" * 40}"\nclient_id = "{CLIENT_ID}"\nclient_secret = "s"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
        '[access]\nallow = ["@lab.example.org"]\n',
        encoding="utf-8",
    )
    with start_streamlit(ROOT / "app" / "main.py", options=(f"--secrets.files={secrets}",)) as app:
        yield app


@pytest.mark.browser
@pytest.mark.slow
def test_login_lets_listed_people_in_and_nobody_else(guarded: App, provider: Provider, chromium: Any) -> None:
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
            tab.goto(guarded.url + page)
            tab.get_by_role("button", name="Log in").wait_for()
            assert not tab.locator(".b-chips, .bv").count(), "nothing is shown before the login"
        provider.claims = claims
        tab.get_by_role("button", name="Log in").click()
        if kind == "in":
            tab.locator(".b-chips").first.wait_for()
            tab.get_by_role("button", name="Log out").click()
            tab.get_by_role("button", name="Log in").wait_for()
        else:
            tab.get_by_text("This account may not use BrainLM Explorer here.").wait_for()
            assert not tab.locator(".b-chips, .bv").count()
        context.close()
