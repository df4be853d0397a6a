"""A browser that cannot draw in 3-D still sees every page's values, and no error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.shell.navigation import PAGES
from tests.browser_tools import ROOT, App, start_streamlit

pytestmark = pytest.mark.browser
NO_WEBGL = """const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
};"""
#: The page of a cohort has points instead of brains; they are drawn on a plain canvas then.
POINTS = "embeddings.py"


@pytest.fixture(scope="module")
def server() -> Iterator[App]:
    with start_streamlit(ROOT / "app" / "main.py") as app:
        yield app


@pytest.mark.parametrize("entry", PAGES, ids=lambda e: e.file)
def test_every_page_draws_flat(entry: Any, server: App, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    tab = context.new_page()
    tab.set_default_timeout(120_000)
    tab.add_init_script(NO_WEBGL)
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"{server.url}/{entry.url}")
    if entry.file == POINTS:
        tab.wait_for_function(
            """() => [...document.querySelectorAll("[data-testid^=stBidiComponent]")]
            .some((h) => (h.shadowRoot ?? h).querySelector(".pv")?.dataset.drawn)"""
        )
    else:
        tab.locator(".js-plotly-plot .imagelayer image").first.wait_for(state="attached")  # the flat brain
    assert not tab.locator("[data-testid=stException]").count()
    assert not errors
    context.close()
