"""The Perturb page in a browser: real mouse events, pixels, and websocket frames counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from brainlm_core.features.perturb.scenario import Scenario
from tests.browser_tools import App, start_streamlit
from tests.perturb.conftest import simulated_recording

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIND = """() => [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .map((host) => host.shadowRoot?.querySelector(".pv")?.perturbView).find(Boolean)"""
CHECKSUM = """(() => {
    view.brain.drawNow();  // the drawing buffer is only readable in the task that drew it
    const { canvas } = view.brain, copy = document.createElement("canvas");
    Object.assign(copy, { width: canvas.width, height: canvas.height });
    const context = copy.getContext("2d");
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) {
        sum = (sum * 31 + data[i] + 3 * data[i + 1] + 7 * data[i + 2]) % 2147483647;
    }
    return sum;
})()"""


@pytest.fixture(scope="module")
def app(
    tiny_folder: Path, small_parcellation: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    path = tmp_path_factory.mktemp("perturb") / "small.npz"
    simulated_recording(small_parcellation, n=420, seed=2).save(path)
    environment = {"PERTURB_TEST_MODEL": str(tiny_folder), "PERTURB_TEST_RECORDING": str(path)}
    with start_streamlit(Path(__file__).with_name("perturb_app.py"), environment=environment) as running:
        yield running


@pytest.fixture
def page(app: App, chromium: Any) -> Iterator[Any]:
    yield from visit(app.url, chromium)


def visit(url: str, chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1440, "height": 1200}, reduced_motion="reduce")
    tab = context.new_page()
    tab.set_default_timeout(180_000)
    errors: list[str] = []
    tab.sent = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("websocket", lambda socket: socket.on("framesent", lambda frame: tab.sent.append(frame)))
    tab.goto(url)
    yield tab
    context.close()
    assert not errors, errors


def js(tab: Any, expression: str) -> Any:
    """Evaluate JavaScript with ``view`` bound to the component."""
    return tab.evaluate(f"async () => {{ const view = ({FIND})(); return {expression}; }}")


def wait(tab: Any, condition: str) -> None:
    tab.wait_for_function(f"() => {{ const view = ({FIND})(); return view?.header && ({condition}); }}")


#: The answer on screen is of all the mask draws that the scenario asks for.
ALL_DRAWS = "view.header.draws === view.header.base.draws"


def ready(tab: Any) -> None:
    """Wait until the exact answer is drawn and every slider has its responses."""
    wait(
        tab,
        "view.root.dataset.picture === 'exact' && view.brain.root.dataset.drawn"
        " && view.header.rows.every((row) => row.nodes.length >= 6)",
    )


def quiet(tab: Any) -> None:
    """Wait until no job runs any more, so that nothing but the hand can talk to the server."""
    wait(tab, "'z' in view.header.maps || document.body.innerText.includes('No null')")
    for _ in range(100):
        before = len(tab.sent)
        tab.wait_for_timeout(700)
        if len(tab.sent) == before:
            return
    raise AssertionError("the page never came to rest")


def grab(tab: Any, row: str) -> tuple[float, float, float]:
    """Put the mouse on a slider's thumb and press; return x, y, width."""
    slider = tab.locator(f'input[data-row="{row}"]')
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    value = slider.evaluate("(x) => (x.valueAsNumber - x.min) / (x.max - x.min)")
    x, y = box["x"] + 9 + value * (box["width"] - 18), box["y"] + box["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    return x, y, box["width"] - 18


def test_dragging_moves_the_brain_without_the_server(page: Any) -> None:
    ready(page)
    quiet(page)
    assert "add" in js(page, "Object.keys(view.header.kinds)")
    seen, sent = [js(page, CHECKSUM)], len(page.sent)
    x, y, width = grab(page, "n:Default")
    for step in range(1, 9):
        page.mouse.move(x + step * width / 20, y)
        page.wait_for_timeout(60)
        assert js(page, "view.root.dataset.picture") == "first-order"
        seen.append(js(page, CHECKSUM))
    assert len(set(seen)) >= 7, "the picture did not follow the hand"
    assert len(page.sent) == sent, "dragging talked to the server"
    assert js(page, "view.stats.drags") >= 8
    page.mouse.up()
    wait(page, "view.root.dataset.picture === 'exact'")
    assert len(page.sent) > sent
    said = js(page, "view.side.status.textContent")
    assert said.startswith("Exact answer.Interaction: it differs from the sum of the sliders by")
    between = js(page, "view.interaction")
    assert between["gap"] > 0 and between["size"] > 0
    # The exact picture is the one on the brain now.
    assert (
        js(
            page,
            "Math.max(...view.brain.panels[0].values.subarray(0, view.nParcels).map((v, i) => "
            "Math.abs((v || 0) - (view.arrays.exact_effect[i] || 0))))",
        )
        == 0
    )
    scenario = Scenario.from_url(parse_qs(urlparse(page.url).query)["s"][0])
    assert [a.targets.network for a in scenario.actions] == ["Visual", "Default"]
    median = sorted(js(page, "view.stats.dragMs"))[js(page, "view.stats.dragMs.length") // 2]
    assert median <= 16, f"{median:.1f} ms of script per drag"


def test_undo_redo_reset_compare(page: Any) -> None:
    ready(page)
    page.get_by_role("button", name="Keep as A", exact=True).click()
    wait(page, "view.header.a_ready && view.brain.panels?.[0].title.startsWith('A:')")
    x, y, width = grab(page, "n:Limbic")
    page.mouse.move(x - width / 4, y, steps=4)
    page.mouse.up()
    wait(page, "view.root.dataset.picture === 'exact' && view.header.share.s !== view.header.share.a")
    page.get_by_role("button", name="Undo", exact=True).click()
    wait(page, "view.root.dataset.picture === 'exact' && view.header.share.s === view.header.share.a")
    page.get_by_role("button", name="Redo", exact=True).click()
    wait(page, "view.root.dataset.picture === 'exact' && view.header.share.s !== view.header.share.a")
    page.get_by_role("button", name="Clear A", exact=True).click()
    wait(page, "view.header.share.a === undefined && view.brain.panels[0].title.startsWith('A:') === false")
    page.get_by_role("button", name="Reset", exact=True).click()
    wait(page, "view.header.share.s === undefined && view.root.dataset.picture === 'exact'")
    assert js(page, "[...view.arrays.exact_effect].every((v) => v === 0)")


def test_a_link_restores_sliders_result_and_camera(page: Any, app: App, chromium: Any) -> None:
    ready(page)
    page.get_by_placeholder("Add a parcel: type a name, or click the brain").fill("R_V1")
    page.keyboard.press("Enter")
    wait(page, "view.header.rows.some((row) => row.id === 'p1')")
    x, y, width = grab(page, "p1")
    page.mouse.move(x + width / 3, y, steps=3)
    page.mouse.up()
    wait(page, "view.root.dataset.picture === 'exact' && view.side.rows.get('p1').row.value > 1")
    js(
        page,
        "(view.brain.lookFrom('top'), view.brain.stopFlight?.(), view.brain.zoomBy(1.5), "
        "view.side.link.click(), 1)",
    )
    wait(page, "view.link")
    link = js(page, "view.link")
    wait(page, ALL_DRAWS)  # the first answer is of two draws; both sides must be as far as the other
    effect = js(page, "[...view.arrays.exact_effect].map((v) => v || 0)")
    for other in visit(link, chromium):
        wait(other, "view.root.dataset.picture === 'exact' && view.brain.root.dataset.drawn")
        wait(other, ALL_DRAWS)
        assert js(other, "view.side.rows.get('p1').row.value") == js(
            page, "view.side.rows.get('p1').row.value"
        )
        again = js(other, "[...view.arrays.exact_effect].map((v) => v || 0)")
        assert again == pytest.approx(effect, abs=1e-5)
        wait(
            other,
            "view.brain.state.camera.view === 'top' && Math.abs(view.brain.state.camera.zoom - 1.5) < 0.01",
        )


@pytest.mark.parametrize("query", ["s=1nonsense", "s=", "s=1eJw&a=2"])
def test_a_mangled_link_is_a_sentence_and_changes_nothing(app: App, chromium: Any, query: str) -> None:
    for tab in visit(f"{app.url}/?{query}", chromium):
        tab.get_by_text("The scenario in the address is damaged").wait_for()
        wait(tab, "view.header.rows.every((row) => row.value === 0)")


def test_onset_after_the_end_is_refused_in_words(page: Any) -> None:
    ready(page)
    what = "targets: {network: 'Visual'}, kind: 'add', amplitude_sd: 1, onset_s: 500"
    late = f"actions: [{{{what}}}], readout: 'others'"
    js(
        page,
        "(view.send.release({serial: view.kept.serial += 1, scenario: {...view.header.base, "
        + late
        + "}, extra: [], a: null, common: view.kept.state.common, readout: 'others', camera: null}), 1)",
    )
    page.get_by_text("sees only the first").wait_for()
    page.get_by_role("button", name="Go on with the last scenario that worked").click()
    wait(page, "view.root.dataset.picture === 'exact'")
