"""One recording in every file and packing of volumes: the same signals, and the same repetition time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scan_files import AFFINE, SHAPE, bold_volume, label_volume, save_nifti

from brainlm_core.base.errors import ScanError
from brainlm_core.scans import ScanSource, read_scan

N, TR = 24, 2.2
Atlas = tuple[Path, np.ndarray]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return label_volume(tmp_path_factory.mktemp("atlas") / "labels.nii.gz")


@pytest.fixture(scope="module")
def data(atlas: Atlas) -> np.ndarray:
    return np.rint(bold_volume(atlas[1], N)).astype(np.int16)


def nifti(folder: Path, data: np.ndarray, name: str = "rest.nii") -> Path:
    return save_nifti(folder / name, data, tr=TR, dtype=np.int16)


def packed(compress: Callable[[bytes], bytes], ending: str) -> Callable[[Path, np.ndarray], list[Path]]:
    def write(folder: Path, data: np.ndarray) -> list[Path]:
        plain = nifti(folder, data).read_bytes()
        half = len(plain) // 2  # parallel packers write several streams in a row
        (folder / f"rest.nii{ending}").write_bytes(compress(plain[:half]) + compress(plain[half:]))
        return [folder / f"rest.nii{ending}"]

    return write


def zipped(folder: Path, data: np.ndarray) -> list[Path]:
    with zipfile.ZipFile(folder / "rest.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._rest.nii.gz", b"x")
        archive.writestr("sub-01/rest.nii.gz", gzip.compress(nifti(folder, data).read_bytes()))
    return [folder / "rest.zip"]


def fifth_axis(folder: Path, data: np.ndarray) -> list[Path]:
    image = nib.Nifti1Image(data[..., None, :], AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = TR
    nib.save(image, folder / "rest.nii.gz")
    return [folder / "rest.nii.gz"]


def freesurfer(folder: Path, data: np.ndarray) -> list[Path]:
    image = nib.MGHImage(data, AFFINE)
    image.header["tr"] = TR * 1000
    nib.save(image, folder / "rest.mgz")
    return [folder / "rest.mgz"]


def pair(folder: Path, data: np.ndarray) -> list[Path]:
    image = nib.Nifti1Pair(data, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = TR
    image.set_sform(AFFINE, 4)
    nib.save(image, folder / "rest.hdr")
    return [folder / "rest.img"]


def afni(folder: Path, data: np.ndarray, view: str = "tlrc", template: str = "MNI") -> list[Path]:
    dicom = np.diag([-1.0, -1, 1, 1]) @ AFFINE
    attributes = {
        "DATASET_RANK": ("integer", [3, N]),
        "DATASET_DIMENSIONS": ("integer", [*SHAPE, 0, 0]),
        "BRICK_TYPES": ("integer", [1] * N),
        "BRICK_FLOAT_FACS": ("float", [0.5, *[0.25] * (N - 1)]),
        "TAXIS_NUMS": ("integer", [N, 0, 77002]),
        "TAXIS_FLOATS": ("float", [0, TR, 0]),
        "IJK_TO_DICOM_REAL": ("float", dicom[:3].ravel().tolist()),
        "BYTEORDER_STRING": ("string", "'LSB_FIRST~"),
        "TEMPLATE_SPACE": ("string", f"'{template}~"),
    }
    lines = []
    for name, (kind, values) in attributes.items():
        text = values if isinstance(values, str) else " ".join(map(str, values))
        count = len(text) - 1 if isinstance(values, str) else len(values)
        lines.append(f"type = {kind}-attribute\nname = {name}\ncount = {count}\n {text}\n")
    (folder / f"rest+{view}.HEAD").write_text("\n" + "\n".join(lines))
    stored = data.astype("<i2").copy()
    stored[..., 0] *= 2
    stored[..., 1:] *= 4
    (folder / f"rest+{view}.BRIK.gz").write_bytes(gzip.compress(stored.tobytes(order="F")))
    return [folder / f"rest+{view}.HEAD"]


def save_volume(path: Path, volume: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    image = nib.Nifti1Image(volume, affine)
    image.set_sform(affine, 4)
    nib.save(image, path)


def series(folder: Path, data: np.ndarray) -> list[Path]:
    folder = folder / "series"
    folder.mkdir()
    for t in range(N):  # names whose order by letters is wrong
        save_volume(folder / f"swrf{t + 1}.nii", data[..., t])
    return sorted(folder.iterdir())


def series_folder(folder: Path, data: np.ndarray) -> list[Path]:
    return [series(folder, data)[0].parent]


def series_zip(folder: Path, data: np.ndarray) -> list[Path]:
    with zipfile.ZipFile(folder / "rest.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in series(folder, data):
            archive.write(path, f"run/{path.name}")
    return [folder / "rest.zip"]


LAYOUTS = {
    "bzip2": packed(bz2.compress, ".bz2"),
    "xz": packed(lzma.compress, ".xz"),
    "gzip": packed(gzip.compress, ".gz"),
    "zip": zipped,
    "fifth axis": fifth_axis,
    "FreeSurfer": freesurfer,
    "pair": pair,
    "AFNI": afni,
    "list": series,
    "folder": series_folder,
    "zip of volumes": series_zip,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_recording(
    tmp_path: Path, atlas: Atlas, data: np.ndarray, layout: str
) -> None:
    small = data // 8 if layout == "AFNI" else data  # room for the factors of its volumes
    reference = read_scan(nifti(tmp_path, small), atlas=str(atlas[0]))
    (tmp_path / "other").mkdir()
    files = LAYOUTS[layout](tmp_path / "other", small)
    is_series = layout in ("list", "folder", "zip of volumes")
    given = files if len(files) > 1 else files[0]
    recording = read_scan(given, atlas=str(atlas[0]), tr_s=TR if is_series else None)
    np.testing.assert_allclose(recording.signals, reference.signals, rtol=1e-5)
    assert recording.tr_s == pytest.approx(TR, rel=1e-5)
    assert recording.quality is not None and recording.quality.template_overlap is not None
    assert len(recording.provenance.sha256 or "") == 64


def test_an_uploaded_pair_needs_both_halves(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    files = [tmp_path / "rest.hdr", *pair(tmp_path, data)]
    names = tuple(f.name for f in files)
    assert read_scan(ScanSource(tuple(files), names, uploaded=True), atlas=str(atlas[0])).n_timepoints == N
    with pytest.raises(ScanError, match=r"half of a pair, and its \.img file is not there"):
        read_scan(ScanSource((files[0],), names[:1], uploaded=True), atlas=str(atlas[0]))


def test_afni_in_other_spaces(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    with pytest.raises(ScanError, match="native space"):
        read_scan(afni(tmp_path, data // 8, "orig", "ORIG")[0], atlas=str(atlas[0]))
    with pytest.raises(ScanError, match="Talairach"):
        read_scan(afni(tmp_path, data // 8, "tlrc", "TLRC")[0], atlas=str(atlas[0]))


def test_an_analyze_image_does_not_say_its_left(tmp_path: Path, data: np.ndarray) -> None:
    nib.save(nib.AnalyzeImage(data, np.diag([6.0, 6, 6, 1])), tmp_path / "rest.img")
    with pytest.raises(ScanError, match="which side is left"):
        read_scan(tmp_path / "rest.hdr")


def test_series_that_do_not_belong_together(tmp_path: Path, atlas: Atlas, data: np.ndarray) -> None:
    files = series(tmp_path, data)
    moved = AFFINE.copy()
    moved[0, 3] += 6
    save_volume(files[5], data[..., 5], moved)
    with pytest.raises(ScanError, match="another size, grid"):
        read_scan(files, atlas=str(atlas[0]), tr_s=TR)
    files[5].write_bytes(files[4].read_bytes()[:500])
    with pytest.raises(ScanError, match="cut short"):
        read_scan(files, atlas=str(atlas[0]), tr_s=TR)
    with pytest.raises(ScanError, match="only 5 volumes"):
        read_scan(files[:5], atlas=str(atlas[0]), tr_s=TR)


@pytest.mark.parametrize("ending", [".bz2", ".xz"])
def test_damage_and_bombs_inside_a_packing(tmp_path: Path, data: np.ndarray, ending: str) -> None:
    compress = bz2.compress if ending == ".bz2" else lzma.compress
    (path,) = packed(compress, ending)(tmp_path, data)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:400] + b"\xff" * 400 + whole[800:]):
        path.write_bytes(damaged)
        with pytest.raises(ScanError):
            read_scan(path)
    header = bytearray(nifti(tmp_path, data).read_bytes()[:352])
    header[42:50] = np.array([512, 512, 30, 500], "<i2").tobytes()
    path.write_bytes(compress(bytes(header) + bytes(1 << 20)))
    with pytest.raises(ScanError, match="would unpack"):
        read_scan(path)


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("IM0001.dcm", b"\0" * 128 + b"DICM" + b"\0" * 400, "DICOM file"),
        ("rest.mnc", b"CDF\x01" + b"\0" * 400, "MINC image"),
        ("rest.mnc", b"\x89HDF\r\n\x1a\n" + b"\0" * 400, "MINC image"),
    ],
)
def test_what_stays_refused_is_refused_by_its_name(
    tmp_path: Path, name: str, head: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(head)
    with pytest.raises(ScanError, match=words):
        read_scan(tmp_path / name)
