"""CIFTI and GIFTI: the same means as a plain loop over vertices and voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.scans import read_scan
from brainlm_core.scans.grayordinates import N_FS_LR, load_grayordinates, read_dlabel
from brainlm_core.scans.volume_atlas import load_volume_atlas

T = 25


def brain_models(step: int = 3) -> Any:
    """Some vertices of either cortex and some deep voxels of the 2 mm grid."""
    axis = nib.cifti2.BrainModelAxis
    left = axis.from_surface(np.arange(0, N_FS_LR, step), N_FS_LR, "CIFTI_STRUCTURE_CORTEX_LEFT")
    right = axis.from_surface(np.arange(0, N_FS_LR, step), N_FS_LR, "CIFTI_STRUCTURE_CORTEX_RIGHT")
    atlas = load_volume_atlas("a424-approximation")
    mask = atlas.labels > 360
    deep = axis.from_mask(mask, name="thalamus_left", affine=atlas.affine)
    return left + right + deep


def dtseries(
    path: Path, models: Any, *, step: float = 0.72, unit: str = "SECOND", seed: int = 0
) -> np.ndarray:
    data = 9000 + 50 * np.random.default_rng(seed).standard_normal((T, len(models))).astype(np.float32)
    series = nib.cifti2.SeriesAxis(0, step, T, unit)
    nib.save(nib.Cifti2Image(data, (series, models)), path)
    return data


def test_dtseries(tmp_path: Path) -> None:
    models = brain_models()
    data = dtseries(tmp_path / "x.dtseries.nii", models)
    recording = read_scan(tmp_path / "x.dtseries.nii")
    assert recording.tr_s == pytest.approx(0.72)
    atlas = load_grayordinates("a424-approximation")
    labels = np.zeros(len(models), int)
    for side, name in (("L", "CIFTI_STRUCTURE_CORTEX_LEFT"), ("R", "CIFTI_STRUCTURE_CORTEX_RIGHT")):
        rows = models.name == name
        labels[rows] = atlas.surfaces[f"{side}32492"][models.vertex[rows]]
    deep = ~models.surface_mask
    labels[deep] = atlas.deep[tuple(models.voxel[deep].T)]
    for p in (0, 100, 200, 359, 360, 390, 423):
        np.testing.assert_allclose(recording.signals[p], data[:, labels == p + 1].mean(axis=1), rtol=1e-5)
    assert recording.provenance.atlas_is_approximation  # the deep voxels
    assert any("deep parcels" in n for n in recording.notices)


def test_dtseries_of_the_cortex_alone_is_exact(tmp_path: Path) -> None:
    models = brain_models()
    cortex = models[models.surface_mask]
    dtseries(tmp_path / "x.dtseries.nii", cortex)
    recording = read_scan(tmp_path / "x.dtseries.nii")
    assert not recording.provenance.atlas_is_approximation
    assert recording.quality is not None
    assert recording.quality.flat[360:].all() and not recording.quality.flat[:360].any()


def test_dtseries_with_the_official_labels(tmp_path: Path, shared: Path) -> None:
    dlabel = shared / "atlas" / "A424.dlabel.nii"
    image = nib.load(dlabel)
    models = image.header.get_axis(1)
    data = dtseries(tmp_path / "x.dtseries.nii", models)
    recording = read_scan(tmp_path / "x.dtseries.nii", atlas=str(dlabel))
    labels = np.asarray(image.dataobj)[0].astype(int)
    expected = np.stack([data[:, labels == p + 1].mean(axis=1) for p in range(424)])
    np.testing.assert_allclose(recording.signals, expected, rtol=1e-5)
    assert not recording.provenance.atlas_is_approximation
    assert recording.quality is not None
    np.testing.assert_array_equal(recording.quality.n_voxels, np.bincount(labels, minlength=425)[1:])


def test_bundled_vertex_labels_are_the_official_ones(shared: Path) -> None:
    surfaces, _, _ = read_dlabel(shared / "atlas" / "A424.dlabel.nii")
    bundled = load_grayordinates(deep=False).surfaces
    for key, labels in surfaces.items():
        np.testing.assert_array_equal(bundled[key], labels)


def test_other_surfaces_are_refused(tmp_path: Path) -> None:
    models = nib.cifti2.BrainModelAxis.from_surface(np.arange(2000), 7842, "CIFTI_STRUCTURE_CORTEX_LEFT")
    dtseries(tmp_path / "x.dtseries.nii", models)
    with pytest.raises(ScanError, match="7,842 vertices"):
        read_scan(tmp_path / "x.dtseries.nii")


def test_cifti_that_is_no_time_series(tmp_path: Path) -> None:
    models = brain_models(40)
    data = np.ones((2, len(models)), np.float32)
    scalars = nib.cifti2.ScalarAxis(["thickness", "curvature"])
    nib.save(nib.Cifti2Image(data, (scalars, models)), tmp_path / "x.dscalar.nii")
    with pytest.raises(ScanError, match="CIFTI file of maps, not a time series"):
        read_scan(tmp_path / "x.dscalar.nii")
    dtseries(tmp_path / "x.dtseries.nii", models, unit="HERTZ")
    with pytest.raises(ScanError, match="counts HERTZ"):
        read_scan(tmp_path / "x.dtseries.nii")


def test_truncated_cifti(tmp_path: Path) -> None:
    dtseries(tmp_path / "w.dtseries.nii", brain_models(40))
    raw = (tmp_path / "w.dtseries.nii").read_bytes()
    for share in (0.9, 0.3, 0.02):
        (tmp_path / "x.dtseries.nii").write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(ScanError, match=r"cut short|damaged"):
            read_scan(tmp_path / "x.dtseries.nii")


def test_compressed_cifti_says_what_to_do(tmp_path: Path) -> None:
    import gzip

    dtseries(tmp_path / "w.dtseries.nii", brain_models(40))
    packed = gzip.compress((tmp_path / "w.dtseries.nii").read_bytes(), 1)
    (tmp_path / "x.dtseries.nii.gz").write_bytes(packed)
    with pytest.raises(ScanError, match="unpack it first"):
        read_scan(tmp_path / "x.dtseries.nii.gz")


def test_dlabel_of_something_else_as_atlas(tmp_path: Path) -> None:
    dtseries(tmp_path / "x.dtseries.nii", brain_models(40))
    with pytest.raises(AtlasError):
        read_scan(tmp_path / "x.dtseries.nii", atlas=str(tmp_path / "x.dtseries.nii"))
    with pytest.raises(AtlasError, match="there is no atlas"):
        read_scan(tmp_path / "x.dtseries.nii", atlas="nothing.dlabel.nii")


def parcels(names: list[str], labels: dict[str, np.ndarray] | None = None) -> Any:
    members = []
    for i, name in enumerate(names):
        vertices = {}
        if labels is not None:
            for side, structure in (
                ("L", "CIFTI_STRUCTURE_CORTEX_LEFT"),
                ("R", "CIFTI_STRUCTURE_CORTEX_RIGHT"),
            ):
                found = np.flatnonzero(labels[f"{side}32492"] == i + 1)
                if found.size:
                    vertices[structure] = found
        members.append((name, np.empty((0, 3), int), vertices))
    voxels = [m[1] for m in members]
    vertices_ = [m[2] for m in members]
    sizes = {"CIFTI_STRUCTURE_CORTEX_LEFT": N_FS_LR, "CIFTI_STRUCTURE_CORTEX_RIGHT": N_FS_LR}
    return nib.cifti2.ParcelsAxis([m[0] for m in members], voxels, vertices_, np.eye(4), (91, 109, 91), sizes)


def ptseries(path: Path, axis: Any) -> np.ndarray:
    data = np.random.default_rng(1).standard_normal((T, len(axis))).astype(np.float32)
    nib.save(nib.Cifti2Image(data, (nib.cifti2.SeriesAxis(0, 0.72, T), axis)), path)
    return data


@pytest.mark.parametrize("n", [424, 360])
def test_ptseries_by_names_in_any_order(tmp_path: Path, n: int) -> None:
    names = [f"{x}_ROI" if i < 360 else x for i, x in enumerate(a424().names[:n])]
    order = np.random.default_rng(3).permutation(n)
    data = ptseries(tmp_path / "x.ptseries.nii", parcels([names[i] for i in order]))
    recording = read_scan(tmp_path / "x.ptseries.nii")
    expected = np.empty_like(data)
    expected[:, order] = data
    np.testing.assert_allclose(recording.signals, expected.T, rtol=1e-6)
    assert recording.n_parcels == n


def test_ptseries_by_shared_vertices(tmp_path: Path) -> None:
    labels = load_grayordinates(deep=False).surfaces
    swapped = {k: np.where(v > 180, v - 180, np.where(v > 0, v + 180, 0)) for k, v in labels.items()}
    data = ptseries(tmp_path / "x.ptseries.nii", parcels([f"p{i}" for i in range(360)], swapped))
    recording = read_scan(tmp_path / "x.ptseries.nii")
    np.testing.assert_allclose(recording.signals, np.roll(data.T, 180, axis=0), rtol=1e-6)


def test_ptseries_of_another_parcellation_is_placed_by_its_vertices(tmp_path: Path) -> None:
    surfaces = load_grayordinates(deep=False).surfaces
    pairs = {k: np.where((v > 0) & (v <= 360), (v + 1) // 2, 0) for k, v in surfaces.items()}
    data = ptseries(tmp_path / "x.ptseries.nii", parcels([f"mine{i}" for i in range(180)], pairs))
    recording = read_scan(tmp_path / "x.ptseries.nii")
    np.testing.assert_allclose(recording.signals, data.T, rtol=1e-6)
    middle = a424().xyz[:360].reshape(180, 2, 3).mean(axis=1)
    apart = np.linalg.norm(a424().xyz[:360].reshape(180, 2, 3)[:, 0] - middle, axis=1)
    off = np.linalg.norm(recording.parcellation.xyz - middle, axis=1)
    assert (off <= apart + 0.1).all() and any("vertices" in n for n in recording.notices)


def test_ptseries_of_another_parcellation_needs_coordinates(tmp_path: Path) -> None:
    data = ptseries(tmp_path / "x.ptseries.nii", parcels([f"p{i}" for i in range(33)]))
    with pytest.raises(ScanError, match="--coordinates"):
        read_scan(tmp_path / "x.ptseries.nii")
    rows = "\n".join(f"{i},{i},{-i}" for i in range(33))
    (tmp_path / "c.csv").write_text(f"x,y,z\n{rows}\n")
    recording = read_scan(tmp_path / "x.ptseries.nii", coordinates=tmp_path / "c.csv")
    np.testing.assert_allclose(recording.signals, data.T, rtol=1e-6)


def gifti(path: Path, values: np.ndarray, side: str | None = None, step: str = "2000") -> Path:
    arrays = [
        nib.gifti.GiftiDataArray(
            row.astype(np.float32),
            intent="NIFTI_INTENT_TIME_SERIES",
            datatype="NIFTI_TYPE_FLOAT32",
            meta=nib.gifti.GiftiMetaData({"TimeStep": step} if step else {}),
        )
        for row in values
    ]
    meta = {"AnatomicalStructurePrimary": f"Cortex{side}"} if side else {}
    nib.save(nib.GiftiImage(darrays=arrays, meta=nib.gifti.GiftiMetaData(meta)), path)
    return path


def surface_values(n: int, seed: int) -> np.ndarray:
    return 5000 + np.random.default_rng(seed).standard_normal((T, n))


@pytest.mark.parametrize("n", [10242, N_FS_LR])
def test_gifti_pair_from_one_path(tmp_path: Path, n: int) -> None:
    left, right = surface_values(n, 0), surface_values(n, 1)
    gifti(tmp_path / "sub-1_hemi-L_bold.func.gii", left)
    gifti(tmp_path / "sub-1_hemi-R_bold.func.gii", right)
    recording = read_scan(tmp_path / "sub-1_hemi-R_bold.func.gii")
    assert recording.tr_s == 2.0
    surfaces = load_grayordinates(deep=False).surfaces
    for p, values, key in ((0, right, "R"), (300, left, "L")):
        rows = surfaces[f"{key}{n}"] == p + 1
        np.testing.assert_allclose(recording.signals[p], values[:, rows].mean(axis=1), rtol=1e-5)
    assert recording.quality is not None
    assert recording.quality.flat[360:].all()
    assert recording.provenance.source_name.count(".gii") == 2
    pair = read_scan([tmp_path / "sub-1_hemi-L_bold.func.gii", tmp_path / "sub-1_hemi-R_bold.func.gii"])
    np.testing.assert_array_equal(pair.signals, recording.signals)


def test_gifti_one_hemisphere_alone_is_said(tmp_path: Path) -> None:
    gifti(tmp_path / "x.func.gii", surface_values(10242, 0), "Left")
    recording = read_scan(tmp_path / "x.func.gii")
    assert any("Only the left hemisphere" in n for n in recording.notices)
    assert recording.quality is not None
    assert recording.quality.verdict == "poor"
    assert recording.quality.flat[:180].all() and not recording.quality.flat[180:360].any()


def test_gifti_pairs_that_do_not_fit(tmp_path: Path) -> None:
    left = gifti(tmp_path / "a.func.gii", surface_values(10242, 0), "Left")
    again = gifti(tmp_path / "b.func.gii", surface_values(10242, 0), "Left")
    shorter = gifti(tmp_path / "c.func.gii", surface_values(10242, 0)[:22], "Right")
    with pytest.raises(ScanError, match="both files show the left"):
        read_scan([left, again])
    with pytest.raises(ScanError, match="22 and 25 volumes"):
        read_scan([left, shorter])
    nameless = gifti(tmp_path / "d.func.gii", surface_values(10242, 0))
    with pytest.raises(ScanError, match="which hemisphere"):
        read_scan(nameless)


def test_gifti_without_time_step_asks(tmp_path: Path) -> None:
    gifti(tmp_path / "x.func.gii", surface_values(10242, 0), "Left", step="")
    with pytest.raises(ScanError, match="repetition time"):
        read_scan(tmp_path / "x.func.gii")


def test_gifti_mesh_and_bomb(tmp_path: Path) -> None:
    import base64
    import zlib

    points = nib.gifti.GiftiDataArray(np.ones((10242, 3), np.float32), intent="NIFTI_INTENT_POINTSET")
    faces = nib.gifti.GiftiDataArray(np.ones((20, 3), np.int32), intent="NIFTI_INTENT_TRIANGLE")
    nib.save(nib.GiftiImage(darrays=[points, faces]), tmp_path / "lh.func.gii")
    with pytest.raises(ScanError, match="surface or maps"):
        read_scan(tmp_path / "lh.func.gii")
    packed = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    (tmp_path / "rh_other.func.gii").write_text(
        '<?xml version="1.0"?><GIFTI Version="1.0" NumberOfDataArrays="1"><DataArray '
        'Intent="NIFTI_INTENT_NONE" '
        'DataType="NIFTI_TYPE_FLOAT32" ArrayIndexingOrder="RowMajorOrder" Dimensionality="1" Dim0="10242" '
        f'Encoding="GZipBase64Binary" Endian="LittleEndian"><Data>{packed}</Data></DataArray></GIFTI>'
    )
    with pytest.raises(ScanError, match="unpacks to more"):
        read_scan(tmp_path / "rh_other.func.gii")


@pytest.mark.parametrize(("n", "name"), [(40_962, "fsaverage6"), (163_842, "fsaverage")])
def test_finer_freesurfer_meshes_give_the_values_of_fsaverage5(tmp_path: Path, n: int, name: str) -> None:
    values = np.random.default_rng(0).normal(100, 5, (22, n)).astype(np.float32)

    def read(shown: str, data: np.ndarray) -> Any:
        arrays = [nib.gifti.GiftiDataArray(v, intent="NIFTI_INTENT_TIME_SERIES") for v in data]
        nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / shown)
        return read_scan(tmp_path / shown, tr_s=2.0)

    coarse = read("a_space-fsaverage5_hemi-L_bold.func.gii", values[:, :10_242])
    fine = read(f"b_space-{name}_hemi-L_bold.func.gii", values)
    np.testing.assert_allclose(fine.signals, coarse.signals, rtol=1e-6)
    if n == 163_842:  # fs_LR has a mesh of this size, too
        with pytest.raises(ScanError, match="no parcel labels"):
            read("c_hemi-L.164k_fs_LR.func.gii", values)


@pytest.mark.parametrize("shape", [(10_242, 1, 1), (6_827, 1, 6), (27_307, 1, 6)])
@pytest.mark.parametrize("ending", [".nii.gz", ".mgz"])
def test_surfaces_in_volume_files(tmp_path: Path, shape: tuple[int, ...], ending: str) -> None:
    values = np.random.default_rng(0).normal(100, 5, (*shape, 22)).astype(np.float32)
    flat = values.reshape(-1, 22, order="F").T[:, :10_242]
    arrays = [nib.gifti.GiftiDataArray(v, intent="NIFTI_INTENT_TIME_SERIES") for v in flat]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / "lh.func.gii")
    expected = read_scan(tmp_path / "lh.func.gii", tr_s=2.0)
    for side in ("lh", "rh"):
        image = nib.MGHImage(values, np.eye(4)) if ending == ".mgz" else nib.Nifti1Image(values, np.eye(4))
        nib.save(image, tmp_path / f"{side}.rest{ending}")
    recording = read_scan(tmp_path / f"lh.rest{ending}", tr_s=2.0)
    left = slice(180, 360)  # its partner beside it gives the right
    np.testing.assert_allclose(recording.signals[left], expected.signals[left], rtol=1e-5)
    assert (~recording.quality.flat).sum() == 360
    both = read_scan([tmp_path / f"{s}.rest{ending}" for s in ("lh", "rh")], tr_s=2.0)
    np.testing.assert_array_equal(both.signals, recording.signals)


def test_a_mesh_without_labels_is_named(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 1, (22, 59_292)).astype(np.float32)
    arrays = [nib.gifti.GiftiDataArray(v, intent="NIFTI_INTENT_TIME_SERIES") for v in values]
    nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / "a_hemi-L.func.gii")
    with pytest.raises(ScanError, match="59,292 vertices of fs_LR 59k"):
        read_scan(tmp_path / "a_hemi-L.func.gii", tr_s=2.0)
