"""Template spaces: what is MNI152 by name, header and brain is read; everything else is said or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scan_files import AFFINE, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans import read_scan
from brainlm_core.scans.templates import claimed_space, space_of_name
from brainlm_core.scans.types import MissingChoice

Atlas = tuple[Path, np.ndarray]
N = 22


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return label_volume(tmp_path_factory.mktemp("atlas") / "labels.nii.gz")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sub-1_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz", "mni"),
        ("sub-1_space-MNI152NLin6Sym_bold.nii.gz", "mni"),
        ("sub-1_space-MNI152_bold.nii.gz", "mni"),
        ("sub-1_space-mni_bold.nii.gz", "mni"),
        ("sub-1_space-MNI2mm_bold.nii.gz", "mni"),
        ("sub-1_space-ICBM2009cNonLinAsym_bold.nii.gz", "mni"),
        ("sub-1_space-IXI549Space_bold.nii.gz", "mni"),
        ("sub-1_space-MNIInfant_cohort-1_bold.nii.gz", "other"),
        ("sub-1_space-MNIPediatricAsym_cohort-3_bold.nii.gz", "other"),
        ("sub-1_space-UNCInfant_bold.nii.gz", "other"),
        ("sub-1_space-dHCP_bold.nii.gz", "other"),
        ("sub-1_space-NMT2Sym_bold.nii.gz", "other"),
        ("sub-1_space-NMT31Sym_bold.nii.gz", "other"),
        ("sub-1_space-MacaqueMNI_bold.nii.gz", "other"),
        ("sub-1_space-WHS_bold.nii.gz", "other"),
        ("sub-1_space-Talairach_bold.nii.gz", "other"),
        ("rest_TT_N27.nii.gz", "other"),
        ("rest_talairach.nii.gz", "other"),
        ("sub-1_space-T1w_bold.nii.gz", "native"),
        ("sub-1_space-boldref_bold.nii.gz", "native"),
        ("sub-1_space-scanner_bold.nii.gz", "native"),
        ("errts.rest+orig.nii.gz", "native"),
        ("rest+acpc.nii.gz", "native"),
        ("rest+tlrc.nii.gz", "unknown"),
        ("sub-1_space-template_bold.nii.gz", "unknown"),
        ("sub-1_space-MNI305_bold.nii.gz", "unknown"),
        ("sub-1_space-OASIS30ANTs_bold.nii.gz", "unknown"),
        ("rest_RAS.nii.gz", "silent"),
        ("swrafunc.nii", "silent"),
        ("hospital_run.nii", "silent"),
    ],
)
def test_spaces_by_name(name: str, kind: str) -> None:
    assert space_of_name(name).kind == kind


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("rest.nii", 3, "Talairach"),
        ("rest.nii", 5, "another template's"),
        ("rest+tlrc.nii", 3, "Talairach"),
        ("sub-1_space-template_bold.nii", 5, "another template's"),
        ("sub-1_space-MNIInfant_bold.nii", 4, "infant"),
        ("sub-1_space-orig_bold.nii", 4, "native"),
    ],
)
def test_other_brains_are_refused_by_name(name: str, code: int, words: str) -> None:
    with pytest.raises(ScanError, match=words):
        claimed_space(name, code)
    assert claimed_space(name, code, "MNI152NLin2009cAsym").template == "MNI152NLin2009cAsym"


def test_what_a_name_and_a_header_say_together() -> None:
    assert claimed_space("a_space-MNI152NLin6Asym_bold.nii", 1).is_claimed
    assert "believed" in claimed_space("a_space-MNI152NLin6Asym_bold.nii", 3).notices[0]
    assert "OASIS30ANTs" in claimed_space("a_space-OASIS30ANTs_bold.nii", 4).notices[0]
    assert claimed_space("rest+tlrc.nii", 4).is_claimed and not claimed_space("rest+tlrc.nii", 1).is_claimed
    with pytest.raises(ConfigError, match="not MNI152"):
        claimed_space("rest.nii", 4, "MNIInfant")


def read(tmp_path: Path, atlas: Atlas, data: np.ndarray, affine: np.ndarray, code: int) -> Recording:
    return read_scan(
        save_nifti(tmp_path / "rest.nii", data.astype(np.float32), affine, code=code), atlas=str(atlas[0])
    )


def test_a_smaller_brain_is_said(tmp_path: Path, atlas: Atlas) -> None:
    small = np.diag([0.75, 0.75, 0.75, 1.0]) @ AFFINE
    recording = read(tmp_path, atlas, bold_volume(atlas[1], N), small, 4)
    assert any("smaller than the template" in n for n in recording.notices)


@pytest.mark.parametrize("masked", [True, False])
def test_residuals_are_held_against_the_template(tmp_path: Path, atlas: Atlas, masked: bool) -> None:
    """Data without a mean, in the scanner's space: refused; in MNI space: read, and checked."""
    data = bold_volume(atlas[1], N)
    data -= data.mean(axis=3, keepdims=True)
    if not masked:
        data += np.random.default_rng(0).normal(0, 10, data.shape)
    shifted = AFFINE.copy()
    shifted[:3, 3] += [30, -40, 35]
    with pytest.raises(ScanError, match="not in MNI space"):
        read(tmp_path, atlas, data, shifted, 1)
    recording = read(tmp_path, atlas, data, AFFINE, 1)
    assert recording.quality is not None and recording.quality.template_overlap is not None
    assert recording.quality.template_overlap > 0.9
    assert any("voxels that vary" in n for n in recording.notices)


def test_residuals_that_show_no_brain(tmp_path: Path, atlas: Atlas) -> None:
    noise = np.random.default_rng(0).normal(0, 10, (*atlas[1].shape, N))
    with pytest.raises(ScanError, match=r"nothing shows it; say --space"):
        read(tmp_path, atlas, noise, AFFINE, 1)
    assert any("not checked" in n for n in read(tmp_path, atlas, noise, AFFINE, 4).notices)
    path = save_nifti(tmp_path / "b.nii", noise.astype(np.float32), code=1)
    assert read_scan(path, atlas=str(atlas[0]), space="MNI152NLin6Asym").n_timepoints == N


def test_axis_letters_in_a_name_are_no_perfusion_scan(tmp_path: Path, atlas: Atlas) -> None:
    data = bold_volume(atlas[1], N).astype(np.float32)
    assert read_scan(save_nifti(tmp_path / "rest_ASL.nii", data), atlas=str(atlas[0])).n_timepoints == N
    with pytest.raises(ScanError, match="no BOLD series"):
        read_scan(save_nifti(tmp_path / "sub-1_asl.nii", data), atlas=str(atlas[0]))


def test_a_refused_space_ends_in_the_choice_of_another() -> None:
    with pytest.raises(MissingChoice, match="native space") as refused:
        claimed_space("sub-01_space-T1w_bold.nii.gz", 4)
    assert [chosen["space"] for _, chosen in refused.value.options] == [
        "MNI152NLin6Asym",
        "MNI152NLin2009cAsym",
    ]
    for _, chosen in refused.value.options:
        assert claimed_space("sub-01_space-T1w_bold.nii.gz", 4, chosen["space"]).is_claimed
