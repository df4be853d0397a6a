"""Packs and folders: what is refused, in one sentence, and what is read."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.cohort.packs import open_cohort


def _pack(folder: Path, n_columns: int = 4, **changes: object) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, object] = {
        "signals": rng.normal(size=(90, n_columns)).astype(np.float16),
        "offsets": np.array([0, 30, 90]),
        **changes,
    }
    path = folder / "pack.npz"
    np.savez(path, **{k: np.asarray(v) for k, v in arrays.items()})  # type: ignore[arg-type]
    return path


def _coordinates(folder: Path, n: int = 4) -> Path:
    path = folder / "xyz.csv"
    rows = "\n".join(f"{i},{-40 + 10 * i},{-20 + 9 * i},{5 * i}" for i in range(n))
    path.write_text("label,x,y,z\n" + rows + "\n")
    return path


def test_a_pack_is_read(tmp_path: Path) -> None:
    cohort = open_cohort(_pack(tmp_path), coordinates=_coordinates(tmp_path), tr_s=2.0)
    assert len(cohort) == 2
    assert cohort.recording(1).signals.shape == (4, 60)
    part = cohort.subset([1])
    assert len(part) == 1
    assert np.array_equal(part.recording(0).signals, cohort.recording(1).signals)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_on_disk_are_those_of_the_arrays_and_nothing_is_left_behind(
    tmp_path: Path, save: Any, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    rng = np.random.default_rng(2)
    n = 9000  # more than a reader of headers takes along
    one, two = rng.standard_normal((n, 3)).astype(np.float32), rng.integers(-9, 9, (n, 2)).astype(np.int16)
    path = tmp_path / "pack.npz"
    save(path, one=np.asarray(one, order=order), two=two, offsets=np.array([0, 30, n]))
    options = {"signals": ("one", "two"), "coordinates": _coordinates(tmp_path, 5), "tr_s": 2.0}
    cohort = open_cohort(path, **options)
    both = np.concatenate([one, two], axis=1).T
    for part, rows in ((cohort, (0, 1)), (cohort.subset([1, 0]), (1, 0))):
        assert np.array_equal(part.recording(rows[0]).signals, both[:, :30])
        assert np.array_equal(part.recording(rows[1]).signals, both[:, 30:])
    assert list((tmp_path / "tmp").iterdir()) == []
    damaged = bytearray(path.read_bytes())
    damaged[20_000] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(ConfigError, match="not a readable pack"):
        open_cohort(path, **options)


def test_a_pack_that_does_not_fit_beside_itself_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pack.npz"
    np.savez_compressed(path, signals=np.ones((90, 4)), offsets=np.array([0, 30, 90]))

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(ConfigError, match=r"no space to unpack pack\.npz"):
        open_cohort(path, coordinates=_coordinates(tmp_path), tr_s=2.0)


def test_two_repetition_times_of_which_one_is_missing(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("subject_id,tr_s\na,2.0\nb,\n")
    with pytest.raises(ConfigError, match=r"1 of 2 recordings of pack\.npz have no repetition time"):
        open_cohort(_pack(tmp_path), coordinates=_coordinates(tmp_path), phenotypes=table)


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({}, {"signals": "nothing"}, "no array 'nothing'"),
        ({"offsets": np.array([0, 30])}, {}, "offsets"),
        ({}, {"tr_s": None}, "nothing says the repetition time"),
        ({}, {"coordinates": None}, "nothing says where the 4 columns lie"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, changes: dict[str, object], settings: dict[str, object], words: str
) -> None:
    options = {"coordinates": _coordinates(tmp_path), "tr_s": 2.0, **settings}
    with pytest.raises(ConfigError, match=words):
        open_cohort(_pack(tmp_path, **changes), **options)  # type: ignore[arg-type]


def test_nan_is_refused(tmp_path: Path) -> None:
    values = np.ones((90, 4), dtype=np.float32)
    values[40, 2] = np.nan
    cohort = open_cohort(_pack(tmp_path, signals=values), coordinates=_coordinates(tmp_path), tr_s=2.0)
    cohort.recording(0)
    with pytest.raises(ScanError, match="NaN"):
        cohort.recording(1)


def test_where_and_missing_files(tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("subject_id,tr_s,site\n007,2.0,A\n008,1.5,B\n")
    cohort = open_cohort(_pack(tmp_path), coordinates=_coordinates(tmp_path), phenotypes=table)
    assert cohort.where("site=B").subjects == ("008",)
    assert cohort.where("site=B").tr_s.tolist() == [1.5]
    with pytest.raises(ConfigError, match="no recording has"):
        cohort.where("site=C")
    with pytest.raises(ConfigError, match="there is no cohort"):
        open_cohort(tmp_path / "absent.npz")
