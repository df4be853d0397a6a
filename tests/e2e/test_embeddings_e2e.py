"""The map in a real browser: lasso, box, click, legend, zoom, picture, and one selection for two maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser_tools import App

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIND = """() => [...document.querySelectorAll("[data-testid^=stBidiComponent]")]
    .map((h) => (h.shadowRoot ?? h).querySelector(".pv")?.pointsView).find(Boolean)"""


def points(page: Any, expression: str) -> Any:
    """Evaluate JavaScript with ``view`` bound to the page's map, once that has drawn."""
    page.wait_for_function(f"() => ({FIND})()?.root.dataset.drawn")
    return page.evaluate(f"async () => {{ const view = ({FIND})(); return {expression}; }}")


def selected(page: Any) -> list[int]:
    return points(page, "[...view.data.selected.keys()].filter((i) => view.data.selected[i])")


def spot(page: Any, row: int, nth: int = 0) -> tuple[float, float]:
    """Where a recording is on the screen."""
    x, y = points(page, f"view.maps[{nth}].pixel({row})")
    box = page.locator(".map").nth(nth).bounding_box()
    return box["x"] + x, box["y"] + y


def around(page: Any, row: int, radius: float, nth: int = 0) -> None:
    """Draw a lasso around a recording."""
    x, y = spot(page, row, nth)
    page.mouse.move(x - radius, y - radius)
    page.mouse.down()
    for dx, dy in ((1, -1), (1, 1), (-1, 1), (-1, -0.8)):
        page.mouse.move(x + dx * radius, y + dy * radius, steps=5)
    page.mouse.up()


@pytest.fixture(scope="module")
def page(dashboard: App, chromium: Any) -> Iterator[Any]:
    """The page of one visitor."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1100}, accept_downloads=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{dashboard.url}/embeddings")
    page.get_by_text("Your scan. Within").wait_for()
    yield page
    context.close()
    assert not faults


def test_the_map_is_drawn_in_webgl_with_the_scan_in_hand(page: Any) -> None:
    assert points(page, "[view.maps.length, Boolean(view.maps[0].gl), view.data.ids.length]") == [
        1,
        True,
        240,
    ]
    assert points(page, "view.maps[0].here !== null && view.data.maps[0].near.length") == 5
    covered = points(
        page,
        """(() => { const m = view.maps[0]; m.draw();
        const gl = m.gl, w = m.points.width, h = m.points.height;
        const p = new Uint8Array(4 * w * h); gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, p);
        let n = 0; for (let i = 3; i < p.length; i += 4) n += p[i] > 100; return n; })()""",
    )
    assert covered > 240 * 10


def test_a_lasso_selects_and_the_table_follows(page: Any) -> None:
    around(page, 0, 60)
    rows = selected(page)
    assert 0 in rows and 1 < len(rows) < 200
    inside = points(
        page,
        """[...view.data.ids.keys()].filter((i) => {
        const [x, y] = view.maps[0].pixel(i), [a, b] = view.maps[0].pixel(0);
        return Math.abs(x - a) < 50 && Math.abs(y - b) < 50; })""",
    )
    assert set(inside) <= set(rows)
    page.get_by_text(f"{len(rows)} recordings of").wait_for()
    page.get_by_text(f"{len(rows)} of 240 selected").wait_for()


def test_shift_adds_escape_clears_and_a_legend_name_selects_a_group(page: Any) -> None:
    before = set(selected(page))
    far = points(
        page,
        """(() => { const [a, b] = view.maps[0].pixel(0); let best = 0, most = 0;
        view.data.ids.forEach((_, i) => { const [x, y] = view.maps[0].pixel(i), d = Math.hypot(x - a, y - b);
        if (d > most) { most = d; best = i; } }); return best; })()""",
    )
    page.keyboard.down("Shift")
    around(page, far, 15)
    page.keyboard.up("Shift")
    assert set(selected(page)) > before
    page.locator(".map").first.focus()
    page.keyboard.press("Escape")
    assert selected(page) == []
    page.get_by_text("Nothing is selected").wait_for()
    page.get_by_role("button", name="patient").click()
    patients = selected(page)
    page.get_by_text(f"{len(patients)} recordings of").wait_for()
    assert 60 < len(patients) < 130


def test_the_selection_is_compared_on_the_brain(page: Any) -> None:
    page.get_by_role("tab", name="Selected against the rest").click()
    page.get_by_text("selected people against").wait_for()
    page.wait_for_function(
        """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
        .some((h) => h.shadowRoot?.querySelector(".bv")?.brainView?.root.dataset.drawn)"""
    )


def test_a_click_picks_and_two_maps_share_one_selection(page: Any) -> None:
    page.get_by_role("button", name="Clear selection").click()
    x, y = spot(page, 100)
    page.mouse.click(x, y)
    picked = points(page, "view.data.picked")
    assert abs(spot(page, picked)[0] - x) < 10
    page.get_by_role("tab", name="Neighbours").click()
    page.get_by_text("Nearest to sim-").wait_for()
    page.get_by_label("Beside it", exact=True).click()
    page.get_by_role("option", name="Mean of all tokens").click()
    page.wait_for_function(f"() => ({FIND})()?.maps.length === 2")
    points(page, "view.maps[1].place.length")
    around(page, 50, 30, nth=1)
    rows = selected(page)
    assert 50 in rows
    inside = points(page, f"{rows}.every((i) => view.data.selected[i] === 1)")
    assert inside and points(page, "view.maps[0].data === view.maps[1].data")


def test_wheel_zooms_at_the_pointer_and_no_call_reaches_the_server(page: Any) -> None:
    page.locator("[data-testid=stProgress]").wait_for(state="detached")
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    x, y = spot(page, 10)
    page.evaluate(
        "() => { const send = WebSocket.prototype.send; window.sent = 0;"
        "WebSocket.prototype.send = function (...a) { window.sent += 1; return send.apply(this, a); }; }"
    )
    page.mouse.move(x, y)
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"() => ({FIND})().maps[0].zoom > 1.5")
    after = spot(page, 10)
    assert abs(after[0] - x) < 3 and abs(after[1] - y) < 3
    assert page.evaluate("window.sent") == 0
    page.get_by_role("button", name="Whole map").click()
    assert points(page, "view.maps[0].zoom") == 1


def test_the_picture_is_saved(page: Any) -> None:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save picture").click()
    assert waiting.value.path().read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_box_selects_what_lies_in_it(page: Any) -> None:
    page.get_by_role("button", name="Box", exact=True).click()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    box = page.locator(".map").first.bounding_box()
    corners = [(0.3, 0.3), (0.7, 0.75)]
    (x0, y0), (x1, y1) = [(box["x"] + fx * box["width"], box["y"] + fy * box["height"]) for fx, fy in corners]
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, y0 + 10, steps=3)
    page.mouse.move(x1, y1, steps=5)
    page.mouse.up()
    left, right, top, bottom = x0 - box["x"], x1 - box["x"], y0 - box["y"], y1 - box["y"]
    inside = points(
        page,
        f"""[...view.data.ids.keys()].filter((i) => {{ const [x, y] = view.maps[0].pixel(i);
        return x > {left} && x < {right} && y > {top} && y < {bottom}; }})""",
    )
    assert selected(page) == inside and len(inside) > 3
    page.get_by_role("tab", name="Selection", exact=True).click()
    page.get_by_text(f"{len(inside)} recordings of").wait_for()
    page.get_by_role("button", name="Lasso", exact=True).click()


def test_a_late_answer_does_not_undo_what_the_hand_did_since(page: Any) -> None:
    points(
        page,
        """(() => { view.late = null; const draw = view.update.bind(view);
        view.update = (bytes) => { view.late ??= bytes.slice(); draw(bytes); }; })()""",
    )
    around(page, 0, 60)
    page.wait_for_function(f"() => ({FIND})().late")
    assert len(selected(page)) > 1
    points(
        page,
        """(() => { const { send } = view; view.send = { selected() {}, picked() {} };
        view.choose([]); delete view.update; view.update(view.late); view.send = send; })()""",
    )
    assert selected(page) == []
    points(page, "view.choose([])")
    page.get_by_text("Nothing is selected").wait_for()


def test_the_address_brings_the_page_back(page: Any, dashboard: App) -> None:
    page.get_by_label("Colour by").click()
    page.get_by_role("option", name="Age (years)").click()
    page.get_by_role("tab", name="Neighbours").click()
    page.wait_for_function("() => location.search.includes('colour=age_years')")
    page.wait_for_function("() => location.search.includes('tab=Neighbours')")
    address, picked = page.url, points(page, "view.data.ids[view.data.picked]")
    assert "scan=sim-" in address and "beside=mean" in address
    other = page.context.new_page()
    other.set_default_timeout(120_000)
    other.goto(address)
    other.wait_for_function(f"() => ({FIND})()?.maps.length === 2")
    told = points(other, "[view.data.colour.name, view.data.ids[view.data.picked]]")
    assert told == ["Age (years)", picked]
    other.get_by_text(f"Nearest to {picked}").wait_for()
    other.close()
