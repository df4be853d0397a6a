"""The six pages work under the content security policy: nothing is blocked, nothing is complained about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.shell.navigation import PAGES
from tests.browser_tools import ROOT, App, start_streamlit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[App]:
    environment = {"BRAINLM_OFFLINE": "1", "BRAINLM_SESSION_UPLOAD_FILES": "2"}
    with start_streamlit(ROOT / "app" / "main.py", environment=environment) as app:
        yield app


def test_all_pages_work_without_a_complaint_of_the_browser(server: App, chromium: Any) -> None:
    tab = chromium.new_page(viewport={"width": 1400, "height": 900})
    tab.set_default_timeout(90_000)
    complaints: list[str] = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(server.url)
    tab.locator(".b-chips").first.wait_for()
    seen = []
    for page in PAGES:
        tab.get_by_role("link", name=page.title, exact=True).click()
        tab.get_by_test_id("stAppViewContainer").locator(".b-one").first.wait_for()
        tab.wait_for_function("() => !document.querySelector('[data-stale=true]')")
        tab.wait_for_timeout(1500)
        seen.append(tab.locator(".b-one").first.inner_text())
        brains = tab.evaluate(
            """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
            .filter((host) => host.shadowRoot?.childElementCount).length"""
        )
        assert brains or page.title == "Model", page.title
    assert len(set(seen)) == len(PAGES)
    assert not complaints
    tab.close()


def test_an_upload_too_many_is_refused_in_words_on_the_page(server: App, chromium: Any) -> None:
    tab = chromium.new_page()
    tab.set_default_timeout(40_000)
    tab.goto(server.url)
    tab.locator(".b-chips").first.wait_for()
    codes: list[int] = []
    tab.on("response", lambda r: codes.append(r.status) if "upload_file" in r.url else None)
    tab.get_by_text("Settings for your scan").click()
    chooser = tab.locator("input[type=file]")
    for index, name in ((1, "xyz.csv"), (2, "confounds.csv"), (3, "other.gii")):
        with tab.expect_response(lambda r: "upload_file" in r.url):
            chooser.nth(index).set_input_files({"name": name, "mimeType": "text/csv", "buffer": b"1,2\n"})
        tab.wait_for_timeout(500)
    said = tab.get_by_role("alert").filter(has_text="2 uploaded files are the most")
    said.wait_for()
    assert codes == [204, 204, 413]
    tab.get_by_role("button", name="All right").click()
    said.wait_for(state="hidden")
    tab.close()
