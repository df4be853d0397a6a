"""Scan formats are declared once: an entry of the registry is found wherever files are taken for scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.scans import readers


def table(path: Path, seed: int = 0) -> None:
    values = np.random.default_rng(seed).normal(size=(60, 424))
    np.savetxt(path, values, delimiter="\t", fmt="%.3f")


def names(folder: Path) -> set[str]:
    return {scan.recording_id for scan in find_scans(folder, ImportOptions(tr_s=2.0)).scans}


@pytest.mark.parametrize("suffix", [".txt", ".1D", ".1d", ".CSV", ".dat", ".netts", ".tsv.gz", ".xlsx"])
def test_every_text_ending_of_a_folder_is_taken_for_a_scan(tmp_path: Path, suffix: str) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}{suffix}").write_bytes(b"")
    (tmp_path / "three.npy").write_bytes(b"")
    assert names(tmp_path) == {"one", "two", "three"}


def test_a_new_format_is_found_by_the_folder_import_and_by_packs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = readers.READERS[-1]
    fake = replace(text, key="fake", title="fake table", suffixes=(".fake",), recognise=lambda probe: False)
    monkeypatch.setattr(readers, "READERS", (fake, *readers.READERS))
    for i in range(2):
        table(tmp_path / f"sub{i}.fake", i)
    assert names(tmp_path) == {"sub0", "sub1"}
    assert tuple(open_cohort(tmp_path, tr_s=2.0).ids) == ("sub0", "sub1")


def test_parquet_beside_other_scans_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "b.csv").write_bytes(b"")
    assert names(tmp_path) == {"a", "b"}


def test_documents_and_second_files_of_a_pair_are_no_scans(tmp_path: Path) -> None:
    for name in (
        "README.txt",
        "CHANGES.txt",
        "a+orig.HEAD",
        "a+orig.BRIK",
        "b.hdr",
        "b.img",
    ):
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == {"a+orig", "b"}
