"""One visitor's way through all pages, looked at in light and dark on a wide, a middling and a narrow window.

Nothing is computed twice: a page is loaded once, then the theme changes and the window's width.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from brainlm_core.features.perturb.scenario import Action, Scenario, Target

#: Height of the window by its width, in px; what a page has below is not in the picture.
HEIGHTS = {1440: 1800, 1280: 1800, 390: 3000}
THEMES = ("light", "dark")
#: Findings of these kinds fail the tests.
SEVERE = ("serious", "critical")
#: What Streamlit draws itself and no page can change: (rule, how the element's address begins).
EXCUSED: tuple[tuple[str, str], ...] = ()
#: Tabs that compute for long, and show charts only.
LONG_TABS = ("Choices", "Input scale")
#: An element of which only the place counts: a grid keeps the colours of the theme that it was made in.
GRID = "[data-testid=stDataFrame]"

#: Nothing is computed or loaded: no progress line, no skeleton, no run of the script.
_IDLE = """() => !document.querySelector("[role=progressbar], [data-testid=stSkeleton]")
    && document.querySelector("[data-testid=stApp]")?.dataset.testScriptState === "notRunning" """
_CALM = """(ms) => { const idle = (IDLE)(), now = performance.now();
    if (!idle) window.calmSince = undefined; else window.calmSince ??= now;
    return idle && now - window.calmSince > ms; }""".replace("IDLE", _IDLE)
#: Elements that reach beyond the window's right edge, where the page scrolls sideways.
_TOO_WIDE = """() => {
    const main = document.querySelector("[data-testid=stMain]"), room = document.documentElement.clientWidth;
    if (Math.max(main.scrollWidth, document.documentElement.scrollWidth) <= room) return [];
    const words = (e) => `${e.tagName.toLowerCase()} ${e.dataset.testid ?? e.className}`;
    return ["page"].concat([...main.querySelectorAll("*")]
        .filter((e) => e.getBoundingClientRect().right > room + 1).map(words)).slice(0, 6);
}"""


@dataclass(frozen=True)
class Stop:
    """One page in one state.

    Parameters
    ----------
    name : str
        Of the pictures.
    url : str
        Page, with its query.
    prepare : callable (page) or None
        What a visitor does there before looking.
    widths : tuple of int
        Of the window, in px.
    tabs : bool
        Whether the tabs below the fold are opened and examined, too.
    """

    name: str
    url: str
    prepare: Callable[[Any], None] | None = None
    widths: tuple[int, ...] = tuple(HEIGHTS)
    tabs: bool = True


@dataclass(frozen=True)
class Look:
    """What was seen of a page.

    Parameters
    ----------
    name : str
        Stop, theme and width.
    width : int
        Of the window, in px.
    picture : Image or None
        The window; None for a tab, of which there is no reference.
    too_wide : tuple of str
        What makes the page scroll sideways; empty when nothing does.
    findings : tuple of str
        Severe findings of axe, in words.
    """

    name: str
    width: int
    picture: Image.Image | None
    too_wide: tuple[str, ...]
    findings: tuple[str, ...]


#: Two mask draws, not eight: the comparisons below the sliders are there in a quarter of the time.
_SCENARIO = Scenario(
    (Action(Target(network="Default"), "add", amplitude_sd=2.0, onset_s=86.4, duration_s=28.8),), draws=2
)


def _refused(page: Any) -> None:
    """Drop a file that is no scan."""
    file = {"name": "notes.nii.gz", "mimeType": "application/gzip", "buffer": b"this is not a scan"}
    page.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(file)
    page.get_by_text("The picture below is still the recording you had before.").wait_for()


#: Perturb is the slowest: it is opened first, and looked at last.
STOPS = (
    Stop("scan", "scan"),
    Stop("networks", "networks"),
    Stop("forecast", "forecast"),
    Stop("embeddings", "embeddings"),
    Stop("model", "model"),
    Stop("scan-refused", "scan", _refused, (1440, 390), tabs=False),
    Stop("networks-refused", "networks?model=13m", None, (1440, 390), tabs=False),
    Stop("perturb", f"perturb?s={_SCENARIO.to_url()}"),
)


def looks(chromium: Any, address: str, stops: tuple[Stop, ...] = STOPS) -> Iterator[Look]:
    """Go through all stops, or some, and yield every look."""
    context = chromium.new_context(viewport={"width": 1440, "height": HEIGHTS[1440]}, reduced_motion="reduce")
    context.set_default_timeout(240_000)
    slow, page = context.new_page(), context.new_page()
    if STOPS[-1] in stops:
        slow.goto(f"{address}/{STOPS[-1].url}")
    for stop in stops:
        if stop is STOPS[-1]:
            page = slow
        else:
            # A browser that turns dark or light while Streamlit loads may stay in Streamlit's own theme.
            page.emulate_media(color_scheme=THEMES[0], reduced_motion="reduce")
            page.goto(f"{address}/{stop.url}")
        yield from _look_at(page, stop)
    context.close()


def settle(page: Any, calm_ms: int = 1200) -> None:
    """Wait until the page has been idle for some time: its next piece of work starts in a run of its own."""
    page.evaluate("window.calmSince = undefined")
    page.wait_for_function(_CALM, arg=calm_ms, timeout=240_000)


def photograph(page: Any, width: int) -> Image.Image:
    """Return the window at a width; of tables only the place is in the picture."""
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    page.mouse.move(0, 0)
    page.wait_for_timeout(150)
    settle(page, 200)
    before = shot = b""
    for _ in range(10):  # charts come a little after the page says that it is done
        shot = page.screenshot(animations="disabled", mask=[page.locator(GRID)], mask_color="#808080")
        if shot == before:
            break
        before = shot
        page.wait_for_timeout(100)
    return Image.open(io.BytesIO(shot)).convert("RGB")


def severe(page: Any, part: str | None = None) -> tuple[str, ...]:
    """Return the severe findings of axe on a page, or on a part of it, in words: those that last.

    On a busy machine a page is between two themes for a moment, and colours of one lie on the other.
    """
    found = _severe_now(page, part)
    if found:
        page.wait_for_timeout(1500)
        settle(page)
        found &= _severe_now(page, part)
    return tuple(sorted(found))


def _severe_now(page: Any, part: str | None) -> set[str]:
    out = set()
    for finding in Axe().run(page, part).response["violations"]:
        if finding["impact"] not in SEVERE:
            continue
        for node in finding["nodes"]:
            where = " ".join(str(step) for step in node["target"])
            if not any(finding["id"] == rule and where.startswith(start) for rule, start in EXCUSED):
                out.add(f"{finding['id']} ({finding['help']}): {where} {node['html'][:160]}")
    return out


def _look_at(page: Any, stop: Stop) -> Iterator[Look]:
    page.bring_to_front()
    page.emulate_media(color_scheme=THEMES[0], reduced_motion="reduce")
    settle(page)
    if stop.prepare is not None:
        stop.prepare(page)
        settle(page)
    for theme in THEMES:
        if theme != THEMES[0]:
            photograph(page, stop.widths[0])  # so that charts come from the same width in both themes
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_timeout(300)  # the page notices, and runs again
        for width in stop.widths:
            picture = photograph(page, width)
            findings = severe(page) if width == 1440 or (width, theme) == (390, "light") else ()
            too_wide = tuple(page.evaluate(_TOO_WIDE))
            yield Look(f"{stop.name}-{theme}-{width}", width, picture, too_wide, findings)
    if stop.tabs:
        yield from _tabs(page, stop)


def _tabs(page: Any, stop: Stop) -> Iterator[Look]:
    """Open every tab, as on a phone in the dark: nothing is wider than the page, nothing severe is found."""
    for tab in page.get_by_role("tab").all()[1:]:
        name = tab.inner_text()
        if name in LONG_TABS:
            continue
        tab.click()
        page.wait_for_timeout(100)
        settle(page, 200)
        yield Look(
            f"{stop.name}, tab {name}",
            390,
            None,
            tuple(page.evaluate(_TOO_WIDE)),
            severe(page, "[role=tabpanel]"),
        )
