"""The public cohort: what nilearn brings becomes a cohort; without a network one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainlm_core.base.errors import DownloadError
from brainlm_core.cohort import abide
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.store import CohortStore


def study(n: int, **_: object) -> dict:
    """What nilearn answers, made here; the third site is unknown."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "SUB_ID": 50000 + np.arange(n),
            "SITE_ID": ["NYU", "PITT", "MOON"] * (n // 3) + ["NYU"] * (n % 3),
            "AGE_AT_SCAN": 20.0 + np.arange(n),
            "SEX": 1 + np.arange(n) % 2,
            "DX_GROUP": 1 + np.arange(n) % 2,
            "func_mean_fd": 0.1,
        }
    )
    return {"phenotypic": table, "rois_cc200": [rng.standard_normal((120, 200)) for _ in range(n)]}


def test_scans_arrive_with_their_people_and_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nilearn.datasets.fetch_abide_pcp", lambda n_subjects, **k: study(n_subjects))
    told: list[str] = []
    found = abide.find_abide(12, tmp_path, lambda _, text: told.append(text))
    assert told == ["Downloading ABIDE: 10 of 12 scans", "Downloading ABIDE: 12 of 12 scans"]
    store = CohortStore.create(tmp_path / "st")
    report = import_scans(store, found)
    assert (report.added, len(report.broken)) == (8, 4)
    assert "repetition time of the site MOON" in report.broken[0].reason
    people = store.cohort().phenotypes
    assert people["diagnosis"].tolist()[:2] == ["autism", "control"] and people["tr_s"].tolist()[:2] == [
        2.0,
        1.5,
    ]
    assert store.cohort().recording(0).n_parcels == 200
    assert import_scans(store, abide.find_abide(12, tmp_path)).known == 8


def test_without_a_network_it_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**_: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("nilearn.datasets.fetch_abide_pcp", offline)
    with pytest.raises(DownloadError, match="cannot be downloaded now"):
        abide.find_abide(20, tmp_path)
