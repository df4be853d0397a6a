"""Twenty files as laboratories have them, dropped into one page: the sentence, control or picture."""

from __future__ import annotations

import gzip
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core.base.atlas import a424
from brainlm_core.scans.atlases.tables import atlas_table

pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.browser, pytest.mark.slow]
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scans"))
N = 40
A424 = a424().names


def signals(n_columns: int = 424, n_volumes: int = N) -> np.ndarray:
    return 1000 + np.random.default_rng(n_columns).normal(size=(n_volumes, n_columns)).cumsum(axis=0)


def noise(n_columns: int, n_volumes: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(n_volumes, n_columns))


def text(values: np.ndarray, names: list[str] | None = None, step: float | None = 2.0) -> bytes:
    """Return a CSV; ``step`` adds a column of times."""
    if step is not None:
        values = np.column_stack([step * np.arange(len(values)), values])
        names = None if names is None else ["time_s", *names]
    out = io.StringIO()
    if names is not None:
        out.write(",".join(names) + "\n")
    np.savetxt(out, values, delimiter=",", fmt="%.3f")
    return out.getvalue().encode()


def matlab(**variables: Any) -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, variables)
    return out.getvalue()


def conn() -> bytes:
    def cell(values: list[Any]) -> np.ndarray:
        made = np.empty((1, len(values)), object)
        made[0, :] = values
        return made

    columns = list(signals().T[..., None])
    return matlab(data=cell(columns), names=cell([f"atlas.{n}" for n in A424]), TR=2.0)


def nifti(folder: Path) -> bytes:
    from scan_files import bold_volume, label_volume, save_nifti

    _, labels = label_volume(folder / "l.nii.gz")
    path = save_nifti(folder / "made.nii.gz", bold_volume(labels, 30))
    return path.read_bytes()


SCHAEFER = list(atlas_table("schaefer-100-7").names)
ORDER = np.random.default_rng(1).permutation(424)
NUMBERS = [str(i + 1) for i in range(424)]
#: File name, content, and what the page says or offers (a pattern in its words).
CASES: list[tuple[str, Callable[[Path], bytes], str]] = [
    ("a_names.csv", lambda _: text(signals(100), SCHAEFER), "100 names in the table were matched"),
    (
        "b_spelled.csv",
        lambda _: text(signals()[:, ORDER], [f"{A424[i]}_ROI" for i in ORDER]),
        "put in order by their names",
    ),
    ("c_turned.csv", lambda _: text(signals().T, None, None), "repetition time"),
    ("d_square.csv", lambda _: text(noise(424, 360), None, None), "Rows are parcels"),
    ("e_two_orders.csv", lambda _: text(signals(360), None, None), "Read it as"),
    ("f_no_time.csv", lambda _: text(signals(), NUMBERS, None), "Repetition time"),
    ("g_odd_time.csv", lambda _: text(signals(), NUMBERS, 0.05), r"It is 0\.05 s"),
    ("h_wrong_names.csv", lambda _: text(signals(100), [*SCHAEFER[:95], *"VWXYZ"]), "first: V, W, X"),
    ("i_unknown.csv", lambda _: text(signals(77), None, None), "coordinates of its parcels"),
    ("j_matrix.csv", lambda _: text(np.corrcoef(signals().T), None, None), "connectivity matrix"),
    ("k_short.csv", lambda _: text(signals(424, 5), NUMBERS), "only 5 volumes"),
    (
        "l_dpabi.mat",
        lambda _: matlab(ROISignals=signals(), ROICorrelation=np.corrcoef(signals().T), TR=2.0),
        "424 of 424 parcels carry signal",
    ),
    ("m_conn.mat", lambda _: conn(), "424 names in the table were matched"),
    ("n_scanner.dcm", lambda _: bytes(128) + b"DICM" + bytes(400), "DICOM"),
    ("o_letter.docx", lambda _: b"PK\x03\x04" + bytes(200), "damaged|not a scan"),
    ("p_space-T1w_bold.nii.gz", nifti, "Read it as"),
    ("q_space-MNI152NLin6Asym_bold.nii.gz", nifti, "borders of the parcels"),
    ("r_packed.csv.gz", lambda _: gzip.compress(text(signals(), NUMBERS)), "424 of 424 parcels"),
    ("s_wide.tsv", lambda _: text(signals(), NUMBERS).decode().encode("utf-16"), "424 of 424 parcels"),
    (
        "t_extra.csv",
        lambda _: text(np.column_stack([signals(), np.ones(N)]), [*A424, "framewise_displacement"]),
        "set aside",
    ),
]
#: What comes into hand; the others are asked about or refused.
IN_HAND = "ablmqrst"


def test_twenty_files_of_laboratories(tab: Any, tmp_path: Path) -> None:
    main = tab.locator("[data-testid=stMainBlockContainer]")
    tab.locator("[data-testid=stFileUploader] input[type=file]").first.wait_for(state="attached")
    missed = {}
    for name, make, pattern in CASES:
        path = tmp_path / name
        path.write_bytes(make(tmp_path))
        tab.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(str(path))
        said = main.filter(has_text=re.compile(pattern)).filter(has_text=name[:8])
        try:
            if name[0] in IN_HAND:
                tab.locator(".b-chips", has_text=name[:8]).wait_for(timeout=60_000)
            said.wait_for(timeout=60_000)
        except Exception:
            missed[name] = main.inner_text()[:600]
    assert not missed


def test_no_drop_is_lost_whenever_it_comes(tab: Any, tmp_path: Path) -> None:
    """The next file is dropped while the one before is on its way, is read, or has just come into hand."""
    zone = tab.locator("[data-testid=stFileUploader] input[type=file]").first
    zone.wait_for(state="attached")
    for n, wait_ms in enumerate((0, 30, 60, 100, 150, 250, 400)):
        for part in "ab":
            path = tmp_path / f"{part}{n}_rest.csv"
            path.write_bytes(text(signals() + n, NUMBERS))
            tab.locator("[data-testid=stFileUploader] input[type=file]").first.set_input_files(str(path))
            if part == "a" and n % 2:
                tab.locator(".b-chips", has_text=path.name).wait_for(timeout=30_000)
            if part == "a":
                tab.wait_for_timeout(wait_ms)
        tab.locator(".b-chips", has_text=path.name).wait_for(timeout=30_000)
