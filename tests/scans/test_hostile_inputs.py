"""Files that are broken, foreign or meant to harm: one sentence each, quickly, and no other data."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scan_files import AFFINE, SHAPE, bold_table, bold_volume, save_nifti

from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.cli import main
from brainlm_core.scans import read_scan


def nifti_header(shape: tuple[int, ...], dtype: type = np.int16) -> bytes:
    header = nib.Nifti1Header()
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header.set_data_dtype(dtype)
    header.set_sform(AFFINE, 4)
    header["pixdim"][1:5] = [6, 6, 6, 2]
    header["xyzt_units"] = 10
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header.binaryblock + b"\0\0\0\0"


def volume(path: Path, n: int = 30) -> Path:
    return save_nifti(path, bold_volume(np.ones(SHAPE, np.int16), n).astype(np.float32))


def three_d(folder: Path) -> Path:
    path = folder / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), AFFINE), path)
    return path


def anatomical(folder: Path) -> Path:
    path = folder / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE), path)
    return path


def five_volumes(folder: Path) -> Path:
    return volume(folder / "b.nii.gz", 5)


def huge_claim(folder: Path) -> Path:
    path = folder / "b.nii.gz"
    path.write_bytes(gzip.compress(nifti_header((10_000, 10_000, 10_000, 200)) + bytes(10_000)))
    return path


def huge_claim_plain(folder: Path) -> Path:
    path = folder / "b.nii"
    path.write_bytes(nifti_header((30_000, 30_000, 30_000, 1000)) + bytes(10_000))
    return path


def bomb(folder: Path) -> Path:
    path = folder / "b.nii.gz"
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(nifti_header((181, 217, 181, 1000)))
        block = bytes(1 << 24)
        for _ in range(20):
            stream.write(block)
    return path


def truncated(folder: Path) -> Path:
    raw = volume(folder / "whole.nii.gz").read_bytes()
    path = folder / "b.nii.gz"
    path.write_bytes(raw[: len(raw) // 2])
    return path


def truncated_plain(folder: Path) -> Path:
    raw = volume(folder / "whole.nii").read_bytes()
    path = folder / "b.nii"
    path.write_bytes(raw[: len(raw) // 2])
    return path


def flipped_bytes(folder: Path) -> Path:
    raw = bytearray(volume(folder / "whole.nii.gz").read_bytes())
    middle = len(raw) // 2
    raw[middle : middle + 64] = np.random.default_rng(3).bytes(64)
    path = folder / "b.nii.gz"
    path.write_bytes(bytes(raw))
    return path


def header_only(folder: Path) -> Path:
    path = folder / "b.nii"
    path.write_bytes(nifti_header((10, 10, 10, 50))[:200])
    return path


def constant(folder: Path) -> Path:
    return save_nifti(folder / "b.nii.gz", np.full((*SHAPE, 30), 100, np.int16), dtype=np.int16)


def zeros(folder: Path) -> Path:
    return save_nifti(folder / "b.nii.gz", np.zeros((*SHAPE, 30), np.float32))


def all_nan(folder: Path) -> Path:
    return save_nifti(folder / "b.nii.gz", np.full((*SHAPE, 30), np.nan, np.float32))


def complex_volume(folder: Path) -> Path:
    return save_nifti(folder / "b.nii", np.ones((*SHAPE, 30), np.complex64), dtype=np.complex64)


def five_axes(folder: Path) -> Path:
    path = folder / "b.nii"
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4, 30, 3), np.float32), AFFINE), path)
    return path


def negative_axis(folder: Path) -> Path:
    path = folder / "b.nii"
    path.write_bytes(nifti_header((10, -3, 10, 50)) + bytes(10_000))
    return path


def half_of_a_pair(folder: Path) -> Path:
    path = folder / "b.hdr"
    path.write_bytes(nifti_header((10, 10, 10, 50)).replace(b"n+1", b"ni1"))
    return path


def docx(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("[Content_Types].xml", "<x/>")
            archive.writestr("word/document.xml", "<x/>")
        return path

    return make


def empty(folder: Path) -> Path:
    (folder / "b.nii.gz").touch()
    return folder / "b.nii.gz"


def missing(folder: Path) -> Path:
    return folder / "nothing.nii.gz"


def directory(folder: Path) -> Path:
    return folder


def pickled_npy(folder: Path) -> Path:
    np.save(folder / "b.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return folder / "b.npy"


def pickled_npz(folder: Path) -> Path:
    np.savez(folder / "b.npz", signals=np.array([{"a": 1}], dtype=object))
    return folder / "b.npz"


def bare_pickle(folder: Path) -> Path:
    (folder / "b.npy").write_bytes(pickle.dumps(np.ones((30, 424))))
    return folder / "b.npy"


def npy_claim(folder: Path) -> Path:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**5)}
    )
    (folder / "b.npy").write_bytes(buffer.getvalue())
    return folder / "b.npy"


def npz_bomb(folder: Path) -> Path:
    path = folder / "b.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as out,
    ):
        np.lib.format.write_array_header_1_0(
            out, {"descr": "<f8", "fortran_order": False, "shape": (424, 10**6)}
        )
        block = bytes(1 << 24)
        for _ in range(100):
            out.write(block)
    return path


def npz_lie(folder: Path) -> Path:
    """A member whose array header claims far more than the member holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**5)}
    )
    with zipfile.ZipFile(folder / "b.npz", "w") as archive:
        archive.writestr("x.npy", buffer.getvalue())
    return folder / "b.npz"


def three_axes(folder: Path) -> Path:
    np.save(folder / "b.npy", np.ones((3, 30, 424)))
    return folder / "b.npy"


def words_npy(folder: Path) -> Path:
    np.save(folder / "b.npy", np.array([["a", "b"], ["c", "d"]]))
    return folder / "b.npy"


def complex_npy(folder: Path) -> Path:
    np.save(folder / "b.npy", np.ones((30, 424), np.complex64))
    return folder / "b.npy"


def two_matrices(folder: Path) -> Path:
    np.savez(folder / "b.npz", first=bold_table(), second=bold_table())
    return folder / "b.npz"


def mat73(folder: Path) -> Path:
    (folder / "b.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    return folder / "b.mat"


def damaged_mat(folder: Path) -> Path:
    from scipy.io import savemat

    savemat(folder / "whole.mat", {"x": bold_table()}, do_compression=True)
    raw = (folder / "whole.mat").read_bytes()
    (folder / "b.mat").write_bytes(raw[: len(raw) // 2])
    return folder / "b.mat"


def wrong_columns(folder: Path) -> Path:
    np.savetxt(folder / "b.csv", bold_table(60, 57), delimiter=",")
    return folder / "b.csv"


def table_with_inf(folder: Path) -> Path:
    table = bold_table()
    table[3, 3] = np.inf
    np.savetxt(folder / "b.csv", table, delimiter=",")
    return folder / "b.csv"


def picture(folder: Path) -> Path:
    (folder / "b.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(3000))
    return folder / "b.csv"


def noise(folder: Path) -> Path:
    (folder / "b.nii").write_bytes(b"\x01\x02" + os.urandom(4000))
    return folder / "b.nii"


def gzip_of_text(folder: Path) -> Path:
    (folder / "b.nii.gz").write_bytes(gzip.compress(b"hello" * 1000))
    return folder / "b.nii.gz"


def gzip_bomb_of_nothing(folder: Path) -> Path:
    (folder / "b.csv.gz").write_bytes(gzip.compress(bytes(200_000_000), compresslevel=9))
    return folder / "b.csv.gz"


def parquet_garbage(folder: Path) -> Path:
    (folder / "b.parquet").write_bytes(b"PAR1" + os.urandom(3000) + b"PAR1")
    return folder / "b.parquet"


def gifti_entities(folder: Path) -> Path:
    (folder / "lh.func.gii").write_text(
        '<?xml version="1.0"?><!DOCTYPE GIFTI [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        '<GIFTI Version="1.0" NumberOfDataArrays="0">&b;</GIFTI>'
    )
    return folder / "lh.func.gii"


def gifti_file_reference(folder: Path) -> Path:
    (folder / "lh.func.gii").write_text(
        '<?xml version="1.0"?><GIFTI Version="1.0" NumberOfDataArrays="1"><DataArray '
        'Intent="NIFTI_INTENT_NONE" '
        'DataType="NIFTI_TYPE_FLOAT32" ArrayIndexingOrder="RowMajorOrder" Dimensionality="1" Dim0="10242" '
        'Encoding="ExternalFileBinary" Endian="LittleEndian" ExternalFileName="/etc/passwd" '
        'ExternalFileOffset="0"><Data></Data></DataArray></GIFTI>'
    )
    return folder / "lh.func.gii"


def gifti_cut(folder: Path) -> Path:
    (folder / "lh.func.gii").write_text('<?xml version="1.0"?><GIFTI Version="1.0"><DataArray ')
    return folder / "lh.func.gii"


def cifti_header_only(folder: Path) -> Path:
    header = nib.Nifti2Header()
    header["intent_code"] = 3002
    header["dim"][:8] = [6, 1, 1, 1, 1, 100, 91282, 1]
    header["vox_offset"] = 544
    header["magic"] = b"n+2"
    (folder / "b.dtseries.nii").write_bytes(header.binaryblock + struct.pack("<i", 0) + bytes(5000))
    return folder / "b.dtseries.nii"


CASES: dict[Callable[[Path], Path], str] = {
    three_d: "3D image with a single volume",
    anatomical: "an anatomical image",
    five_volumes: "only 5 volumes",
    huge_claim: "claims 10000 × 10000 × 10000 × 200 = 2e\\+14 voxels",
    huge_claim_plain: "which no scan has",
    bomb: "claims 14.2 GB of data but holds only|would unpack",
    truncated: "cut short or damaged",
    truncated_plain: "cut short: the header asks for",
    flipped_bytes: "cut short or damaged|missing, NaN",
    header_only: "cut short inside its header|no format that is known",
    constant: "no voxel of any parcel changes",
    zeros: "only zeros or no finite",
    all_nan: "only zeros or no finite",
    complex_volume: "stores complex64 values",
    five_axes: "5 axes, not space and time",
    negative_axis: "damaged header",
    half_of_a_pair: "half of a pair, and its .img file is not there",
    docx("b.nii.gz"): "a Word document, not a scan",
    docx("b.csv"): "a Word document, not a scan",
    docx("b.npz"): "a Word document, not a scan",
    empty: r"is empty \(0 bytes\)",
    missing: "there is no file nothing.nii.gz",
    directory: "no BOLD run",
    pickled_npy: "Python objects, which could run code",
    pickled_npz: "Python objects, which could run code",
    bare_pickle: "no format that is known",
    npy_claim: "claims 1e\\+12 values",
    npz_bomb: "would unpack|claims",
    npz_lie: "damaged .npz",
    three_axes: "an array with 3 axes",
    words_npy: "does not hold numbers",
    complex_npy: "complex numbers",
    two_matrices: "2 matrices, none of them called like a signal",
    mat73: "damaged HDF5 file .MATLAB 7.3",
    damaged_mat: "damaged MATLAB file",
    wrong_columns: "60 rows and 57 columns, neither of them the parcels of a parcellation that is known",
    table_with_inf: "missing, NaN or infinite",
    picture: "picture or document",
    noise: "no format that is known|not a table",
    gzip_of_text: "not a table of numbers|holds no numbers|words instead",
    gzip_bomb_of_nothing: "cannot be read as a scan",
    parquet_garbage: "damaged Parquet",
    gifti_entities: "other files or entities",
    gifti_file_reference: "other files or entities",
    gifti_cut: "damaged GIFTI",
    cifti_header_only: "damaged CIFTI|cut short",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_one_sentence_quickly(
    make: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path)
    start = time.perf_counter()
    code = main(["parcellate", str(path), "-o", str(tmp_path / "out" / "rec.npz"), "--tr", "2"])
    seconds = time.perf_counter() - start
    out = capsys.readouterr()
    assert code == 2
    assert out.out == ""
    lines = out.err.strip().splitlines()
    assert len(lines) == 1, out.err
    assert lines[0].startswith("error: ") and "; " in lines[0]
    assert "Traceback" not in out.err
    assert str(tmp_path) not in out.err  # paths can hold names
    assert not (tmp_path / "out" / "rec.npz").exists()
    with pytest.raises(BrainLMError, match=CASES[make]):
        read_scan(path, tr_s=2)
    if make is not zeros:  # the built-in atlas may be computed in the first volume test
        assert seconds < 20


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = volume(tmp_path / "b.nii.gz")
    original = Path.open

    def refuse(self: Path, *args: object, **kwargs: object) -> object:
        if self == path:
            raise PermissionError
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ScanError, match="may not be read"):
        read_scan(path)


def test_odd_paths() -> None:
    with pytest.raises(ScanError):
        read_scan("a\0b")
    with pytest.raises(ScanError):
        read_scan("x" * 5000)
    with pytest.raises(ScanError, match="neither a file nor a folder"):
        read_scan("/dev/null")
    with pytest.raises(ScanError, match="0 files"):
        read_scan([])


def test_no_permission_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt(tmp_path / "b.csv", bold_table(), delimiter=",")
    (tmp_path / "file").touch()
    code = main(["parcellate", str(tmp_path / "b.csv"), "--tr", "2", "-o", str(tmp_path / "file" / "x.npz")])
    assert code == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--confounds", "--coordinates"])
def test_missing_side_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    np.savetxt(tmp_path / "b.csv", bold_table(), delimiter=",")
    arguments = ["parcellate", str(tmp_path / "b.csv"), "--tr", "2", "-o", str(tmp_path / "x.npz")]
    assert main([*arguments, flag, str(tmp_path / "none.csv")]) == 2
    assert "does not exist" in capsys.readouterr().err
