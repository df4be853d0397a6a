"""Folders of fMRIPrep derivatives: the right image, its mask and its confounds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scan_files import AFFINE, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import ScanError
from brainlm_core.scans import CleaningOptions, read_scan

T = 40
AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def confounds(path: Path, n: int = T, fd: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({axis: 0.01 * rng.standard_normal(n).cumsum() for axis in AXES})
    for axis in AXES:
        frame[f"{axis}_derivative1"] = frame[axis].diff()
        frame[f"{axis}_power2"] = frame[axis] ** 2
        frame[f"{axis}_derivative1_power2"] = frame[axis].diff() ** 2
    for name in ("csf", "white_matter", "global_signal"):
        frame[name] = rng.standard_normal(n)
    frame["cosine00"] = np.cos(np.linspace(0, np.pi, n))
    if fd:
        frame["framewise_displacement"] = np.r_[np.nan, np.abs(rng.normal(0, 0.2, n - 1))]
        frame.loc[7, "framewise_displacement"] = 2.5
    frame.to_csv(path, sep="\t", index=False, na_rep="n/a")
    return frame


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Path]:
    """Return a run folder and the atlas it was painted with."""
    atlas, labels = label_volume(tmp_path / "labels.nii.gz")
    func = tmp_path / "derivatives" / "sub-01" / "func"
    func.mkdir(parents=True)
    stem = "sub-01_task-rest"
    data = bold_volume(labels, T).astype(np.float32)
    for space in ("MNI152NLin2009cAsym", "T1w"):
        save_nifti(func / f"{stem}_space-{space}_desc-preproc_bold.nii.gz", data, tr=0)
        mask = nib.Nifti1Image((labels > 0).astype(np.uint8), AFFINE)
        nib.save(mask, func / f"{stem}_space-{space}_desc-brain_mask.nii.gz")
        (func / f"{stem}_space-{space}_desc-preproc_bold.json").write_text('{"RepetitionTime": 1.5}')
    confounds(func / f"{stem}_desc-confounds_timeseries.tsv")
    return func, atlas


def test_finds_image_mask_confounds_and_tr(folder: tuple[Path, Path]) -> None:
    func, atlas = folder
    recording = read_scan(func.parents[1], atlas=str(atlas))
    assert recording.tr_s == 1.5
    assert (
        recording.provenance.source_name
        == "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    )
    steps = {s.name: dict(s.parameters) for s in recording.provenance.steps}
    assert steps["choose run"]["mask"].endswith("desc-brain_mask.nii.gz")
    quality = recording.quality
    assert quality is not None and quality.fd_mm is not None
    assert quality.fd_mm[7] == pytest.approx(2.5) and quality.fd_mm[0] == 0
    assert quality.template_overlap is not None and quality.template_overlap > 0.95


def test_the_file_alone_finds_them_too(folder: tuple[Path, Path]) -> None:
    func, atlas = folder
    path = func / "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    recording = read_scan(path, atlas=str(atlas))
    assert recording.quality is not None and recording.quality.fd_mm is not None
    upload = read_scan(path, name=path.name, atlas=str(atlas), tr_s=1.5)
    assert upload.quality is not None and upload.quality.fd_mm is None


def test_several_runs_are_listed(folder: tuple[Path, Path]) -> None:
    func, atlas = folder
    name = "sub-01_task-rest_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    (func / name.replace("rest", "nback")).write_bytes((func / name).read_bytes())
    with pytest.raises(ScanError, match=r"holds 2 runs: .*nback.*rest.*; name one of these files"):
        read_scan(func, atlas=str(atlas))


def test_native_only_and_empty_folders(folder: tuple[Path, Path], tmp_path: Path) -> None:
    func, atlas = folder
    for path in func.glob("*MNI*"):
        path.unlink()
    with pytest.raises(ScanError, match="name no template; run fMRIPrep with --output-spaces"):
        read_scan(func, atlas=str(atlas))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="no BOLD run"):
        read_scan(tmp_path / "empty")


def test_confounds_of_another_run(folder: tuple[Path, Path], tmp_path: Path) -> None:
    func, atlas = folder
    confounds(tmp_path / "other.tsv", T + 3)
    with pytest.raises(ScanError, match=f"{T + 3} rows, but the scan has {T} volumes"):
        read_scan(func, atlas=str(atlas), confounds=tmp_path / "other.tsv")


def test_cleaning_with_nilearn_and_by_columns_agree(folder: tuple[Path, Path]) -> None:
    func, atlas = folder
    options = CleaningOptions(strategy=("motion", "wm_csf", "high_pass", "global_signal"), detrend=True)
    found = read_scan(func, atlas=str(atlas), cleaning=options)
    table = func / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    named = read_scan(func, atlas=str(atlas), cleaning=options, confounds=table)
    chosen = [
        next(s for s in r.provenance.steps if s.name == "regress confounds").parameters
        for r in (found, named)
    ]
    assert [c["chosen_by"] for c in chosen] == ["nilearn load_confounds", "columns by name"]
    assert sorted(chosen[0]["columns"]) == sorted(chosen[1]["columns"])
    np.testing.assert_allclose(found.signals, named.signals, atol=2e-2)


def test_found_confounds_of_another_length_are_left_out_and_said(folder: tuple[Path, Path]) -> None:
    func, atlas = folder
    confounds(func / "sub-01_task-rest_desc-confounds_timeseries.tsv", T + 1)
    recording = read_scan(func, atlas=str(atlas))
    assert any("left out" in n and f"{T + 1} rows" in n for n in recording.notices)
    assert recording.quality is not None and recording.quality.fd_mm is None


SPACE = "space-MNI152NLin2009cAsym_res-2"


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("names", "best"),
    [
        ([f"{SPACE}_desc-denoised_bold.nii.gz", f"{SPACE}_desc-denoisedSmoothed_bold.nii.gz"], 0),
        ([f"{SPACE}_desc-residual_bold.nii.gz", f"{SPACE}_desc-residual_smooth_bold.nii.gz"], 0),
        ([f"{SPACE}_desc-denoised_bold.nii.gz", "space-fsLR_den-91k_desc-denoised_bold.dtseries.nii"], 0),
        ([f"{SPACE}_desc-interpolated_bold.nii.gz", f"{SPACE}_desc-denoised_bold.nii.gz"], 1),
        (
            [
                f"{SPACE}_desc-preproc_bold.nii.gz",
                "space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.nii.gz",
            ],
            0,
        ),
        ([f"{SPACE}_desc-preproc_bold.nii.gz", f"{SPACE}_desc-denoised_bold.nii.gz"], 1),
        ([f"echo-1_{SPACE}_desc-preproc_bold.nii.gz", f"{SPACE}_desc-preproc_bold.nii.gz"], 1),
        (["space-T1w_desc-preproc_bold.nii.gz", "bold_space-MNI152NLin2009cAsym_preproc.nii.gz"], 1),
        (
            ["space-MNIPediatricAsym_cohort-3_desc-preproc_bold.nii.gz", f"{SPACE}_desc-preproc_bold.nii.gz"],
            1,
        ),
        (["space-template_desc-preproc_bold.nii.gz", "space-T1w_desc-preproc_bold.nii.gz"], 0),
    ],
)
def test_the_best_image_of_a_run(tmp_path: Path, names: list[str], best: int) -> None:
    from brainlm_core.scans.fmriprep import find_runs

    full = [f"sub-01_task-rest_{n}" for n in names]
    touch(tmp_path / "func", *full)
    assert [p.name for p in find_runs(tmp_path, "x").values()] == [full[best]]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"echo-{i}_{SPACE}_desc-preproc_bold.nii.gz" for i in (1, 2, 3)], "3 single echoes"),
        (["space-MNIInfant_cohort-1_desc-preproc_bold.nii.gz"], "another brain's template .*infant"),
        (["desc-preproc_bold.nii.gz"], "native space or name no template"),
        (["a.nii.gz", "b.nii.gz"], "2 other images: .*name one of these files"),
    ],
)
def test_folders_without_a_usable_image(tmp_path: Path, names: list[str], words: str) -> None:
    from brainlm_core.scans.fmriprep import find_runs

    touch(tmp_path / "func", *(f"sub-01_task-rest_{n}" for n in names))
    with pytest.raises(ScanError, match=words):
        find_runs(tmp_path, "x")


def test_the_one_image_of_another_program(tmp_path: Path) -> None:
    from brainlm_core.scans.fmriprep import find_runs
    from brainlm_core.scans.run_files import companions

    touch(tmp_path / "FunImgARCWF" / "Sub_001", "wCovRegressed_4DVolume.nii.gz", "mean_mask.nii")
    assert [p.name for p in find_runs(tmp_path, "x").values()] == ["wCovRegressed_4DVolume.nii.gz"]
    old = tmp_path / "sub-1_task-rest_bold_space-MNI152NLin2009cAsym_preproc.nii.gz"
    touch(tmp_path, "sub-1_task-rest_bold_confounds.tsv", old.name.replace("_preproc", "_brainmask"))
    found = companions(old)
    assert found.confounds is not None and found.mask is not None
