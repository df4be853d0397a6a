"""NumPy, MATLAB, Parquet and Arrow files, packs and saved recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scan_files import bold_table
from scipy.io import savemat

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import ScanError
from brainlm_core.scans import read_scan


@pytest.fixture
def table() -> np.ndarray:
    return bold_table(50)


def check(path: Path | str, table: np.ndarray, **options: object) -> None:
    recording = read_scan(path, tr_s=2.0, **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(recording.signals, table.T, rtol=1e-5)


def test_npy_in_both_orders(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(table))
    check(tmp_path / "a.npy", table)
    np.save(tmp_path / "b.npy", table.T[None])
    check(tmp_path / "b.npy", table)


def test_npz_with_one_array_or_a_named_one(tmp_path: Path, table: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", whatever=table)
    check(tmp_path / "a.npz", table)
    np.savez(tmp_path / "b.npz", other=table[:, :9], timeseries=table, tr=np.array(0.8))
    assert read_scan(tmp_path / "b.npz").tr_s == pytest.approx(0.8)
    check(tmp_path / "b.npz", table)


def test_a_run_of_a_pack(tmp_path: Path, table: np.ndarray) -> None:
    np.savez(tmp_path / "p.npz", signals=np.vstack([table, 2 * table]), offsets=[0, 50, 100], tr_s=0.72)
    with pytest.raises(ScanError, match=r"pack of 2 runs; choose one by its number, p.npz#0 to p.npz#1"):
        read_scan(tmp_path / "p.npz")
    check(f"{tmp_path / 'p.npz'}#1", 2 * table)
    with pytest.raises(ScanError, match="no run 7"):
        read_scan(f"{tmp_path / 'p.npz'}#7")


@pytest.mark.parametrize("version", ["5", "4"])
def test_mat(tmp_path: Path, table: np.ndarray, version: str) -> None:
    savemat(tmp_path / "a.mat", {"ts": table, "TR": 2.5}, format=version, do_compression=version == "5")
    if version == "4":  # no magic number: only the name could tell, and content decides here
        with pytest.raises(ScanError):
            read_scan(tmp_path / "a.mat")
        return
    assert read_scan(tmp_path / "a.mat").tr_s == 2.5
    check(tmp_path / "a.mat", table)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("kind", ["parquet", "feather", "stream"])
def test_rows_of_the_published_layout(tmp_path: Path, table: np.ndarray, kind: str, transposed: bool) -> None:
    rows = [table, table + 5]
    arrow = pa.table(
        {
            "Raw_Recording": [(r.T if transposed else r).tolist() for r in rows],
            "All_Patient_All_Voxel_Normalized_Recording": [r.tolist() for r in rows],
            "Filename": ["Jane_Doe_1.dat", "Jane_Doe_2.dat"],
        }
    )
    path = tmp_path / f"x.{kind}"
    if kind == "parquet":
        pq.write_table(arrow, path, row_group_size=1)
    elif kind == "feather":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, arrow.schema) as writer:
            writer.write_table(arrow)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, arrow.schema) as writer:
            writer.write_table(arrow)
    with pytest.raises(ScanError, match="holds 2 recordings; choose one"):
        read_scan(path, tr_s=0.72)
    check(f"{path}#1", table + 5)
    assert "Jane" not in str(read_scan(f"{path}#0", tr_s=1).provenance)


def test_saved_recordings_come_back(tmp_path: Path, table: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", table)
    recording = read_scan(tmp_path / "a.npy", tr_s=2)
    recording.save(tmp_path / "rec.npz")
    again = read_scan(tmp_path / "rec.npz")
    np.testing.assert_array_equal(again.signals, recording.signals)
    assert again.provenance == recording.provenance
    assert again.quality is not None and again.quality.verdict == recording.quality.verdict  # type: ignore[union-attr]
    assert read_scan(tmp_path / "rec.npz", tr_s=1.0).tr_s == 1.0
    replace(recording, quality=None).save(tmp_path / "plain.npz")
    assert read_scan(tmp_path / "plain.npz").quality is not None
    with pytest.raises(ScanError, match="already has its parcels"):
        read_scan(tmp_path / "rec.npz", atlas="a424")
    raw = bytearray((tmp_path / "rec.npz").read_bytes())
    raw[len(raw) // 3 : len(raw) // 3 + 40] = bytes(40)
    (tmp_path / "bad.npz").write_bytes(bytes(raw))
    with pytest.raises(ScanError):
        read_scan(tmp_path / "bad.npz")


def test_a_bundled_parcellation_is_kept_once_and_a_changed_one_is_not_taken_for_it(
    tmp_path: Path, table: np.ndarray
) -> None:
    np.save(tmp_path / "a.npy", table)
    recording = read_scan(tmp_path / "a.npy", tr_s=2)
    recording.save(tmp_path / "rec.npz")
    assert read_scan(tmp_path / "rec.npz").parcellation is a424()
    moved = replace(recording.parcellation, xyz=recording.parcellation.xyz + 1)
    replace(recording, parcellation=moved).save(tmp_path / "moved.npz")
    again = read_scan(tmp_path / "moved.npz").parcellation
    assert again is not a424() and again.same_as(moved) and not again.same_as(a424())
