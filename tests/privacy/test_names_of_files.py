"""File names: shown to the visitor who brought them, and in nothing that is made to be passed on."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainlm_core.base.recording import Recording
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.features.forecast.plan import ForecastOptions
from brainlm_core.features.perturb.analysis import PerturbOptions
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.report import NotMade, ReportOptions, gather, page_html
from brainlm_core.report.contents import default_scenario
from brainlm_core.scans import CleaningOptions, read_scan
from tests.cohort.cohort_tools import parcellation, write_pack
from tests.engine.small_engines import save_tiny
from tests.privacy.marks import DATES, NAME, marks_in
from tests.privacy.planted import confounds_table
from tests.report.test_report import block
from tests.scans.scan_files import bold_table, bold_volume, label_volume, save_nifti

STEM = f"{NAME}_{DATES[0]}"


def table(folder: Path, n_volumes: int) -> Recording:
    """A scan whose every file is called like a person."""
    xyz = parcellation(30).xyz
    places = "\n".join(f"p{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(xyz))
    (folder / f"{STEM}_places.csv").write_text(f"label,x,y,z\n{places}\n", "utf-8")
    np.savetxt(folder / f"{STEM}.csv", bold_table(n_volumes, 30), delimiter=",")
    return read_scan(
        folder / f"{STEM}.csv",
        tr_s=0.72,
        coordinates=folder / f"{STEM}_places.csv",
        confounds=confounds_table(folder / f"{STEM}_confounds.tsv", n_volumes),
        cleaning=CleaningOptions(strategy=("motion",), motion="basic"),
    )


def volume(folder: Path, n_volumes: int) -> Recording:
    """A volume averaged with an atlas that is called like a person."""
    atlas, labels = label_volume(folder / f"{STEM}.nii")
    nib.save(nib.load(atlas), folder / f"{STEM}_labels.nii.gz")
    scan = save_nifti(folder / f"{STEM}_bold.nii", bold_volume(labels, n_volumes), tr=0.72)
    return read_scan(scan, atlas=str(folder / f"{STEM}_labels.nii.gz"))


@pytest.mark.parametrize("make", [table, volume])
def test_a_report_names_no_file(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    recording = make(tmp_path, 260)
    assert marks_in(recording.provenance.source_name), "the visitor is shown the name"
    options = ReportOptions(forecast=ForecastOptions(steps=4, n_starts=2), null=PerturbOptions(20))
    contents = gather(recording, save_tiny(tmp_path / "model"), options)
    assert not isinstance(contents.perturbation, NotMade)
    page = page_html(contents).decode()
    assert not marks_in(page)
    assert "own parcels" in block(page, "parcellation").decode("latin-1")
    assert not marks_in(block(page, "parcellation"))


def test_a_scenario_and_its_link_name_no_file(tmp_path: Path) -> None:
    recording = table(tmp_path, 60)
    scenario = default_scenario(recording.parcellation)
    assert not marks_in(scenario.to_json()) and not marks_in(repr(recording.parcellation))
    scenario.check_parcellation(recording.parcellation)
    assert Scenario.from_json(scenario.to_json()) == scenario


def test_parcels_of_a_users_own_are_told_apart_without_their_file(tmp_path: Path) -> None:
    one = table(tmp_path, 60).parcellation
    moved = parcellation(30).xyz + 1
    places = "\n".join(f"p{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(moved))
    (tmp_path / "other.csv").write_text(f"label,x,y,z\n{places}\n", "utf-8")
    other = read_scan(tmp_path / f"{STEM}.csv", tr_s=0.72, coordinates=tmp_path / "other.csv").parcellation
    assert one.name != other.name and one.name.startswith("30 own parcels (")
    (tmp_path / f"{STEM}_places.csv").rename(tmp_path / "again.csv")
    again = read_scan(tmp_path / f"{STEM}.csv", tr_s=0.72, coordinates=tmp_path / "again.csv").parcellation
    assert again.name == one.name


def test_a_pack_does_not_call_its_parcels_by_a_file(tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    pack["coordinates"].rename(tmp_path / f"{STEM}.csv")
    cohort = open_cohort(pack["path"], coordinates=tmp_path / f"{STEM}.csv", tr_s=2.0)
    assert cohort.parcellation is not None and not marks_in(cohort.parcellation.name)
    assert not marks_in(cohort.recording(0).provenance.to_dict())
