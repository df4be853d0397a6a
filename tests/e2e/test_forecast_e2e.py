"""The forecast in a real browser: it plays, steps, scrubs, is picked, and keeps clock and camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.browser_tools import App, brain, brain_pixels

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(dashboard: App, chromium: Any) -> Iterator[Any]:
    """The page of one visitor, its forecast and race there."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(180_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{dashboard.url}/forecast")
    brain(page, "true", wait_s=120)
    page.locator(".st-key-fc-race").wait_for()
    page.locator(".st-key-progress-backtest").wait_for(state="detached")
    page.wait_for_function("() => document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
    yield page
    context.close()
    assert not faults


def test_three_linked_brains_open_at_the_border(page: Any) -> None:
    assert brain_pixels(page)["covered"] > 0.15
    assert brain(page, "view.panels.length") == 3
    assert brain(page, "[view.clock.nFrames, view.clock.frame]") == [200, 180]
    words = brain(page, "view.root.innerText")
    assert "Observed (simulated)" in words and "Forecast minus observed" in words
    assert "seen | not seen" in brain(page, "view.root.querySelector('.bv-border').dataset.text")
    share = brain(page, "parseFloat(view.root.querySelector('.bv-seen').style.width)")
    assert share == pytest.approx(100 * 179.5 / 199, abs=0.2)


def test_it_plays_steps_and_scrubs_without_a_server_call(page: Any) -> None:
    before = brain_pixels(page)["checksum"]
    page.evaluate(
        "() => { const send = WebSocket.prototype.send; window.sent = 0;"
        "WebSocket.prototype.send = function (...a) { window.sent += 1; return send.apply(this, a); }; }"
    )
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(_when("view.clock.frame > 184"))
    page.get_by_role("button", name="Pause").click()
    at = brain(page, "view.clock.frame")
    page.get_by_role("button", name="One frame back").click()
    assert brain(page, "view.clock.frame") == at - 1
    page.get_by_label("Time", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert brain(page, "view.clock.frame") == at
    slider = page.get_by_label("Time", exact=True)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=15)
    page.mouse.up()
    assert 80 < brain(page, "view.clock.frame") < 120
    assert page.evaluate("window.sent") == 0, "playing and scrubbing must not call the server"
    assert brain_pixels(page)["checksum"] != before


def test_a_frame_costs_little_script(page: Any) -> None:
    times = brain(
        page,
        """(async () => { view.stats.scriptMs = [];
        for (let f = 0; f < 200; f += 1) { view.clock.seek(f); await new Promise(requestAnimationFrame); }
        return view.stats.scriptMs; })()""",
    )
    assert len(times) >= 190
    assert float(np.median(times)) <= 8


def test_before_the_start_both_brains_show_the_same_and_after_it_not(page: Any) -> None:
    values = "view.panels.map((p) => Array.from(p.values.slice({0} * 424, ({0} + 1) * 424)))"
    observed, forecast, error = brain(page, values.format(100))
    assert observed == forecast
    assert np.nanmax(np.abs(np.array(error, dtype=float))) == 0
    observed, forecast, error = (np.array(v, dtype=float) for v in brain(page, values.format(190)))
    assert np.nanmax(np.abs(observed - forecast)) > 0.5
    np.testing.assert_allclose(forecast - observed, error, atol=1e-4)


def test_a_picked_parcel_gets_its_trace(page: Any) -> None:
    trace = page.locator(".st-key-fc-trace .ytitle").first
    box = page.locator(".st-key-fc-brain .bv-stage").first.bounding_box()
    names = []
    for x, y in ((0.25, 0.12), (0.7, 0.12)):  # outer side of either hemisphere
        before = trace.text_content()
        page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        page.wait_for_function(
            "(old) => document.querySelector('.st-key-fc-trace .ytitle')?.textContent !== old", arg=before
        )
        names.append(trace.text_content())
    assert names[0] != names[1]
    assert brain(page, "view.picked") is not None


def test_camera_and_clock_stay_when_a_widget_changes(page: Any) -> None:
    brain(page, "(view.clock.seek(188), view.zoomBy(1.3), view.marked = true)")
    state = brain(page, "JSON.parse(JSON.stringify(view.state.camera))")
    page.locator(".st-key-fc-third").get_by_text("Gain over baseline").click()
    page.locator(".st-key-fc-brain").get_by_text(re.compile("How much nearer than")).first.wait_for()
    assert brain(page, "view.clock.frame") == 188
    assert brain(page, "JSON.parse(JSON.stringify(view.state.camera))") == state
    assert brain(page, "view.marked") is True
    page.locator(".st-key-fc-third").get_by_text("Skill map").click()
    page.locator(".st-key-fc-brain").get_by_text(re.compile("R² of the model minus R²")).first.wait_for()
    assert brain(page, "view.clock.frame") == 188


def test_a_film_can_be_taken_home(page: Any) -> None:
    page.get_by_role("tab", name="Export").click()
    button = page.locator(".st-key-fc-gif button")
    button.wait_for()
    with page.expect_download() as download:
        button.click()
    content = download.value.path().read_bytes()
    assert content[:4] == b"GIF8" and len(content) > 100_000


def test_beyond_the_end_the_page_says_so(page: Any) -> None:
    page.get_by_text("Beyond the end of the recording").first.click()
    page.get_by_text("there is no truth to compare it with").wait_for()
    page.wait_for_function(_when("view.panels.length === 2"))
    assert "Observed" not in brain(page, "view.root.innerText")
    page.locator(".st-key-fc-third").get_by_text("Uncertainty").click()
    page.wait_for_function(_when("view.root.innerText.includes('Half-width of the 90 % interval')"))


def _when(condition: str) -> str:
    from tests.browser_tools import FIND_BRAIN

    return f"() => {{ const view = ({FIND_BRAIN})(); return {condition}; }}"
