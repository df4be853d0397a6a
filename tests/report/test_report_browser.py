"""The report opened from disk, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
DRAWN = """() => document.querySelectorAll(".r-brain.live .bv[data-drawn]").length"""


def opened(chromium: Any, path: Path, **settings: Any) -> tuple[Any, list[str], list[str]]:
    context = chromium.new_context(offline=True, reduced_motion="reduce", **settings)
    tab = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    tab.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: requests.append(request.url.split(",")[0][:60]))
    tab.goto(path.as_uri())
    return tab, problems, requests


@pytest.fixture(scope="module")
def file(page: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def test_every_brain_draws_from_disk_and_can_be_played(chromium: Any, file: Path) -> None:
    tab, problems, requests = opened(chromium, file, viewport={"width": 1000, "height": 900})
    places = tab.locator(".r-brain")
    for i in range(places.count()):
        places.nth(i).scroll_into_view_if_needed()
    tab.wait_for_function(f"() => ({DRAWN})() === {places.count()}", timeout=90_000)
    forecast = tab.locator('[data-figure="forecast"]')
    before = forecast.evaluate("(place) => place.querySelector('.bv').brainView.clock.frame")
    forecast.get_by_role("button", name="One frame forward").first.click()
    after = forecast.evaluate("(place) => place.querySelector('.bv').brainView.clock.frame")
    assert after == before + 1
    assert not problems, problems
    assert not [r for r in requests if not r.startswith(("file:", "data:", "blob:"))], requests
    tab.context.close()


def test_without_webgl_still_pictures_stand_in(chromium: Any, file: Path) -> None:
    tab, _, _ = opened(chromium, file, viewport={"width": 390, "height": 800})
    tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    tab.reload()
    tab.wait_for_timeout(500)
    first = tab.locator(".r-brain").first
    tab.wait_for_function("() => document.querySelector('.r-brain').classList.contains('flat')")
    assert first.locator("img").is_visible() and not first.locator(".bv").is_visible()
    width = first.locator("img").evaluate("(image) => image.naturalWidth")
    assert width >= 300, "the picture is there"
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out on a phone"
    tab.context.close()


def test_without_javascript_the_report_still_says_everything(chromium: Any, file: Path) -> None:
    tab, _, _ = opened(chromium, file, java_script_enabled=False)
    assert tab.locator(".r-brain img").first.is_visible()
    assert tab.get_by_text("Not for diagnosis.").first.is_visible()
    tab.context.close()
