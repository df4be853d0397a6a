"""Two people at once, with files of the same name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core.scans.demo import demo_recordings
from tests.browser_tools import App

pytestmark = pytest.mark.browser


def recording(folder: Path, n_volumes: int) -> Path:
    """A measured recording of a given length, always under the same name."""
    demo = demo_recordings()[0]
    cut = replace(
        demo,
        signals=np.ascontiguousarray(demo.signals[:, :n_volumes]),
        quality=None,
        provenance=replace(demo.provenance, simulated=False, source_name="same.npz", steps=()),
    )
    folder.mkdir()
    cut.save(folder / "same.npz")
    return folder / "same.npz"


def test_two_browsers_with_equal_file_names_see_their_own_scan(
    dashboard: App, chromium: Any, tmp_path: Path
) -> None:
    lengths = (212, 264)
    files = [recording(tmp_path / str(n), n) for n in lengths]
    contexts = [chromium.new_context(viewport={"width": 1440, "height": 1000}) for _ in lengths]
    tabs = [context.new_page() for context in contexts]
    for tab, file in zip(tabs, files, strict=True):
        tab.set_default_timeout(90_000)
        tab.goto(dashboard.url)
        tab.locator("input[type=file]").first.set_input_files(file)
    for tab, n in zip(tabs, lengths, strict=True):
        tab.locator(f'.b-chip[title*="same.npz"][title*="{n} volumes"]').wait_for()
    for page in ("Networks", "Scan"):
        for tab, n, other in zip(tabs, lengths, lengths[::-1], strict=True):
            tab.get_by_role("link", name=page, exact=True).first.click()
            tab.locator(f'.b-chip[title*="{n} volumes"]').wait_for()
            assert not tab.locator(f'.b-chip[title*="{other} volumes"]').count()
    first, second = contexts
    first.close()
    fresh = chromium.new_context()
    stranger = fresh.new_page()
    stranger.goto(tabs[1].url)  # a link does not carry a scan
    stranger.locator('.b-chip[title*="simulated"]').first.wait_for(timeout=90_000)
    assert not stranger.locator('.b-chip[title*="same.npz"]').count()
    tabs[1].locator(f'.b-chip[title*="{lengths[1]} volumes"]').wait_for()  # its own scan is still in hand
    fresh.close()
    second.close()
