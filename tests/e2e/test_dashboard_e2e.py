"""The main job in a real browser: a scan comes in, moves on the brain, and its networks are read."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brainlm_core.base.atlas import a424

Error = pytest.importorskip("playwright.sync_api").Error
pytestmark = [pytest.mark.browser, pytest.mark.slow]

SCAN, NETWORKS = ".st-key-scan-brain", ".st-key-net-brain"


def brain_picture(tab: Any, brain: str) -> np.ndarray:
    """Return the pixels of the brain's canvas as the visitor sees them, (height, width, 3)."""
    shot = tab.locator(f"{brain} .bv-stage").first.screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def wait_for_brain(tab: Any, brain: str, seconds: float = 120) -> np.ndarray:
    """Wait until the canvas shows a brain: many colours over much of its area."""
    deadline = time.monotonic() + seconds
    tab.locator(f"{brain} .bv-stage").first.wait_for(state="visible")
    while True:
        try:
            picture = brain_picture(tab, brain)
        except Error:  # the element was replaced while it was photographed
            assert time.monotonic() < deadline
            continue
        ground = picture[2, 2].astype(int)
        painted = np.abs(picture.astype(int) - ground).sum(axis=2) > 30
        colours = len(np.unique(picture.reshape(-1, 3), axis=0))
        if painted.mean() > 0.15 and colours > 200:
            return picture
        assert time.monotonic() < deadline, f"blank brain: {painted.mean():.1%} painted, {colours} colours"
        time.sleep(0.3)


def text(tab: Any) -> str:
    """Return what the page says."""
    return tab.locator("[data-testid=stMainBlockContainer]").inner_text()


def drop(tab: Any, path: Path) -> None:
    """Put a file into the drop zone."""
    tab.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(str(path))


def wait_for_chip(tab: Any, words: str) -> None:
    """Wait until the row of chips says ``words``."""
    tab.locator(".b-chips", has_text=words).wait_for()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with one column per parcel, 120 volumes, a slow wave in the left hemisphere."""
    rng = np.random.default_rng(5)
    time_s = np.arange(120) * 2.0
    left = np.array([h == "L" for h in a424().hemisphere])
    signals = rng.normal(size=(120, 424)) + 3 * np.sin(2 * np.pi * 0.02 * time_s)[:, None] * left
    path = tmp_path_factory.mktemp("drop") / "sub-wave_424.csv"
    np.savetxt(path, 100 + signals, delimiter=",", fmt="%.4f")
    return path


@pytest.fixture(scope="module")
def nifti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small 4D image on a 4 mm MNI grid: the template's brain with noise over 90 volumes."""
    import nibabel as nib
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=4)
    brain = np.asarray(template.dataobj, dtype=np.float32)
    rng = np.random.default_rng(6)
    data = 1000 * brain[..., None] * (1 + 0.02 * rng.normal(size=(*brain.shape, 90)))
    image = nib.Nifti1Image(data.astype(np.int16), template.affine)
    image.header.set_zooms((4, 4, 4, 2.0))
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path_factory.mktemp("drop") / "sub-small_space-MNI_bold.nii.gz"
    nib.save(image, path)
    return path


def test_first_picture_is_a_brain_that_says_it_is_simulated(tab: Any) -> None:
    wait_for_brain(tab, SCAN)
    assert "Simulated data" in text(tab)
    assert "Drop your own scan" in text(tab)


def test_dropped_table_is_asked_for_its_tr_and_drawn(tab: Any, table: Path) -> None:
    before = wait_for_brain(tab, SCAN)
    drop(tab, table)
    tab.get_by_role("alert").filter(has_text="does not say its repetition time").wait_for()
    asked = tab.locator(".st-key-scan-work").get_by_label("Repetition time (s)")
    asked.fill("2")
    tab.get_by_role("button", name="Read the file").click()
    wait_for_chip(tab, table.name)
    tab.get_by_role("heading", name=re.compile(r"4\smin\s00\ss")).wait_for()
    after = wait_for_brain(tab, SCAN)
    assert "Simulated data" not in text(tab)
    assert np.abs(after.astype(int) - before).mean() > 1, "the picture is still the demo recording"


def test_dropped_volume_is_parcellated_and_drawn(tab: Any, nifti: Path) -> None:
    wait_for_brain(tab, SCAN)
    drop(tab, nifti)
    wait_for_chip(tab, nifti.name)
    wait_for_brain(tab, SCAN)
    tab.get_by_text("Signal to noise").click()
    tab.locator(SCAN).get_by_text("Temporal signal-to-noise ratio").first.wait_for()
    wait_for_brain(tab, SCAN)


def test_bad_file_gives_one_sentence_and_keeps_the_picture(tab: Any, tmp_path: Path) -> None:
    wait_for_brain(tab, SCAN)
    bad = tmp_path / "letter.nii.gz"
    bad.write_bytes(b"PK\x03\x04 this was a letter once" * 20)
    drop(tab, bad)
    alert = tab.get_by_role("alert").filter(has_text="letter.nii.gz")
    alert.wait_for()
    assert "Traceback" not in text(tab)
    assert "simulated-1" in tab.locator(".b-chips").inner_text()
    wait_for_brain(tab, SCAN)


def test_click_on_the_brain_shows_that_parcels_attention_row(tab: Any, dashboard: Any) -> None:
    tab.goto(f"{dashboard.url}/networks")
    wait_for_brain(tab, NETWORKS)
    tab.locator(".st-key-net-matrix canvas").wait_for(state="visible")
    parcel = tab.get_by_role("combobox", name=re.compile("Parcel"))
    assert parcel.input_value() == ""
    tab.locator(f"{NETWORKS} .bv-stage").nth(1).wait_for(state="visible")  # the networks found are there
    first = pick_parcel(tab, parcel, 0.22, 0.12)  # outer side of the left hemisphere
    row = wait_for_brain(tab, NETWORKS)
    second = pick_parcel(tab, parcel, 0.72, 0.12, other_than=first)  # … and of the right one
    assert first != second
    changed = wait_for_brain(tab, NETWORKS)
    assert np.abs(changed.astype(int) - row).mean() > 0.5, "another parcel, the same picture"
    marked = tab.locator(".st-key-net-matrix .say")
    marked.filter(has_text=second.split(" · ")[0]).wait_for()


def pick_parcel(tab: Any, parcel: Any, x: float, y: float, other_than: str = "") -> str:
    """Click on the brain at a share of its width and height; return the parcel that the page names."""
    # The panels move when the picture changes: a point that hits one now may miss the next time.
    for dx in (0.0, -0.06, -0.12, 0.04, 0.08):
        canvas = tab.locator(f"{NETWORKS} .bv-stage").first
        box = canvas.bounding_box()
        canvas.click(position={"x": box["width"] * (x + dx), "y": box["height"] * y})
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if (name := parcel.input_value()) not in ("", other_than):
                return name
            time.sleep(0.2)
    raise AssertionError("no click reached the page")


def test_scores_stand_beside_every_baseline(tab: Any, dashboard: Any) -> None:
    tab.goto(f"{dashboard.url}/networks")
    strip = tab.locator(".b-strip").first
    strip.wait_for()
    deadline = time.monotonic() + 120
    while "…" in strip.inner_text():
        assert time.monotonic() < deadline, strip.inner_text()
        time.sleep(0.5)
    words = strip.inner_text()
    for name in ("Model's attention", "Random weights", "Functional connectivity", "Coordinates alone"):
        assert name in words
    assert "of parcels" in tab.locator("h1").first.inner_text()


def test_navigation_and_deep_links(tab: Any, dashboard: Any) -> None:
    wait_for_brain(tab, SCAN)
    tab.get_by_role("link", name="Networks").click()
    wait_for_brain(tab, NETWORKS)
    assert tab.url.endswith("/networks")
    for link, brain in (("networks", NETWORKS), ("scan", SCAN), ("", SCAN)):
        tab.goto(f"{dashboard.url}/{link}")
        wait_for_brain(tab, brain)
        assert not tab.get_by_role("dialog").count(), f"/{link} is said not to exist"
