"""One dashboard and one browser for all end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser_tools import ROOT, App, start_streamlit


@pytest.fixture(scope="session")
def dashboard() -> Iterator[App]:
    """The running dashboard."""
    with start_streamlit(ROOT / "app" / "main.py") as app:
        yield app


@pytest.fixture
def tab(dashboard: App, chromium: Any) -> Iterator[Any]:
    """A fresh visitor's tab; fails the test when the page throws a script error."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1100}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(dashboard.url)
    yield page
    context.close()
    assert not errors, errors
