"""4D volumes: equal to nilearn where that is right, and right where it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scan_files import AFFINE, SHAPE, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans import MissingTR, read_scan

Atlas = tuple[Path, np.ndarray]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return label_volume(tmp_path_factory.mktemp("atlas") / "labels.nii.gz")


@pytest.fixture(scope="module")
def data(atlas: Atlas) -> np.ndarray:
    return bold_volume(atlas[1])


def masker(scan: Path, labels: Path) -> np.ndarray:
    import warnings

    from nilearn.maskers import NiftiLabelsMasker

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(NiftiLabelsMasker(str(labels), standardize=None).fit_transform(str(scan))).T


def step_grid(shift: float, zoom: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[:3, :3] *= zoom
    affine[:3, 3] += shift
    return affine


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("dtype", "cls", "endian"),
    [
        (np.int16, nib.Nifti1Image, "<"),
        (np.uint8, nib.Nifti1Image, "<"),
        (np.uint16, nib.Nifti1Image, ">"),
        (np.int32, nib.Nifti2Image, "<"),
        (np.float32, nib.Nifti1Image, ">"),
        (np.float64, nib.Nifti2Image, ">"),
        (np.int64, nib.Nifti2Image, "<"),
    ],
)
def test_equals_nilearn(
    tmp_path: Path,
    atlas: Atlas,
    data: np.ndarray,
    dtype: Any,
    cls: type,
    endian: str,
    suffix: str,
) -> None:
    scaled = data / 60 if dtype == np.uint8 else data
    path = tmp_path / f"bold{suffix}"
    scan = save_nifti(path, np.rint(scaled).astype(dtype), dtype=dtype, cls=cls, endian=endian)
    recording = read_scan(scan, atlas=str(atlas[0]))
    expected = masker(scan, atlas[0])
    np.testing.assert_allclose(recording.signals, expected, rtol=1e-4)
    assert recording.tr_s == 2.0
    assert recording.quality is not None
    np.testing.assert_allclose(recording.quality.coverage, 1.0)


def test_scale_and_intercept(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    scan = save_nifti(tmp_path / "b.nii.gz", data, dtype=np.int16, slope=(0.37, 12.5))
    recording = read_scan(scan, atlas=str(atlas[0]))
    np.testing.assert_allclose(recording.signals, masker(scan, atlas[0]), rtol=1e-4)


@pytest.mark.parametrize("scale", [(3e38, 0.0), (1e30, -1e38), (1.0, 3e38)])
def test_a_mad_scale_is_named(
    tmp_path: Path, atlas: Atlas, data: np.ndarray, scale: tuple[float, float]
) -> None:
    scan = save_nifti(tmp_path / "b.nii", data, dtype=np.int16)
    raw = bytearray(scan.read_bytes())
    raw[112:120] = np.array(scale, "<f4").tobytes()
    scan.write_bytes(raw)
    with pytest.raises(ScanError, match=r"beyond 1e\+30 by its header's scale \(slope"):
        read_scan(scan, atlas=str(atlas[0]))


@pytest.mark.parametrize(("where", "refused"), [("parcel", True), ("outside", False)])
def test_sums_beyond_all_measure(
    tmp_path: Path, atlas: Atlas, data: np.ndarray, where: str, refused: bool
) -> None:
    """Finite voxels may add up to infinity; outside the parcels they do no harm."""
    wild = data.copy()
    chosen = np.argwhere((atlas[1] > 0) == (where == "parcel"))[:2]
    wild[tuple(chosen.T)] = 1.5e308
    wild[tuple(chosen.T)] *= np.linspace(0.9, 1, data.shape[-1])
    scan = save_nifti(tmp_path / "b.nii", wild, dtype=np.float64)
    if refused:
        with pytest.raises(ScanError, match=r"holds values beyond 1e\+30;"):
            read_scan(scan, atlas=str(atlas[0]))
    else:
        assert read_scan(scan, atlas=str(atlas[0])).quality is not None


@pytest.mark.parametrize(("shift", "zoom"), [(1.3, 0.9), (-1.7, 1.1), (0.7, 0.5)])
def test_other_grids_resample_the_atlas(tmp_path: Path, atlas: Atlas, shift: float, zoom: float) -> None:
    from brainlm_core.scans.space import sample_nearest

    affine = step_grid(shift, zoom)
    shape = tuple(int(np.ceil(n / zoom)) + 3 for n in SHAPE)
    labels = sample_nearest(atlas[1], AFFINE, shape, affine)
    scan = save_nifti(tmp_path / "b.nii", bold_volume(labels, 22).astype(np.float32), affine)
    recording = read_scan(scan, atlas=str(atlas[0]))
    kept = np.unique(labels[labels > 0]) - 1  # nilearn drops parcels that fall between the voxels
    np.testing.assert_allclose(recording.signals[kept], masker(scan, atlas[0]), rtol=1e-4)


def test_left_right_flipped_storage_is_the_same(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    plain = save_nifti(tmp_path / "a.nii", data.astype(np.float32))
    flipped = save_nifti(tmp_path / "b.nii", data[::-1].astype(np.float32), AFFINE @ flip)
    a, b = (read_scan(p, atlas=str(atlas[0])).signals for p in (plain, flipped))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_nan_voxels_are_left_out(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    labels = atlas[1]
    with_gaps = data.copy()
    inside = np.argwhere(labels == 3)
    with_gaps[tuple(inside[0])] = np.nan  # never there
    with_gaps[(*inside[1], 4)] = np.nan  # missing once
    with_gaps[(*inside[2], 9)] = np.inf
    scan = save_nifti(tmp_path / "b.nii.gz", with_gaps.astype(np.float32))
    recording = read_scan(scan, atlas=str(atlas[0]))
    rows = np.where(np.isfinite(with_gaps), with_gaps, np.nan).astype(np.float32)[labels == 3]
    np.testing.assert_allclose(recording.signals[2], np.nanmean(rows[1:], axis=0), rtol=1e-5)
    assert recording.quality is not None
    assert recording.quality.n_voxels[2] == len(inside) - 1


def test_voxels_outside_the_field_of_view_do_not_dilute(
    tmp_path: Path, atlas: Atlas, data: np.ndarray
) -> None:
    labels = atlas[1]
    cut = data.copy()
    inside = np.argwhere(labels == 5)
    half = inside[: len(inside) // 2]
    cut[tuple(half.T)] = 0
    cut[labels == 6] = 0
    scan = save_nifti(tmp_path / "b.nii.gz", np.rint(cut).astype(np.int16), dtype=np.int16)
    recording = read_scan(scan, atlas=str(atlas[0]))
    rest = np.rint(cut)[tuple(inside[len(inside) // 2 :].T)]
    np.testing.assert_allclose(recording.signals[4], rest.mean(axis=0), rtol=1e-5)
    quality = recording.quality
    assert quality is not None
    assert quality.coverage[4] == pytest.approx(1 - len(half) / len(inside), abs=1e-6)
    assert quality.coverage[5] == 0
    assert quality.flat[5]
    assert not recording.signals[5].any()


@pytest.mark.parametrize(
    ("tr", "units", "expected"),
    [(2000, "msec", 2.0), (2000, "sec", 2.0), (0.8, "sec", 0.8), (2, "msec", 2.0)],
)
def test_repetition_time_units(
    tmp_path: Path, atlas: Atlas, data: np.ndarray, tr: float, units: str, expected: float
) -> None:
    scan = save_nifti(tmp_path / "b.nii", data.astype(np.float32), tr=tr, units=units)
    recording = read_scan(scan, atlas=str(atlas[0]))
    assert recording.tr_s == pytest.approx(expected)
    plain = units == "sec" and tr == expected
    assert any("repetition time" in n for n in recording.notices) != plain


def test_tr_zero_asks(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    scan = save_nifti(tmp_path / "b.nii", data.astype(np.float32), tr=0)
    with pytest.raises(MissingTR, match="--tr"):
        read_scan(scan, atlas=str(atlas[0]))
    assert read_scan(scan, atlas=str(atlas[0]), tr_s=1.5).tr_s == 1.5


def test_no_header_text_and_no_path_is_kept(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    folder = tmp_path / "Jane_Doe"
    folder.mkdir()
    recording = read_scan(save_nifti(folder / "run.nii.gz", data.astype(np.float32)), atlas=str(atlas[0]))
    recording.save(tmp_path / "rec.npz")
    import zipfile

    with zipfile.ZipFile(tmp_path / "rec.npz") as archive:
        content = b"".join(archive.read(n) for n in archive.namelist())
    assert b"Jane" not in content.replace(b"\0", b"")
    assert "Jane" not in str(recording.provenance)
    assert Recording.load(tmp_path / "rec.npz").signals.shape == recording.signals.shape


def test_digest_is_of_the_file_as_stored(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    import hashlib

    for suffix in (".nii", ".nii.gz"):
        scan = save_nifti(tmp_path / f"b{suffix}", data.astype(np.float32))
        digest = read_scan(scan, atlas=str(atlas[0])).provenance.sha256
        assert digest == hashlib.sha256(scan.read_bytes()).hexdigest()


def test_upload_by_temporary_path_shows_its_own_name(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    scan = save_nifti(tmp_path / "b.nii.gz", data.astype(np.float32))
    scan.rename(tmp_path / "upload-4711")
    stages: list[tuple[float, str]] = []
    recording = read_scan(
        tmp_path / "upload-4711",
        name="C:\\Users\\jane\\süß scan.nii.gz",
        atlas=str(atlas[0]),
        progress=lambda f, s: stages.append((f, s)),
    )
    assert recording.provenance.source_name == "süß scan.nii.gz"
    assert [f for f, _ in stages] == sorted(f for f, _ in stages)
    assert stages[0][0] == 0 and stages[-1] == (1.0, "done")
    assert any("averaging" in s for _, s in stages)


def test_gaps_of_whole_volumes_are_refused(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    bad = data.copy()
    bad[..., 7] = np.nan
    with pytest.raises(ScanError, match="volume 8"):
        read_scan(save_nifti(tmp_path / "b.nii", bad.astype(np.float32)), atlas=str(atlas[0]))


def test_native_space_is_refused(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    shifted = AFFINE.copy()
    shifted[:3, 3] += [30, -40, 35]
    scan = save_nifti(tmp_path / "b.nii", data.astype(np.float32), shifted, code=1)
    with pytest.raises(ScanError, match="not in MNI space"):
        read_scan(scan, atlas=str(atlas[0]))
    named = save_nifti(tmp_path / "sub-1_space-T1w_desc-preproc_bold.nii", data.astype(np.float32))
    with pytest.raises(ScanError, match="native space"):
        read_scan(named, atlas=str(atlas[0]))


def test_scan_far_from_the_atlas_is_refused(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    away = AFFINE.copy()
    away[:3, 3] += 1000
    with pytest.raises(ScanError, match="does not touch"):
        read_scan(save_nifti(tmp_path / "b.nii", data.astype(np.float32), away), atlas=str(atlas[0]))


def test_good_scan_overlaps_the_template(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    quality = read_scan(save_nifti(tmp_path / "b.nii", data.astype(np.float32)), atlas=str(atlas[0])).quality
    assert quality is not None
    assert quality.template_overlap is not None and quality.template_overlap > 0.95
    assert np.nanmedian(quality.tsnr) > 20


def test_small_parcels_borrow_the_voxel_they_lie_in(tmp_path: Path) -> None:
    labels = np.zeros((62, 74, 62), np.int16)
    labels[20:40, 20:50, 20:40] = 1
    labels[45, 45, 30] = 2  # one voxel of 3 mm, which no centre of a 6 mm voxel hits
    affine = AFFINE.copy()
    affine[:3, :3] /= 2
    nib.save(nib.Nifti1Image(labels, affine), tmp_path / "fine.nii.gz")
    data = bold_volume(np.ones(SHAPE, np.int16), 25)
    from brainlm_core.scans.space import atlas_on_grid
    from brainlm_core.scans.volume_atlas import load_volume_atlas

    grid = atlas_on_grid(load_volume_atlas(str(tmp_path / "fine.nii.gz")), SHAPE, AFFINE)
    assert grid.n_borrowed == 1
    assert list(grid.n_expected > 0) == [True, True]
    assert data.shape[3] == 25


@pytest.mark.parametrize("content", ["text", "4d", "floats", "missing"])
def test_bad_atlas_files(tmp_path: Path, data: np.ndarray, content: str) -> None:
    scan = save_nifti(tmp_path / "b.nii", data.astype(np.float32))
    path = tmp_path / "labels.nii"
    if content == "text":
        path.write_text("no image")
    elif content == "4d":
        save_nifti(path, data.astype(np.float32))
    elif content == "floats":
        nib.save(nib.Nifti1Image(np.random.default_rng(0).random(SHAPE).astype(np.float32), AFFINE), path)
    with pytest.raises(AtlasError):
        read_scan(scan, atlas=str(path))


def test_known_name_without_a_volume(tmp_path: Path, data: np.ndarray) -> None:
    scan = save_nifti(tmp_path / "b.nii", data.astype(np.float32))
    with pytest.raises(AtlasError, match="only the names and positions of cc200"):
        read_scan(scan, atlas="cc200")


def test_demeaned_data_are_judged_by_the_voxels_that_vary(
    tmp_path: Path, atlas: Atlas, data: np.ndarray
) -> None:
    centred = data - data.mean(axis=3, keepdims=True)
    recording = read_scan(save_nifti(tmp_path / "b.nii", centred.astype(np.float32)), atlas=str(atlas[0]))
    assert recording.quality is not None
    assert recording.quality.template_overlap is not None and recording.quality.template_overlap > 0.95
    assert np.isnan(recording.quality.tsnr).all()
    assert any("mean was removed" in n for n in recording.notices)
