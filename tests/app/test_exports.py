from __future__ import annotations

import io
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from app.shell import exports
from brainlm_core.base.atlas import a424
from brainlm_core.base.recording import Recording
from brainlm_core.scans.demo import demo_recordings


@pytest.fixture(scope="module")
def recording() -> Recording:
    return demo_recordings()[0]


def test_saved_recording_opens_again(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "again.npz"
    path.write_bytes(exports.recording_npz(recording))
    again = Recording.load(path)
    np.testing.assert_array_equal(again.signals, recording.signals)
    assert again.provenance == recording.provenance


def test_table_has_a_row_per_volume_and_no_column_hides_another(recording: Recording) -> None:
    table = pd.read_csv(io.BytesIO(exports.recording_csv(recording)))
    assert table.shape == (recording.n_timepoints, recording.n_parcels + 1)
    np.testing.assert_allclose(table["time_s"].to_numpy()[1], recording.tr_s)
    np.testing.assert_allclose(table.iloc[:, 5], recording.signals[4], atol=1e-4)


def test_cifti_map_holds_each_vertex_its_parcels_value(tmp_path: Path) -> None:
    parcels = a424()
    values = np.arange(2 * 424, dtype=np.float32).reshape(2, 424)
    path = tmp_path / "map.dscalar.nii"
    path.write_bytes(exports.cifti_map(values, parcels, ["one", "two"]))
    image = nib.load(path)
    scalars, models = image.header.get_axis(0), image.header.get_axis(1)
    assert list(scalars.name) == ["one", "two"]
    data = image.get_fdata()
    right = np.flatnonzero(models.name == "CIFTI_STRUCTURE_CORTEX_RIGHT")
    vertex = models.vertex[right]
    np.testing.assert_array_equal(data[1, right], values[1, parcels.vertex_labels[10242 + vertex]])
    assert data.shape[1] == int((parcels.vertex_labels >= 0).sum())


def test_gifti_maps_have_one_file_per_hemisphere() -> None:
    parcels = a424()
    values = np.arange(424, dtype=np.float32)[None]
    with zipfile.ZipFile(io.BytesIO(exports.gifti_maps(values, parcels, ["one"]))) as archive:
        assert sorted(archive.namelist()) == ["lh.fsaverage5.func.gii", "rh.fsaverage5.func.gii"]
        left = nib.gifti.GiftiImage.from_bytes(archive.read("lh.fsaverage5.func.gii"))
    labels = parcels.vertex_labels[:10242]
    np.testing.assert_array_equal(left.darrays[0].data[labels >= 0], labels[labels >= 0].astype(np.float32))


def test_matrix_names_rows_and_columns() -> None:
    table = pd.read_csv(
        io.BytesIO(exports.matrix_csv(np.eye(3, dtype=np.float32), ["a", "b", "a"])), index_col=0
    )
    assert list(table.columns) == ["a", "b", "a (2)"] == list(table.index)


@pytest.mark.parametrize(
    ("name", "stem"),
    [("sub-01_bold.nii.gz", "sub-01_bold"), ("../../x y.csv", "recording"), ("a b.csv", "a-b")],
)
def test_file_names_are_plain(name: str, stem: str) -> None:
    assert exports.safe_stem(name) == stem
