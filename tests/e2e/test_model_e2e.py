"""The Model page in a real browser: hide something else, see it filled in, pick a parcel."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser_tools import brain, brain_pixels

#: No progress is shown: the answer on screen is the whole one.
IDLE = "() => !document.querySelector('.st-key-md-work [role=progressbar]')"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_hiding_more_changes_brain_and_sentence(tab: Any, dashboard: Any) -> None:
    tab.goto(f"{dashboard.url}/model")
    heading = tab.locator("h1").first
    heading.filter(has_text="random weights").wait_for()
    before = heading.inner_text()
    tab.wait_for_function(
        "() => document.querySelectorAll('.st-key-md-work [role=progressbar]').length === 0"
    )
    assert brain(tab, "view.panels.length") == 3
    first = brain_pixels(tab)
    assert first["covered"] > 0.1 and first["colours"] > 50
    tab.get_by_text("Network", exact=True).click()
    tab.wait_for_function("(old) => { const now = document.querySelector('h1').innerText;"
                          " return now !== old && now.includes('random weights'); }", arg=before)  # fmt: skip
    tab.wait_for_function(
        "() => document.querySelectorAll('.st-key-md-work [role=progressbar]').length === 0"
    )
    assert brain_pixels(tab)["checksum"] != first["checksum"]


def test_the_clock_and_the_camera_survive_another_mask(tab: Any, dashboard: Any) -> None:
    tab.goto(f"{dashboard.url}/model")
    tab.locator("h1").filter(has_text="random weights").first.wait_for()
    brain(tab, "view.lookFrom('left')")
    brain(tab, "view.clock.seek(50)")
    tab.get_by_text("The end", exact=True).click()
    tab.locator("h1").filter(has_text="random weights").first.wait_for()
    tab.wait_for_timeout(1500)
    assert brain(tab, "view.clock.frame") == 50
    assert brain(tab, "view.state.camera.view") == "left"
