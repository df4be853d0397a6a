"""The mean image in three planes: in its place, turned the right way, and there before the scan is read."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scan_files import AFFINE, SHAPE, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.base.slices import Slices, cut_slices
from brainlm_core.scans import read_scan
from brainlm_core.scans.isolation import read_isolated
from brainlm_core.viz.slices import borders, parcels_seen, slices_html, slices_of, slices_words

Atlas = tuple[Path, np.ndarray]
MARK_MM = {"sagittal": (-6.0, 50.0, 40.0), "coronal": (40.0, -8.0, 50.0), "axial": (-40.0, 50.0, 4.0)}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return label_volume(tmp_path_factory.mktemp("slices") / "labels.nii.gz")


@pytest.fixture(scope="module")
def scan(atlas: Atlas) -> Path:
    """A scan in which parcel 3 holds nothing."""
    data = bold_volume(atlas[1], 40)
    data[atlas[1] == 3] = 0
    return save_nifti(atlas[0].with_name("space-MNI152NLin6Asym_bold.nii.gz"), data)


@pytest.fixture(scope="module")
def recording(atlas: Atlas, scan: Path) -> Recording:
    return read_scan(scan, atlas=str(atlas[0]))


def turned(image: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """Store an image on the test grid with other axes."""
    made = nib.Nifti1Image(image, AFFINE)
    way = ornt_transform(io_orientation(AFFINE), axcodes2ornt(tuple(codes)))
    made = made.as_reoriented(way)
    return np.asarray(made.dataobj), made.affine


@pytest.mark.parametrize("codes", ["RAS", "LAS", "LPS", "ASL", "SRP"])
@pytest.mark.parametrize("plane", MARK_MM)
def test_a_mark_is_seen_on_its_side_however_the_scan_is_stored(plane: str, codes: str) -> None:
    at = np.rint(np.linalg.inv(AFFINE) @ [*MARK_MM[plane], 1]).astype(int)[:3]
    image, labels = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.int16)
    image[tuple(at)] = 900
    labels[tuple(at)] = 2
    stored, affine = turned(image, codes)
    slices = cut_slices(stored, turned(labels, codes)[0], affine, 2, n_volumes=3)
    cut = next(c for c in slices.cuts if c.plane == plane)
    assert np.array_equal(cut.grey == 255, cut.parcels == 2), "image and borders are of one grid"
    row, column = np.argwhere(cut.grey == 255)[0]
    x, y, z = MARK_MM[plane]
    across, up = {"sagittal": (y, z), "coronal": (x, z), "axial": (x, y)}[plane]
    assert (column > cut.grey.shape[1] / 2) == (across > 0) and (row < cut.grey.shape[0] / 2) == (up > 0)
    assert abs(cut.at_mm - {"sagittal": x, "coronal": y, "axial": z}[plane]) <= 3.0


def test_borders_run_between_parcels_only() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 2]])
    assert borders(labels) == "M1 0v2M2 1v1M3 0v2M1 0h2M2 1h1M1 2h2"
    assert borders(np.zeros((4, 4), int)) == ""


def test_a_shifted_header_moves_the_image_under_the_borders(atlas: Atlas, scan: Path, tmp_path: Path) -> None:
    off = AFFINE.copy()
    off[1, 3] += 18
    data = np.asarray(nib.load(scan).dataobj)
    moved = save_nifti(tmp_path / "space-MNI152NLin6Asym_bold.nii.gz", data, off)

    def agreement(recording: Recording) -> float:
        """Share of the parcels' pixels that are brain."""
        slices = slices_of(recording)
        assert slices is not None
        inside = [(c.grey > 20)[c.parcels > 0] for c in slices.cuts]
        return float(np.concatenate(inside).mean())

    right, wrong = (agreement(read_scan(s, atlas=str(atlas[0]))) for s in (scan, moved))
    assert right > 0.95 and wrong < 0.9


def test_parcels_without_data_are_drawn_differently(recording: Recording) -> None:
    slices = slices_of(recording)
    assert slices is not None and slices.kind == "mean"
    lost, partial = parcels_seen(recording)
    assert lost.tolist() == [i == 2 for i in range(30)] and not partial.any()
    assert "Hatched: 1 parcel without data." in slices_words(slices, lost, partial)
    drawn = [_svg(slices_html(slices, *seen)) for seen in ((lost, partial), (None, None))]
    assert ["url(#lost)" in svg for svg in drawn] == [True, False]
    assert all(f">{side}</text>" in drawn[0] for side in "LRPASx"[:5])


def _svg(drawn: str) -> str:
    found = re.search(r"base64,([^\"]+)", drawn)
    assert found
    return base64.b64decode(found[1]).decode()


def test_slices_travel_with_the_recording(recording: Recording, tmp_path: Path) -> None:
    recording.save(tmp_path / "a.npz")
    back = Recording.load(tmp_path / "a.npz").slices
    assert back is not None and recording.slices is not None
    assert all(np.array_equal(a.grey, b.grey) for a, b in zip(back.cuts, recording.slices.cuts, strict=True))
    arrays = recording.slices.to_arrays()
    arrays["slices_parcels_0"] = arrays["slices_parcels_0"] + np.int16(31)
    with pytest.raises(ScanError, match="damaged"):
        Slices.from_arrays(arrays)


def test_the_first_look_comes_before_the_end(atlas: Atlas, scan: Path) -> None:
    seen: list[Slices] = []
    done: list[float] = []

    def look(slices: Slices) -> None:
        seen.append(slices)
        done.append(progress[-1])

    progress: list[float] = []
    read = {"atlas": str(atlas[0]), "progress": lambda f, _s: progress.append(f), "first_look": look}
    read_isolated(scan, **read)  # type: ignore[arg-type]
    assert len(seen) == 1 and seen[0].n_volumes == 3 and done[0] < 0.86 < max(progress)


def test_data_without_a_mean_show_what_varies(atlas: Atlas, tmp_path: Path) -> None:
    data = bold_volume(atlas[1], 40)
    data -= data.mean(axis=3, keepdims=True)
    seen: list[Slices] = []
    scan = save_nifti(tmp_path / "space-MNI152NLin6Asym_bold.nii", data)
    found = read_scan(scan, atlas=str(atlas[0]), first_look=seen.append).slices
    assert found is not None and found.kind == "spread" and not seen
