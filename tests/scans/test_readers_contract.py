"""Every registered reader keeps the same promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scan_files import AFFINE, bold_table, bold_volume, save_nifti
from scipy.io import savemat

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans import READERS, Reader, read_scan
from brainlm_core.scans.readers import find_reader
from brainlm_core.scans.source import make_source, probe

T = 32


def make_nifti(folder: Path) -> Path:
    from brainlm_core.scans.space import sample_nearest
    from brainlm_core.scans.volume_atlas import load_volume_atlas

    atlas = load_volume_atlas("a424-approximation")
    labels = sample_nearest(atlas.labels, atlas.affine, (31, 37, 31), AFFINE)
    return save_nifti(folder / "sub-1_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz", bold_volume(labels, T))


def make_folder(folder: Path) -> Path:
    (folder / "func").mkdir()
    make_nifti(folder / "func")
    return folder / "func"


def make_cifti(folder: Path) -> Path:
    models = nib.cifti2.BrainModelAxis.from_surface(
        np.arange(32492), 32492, "CIFTI_STRUCTURE_CORTEX_LEFT"
    ) + nib.cifti2.BrainModelAxis.from_surface(np.arange(32492), 32492, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    data = bold_table(T, 64984).astype(np.float32)
    path = folder / "x.dtseries.nii"
    nib.save(nib.Cifti2Image(data, (nib.cifti2.SeriesAxis(0, 2.0, T), models)), path)
    return path


def make_gifti(folder: Path) -> Path:
    for side, word in (("L", "Left"), ("R", "Right")):
        arrays = [nib.gifti.GiftiDataArray(r.astype(np.float32)) for r in bold_table(T, 10242)]
        meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": f"Cortex{word}", "TimeStep": "2.0"})
        nib.save(nib.GiftiImage(darrays=arrays, meta=meta), folder / f"x_hemi-{side}.func.gii")
    return folder / "x_hemi-L.func.gii"


def make_npz(folder: Path) -> Path:
    np.savez(folder / "x.npz", signals=bold_table(T))
    return folder / "x.npz"


def make_npy(folder: Path) -> Path:
    np.save(folder / "x.npy", bold_table(T))
    return folder / "x.npy"


def make_mat(folder: Path) -> Path:
    savemat(folder / "x.mat", {"data": bold_table(T)})
    return folder / "x.mat"


def make_arrow(folder: Path) -> Path:
    pq.write_table(pa.table({"Raw_Recording": [bold_table(T).tolist()]}), folder / "x.parquet")
    return folder / "x.parquet"


def make_workbook(folder: Path) -> Path:
    from table_files import write_workbook

    return write_workbook(folder / "x.xlsx", [list(range(424)), *bold_table(T).tolist()])


def make_text(folder: Path) -> Path:
    np.savetxt(folder / "x.tsv", bold_table(T), delimiter="\t")
    return folder / "x.tsv"


GOOD: dict[str, Callable[[Path], Path]] = {
    "fmriprep": make_folder,
    "cifti": make_cifti,
    "nifti": make_nifti,
    "gifti": make_gifti,
    "npz": make_npz,
    "npy": make_npy,
    "arrow": make_arrow,
    "mat": make_mat,
    "text": make_text,
    "workbook": make_workbook,
}
#: Formats that are recognised only to be refused in words.
REFUSED = {
    "hdf5": b"\x89HDF\r\n\x1a\n",
    "office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "picture": b"%PDF-1.7",
    "minc": b"CDF\x01",
    "dicom": b"\0" * 128 + b"DICM",
}


def test_every_reader_is_held_by_a_case() -> None:
    assert {r.key for r in READERS} == set(GOOD) | set(REFUSED)
    assert len({r.key for r in READERS}) == len(READERS)


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.key)
def test_contract(reader: Reader, tmp_path: Path) -> None:
    if reader.key in REFUSED:
        path = tmp_path / "x.csv"
        path.write_bytes(REFUSED[reader.key] + bytes(1000))
        with pytest.raises(ScanError) as caught:
            read_scan(path)
        assert caught.value.what and caught.value.fix
        return
    path = GOOD[reader.key](tmp_path)
    source = make_source(path)
    assert find_reader(probe(source), source.name) is reader
    stages: list[float] = []
    recording = read_scan(path, tr_s=2.0, progress=lambda f, _: stages.append(f))
    assert recording.signals.shape == (424, T)
    assert recording.signals.dtype == np.float32 and not recording.signals.flags.writeable
    assert recording.tr_s == 2.0
    assert recording.quality is not None
    assert recording.quality.verdict in ("good", "usable", "poor")
    assert recording.quality.dvars.shape == (T,)
    assert recording.provenance.steps and recording.provenance.steps[0].name == "read"
    assert recording.provenance.sha256 is not None and len(recording.provenance.sha256) == 64
    assert str(tmp_path) not in str(recording.provenance.to_dict())
    assert recording.provenance.atlas
    assert stages == sorted(stages) and stages[0] == 0 and stages[-1] == 1
    recording.save(tmp_path / "rec.npz")
    np.testing.assert_array_equal(Recording.load(tmp_path / "rec.npz").signals, recording.signals)
    assert read_scan(path, tr_s=2.0).provenance == recording.provenance  # deterministic


@pytest.mark.parametrize("key", sorted(set(GOOD) - {"fmriprep"}))
def test_content_decides_not_the_name(key: str, tmp_path: Path) -> None:
    path = GOOD[key](tmp_path)
    bare = path.rename(tmp_path / "no_extension_hemi-L")
    recording = read_scan(bare, tr_s=2.0, name="x_hemi-L")
    assert recording.n_parcels == 424
