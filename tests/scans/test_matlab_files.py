"""MATLAB files of CONN, DPABI and laboratories, version 5 and 7.3; HDF5 files that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scan_files import bold_table
from scipy.io import savemat

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import ScanError
from brainlm_core.scans import read_scan

Layout = dict[str, Any]
NAMES = [f"atlas.{n}" for n in a424().names]


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return bold_table(40)


def cell(values: list[Any]) -> np.ndarray:
    out = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        out[0, i] = value
    return out


def save_5(path: Path, layout: Layout) -> None:
    savemat(path, layout, do_compression=True)


def save_73(path: Path, layout: Layout) -> None:
    """Write what MATLAB writes with ``-v7.3``: turned arrays, cells as references, text as code units."""
    with h5py.File(path, "w", userblock_size=512) as file:
        _put_73(file, layout, file.create_group("#refs#"))
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")


def _put_73(group: h5py.Group, layout: Layout, refs: h5py.Group) -> None:
    for key, value in layout.items():
        if isinstance(value, dict):
            made = group.create_group(key)
            made.attrs["MATLAB_class"] = np.bytes_("struct")
            _put_73(made, value, refs)
        elif isinstance(value, np.ndarray) and value.dtype == object:
            made = group.create_dataset(key, value.T.shape, dtype=h5py.ref_dtype)
            made.attrs["MATLAB_class"] = np.bytes_("cell")
            for at, inner in np.ndenumerate(value.T):
                name = f"r{len(refs)}"
                _put_73(refs, {name: inner}, refs)
                made[at] = refs[name].ref
        elif isinstance(value, str):
            made = group.create_dataset(key, data=np.array([[ord(c)] for c in value], np.uint16))
            made.attrs["MATLAB_class"] = np.bytes_("char")
        else:
            data = np.atleast_2d(np.asarray(value)).T
            packed = {"compression": "gzip"} if data.size > 99 else {}
            made = group.create_dataset(key, data=data, **packed)
            made.attrs["MATLAB_class"] = np.bytes_("double")


def conn(table: np.ndarray, names: list[str]) -> Layout:
    """Return a ROI file of CONN: tissues of several series first, confounds last."""
    rng, n = np.random.default_rng(3), len(table)
    tissues = [rng.normal(size=(n, k)) for k in (1, 5, 5)]
    covariates = [rng.normal(size=(n, 12)), np.ones((n, 1))]
    columns = [table[:, [i]] for i in range(table.shape[1])]
    words = [*("Grey Matter", "White Matter", "CSF"), *names, "realignment", "Effect of rest"]
    nowhere = np.full((1, 3), np.nan)
    places = [*[nowhere] * 3, *(np.array([p], float) for p in a424().xyz), *[nowhere] * 2]
    return {
        "data": cell([*tissues, *columns, *covariates]),
        "names": cell(words),
        "xyz": cell(places),
        "source": np.arange(len(words), dtype=float)[None],
        "conditionsweights": cell([cell([np.ones((n, 1))])]),
    }


def dpabi(table: np.ndarray) -> Layout:
    return {
        "ROISignals": table,
        "ROICorrelation": np.corrcoef(table.T),
        "ROICorrelation_FisherZ": np.eye(424),
    }


def struct(table: np.ndarray) -> Layout:
    return {"subj": {"id": "s1", "ts": table, "TR": 2.0, "fc": np.corrcoef(table.T)}}


def nested(table: np.ndarray) -> Layout:
    return {"ts": {"data": table.T, "labels": cell(NAMES), "RepetitionTime": 2.0}}


@pytest.mark.parametrize("save", [save_5, save_73])
@pytest.mark.parametrize("layout", [dpabi, struct, nested])
def test_layouts_of_laboratories(
    tmp_path: Path, table: np.ndarray, save: Callable[[Path, Layout], None], layout: Callable[..., Layout]
) -> None:
    save(tmp_path / "a.mat", layout(table))
    recording = read_scan(tmp_path / "a.mat", tr_s=2.0 if layout is dpabi else None)
    assert recording.tr_s == 2.0
    np.testing.assert_allclose(recording.signals, table.T, rtol=1e-5)


@pytest.mark.parametrize("save", [save_5, save_73])
def test_conn_finds_its_regions_by_their_names(
    tmp_path: Path, table: np.ndarray, save: Callable[[Path, Layout], None]
) -> None:
    order = np.random.default_rng(0).permutation(424)
    save(tmp_path / "a.mat", conn(table[:, order], [NAMES[i] for i in order]))
    recording = read_scan(tmp_path / "a.mat", tr_s=2.0)
    assert recording.columns is not None and recording.columns.by == "names"
    np.testing.assert_allclose(recording.signals, table.T, rtol=1e-5)


def test_regions_of_no_known_parcellation_lie_where_the_file_says(tmp_path: Path, table: np.ndarray) -> None:
    save_5(tmp_path / "a.mat", conn(table, [f"networks.{i}.Mine ({i},0,0)" for i in range(424)]))
    recording = read_scan(tmp_path / "a.mat", tr_s=2.0)
    np.testing.assert_allclose(recording.parcellation.xyz, a424().xyz, atol=1e-4)
    np.testing.assert_allclose(recording.signals, table.T, rtol=1e-5)
    assert any("where the file says" in n for n in recording.notices)


def test_several_recordings_are_not_guessed_from(tmp_path: Path, table: np.ndarray) -> None:
    for save in (save_5, save_73):
        save(tmp_path / "a.mat", {"data": cell([table, table + 1])})
        with pytest.raises(ScanError, match="2 recordings"):
            read_scan(tmp_path / "a.mat", tr_s=2.0)
    save_5(tmp_path / "b.mat", {"first": table, "second": table})
    with pytest.raises(ScanError, match="2 matrices"):
        read_scan(tmp_path / "b.mat", tr_s=2.0)


def _other_file(folder: Path, table: np.ndarray) -> Path:
    with h5py.File(folder / "secret.h5", "w") as file:
        file["signals"] = table
    (folder / "secret.raw").write_bytes(table.astype("<f8").tobytes())
    return folder / "secret.h5"


def _external_link(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    file["signals"] = h5py.ExternalLink(str(_other_file(folder, table)), "/signals")


def _soft_link(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    file["signals"] = h5py.SoftLink("/signals")


def _external_storage(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    _other_file(folder, table)
    raw = [(str(folder / "secret.raw"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("signals", table.shape, "<f8", external=raw)


def _virtual(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    layout = h5py.VirtualLayout(table.shape, "<f8")
    layout[:] = h5py.VirtualSource(str(_other_file(folder, table)), "signals", table.shape)
    file.create_virtual_dataset("signals", layout)


def _filter(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    file.create_dataset("signals", data=table, compression="lzf")


def _bomb(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    file.create_dataset("signals", (1 << 40, 424), "<f8", chunks=(1, 424))


def _endless(file: h5py.File, folder: Path, table: np.ndarray) -> None:
    made = file.create_dataset("signals", (1,), dtype=h5py.ref_dtype)
    made[0] = made.ref


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_external_link, "points to other places"),
        (_soft_link, "points to other places"),
        (_external_storage, "in other files"),
        (_virtual, "in other files"),
        (_filter, "filter"),
        (_bomb, "claims"),
        (_endless, "without end"),
    ],
)
def test_hdf5_that_means_harm(
    tmp_path: Path, table: np.ndarray, harm: Callable[..., None], words: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        harm(file, tmp_path, table)
    with pytest.raises(ScanError, match=words):
        read_scan(tmp_path / "a.h5", tr_s=2.0)


def test_damaged_hdf5_is_said(tmp_path: Path, table: np.ndarray) -> None:
    save_73(tmp_path / "a.mat", dpabi(table))
    whole = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "b.mat").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ScanError, match="damaged HDF5"):
        read_scan(tmp_path / "b.mat", tr_s=2.0)
