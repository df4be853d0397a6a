"""Every page as it is seen: against small reference pictures, by axe, and without scrolling sideways.

``python -m tests.e2e.renew_sight`` takes the references anew; look at them before they go in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.browser_tools import App

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")

from tests.e2e import sight_pictures as pictures
from tests.e2e import sight_tour as tour

pytestmark = [pytest.mark.browser, pytest.mark.slow]

VIEWS = [f"{s.name}-{theme}-{width}" for s in tour.STOPS for theme in tour.THEMES for width in s.widths]


@pytest.fixture(scope="module")
def seen(dashboard: App, chromium: Any) -> dict[str, tour.Look]:
    """All looks of one way through the pages."""
    return {look.name: look for look in tour.looks(chromium, dashboard.url)}


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_looks_as_it_did(seen: dict[str, tour.Look], view: str, tmp_path: Any) -> None:
    picture = seen[view].picture
    assert picture is not None
    with Image.open(pictures.reference_path(view)) as reference:
        apart, (x, y) = pictures.furthest_tile(picture, reference)
    picture.save(tmp_path / f"{view}.png")
    assert apart <= pictures.TOLERANCE, (
        f"{view} differs by {apart:.1f} grey levels around x {x}, y {y}: {tmp_path / view}.png. "
        "If that is meant, `python -m tests.e2e.renew_sight` takes new references"
    )


@pytest.fixture(scope="module")
def scan_page(dashboard: App, chromium: Any) -> Iterator[Any]:
    """The Scan page in the light, idle."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{dashboard.url}/scan")
    tour.settle(page)
    yield page
    context.close()


@pytest.mark.parametrize("how", ["opacity: 0", "transform: translateY(40px)"])
@pytest.mark.parametrize(
    "block",
    [
        ".b-chips",
        "h1",
        "[data-testid=stFileUploader]",
        ".st-key-scan-brain",
        ".bv-legend",
        ".bv-timeline",
        "[role=tablist]",
    ],
)
def test_a_block_that_is_hidden_or_moved_is_noticed(scan_page: Any, block: str, how: str) -> None:
    element = scan_page.locator(block).first
    element.evaluate("(e, style) => { e.style.cssText += style; }", how)
    picture = tour.photograph(scan_page, 1440)
    element.evaluate("(e) => { e.style.opacity = e.style.transform = ''; }")
    with Image.open(pictures.reference_path("scan-light-1440")) as reference:
        assert pictures.furthest_tile(picture, reference)[0] > pictures.TOLERANCE
        whole = tour.photograph(scan_page, 1440)
        assert pictures.furthest_tile(whole, reference)[0] <= pictures.TOLERANCE


def test_nothing_scrolls_sideways(seen: dict[str, tour.Look]) -> None:
    wide = {name: look.too_wide for name, look in seen.items() if look.too_wide}
    assert not wide


def test_axe_finds_nothing_severe(seen: dict[str, tour.Look]) -> None:
    found = [f"{name}: {finding}" for name, look in seen.items() for finding in look.findings]
    assert not found, "\n".join(found)


def test_there_is_a_reference_for_every_view_and_they_are_small() -> None:
    kept = {path.stem: path.stat().st_size for path in pictures.FOLDER.glob("*.webp")}
    assert set(kept) == set(VIEWS)
    assert max(kept.values()) <= 15_000 and sum(kept.values()) <= 600_000
