"""What a visitor's page and the server's log say of planted scans, read and refused, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from brainlm_core.base.errors import ScanError
from brainlm_core.scans import read_scan
from tests.browser_tools import ROOT, start_streamlit
from tests.privacy.marks import marks_in
from tests.privacy.planted import nifti_with_sidecar, pack
from tests.privacy.test_nobody_is_named import a_letter, two_matrices, words_among_numbers

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_neither_pages_nor_log_repeat_a_header(chromium: Any, tmp_path: Path) -> None:
    """Refused scans first, then healthy ones; the log is read when the server has ended all of it."""
    two_matrices(tmp_path / "two.npz")
    words_among_numbers(tmp_path / "words.csv")
    a_letter(tmp_path / "letter.txt")
    (tmp_path / "whole").mkdir()
    volume = nifti_with_sidecar(tmp_path / "whole").path
    (tmp_path / "cut.nii.gz").write_bytes(volume.read_bytes()[: volume.stat().st_size // 2])
    refused = {}
    for name in ("two.npz", "words.csv", "letter.txt", "cut.nii.gz"):
        with pytest.raises(ScanError) as caught:
            read_scan(tmp_path / name)
        refused[name] = caught.value.what
    healthy = {str(volume): "Atlas approximate", str(pack(tmp_path / "whole").path): "scan.npz"}
    with start_streamlit(ROOT / "app" / "main.py", environment={"BRAINLM_OFFLINE": "1"}) as app:
        tab = chromium.new_page(viewport={"width": 1440, "height": 1100}, reduced_motion="reduce")
        tab.set_default_timeout(120_000)
        tab.goto(app.url)
        for name, sentence in refused.items():
            drop(tab, str(tmp_path / name))
            tab.get_by_text(sentence[1:]).first.wait_for()  # the page begins it with a capital
            assert not marks_in(tab.content()), name
        for path, chip in healthy.items():
            drop(tab, path)
            tab.locator(".b-chips", has_text=chip).first.wait_for()
            tab.get_by_role("link", name="Networks", exact=True).first.click()
            tab.locator(".st-key-net-brain").wait_for()
            assert not marks_in(tab.content()), path
            tab.get_by_role("link", name="Scan", exact=True).first.click()
            tab.locator(".st-key-scan-brain").wait_for()
            for sheet in ("Parcels", "How this is computed", "Export", "Quality and origin"):
                tab.get_by_role("tab", name=sheet, exact=True).click()
            tab.get_by_text("Where it comes from").wait_for()
            assert not marks_in(tab.content()), path
        tab.close()
        said = app.log.read_bytes()
    assert said and not marks_in(said)


def drop(tab: Any, path: str) -> None:
    tab.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(path)
