"""The main job by keys alone: a file comes in, its networks, forecast and perturbation are read and saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser_tools import App, brain
from tests.e2e.keyboard import Keyboard

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def keys(dashboard: App, chromium: Any) -> Iterator[Keyboard]:
    """One visitor without a mouse; the tests below are one walk, in this order."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1000}, reduced_motion="reduce", accept_downloads=True
    )
    page = context.new_page()
    page.set_default_timeout(180_000)
    page.goto(dashboard.url)
    brain(page, "true", wait_s=120)
    page.wait_for_load_state("networkidle")  # what is drawn anew loses the focus
    page.bring_to_front()
    yield Keyboard(page)
    context.close()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 200 volumes; it does not say its repetition time."""
    path = tmp_path_factory.mktemp("keys") / "sub-keys_424.csv"
    signals = np.random.default_rng(3).normal(size=(200, 424))
    np.savetxt(path, 100 + signals, delimiter=",", fmt="%.3f")
    return path


def test_a_file_is_chosen_and_its_question_answered(keys: Keyboard, table: Path) -> None:
    page = keys.page
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(3):  # a first visit may draw the button anew under the finger
        keys.to("Upload$")
        keys.press("Enter")
        page.wait_for_timeout(2000)
        if choosers:
            break
    choosers[0].set_files(table)
    page.get_by_role("alert").filter(has_text="does not say its repetition time").wait_for()
    keys.to("Repetition time", key="Shift+Tab")
    page.keyboard.type("2")
    keys.to("Read the file")
    keys.press("Enter")
    page.locator(".b-chips", has_text=table.name).wait_for()


def test_a_parcel_is_chosen_on_the_networks_page(keys: Keyboard) -> None:
    page = keys.page
    keys.to("^Networks$", key="Shift+Tab")
    keys.press("Enter")
    page.wait_for_url(re.compile("/networks"))
    brain(page, "view.panels.length === 2 || null", wait_s=120)
    page.wait_for_function("() => !document.querySelector('[role=progressbar]')")
    keys.to("^Brain surface", role="img")
    keys.press("ArrowRight", "ArrowDown", "Enter")
    chosen = page.get_by_role("combobox", name=re.compile("Parcel"))
    expect(chosen).to_have_value(re.compile(" · "), timeout=60_000)
    expect(page.get_by_role("radio", name="Attention of a parcel")).to_have_attribute("aria-checked", "true")


def test_the_forecast_is_stepped_into_what_the_model_did_not_see(keys: Keyboard) -> None:
    page = keys.page
    keys.to("^Forecast$", key="Shift+Tab")
    keys.press("Enter")
    page.wait_for_url(re.compile("/forecast"))
    page.locator(".st-key-fc-race").wait_for()
    keys.to("^Time$")
    before = brain(page, "view.clock.frame")
    keys.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight")
    assert brain(page, "view.clock.frame") == before - 2
    keys.press("End")
    assert brain(page, "view.clock.frame === view.clock.nFrames - 1")
    assert "not seen by the model" in page.get_by_label("Time", exact=True).get_attribute("aria-valuetext")


def test_a_slider_moved_by_arrows_gets_the_exact_answer(keys: Keyboard) -> None:
    page = keys.page
    keys.to("^Perturb$", key="Shift+Tab")
    keys.press("Enter")
    page.wait_for_url(re.compile("/perturb"))
    page.locator(".pv-row").first.wait_for()
    keys.to("^Visual$")
    keys.press(*["ArrowRight"] * 4)
    page.locator("[data-picture=exact]").wait_for()
    page.locator(".pv-status", has_text="Exact answer").wait_for()
    assert "Visual" in page.locator("h1").first.inner_text()


def test_the_answer_is_saved(keys: Keyboard) -> None:
    page = keys.page
    keys.to("", role="tab")
    keys.press("End")
    page.get_by_role("tab", name="Export", selected=True).wait_for()
    keys.press("Enter")
    page.locator("[data-testid=stDownloadButton]").first.wait_for()
    with page.expect_download() as saved:
        keys.to("csv")
        keys.press("Enter")
    assert saved.value.path().stat().st_size > 1000


def test_the_focus_could_be_seen_at_every_stop(keys: Keyboard) -> None:
    assert not keys.invisible, "\n".join(keys.invisible)
