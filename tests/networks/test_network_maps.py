from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from brainlm_core.base.atlas import N_VERTICES, YEO7, Parcellation, from_coordinates
from brainlm_core.base.errors import AnalysisError
from brainlm_core.features.networks.files import attention_received
from brainlm_core.features.networks.maps import (
    NETWORK_COLOURS,
    colours_of,
    write_label_cifti,
    write_label_gifti,
    write_value_cifti,
    write_value_gifti,
)

NAMES = (*YEO7, "Unmatched 1")


@pytest.fixture
def labels(make, whole):
    labels = make.networks(whole)
    labels[360:] = 7
    labels[0] = -1
    return labels


def expected_keys(labels: np.ndarray, parcellation: Parcellation) -> np.ndarray:
    vertex = parcellation.vertex_labels
    return np.where(vertex < 0, 0, labels[vertex] + 1)


def test_gifti_labels_come_back(tmp_path, labels, whole):
    left, right = write_label_gifti(tmp_path, "networks", labels, NAMES, whole)
    images = [nib.load(path) for path in (left, right)]
    keys = np.concatenate([image.agg_data() for image in images])
    assert np.array_equal(keys, expected_keys(labels, whole))
    assert [image.meta["AnatomicalStructurePrimary"] for image in images] == ["CortexLeft", "CortexRight"]
    assert "fsaverage5" in images[0].meta["Description"]
    table = images[0].labeltable.get_labels_as_dict()
    assert table == {0: "???", **{i + 1: name for i, name in enumerate(NAMES)}}
    visual = images[0].labeltable.labels[1]
    assert visual.rgba == pytest.approx((0x78 / 255, 0x12 / 255, 0x86 / 255, 1))
    assert images[0].darrays[0].data.dtype == np.int32


def test_gifti_values_come_back(tmp_path, whole):
    values = np.random.default_rng(0).uniform(1, 2, (2, 424)).astype(np.float32)
    values[1, 10] = np.nan
    paths = write_value_gifti(tmp_path, "attention", values, ["one", "two"], whole)
    for path, start in zip(paths, (0, N_VERTICES), strict=True):
        image = nib.load(path)
        vertex = whole.vertex_labels[start : start + N_VERTICES]
        for array, row, name in zip(image.darrays, np.nan_to_num(values), ["one", "two"], strict=True):
            assert array.meta["Name"] == name
            assert np.array_equal(array.data, np.where(vertex < 0, 0, row[vertex]).astype(np.float32))


def test_cifti_labels_come_back(tmp_path, labels, whole):
    path = write_label_cifti(tmp_path / "networks.dlabel.nii", labels, NAMES, whole)
    image = nib.load(path)
    maps, model = (image.header.get_axis(i) for i in (0, 1))
    assert maps.label[0][1][0] == "Visual" and maps.label[0][8][0] == "Unmatched 1"
    assert model.nvertices == {f"CIFTI_STRUCTURE_CORTEX_{s}": N_VERTICES for s in ("LEFT", "RIGHT")}
    keys = np.zeros(2 * N_VERTICES)
    side = np.where(model.name == "CIFTI_STRUCTURE_CORTEX_RIGHT", N_VERTICES, 0)
    keys[model.vertex + side] = image.get_fdata()[0]
    assert np.array_equal(keys, expected_keys(labels, whole))
    assert image.nifti_header.get_intent()[0] == "ConnDenseLabel"


def test_cifti_parcels_come_back_deep_ones_included(tmp_path, whole):
    values = np.random.default_rng(0).uniform(1, 2, (2, 424)).astype(np.float32)
    image = nib.load(write_value_cifti(tmp_path / "attention.pscalar.nii", values, ["one", "two"], whole))
    assert np.array_equal(image.get_fdata(dtype=np.float32), values)
    scalar, parcels = (image.header.get_axis(i) for i in (0, 1))
    assert list(scalar.name) == ["one", "two"]
    assert list(parcels.name) == list(whole.names)
    _, voxels, vertices = parcels.get_element(0)
    found = np.concatenate(list(vertices.values()))
    assert np.array_equal(found, np.flatnonzero(whole.vertex_labels[N_VERTICES:] == 0)) and len(voxels) == 0
    assert set(vertices) == {"CIFTI_STRUCTURE_CORTEX_RIGHT"}
    for deep in range(360, 424):
        _, voxels, vertices = parcels.get_element(deep)
        assert not vertices and len(voxels) == 1
        at = parcels.affine @ [*voxels[0], 1]
        assert np.abs(at[:3] - whole.position[deep]).max() <= 1.01
    places = {tuple(v) for i in range(360, 424) for v in parcels.get_element(i)[1]}
    assert len(places) == 64
    assert image.nifti_header.get_intent()[0] == "ConnParcelScalr"


def test_repeated_parcel_names_are_told_apart(tmp_path):
    own = from_coordinates("own", ("a", "a", "b"), np.array([[-40, 0, 30], [40, 0, 30], [0, 0, 5]]))
    image = nib.load(write_value_cifti(tmp_path / "x.pscalar.nii", np.ones((1, 3)), ["m"], own))
    assert list(image.header.get_axis(1).name) == ["a", "a (2)", "b"]


def test_a_recording_without_cortex_has_no_surface_labels(tmp_path, whole):
    deep = whole.subset(np.arange(361, 424), "deep")
    with pytest.raises(AnalysisError, match="no parcel lies on the cortex"):
        write_label_cifti(tmp_path / "x.dlabel.nii", np.zeros(63, dtype=int), ["a"], deep)


def test_one_hemisphere_alone_is_written(tmp_path, whole):
    right = whole.subset(np.arange(180), "right")
    image = nib.load(write_label_cifti(tmp_path / "x.dlabel.nii", np.zeros(180, dtype=int), ["a"], right))
    assert set(image.header.get_axis(1).name) == {"CIFTI_STRUCTURE_CORTEX_RIGHT"}
    assert (image.get_fdata() == 1).all()


def test_colours_are_the_fields_own_and_differ():
    colours = colours_of([*YEO7, *(f"Unmatched {i + 1}" for i in range(8))])
    assert colours[:7] == tuple(NETWORK_COLOURS.values())
    assert len(set(colours)) == 15


def test_attention_received_leaves_self_attention_out():
    attention = np.array([[9, 1, 2], [3, 9, 4], [5, 6, 9]], dtype=np.float32)
    assert attention_received(attention).tolist() == [4.0, 3.5, 3.0]
