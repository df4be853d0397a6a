"""Links inside an allowed folder that lead out of it: what lies at their end is never opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scan_files import AFFINE, bold_table, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans import MissingTR, ScanSource, read_scan
from brainlm_core.scans.source import lies_within

T = 30
STEM = "sub-01_task-rest"
BOLD = f"{STEM}_space-MNI152NLin6Asym_desc-preproc_bold"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return an allowed root with a run folder inside, a folder outside, and an atlas."""
    atlas, labels = label_volume(tmp_path / "labels.nii.gz")
    func, outside = tmp_path / "root" / "func", tmp_path / "outside"
    func.mkdir(parents=True)
    outside.mkdir()
    save_nifti(func / f"{BOLD}.nii.gz", bold_volume(labels, T).astype(np.float32), tr=0)
    (func / f"{BOLD}.json").write_text('{"RepetitionTime": 1.5}', "utf-8")
    mask = nib.Nifti1Image((labels > 0).astype(np.uint8), AFFINE)
    nib.save(mask, func / f"{STEM}_space-MNI152NLin6Asym_desc-brain_mask.nii.gz")
    motion = "\n".join(["framewise_displacement", "n/a", *["0.3"] * (T - 1)])
    (func / f"{STEM}_desc-confounds_timeseries.tsv").write_text(motion, "utf-8")
    return func, outside, atlas


def read(path: Path, root: Path, **options: object) -> Recording:
    source = ScanSource((path,), (path.name,), roots=(root.resolve(),))
    return read_scan(source, **options)  # type: ignore[arg-type]


def lead_out(path: Path, outside: Path) -> None:
    """Put a link in the place of a file, with the file at its other end."""
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


def test_a_folder_that_keeps_to_itself_is_read(places: tuple[Path, Path, Path]) -> None:
    func, _, atlas = places
    recording = read(func, func.parent, atlas=str(atlas))
    assert recording.tr_s == 1.5
    assert recording.quality is not None and recording.quality.fd_mm is not None
    names = [p for s in recording.provenance.steps for p in s.parameters.values()]
    assert f"{STEM}_space-MNI152NLin6Asym_desc-brain_mask.nii.gz" in names


def test_links_within_the_root_are_followed(places: tuple[Path, Path, Path]) -> None:
    """A data set under git-annex is nothing but links into its own store."""
    func, _, atlas = places
    annex = func.parent / ".git" / "annex"
    annex.mkdir(parents=True)
    for path in list(func.iterdir()):
        lead_out(path, annex)
    recording = read(func, func.parent, atlas=str(atlas))
    assert recording.tr_s == 1.5
    assert recording.quality is not None and recording.quality.fd_mm is not None


@pytest.mark.parametrize("how", ["file", "folder", "chain"])
def test_a_run_that_lies_outside_is_not_found(places: tuple[Path, Path, Path], how: str) -> None:
    func, outside, atlas = places
    if how == "folder":
        (outside / "more").mkdir()
        shutil.move(func / f"{BOLD}.nii.gz", outside / "more")
        (func / "linked").symlink_to(outside / "more", target_is_directory=True)
    else:
        lead_out(func / f"{BOLD}.nii.gz", outside)
    if how == "chain":
        (func / f"{BOLD}.nii.gz").rename(func.parent / "between")
        (func / f"{BOLD}.nii.gz").symlink_to("../between")
    with pytest.raises(ScanError, match="holds no BOLD run"):
        read(func, func.parent, atlas=str(atlas))


def test_a_named_file_outside_is_not_there(places: tuple[Path, Path, Path]) -> None:
    func, outside, _ = places
    lead_out(func / f"{BOLD}.nii.gz", outside)
    with pytest.raises(ScanError, match="there is no file"):
        read(func / f"{BOLD}.nii.gz", func.parent)


def no_motion(func: Path, atlas: Path) -> None:
    quality = read(func, func.parent, atlas=str(atlas)).quality
    assert quality is not None and quality.fd_mm is None


def no_mask(func: Path, atlas: Path) -> None:
    steps = {s.name: s.parameters for s in read(func, func.parent, atlas=str(atlas)).provenance.steps}
    assert steps["choose run"]["mask"] is None


def no_tr(func: Path, atlas: Path) -> None:
    with pytest.raises(MissingTR):
        read(func, func.parent, atlas=str(atlas))


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        (f"{STEM}_desc-confounds_timeseries.tsv", no_motion),
        (f"{STEM}_space-MNI152NLin6Asym_desc-brain_mask.nii.gz", no_mask),
        (f"{BOLD}.json", no_tr),
    ],
)
def test_what_lies_beside_is_not_followed_outside(
    places: tuple[Path, Path, Path], name: str, holds: Callable[[Path, Path], None]
) -> None:
    func, outside, atlas = places
    lead_out(func / name, outside)
    holds(func, atlas)


def test_the_other_hemisphere_is_not_followed_outside(tmp_path: Path) -> None:
    from test_readers_contract import make_gifti

    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    left = make_gifti(root)
    assert read(left, root).provenance.source_name.count(" + ") == 1
    lead_out(root / "x_hemi-R.func.gii", outside)
    recording = read(left, root)
    assert any("Only the left hemisphere" in n for n in recording.notices)


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").symlink_to(tmp_path / "b.csv")
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(BrainLMError):
        read(tmp_path / "a.csv", tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BrainLMError):
        read(tmp_path, tmp_path)
    assert not lies_within(tmp_path / "a\0b", [tmp_path])


def test_without_roots_links_are_followed(tmp_path: Path) -> None:
    """On the command line the user's own rights are the limit."""
    np.savetxt(tmp_path / "far.csv", bold_table(T), delimiter=",")
    (tmp_path / "near.csv").symlink_to(tmp_path / "far.csv")
    assert read_scan(tmp_path / "near.csv", tr_s=2.0).n_timepoints == T
