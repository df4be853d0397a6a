"""The brain view in a real browser: pixels, clicks, clock, camera, and what travels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser_tools import FIND_BRAIN, App, brain, brain_pixels, start_streamlit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCRIPT = Path(__file__).with_name("brain_app.py")


@pytest.fixture(scope="module")
def app(chromium: Any) -> Iterator[App]:
    with start_streamlit(SCRIPT) as running:
        yield running


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults


def _open(page: Any, app: App, query: str = "") -> None:
    page.goto(f"{app.url}/?{query}")
    brain(page, "true")


def _spot(page: Any, parcel: int) -> dict[str, float]:
    """Return a point of the window, in CSS px, at which the parcel is well visible."""
    return brain(
        page,
        f"""(() => {{
            const {{ data, width, height }} = view.ids(), box = view.grid.getBoundingClientRect();
            let best = null;
            const id = (x, y) => data[(y * width + x) * 4] + 256 * data[(y * width + x) * 4 + 1] - 1;
            const around = [[0, 0], [-3, 0], [3, 0], [0, -3], [0, 3]];
            for (let y = 4; y < height - 4; y += 1) for (let x = 4; x < width - 4; x += 1) {{
                if (around.every(([dx, dy]) => id(x + dx, y + dy) === {parcel})) best = {{ x, y }};
            }}
            return {{ x: box.x + best.x + 0.5, y: box.y + height - 1 - best.y + 0.5 }};
        }})()""",
    )


def test_the_brain_is_not_blank(page: Any, app: App) -> None:
    _open(page, app)
    seen = brain_pixels(page)
    assert seen["covered"] > 0.25
    assert seen["colours"] > 50


def test_colours_follow_the_values_of_the_frame(page: Any, app: App) -> None:
    _open(page, app, "view=left")
    left_v1 = 180
    spot = _spot(page, left_v1)
    page.mouse.move(5, 5)
    colour = f"""(() => {{
        const box = view.grid.getBoundingClientRect(), copy = document.createElement("canvas");
        copy.width = view.canvas.width; copy.height = view.canvas.height;
        view.drawNow();
        const context = copy.getContext("2d");
        context.drawImage(view.canvas, 0, 0);
        const at = [{spot["x"]} - box.x, {spot["y"]} - box.y].map((v) => v * view.pixels);
        return [...context.getImageData(...at, 1, 1).data]; }})()"""
    values = brain(page, f"Array.from(view.panels[0].values).filter((_, i) => i % 424 === {left_v1})")
    high, low = int(np.argmax(values)), int(np.argmin(values))
    brain(page, f"view.clock.seek({high})")
    warm = brain(page, colour)
    brain(page, f"view.clock.seek({low})")
    cold = brain(page, colour)
    assert warm[0] > warm[2] + 40, "a high value is drawn in the warm half of the map"
    assert cold[2] > cold[0] + 40, "a low value is drawn in the cold half of the map"


def test_a_click_returns_the_parcel_and_a_second_one_takes_it_back(page: Any, app: App) -> None:
    _open(page, app)
    parcel = 200
    spot = _spot(page, parcel)
    brain(page, "view.clock.seek(7)")
    page.mouse.click(spot["x"], spot["y"])
    page.get_by_text(re.compile(rf"picked={parcel} changed=True frame=7")).wait_for()
    assert brain(page, "view.picked") == parcel
    page.mouse.click(spot["x"], spot["y"])
    page.get_by_text("picked=None changed=True").wait_for()


def test_hover_names_parcel_network_and_value(page: Any, app: App) -> None:
    _open(page, app, "pair")
    spot = _spot(page, 180)
    page.mouse.move(spot["x"], spot["y"])
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.bv-tooltip').textContent.includes('L_V1')"
    )
    said = brain(page, "view.tooltip.root.innerText")
    assert "Visual" in said
    assert re.search(r"Wave\s+−?0?\.?\d+.*SD", said)
    assert re.search(r"Halves\s+(Above|Below)", said)
    page.mouse.move(5, 5)
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.bv-tooltip').hidden"
    )


def test_a_spot_without_data_says_so(page: Any, app: App) -> None:
    _open(page, app)
    assert brain(page, "view.describe(7)").endswith("no data")
    assert brain(page, "view.panels[0].legend.innerText").count("no data") == 1


def test_another_sort_of_time_starts_at_its_own_usual_speed(page: Any, app: App) -> None:
    _open(page, app)
    times = "Array.from({length: 60}, (_, i) => i * 0.72)"
    assert brain(page, "view.clock.speed") == 5, "times as fast"
    assert brain(page, "(view.clock.configure(60, null), view.clock.speed)") == 10, "frames a second"
    assert brain(page, f"(view.clock.configure(60, {times}), view.clock.speed)") == 5
    brain(page, "view.clock.setSpeed(20)")
    assert brain(page, f"(view.clock.configure(60, {times}), view.clock.speed)") == 20, "chosen by hand"


def test_camera_clock_and_surface_survive_new_data(page: Any, app: App) -> None:
    _open(page, app)
    before = brain_pixels(page)["checksum"]
    stage = page.locator(".bv-stage").first.bounding_box()
    page.mouse.move(stage["x"] + 200, stage["y"] + 150)
    page.mouse.down()
    page.mouse.move(stage["x"] + 260, stage["y"] + 170, steps=4)
    page.mouse.up()
    brain(
        page,
        "(view.clock.seek(23), view.zoomBy(1.3), view.root.querySelector('.bv-morph input').value = 90,"
        "view.root.querySelector('.bv-morph input').dispatchEvent(new Event('input')), view.marked = true)",
    )
    state = brain(page, "JSON.parse(JSON.stringify(view.state))")
    assert state["camera"]["yaw"] != 0
    page.wait_for_function(
        f"() => {{ const {{ picture }} = ({FIND_BRAIN})(); return picture.mapped && picture.fine; }}"
    )
    brain(
        page,
        "(view.remapped = 0, view.project_ = view.picture.renderer.project.bind(view.picture.renderer),"
        "view.picture.renderer.project = (...a) => { view.remapped += 1; view.project_(...a); }, 1)",
    )
    page.get_by_label("gain").fill("0.5")
    page.get_by_label("gain").press("Enter")
    page.get_by_text("gain=0.5").wait_for()
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.bv').brainView.stats.messages === 2"
    )
    assert brain(page, "JSON.parse(JSON.stringify(view.state))") == state
    assert brain(page, "view.marked") is True, "the element was not built anew"
    assert brain(page, "view.remapped") == 0, "new values do not draw the surface anew"
    assert brain(page, "view.clock.frame") == 23
    assert brain_pixels(page)["checksum"] != before


def test_camera_survives_leaving_the_page_and_the_graphics_memory_is_freed(page: Any, app: App) -> None:
    _open(page, app)
    brain(
        page,
        "(view.turnBy(40, 10, view.panels[0].tiles[0]), window.old = view.canvas.getContext('webgl2'), 1)",
    )
    state = brain(page, "JSON.parse(JSON.stringify(view.state.camera))")
    page.get_by_text("shown", exact=True).click()
    page.wait_for_function("() => !document.querySelector('[data-testid=stBidiComponentIsolated]')")
    page.wait_for_function("() => window.old.isContextLost()")
    page.get_by_text("shown", exact=True).click()
    assert brain(page, "JSON.parse(JSON.stringify(view.state.camera))") == state
    assert brain_pixels(page)["covered"] > 0.2


def test_scrubbing_sixty_frames_makes_no_server_call(page: Any, app: App) -> None:
    traffic: list[str] = []

    def watch(socket: Any) -> None:
        socket.on("framesent", lambda _: traffic.append("sent"))
        socket.on("framereceived", lambda _: traffic.append("received"))

    page.on("websocket", watch)
    page.on("request", lambda request: traffic.append(request.url))
    _open(page, app)
    page.wait_for_timeout(1500)
    traffic.clear()
    slider = page.get_by_label("Time", exact=True)
    slider.focus()
    seen = set()
    for _ in range(59):
        page.keyboard.press("ArrowRight")
        seen.add(brain(page, "view.clock.frame"))
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2, steps=20)
    page.mouse.up()
    assert brain(page, "view.clock.frame") == 0
    assert seen == set(range(1, 60))
    assert traffic == []


def test_a_frame_costs_few_bytes_and_little_script(page: Any, app: App) -> None:
    def received(frames: int) -> int:
        total = [0]
        context = page.context.browser.new_context(viewport={"width": 1280, "height": 900})
        tab = context.new_page()
        tab.on(
            "websocket",
            lambda s: s.on("framereceived", lambda data: total.__setitem__(0, total[0] + len(data))),
        )
        _open(tab, app, f"frames={frames}")
        tab.wait_for_timeout(800)
        context.close()
        return total[0]

    per_frame = (received(60) - received(2)) / 58
    assert per_frame <= 4096
    _open(page, app)
    times = brain(
        page,
        """(async () => { view.stats.scriptMs = [];
        for (let f = 1; f < 60; f += 1) { view.clock.seek(f); await new Promise(requestAnimationFrame); }
        return view.stats.scriptMs; })()""",
    )
    assert len(times) >= 58
    assert float(np.median(times)) <= 8


def test_keys_play_step_and_jump(page: Any, app: App) -> None:
    _open(page, app)
    page.locator(".bv-stage").first.focus()
    page.keyboard.press("End")
    assert brain(page, "view.clock.frame") == 59
    page.keyboard.press("ArrowRight")
    assert brain(page, "view.clock.frame") == 0
    page.keyboard.press("ArrowRight")
    assert brain(page, "view.clock.frame") == 1
    page.keyboard.press("Space")
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.bv').brainView.clock.frame > 3"
    )
    assert page.get_by_role("button", name="Pause").count() == 1
    page.keyboard.press("Space")
    assert brain(page, "view.clock.playing") is False
    page.keyboard.press("Home")
    assert brain(page, "view.clock.frame") == 0


def test_nothing_is_drawn_while_nothing_changes(page: Any, app: App) -> None:
    _open(page, app)
    page.wait_for_timeout(500)
    before = brain(page, "view.stats.draws")
    page.wait_for_timeout(700)
    assert brain(page, "view.stats.draws") == before


def test_linked_panels_share_clock_camera_and_hover(page: Any, app: App) -> None:
    _open(page, app, "pair&view=left")
    page.get_by_role("button", name="Top", exact=True).click()
    tiles = "view.panels.map((p) => p.tiles.map((t) => [t.yaw, t.pitch]))"
    page.wait_for_function(f"() => {{ const view = ({FIND_BRAIN})(); return {tiles}[0][0][1] === 90; }}")
    assert brain(page, tiles) == [[[0, 90]], [[0, 90]]]
    assert (
        brain(
            page, "view.canvas.getContext('webgl2') !== null && view.grid.querySelectorAll('canvas').length"
        )
        == 1
    )


def test_colour_bars_side_by_side_start_below_their_titles(page: Any, app: App) -> None:
    _open(page, app, "pair")
    offsets = brain(
        page,
        """view.panels.map(({ root }) => (root.querySelector(".bv-ramp") ?? root.querySelector(".bv-swatch"))
            .getBoundingClientRect().x - root.getBoundingClientRect().x)""",
    )
    assert max(offsets) <= 8.5, offsets


def test_a_parcel_chosen_in_python_is_outlined(page: Any, app: App) -> None:
    _open(page, app, "choose")
    assert brain(page, "view.picked") == 3
    page.get_by_label("choose").fill("250")
    page.get_by_label("choose").press("Enter")
    page.get_by_text("picked=250 changed=False").wait_for()
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stBidiComponentIsolated]').shadowRoot"
        ".querySelector('.bv').brainView.picked === 250"
    )


def test_the_wheel_scrolls_the_page_and_zooms_only_with_control(page: Any, app: App) -> None:
    _open(page, app)
    stage = page.locator(".bv-stage").first.bounding_box()
    page.mouse.move(stage["x"] + 100, stage["y"] + 100)
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(400)
    assert brain(page, "view.state.camera.zoom") == 1
    assert page.locator(".bv-stage").first.bounding_box()["y"] < stage["y"] - 50
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_timeout(200)
    assert brain(page, "view.state.camera.zoom") > 1.1


def test_reduced_motion_does_not_play_by_itself(chromium: Any, app: App) -> None:
    for preference, plays in (("reduce", False), ("no-preference", True)):
        context = chromium.new_context(reduced_motion=preference)
        tab = context.new_page()
        _open(tab, app, "autoplay")
        assert brain(tab, "view.clock.playing") is plays
        context.close()


def test_a_lost_context_is_said_and_restored(page: Any, app: App) -> None:
    _open(page, app)
    brain(
        page,
        "(window.loss = view.picture.renderer.gl.getExtension('WEBGL_lose_context'), "
        "window.loss.loseContext())",
    )
    page.get_by_text("waiting to draw again").wait_for()
    page.evaluate("window.loss.restoreContext()")
    page.get_by_text("waiting to draw again").wait_for(state="hidden")
    assert brain_pixels(page)["colours"] > 50


def test_png_holds_the_picture(page: Any, app: App, tmp_path: Path) -> None:
    from PIL import Image

    _open(page, app, "pair")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    target = tmp_path / "brain.png"
    download.value.save_as(target)
    assert download.value.suggested_filename == "wave.png"
    picture = np.asarray(Image.open(target).convert("RGB"))
    size = brain(page, "view.size")
    assert picture.shape[1] == (size["width"] + 32) * 2
    assert len(np.unique(picture.reshape(-1, 3) // 16, axis=0)) > 80


def test_the_picture_is_described_for_those_who_cannot_see_it(page: Any, app: App) -> None:
    _open(page, app)
    assert page.get_by_role("img", name="A wave runs over the brain").count() == 1
    for name in ("Play", "One frame back", "One frame forward", "Save as PNG", "Parcel outlines"):
        assert page.get_by_role("button", name=name).count() == 1, name


def test_without_webgl_a_flat_figure_takes_over(page: Any, app: App) -> None:
    page.add_init_script(
        """const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
            return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
        };"""
    )
    page.goto(app.url)
    page.get_by_text("cannot draw in 3-D").wait_for(timeout=30000)
    page.locator(".js-plotly-plot").wait_for(timeout=30000)


def test_the_theme_of_the_page_is_followed(chromium: Any, app: App) -> None:
    context = chromium.new_context(viewport={"width": 900, "height": 900}, color_scheme="light")
    tab = context.new_page()
    faults: list[str] = []
    tab.on("pageerror", lambda error: faults.append(str(error)))
    _open(tab, app)
    grey = "Array.from(view.panels[0].scale.noData)"
    assert brain(tab, "view.theme") == "light"
    before = brain(tab, grey)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"() => ({FIND_BRAIN})().theme === 'dark'")
    assert brain(tab, grey) != before
    # The same panels are built again: their colours and the bar that explains them must still be there.
    assert brain(tab, "view.panels.every((panel) => panel.legend.isConnected && panel.scale.table.length)")
    assert faults == []
    context.close()


@pytest.mark.parametrize("width", [390, 700, 1000, 1600])
def test_no_hemisphere_is_cut_at_any_width(chromium: Any, app: App, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    _open(tab, app, "pair")
    over = """(() => {
        const { data, width, height } = view.ids();
        return view.panels.flatMap(({ rect }) => {
            const columns = [rect.x + 1, rect.x + rect.width - 2].map(Math.round);
            return columns.map((x) => {
                let n = 0;
                for (let y = Math.round(rect.y); y < rect.y + rect.height; y += 1) {
                    const at = ((height - 1 - y) * width + Math.min(x, width - 1)) * 4;
                    if (data[at] + data[at + 1]) n += 1;
                }
                return n;
            });
        });
    })()"""
    assert brain(tab, over) == [0, 0, 0, 0]
    assert brain(tab, "document.documentElement.scrollWidth <= innerWidth")
    context.close()
