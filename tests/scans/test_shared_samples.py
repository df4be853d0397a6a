"""Files that nobody here wrote: what each one gives, or the sentence that refuses it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import ScanError
from brainlm_core.scans import read_scan

REFUSED = {
    "corrupt.nii.gz": "is not a table of numbers",
    "corrupt.dtseries.nii": "is not a table of numbers",
    "native_space_5_volumes.nii.gz": "has only 5 volumes",
    "not_a_time_series.dtseries.nii": "has only 2 volumes",
    "task.func.gii": "642 vertices, a mesh for which there are no parcel labels",
    "sub-0001_task-anticipation_acq-seq_desc-confounds_regressors.tsv": "is a confounds table, not a scan",
}
#: Parcels, volumes, TR asked for (None: the file knows), verdict.
READ = {
    "NYU_0050952_rois_cc200.1D": (200, 176, 2.0, "usable"),
    "a424_rest_99x424.dat": (424, 99, 2.0, "usable"),
    "partial_coverage_53x63x46x125.nii.gz": (424, 125, None, "poor"),
    "tiny_17x21x3x20.nii": (424, 20, None, "poor"),
}


def test_every_sample_is_named_here(shared: Path) -> None:
    assert {p.name for p in (shared / "samples").iterdir()} == set(REFUSED) | set(READ)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(shared: Path, name: str) -> None:
    with pytest.raises(ScanError, match=REFUSED[name]):
        read_scan(shared / "samples" / name, tr_s=2.0)


@pytest.mark.parametrize("name", sorted(READ))
def test_read(shared: Path, name: str) -> None:
    n_parcels, n_timepoints, tr_s, verdict = READ[name]
    recording = read_scan(shared / "samples" / name, tr_s=tr_s)
    assert recording.signals.shape == (n_parcels, n_timepoints)
    assert recording.quality is not None
    assert recording.quality.verdict == verdict


def test_table_without_tr_asks(shared: Path) -> None:
    with pytest.raises(ScanError, match="does not say its repetition time"):
        read_scan(shared / "samples" / "a424_rest_99x424.dat")


def test_partial_coverage_is_said(shared: Path) -> None:
    path = shared / "samples" / "partial_coverage_53x63x46x125.nii.gz"
    recording = read_scan(path, atlas=str(shared / "atlas" / "A424+2mm.nii.gz"))
    quality = recording.quality
    assert quality is not None
    assert "parcels hold no signal" in quality.reasons[0]
    assert np.nanmax(quality.coverage) < 1
    assert any("of exactly 1 s" in n for n in recording.notices)


def test_longer_native_scan_is_refused_for_its_space(shared: Path, tmp_path: Path) -> None:
    import nibabel as nib

    image = nib.load(shared / "samples" / "native_space_5_volumes.nii.gz")
    rng = np.random.default_rng(0)
    data = np.tile(np.asarray(image.dataobj), (1, 1, 1, 8))
    data = data + rng.integers(0, 20, data.shape)
    long = nib.Nifti1Image(data.astype(np.int16), image.affine, image.header)
    nib.save(long, tmp_path / "native.nii.gz")
    with pytest.raises(ScanError, match=r"not in MNI space: \d+% of its brain"):
        read_scan(tmp_path / "native.nii.gz")


def test_painted_human_signals_come_back(shared: Path, tmp_path: Path) -> None:
    """Real signals painted into the official atlas: the exact atlas gives them back."""
    import nibabel as nib

    atlas = nib.load(shared / "atlas" / "A424+2mm.nii.gz")
    labels = np.asarray(atlas.dataobj).astype(int)
    with np.load(shared / "data" / "hcp15.npz") as store:
        signals = store["signals"][:40].astype(np.float32)  # (time, 360)
    lookup = np.zeros((425, 40), np.float32)
    lookup[1:361] = 8000 + 100 * signals.T
    lookup[361:] = 8000 + 100 * np.random.default_rng(0).standard_normal((64, 40))
    image = nib.Nifti1Image(lookup[labels], atlas.affine)
    image.header.set_zooms((2, 2, 2, 0.72))
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_sform(atlas.affine, 4)
    nib.save(image, tmp_path / "painted.nii.gz")
    exact = read_scan(tmp_path / "painted.nii.gz", atlas=str(shared / "atlas" / "A424+2mm.nii.gz"))
    np.testing.assert_allclose(exact.signals, lookup[1:], rtol=1e-5)
    assert exact.provenance.atlas_is_approximation is False
    near = read_scan(tmp_path / "painted.nii.gz")
    assert near.provenance.atlas_is_approximation is True
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(near.signals, exact.signals, strict=True)]
    assert np.median(r) > 0.9
