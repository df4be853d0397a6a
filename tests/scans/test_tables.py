"""Tables: every layout people export, and the wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scan_files import bold_table

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.scans import MissingChoice, MissingCoordinates, MissingTR, read_scan
from brainlm_core.scans.atlases import known_atlases

#: Numbers of parcels of known atlases: a table of as many volumes may be turned.
COUNTS = {a.n_parcels for a in known_atlases().values()}


def write(path: Path, table: np.ndarray, delimiter: str = ",", header: str = "") -> Path:
    np.savetxt(path, table, delimiter=delimiter, header=header, comments="", fmt="%.6f")
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_timepoints=st.integers(20, 500).filter(lambda n: n not in COUNTS),
    transposed=st.booleans(),
    n_parcels=st.sampled_from([424, 360]),
)
def test_either_orientation_gives_the_same_signals(
    tmp_path: Path, n_timepoints: int, transposed: bool, n_parcels: int
) -> None:
    table = bold_table(n_timepoints, n_parcels)
    np.save(tmp_path / "t.npy", table.T if transposed else table)
    atlas = "a424-cortex" if n_parcels == 360 else None
    recording = read_scan(tmp_path / "t.npy", tr_s=2.0, atlas=atlas)
    np.testing.assert_allclose(recording.signals, table.T, rtol=1e-6)
    assert any("row per parcel" in n for n in recording.notices) == transposed


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " ", "   "])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".dat", ".1D", ""])
def test_any_delimiter_and_ending(tmp_path: Path, delimiter: str, suffix: str) -> None:
    table = bold_table(30)
    recording = read_scan(write(tmp_path / f"x{suffix}", table, delimiter), tr_s=1.0)
    assert recording.signals.shape == (424, 30)
    np.testing.assert_allclose(recording.signals, table.T, atol=1e-3)


def test_header_index_and_names(tmp_path: Path) -> None:
    table = bold_table(40)
    names = a424().names
    numbered = np.column_stack([np.arange(40), table])
    path = write(tmp_path / "x.csv", numbered, header="," + ",".join(names))
    recording = read_scan(path, tr_s=2)
    np.testing.assert_allclose(recording.signals, table.T, atol=1e-3)
    assert any("index" in n for n in recording.notices)


def test_time_column_gives_the_repetition_time(tmp_path: Path) -> None:
    table = np.column_stack([np.arange(40) * 0.8, bold_table(40)])
    recording = read_scan(write(tmp_path / "x.tsv", table, "\t"))
    assert recording.tr_s == pytest.approx(0.8)
    assert recording.n_parcels == 424


def test_shuffled_names_are_put_in_order(tmp_path: Path) -> None:
    table = bold_table(40)
    order = np.random.default_rng(0).permutation(424)
    header = ",".join(a424().names[i] for i in order)
    recording = read_scan(write(tmp_path / "x.csv", table[:, order], header=header), tr_s=2)
    np.testing.assert_allclose(recording.signals, table.T, atol=1e-3)
    assert any("order by their names" in n for n in recording.notices)


def test_column_numbers_as_header(tmp_path: Path) -> None:
    table = bold_table(40)
    header = "\t".join(f"#{i + 1}" for i in range(424))
    recording = read_scan(write(tmp_path / "x.1D", table, "\t", header), tr_s=2)
    assert recording.n_timepoints == 40


def test_first_column_of_words_is_row_names(tmp_path: Path) -> None:
    table = bold_table(30)
    lines = ["id," + ",".join(f"p{i}" for i in range(424))]
    lines += [f"vol{t}," + ",".join(f"{v:.4f}" for v in row) for t, row in enumerate(table)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    recording = read_scan(tmp_path / "x.csv", tr_s=2)
    np.testing.assert_allclose(recording.signals, table.T, atol=1e-3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_decimal_comma_and_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    table = bold_table(25)
    text = "\n".join(";".join(f"{v:.3f}".replace(".", ",") for v in row) for row in table)
    (tmp_path / "x.csv").write_text(text, encoding=encoding)
    recording = read_scan(tmp_path / "x.csv", tr_s=2)
    np.testing.assert_allclose(recording.signals, table.T, atol=1e-2)


def test_unknown_columns_need_coordinates(tmp_path: Path, rng: np.random.Generator) -> None:
    path = write(tmp_path / "x.csv", bold_table(50, 33))
    with pytest.raises(MissingCoordinates, match="50 rows and 33 columns"):
        read_scan(path, tr_s=2)
    xyz = rng.uniform(-60, 60, (33, 3))
    coordinates = write(tmp_path / "xyz.csv", xyz, header="x,y,z")
    recording = read_scan(path, tr_s=2, coordinates=coordinates)
    assert recording.n_parcels == 33
    np.testing.assert_allclose(recording.parcellation.xyz, xyz, atol=1e-3)
    with pytest.raises(AtlasError, match="12 coordinates"):
        read_scan(path, tr_s=2, coordinates=write(tmp_path / "few.csv", xyz[:12], header="x,y,z"))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "x,y,z\n1,2,nan\n", "x,y,z\n1,2,900\n", "\x00\x01"])
def test_bad_coordinates(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "x.csv", bold_table(50, 1 if text.count("\n") > 1 else 33))
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises((AtlasError, ScanError)):
        read_scan(path, tr_s=2, coordinates=tmp_path / "c.csv")


def test_known_parcellation_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", bold_table(50, 200))
    with pytest.raises(MissingCoordinates, match="--atlas cc200"):
        read_scan(path, tr_s=2)
    assert read_scan(path, tr_s=2, atlas="CC200").parcellation.name == "CC200"
    with pytest.raises(AtlasError, match="14 parcels"):
        read_scan(path, tr_s=2, atlas="ho")
    with pytest.raises(AtlasError, match="no parcellation is called"):
        read_scan(path, tr_s=2, atlas="nonsense")
    hinted = write(tmp_path / "sub_rois_cc200.1D", bold_table(50, 200), "\t")
    assert "CC200" in read_scan(hinted, tr_s=2).provenance.atlas


def test_360_columns_without_names_are_asked_about(tmp_path: Path) -> None:
    table = bold_table(50, 360)
    path = write(tmp_path / "x.csv", table)
    with pytest.raises(MissingChoice, match="--atlas a424-cortex or --atlas glasser-left-first") as asked:
        read_scan(path, tr_s=2)
    assert {o[1]["atlas"] for o in asked.value.options} == {"a424-cortex", "glasser-left-first"}
    assert read_scan(path, tr_s=2, atlas="a424-cortex").parcellation.name == "A424 cortex"
    left_first = read_scan(path, tr_s=2, atlas="glasser-left-first")
    np.testing.assert_allclose(left_first.signals[180:], table.T[:180], atol=1e-3)


def test_both_axes_known_is_asked(tmp_path: Path) -> None:
    table = bold_table(360, 424)
    path = write(tmp_path / "x.csv", table)
    with pytest.raises(MissingChoice, match="--rows-are volumes or --rows-are parcels") as asked:
        read_scan(path, tr_s=2)
    assert len(asked.value.previews) == 2
    assert read_scan(path, tr_s=2, rows_are="volumes").n_parcels == 424
    turned = read_scan(path, tr_s=2, rows_are="parcels", atlas="a424-cortex")
    np.testing.assert_allclose(turned.signals, table, atol=1e-3)


def test_missing_tr_asks(tmp_path: Path) -> None:
    with pytest.raises(MissingTR, match="give TR in seconds"):
        read_scan(write(tmp_path / "x.csv", bold_table()))
    (tmp_path / "x.json").write_text('{"RepetitionTime": 0.72}')
    assert read_scan(tmp_path / "x.csv").tr_s == pytest.approx(0.72)


@pytest.mark.parametrize("tr", [0, -1, float("nan"), 1e9])
def test_impossible_tr(tmp_path: Path, tr: float) -> None:
    with pytest.raises(MissingTR, match="impossible"):
        read_scan(write(tmp_path / "x.csv", bold_table()), tr_s=tr)


def test_milliseconds_are_recognised(tmp_path: Path) -> None:
    recording = read_scan(write(tmp_path / "x.csv", bold_table()), tr_s=2000)
    assert recording.tr_s == 2.0
    assert any("milliseconds" in n for n in recording.notices)


def test_connectivity_matrix_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", np.corrcoef(bold_table(60, 424).T))
    with pytest.raises(ScanError, match="connectivity matrix"):
        read_scan(tmp_path / "x.csv", tr_s=2)


def test_empty_column_is_a_parcel_without_data(tmp_path: Path) -> None:
    table = bold_table(30)
    table[:, 5] = np.nan
    recording = read_scan(write(tmp_path / "x.csv", table), tr_s=2)
    assert recording.quality is not None
    assert recording.quality.flat[5]
    assert not recording.signals[5].any()
    assert any("no data" in n for n in recording.notices)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_single_gaps_are_refused(tmp_path: Path, value: float) -> None:
    table = bold_table(30)
    table[4, 5] = value
    with pytest.raises(ScanError, match=r"1 values .*parcel 6, volume 5"):
        read_scan(write(tmp_path / "x.csv", table), tr_s=2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,2,3\n4,5\n6,7,8,9\n", "columns"),
        ("hello world, this is prose\nwith some lines, of text\nand more, of it\n", "not a table of numbers"),
        ("#only a comment\n", "holds no numbers"),
        ("   \n\n", "holds no numbers"),
        ("1,2,3\n4,x,6\n" * 30, "words instead of numbers"),
        ('{"a": [1, 2]}\n', "not a table|numbers|neither"),
    ],
)
def test_text_that_is_no_table(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ScanError, match=sentence):
        read_scan(tmp_path / "x.csv", tr_s=2)


def test_constant_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="never change"):
        read_scan(write(tmp_path / "x.csv", np.full((30, 424), 7.0)), tr_s=2)


def test_few_volumes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="only 5 volumes"):
        read_scan(write(tmp_path / "x.csv", bold_table(5)), tr_s=2)


def test_confounds_table_as_scan(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("trans_x\trot_x\tcsf\n" + "0.1\t0.2\t3\n0.2\t0.1\t2\n" * 20)
    with pytest.raises(ScanError, match="confounds table"):
        read_scan(tmp_path / "x.tsv", tr_s=2)
