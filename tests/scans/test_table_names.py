"""Names decide where the columns of a table belong; what they leave open is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scan_files import bold_table
from table_files import write_workbook

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.scans import MissingChoice, MissingCoordinates, read_scan
from brainlm_core.scans.atlases import atlas_parcellation, atlas_table, known_atlases

T = 24
TABLE = np.round(1000 + 30 * bold_table(T), 2)  # (volumes, 424)
NAMES = a424().names


def text(rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    return "\n".join(delimiter.join(map(str, row)) for row in rows) + "\n"


def rows_of(
    table: np.ndarray, names: Sequence[str], index: Sequence[object] | None = None
) -> list[list[object]]:
    head = [*([""] if index is not None else []), *names]
    return [head, *([*([index[i]] if index is not None else []), *row] for i, row in enumerate(table))]


def comma(rows: list[list[object]]) -> list[list[object]]:
    return [rows[0], *([str(v).replace(".", ",") for v in row] for row in rows[1:])]


PLAIN = rows_of(TABLE, NAMES)
ORDER = np.random.default_rng(5).permutation(424)
MOTION = ["framewise_displacement", "GlobalSignal"]
TURNED = list(zip(NAMES, TABLE.T, strict=True))
R = (
    '"'
    + '" "'.join(NAMES)
    + '"\n'
    + "".join(f'"{i + 11}" {" ".join(map(str, r))}\n' for i, r in enumerate(TABLE))
)
STATS = [
    ["File", "Sub-brick", *(f"Mean_{i}" for i in range(1, 425))],
    *(["rest+tlrc.HEAD", f"{i}[#{i}]", *row] for i, row in enumerate(TABLE)),
]
SIDES = [
    ["index", "name", "hemi", *(f"t{i}" for i in range(T))],
    *([i + 1, n, n[0], *row] for i, (n, row) in enumerate(TURNED)),
]
LAYOUTS = {
    "csv": (".csv", text(PLAIN)),
    "tabs": (".tsv", text(PLAIN, "\t")),
    "semicolons, decimal comma": (".csv", text(comma(PLAIN), ";")),
    "sep= above": (".csv", "sep=;\n" + text(comma(PLAIN), ";")),
    "blanks": (".txt", text(PLAIN, "  ")),
    "UTF-16 without mark": (".csv", text(PLAIN).encode("utf-16-le")),
    "UTF-16, big end first": (".csv", text(PLAIN).encode("utf-16-be")),
    "mark and Windows ends": (".csv", "\ufeff" + text(PLAIN).replace("\n", "\r\n")),
    "classic Mac ends": (".csv", text(PLAIN).replace("\n", "\r")),
    "delimiter at the end": (".csv", "\n".join(line + "," for line in text(PLAIN).splitlines())),
    "row index": (".csv", text(rows_of(TABLE, NAMES, range(10, 10 + T)))),
    "censored index": (".csv", text(rows_of(TABLE, NAMES, [i + (i > 5) * 3 for i in range(T)]))),
    "R": (".txt", R),
    "rows are parcels": (".csv", text([["roi", *range(T)], *([n, *row] for n, row in TURNED)])),
    "region, number, side": (".tsv", text(SIDES, "\t")),
    "two header lines": (".csv", text([["net"] * 424, *PLAIN])),
    "numbers as header": (".csv", text(rows_of(TABLE, [f"{i}.0" for i in range(1, 425)]))),
    "3dROIstats": (".1D", text(STATS, "\t")),
    "netts": (".netts", text([[i + 1, *row] for i, row in enumerate(TABLE.T)], "  ")),
    "comment header": (".1D", "# made by X\n# " + "\t".join(NAMES) + "\n" + text(TABLE.tolist(), "\t")),
    "shuffled": (".csv", text(rows_of(TABLE[:, ORDER], [NAMES[i] for i in ORDER]))),
    "shuffled numbers": (".csv", text(rows_of(TABLE[:, ORDER], [f"roi_{i + 1}" for i in ORDER]))),
    "with motion": (".tsv", text(rows_of(np.column_stack([TABLE, TABLE[:, :2]]), [*NAMES, *MOTION]), "\t")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_recording_in_every_layout(tmp_path: Path, layout: str) -> None:
    suffix, content = LAYOUTS[layout]
    (tmp_path / f"x{suffix}").write_bytes(content.encode() if isinstance(content, str) else content)
    recording = read_scan(tmp_path / f"x{suffix}", tr_s=2.0)
    assert recording.parcellation is a424()
    assert recording.tr_s == 2.0
    np.testing.assert_allclose(recording.signals, TABLE.T, atol=6e-3)


def test_gzip_and_workbook(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text(PLAIN).encode()))
    for path in (
        tmp_path / "x.csv.gz",
        write_workbook(tmp_path / "y.xlsx", [[*NAMES], *TABLE.tolist()]),
        write_workbook(tmp_path / "z.xlsx", [[*NAMES], *TABLE.tolist()], shared=True),
    ):
        np.testing.assert_allclose(read_scan(path, tr_s=2).signals, TABLE.T, atol=6e-3)


def named(tmp_path: Path, names: Sequence[str], name: str = "x.csv", **how: object) -> Recording:
    """Read a table whose column i holds the signal of number i."""
    path = tmp_path / name
    table = np.round(1000 + 30 * bold_table(T, len(names)), 2)
    path.write_text(text(rows_of(table, names)), encoding="utf-8")
    return read_scan(path, tr_s=2.0, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key", ["schaefer-200-7", "schaefer-100-17", "tian-s2", "glasser-379", "4s-156", "tian-s1+glasser"]
)
def test_a_table_of_a_known_atlas_needs_nothing_but_itself(tmp_path: Path, key: str) -> None:
    names = atlas_table(key).names
    recording = named(tmp_path, names)
    assert recording.parcellation.name == atlas_parcellation(key).name
    assert recording.columns is not None and recording.columns.by == "names"
    assert recording.columns.names == names
    recording.save(tmp_path / "r.npz")
    assert Recording.load(tmp_path / "r.npz").columns == recording.columns


def test_lost_parcels_stay_empty_and_are_named(tmp_path: Path) -> None:
    recording = named(tmp_path, [n for n in a424_cortex().names if n not in ("R_V1", "L_p24")])
    assert recording.parcellation is a424_cortex()
    assert recording.columns is not None and recording.columns.lost == ("R_V1", "L_p24")
    assert not recording.signals[[0, 359]].any()
    assert any("R_V1, L_p24" in n for n in recording.notices)


def test_lost_parcels_by_their_numbers(tmp_path: Path) -> None:
    recording = named(tmp_path, [str(i) for i in range(1, 425) if i != 120], "sub_a424.csv")
    assert recording.columns is not None and recording.columns.lost == (NAMES[119],)


def test_names_that_differ_are_refused_with_the_first_of_them(tmp_path: Path) -> None:
    names = list(a424_cortex().names)
    names[3], names[9] = "R_V2x", "R_nothing"
    with pytest.raises(MissingCoordinates, match=r"2 of the 360 names .*R_V2x, R_nothing"):
        named(tmp_path, names)
    with pytest.raises(MissingCoordinates, match="names"):
        named(tmp_path, names, atlas="a424-cortex")
    with pytest.raises(MissingCoordinates, match="no parcellation"):
        named(tmp_path, [f"area {a}{b}" for a in "abcdefghij" for b in "klmnopqrst"])


def test_named_columns_are_never_turned_by_their_length(tmp_path: Path) -> None:
    table = rows_of(bold_table(424, 60), [f"my area {i // 10} {'abcdefghij'[i % 10]}" for i in range(60)])
    (tmp_path / "x.csv").write_text(text(table))
    with pytest.raises(MissingCoordinates, match="no parcellation"):
        read_scan(tmp_path / "x.csv", tr_s=2)


def test_smoothness_tells_which_axis_is_time(tmp_path: Path) -> None:
    smooth = np.cumsum(np.random.default_rng(0).standard_normal((424, 100)), axis=0)
    np.save(tmp_path / "volumes.npy", smooth)
    walk = np.cumsum(np.random.default_rng(1).standard_normal((424, 100)), axis=1)
    np.save(tmp_path / "parcels.npy", walk)
    assert read_scan(tmp_path / "parcels.npy", tr_s=2).n_timepoints == 100
    with pytest.raises(MissingChoice, match="--atlas schaefer-100-7"):
        read_scan(tmp_path / "volumes.npy", tr_s=2)  # 424 volumes, not turned
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).standard_normal((424, 100)))
    with pytest.raises(MissingChoice, match="--rows-are"):
        read_scan(tmp_path / "noise.npy", tr_s=2)
    assert read_scan(tmp_path / "noise.npy", tr_s=2, rows_are="parcels").parcellation is a424()


def test_unnamed_columns_of_two_orders_are_asked_about(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "sub_Schaefer100.csv", bold_table(40, 100), delimiter=",")
    with pytest.raises(MissingChoice, match="--atlas schaefer-100-7 or --atlas schaefer-100-17"):
        read_scan(tmp_path / "sub_Schaefer100.csv", tr_s=2)
    found = read_scan(tmp_path / "sub_Schaefer100.csv", tr_s=2, atlas="schaefer-100-17")
    assert found.parcellation.name == atlas_parcellation("schaefer-100-17").name


def test_every_other_atlas_is_recognised_or_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINLM_CACHE", str(tmp_path))
    monkeypatch.setenv("BRAINLM_OFFLINE", "1")
    aal = [
        f"{r}_{s}"
        for r in ("Precentral", "Frontal_Sup", "Frontal_Mid", "Rolandic_Oper", "Insula")
        for s in "LR"
    ]
    with pytest.raises((MissingCoordinates, AtlasError)):
        named(tmp_path, aal)
    with pytest.raises(AtlasError, match="cannot be fetched now"):
        named(tmp_path, aal, atlas="aal")
    assert sum(a.place == "nilearn" for a in known_atlases().values()) >= 9


def test_volumes_without_a_value_are_dropped_or_bridged_and_said(tmp_path: Path) -> None:
    rows = [list(map(str, r)) for r in TABLE]
    for i in (0, 1, 9):
        rows[i] = ["n/a"] * 424
    (tmp_path / "x.csv").write_text(text([list(NAMES), *rows]))
    recording = read_scan(tmp_path / "x.csv", tr_s=2)
    assert recording.n_timepoints == T - 2
    assert any("2 volumes at the start" in n for n in recording.notices)
    np.testing.assert_allclose(recording.signals[:, 7], (TABLE[8] + TABLE[10]) / 2, atol=1e-2)


COORDINATES = {
    "x,y,z": "label,x,y,z\n",
    "x.mni": "name,x.mni,y.mni,z.mni\n",
    "mni_x": "ROI Name,mni_x,mni_y,mni_z\n",
    "R,A,S": "ROI Name,R,A,S\n",
    "x_mm": "region,x_mm,y_mm,z_mm\n",
    "X (mm)": "Region,X (mm),Y (mm),Z (mm)\n",
    "MNI.X": "Name,MNI.X,MNI.Y,MNI.Z\n",
    "centroid": "parcel,centroid_x,centroid_y,centroid_z\n",
}


@pytest.mark.parametrize("header", COORDINATES)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_coordinates_as_atlases_ship_them(tmp_path: Path, header: str, delimiter: str) -> None:
    rng = np.random.default_rng(2)
    xyz = np.round(rng.uniform(-60, 60, (30, 3)), 1)
    names = [f"LH_area_{i}" for i in range(30)]
    order = rng.permutation(30)
    lines = [COORDINATES[header].replace(",", delimiter)]
    for i in order:
        cells = [names[i].replace("LH_", "lh."), *map(str, xyz[i])]
        text_ = delimiter.join(cells)
        lines.append((text_.replace("lh.", "lh-").replace(".", ",") if delimiter == ";" else text_) + "\n")
    (tmp_path / "c.csv").write_text("".join(lines))
    recording = named(tmp_path, names, coordinates=tmp_path / "c.csv")
    at = {tuple(np.round(p, 1)): i for i, p in enumerate(recording.parcellation.xyz)}
    table = np.round(1000 + 30 * bold_table(T, 30), 2)
    rows = [at[tuple(np.float32(np.round(p, 1)))] for p in xyz]
    np.testing.assert_allclose(recording.signals[rows], table.T, atol=1e-2)


def test_coordinates_with_other_names_are_refused(tmp_path: Path) -> None:
    names = [f"area_{c}" for c in "abcdefghij"]
    lines = ["label,x,y,z", *(f"{n},{i},0,0" for i, n in enumerate(names))]
    lines[3] = "misspelt,2,0,0"
    (tmp_path / "c.csv").write_text("\n".join(lines))
    with pytest.raises(AtlasError, match="first: area_c"):
        named(tmp_path, names, coordinates=tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"1" * 3_000_000, "characters"),
        (b",".join([b"1"] * 1_500_000), "characters"),
        (b"\n".join([b",".join([b"1"] * 100_000)] * 3), "100,000 cells"),
        (b"\n".join([b" ".join([b"12"] * 100_000)] * 3), "100,000 cells"),
        (b"a" * 2_000_000 + b"\n1,2,3\n", "characters"),
        (b'"' * 400_000 + b"\n1,2,3\n1,2,3\n", "columns|cell|number"),
        (b"[" * 400_000 + b"\n", "not a table|holds no numbers"),
    ],
)
def test_hostile_tables_are_refused_at_once(tmp_path: Path, content: bytes, sentence: str) -> None:
    import time

    (tmp_path / "x.csv").write_bytes(content)
    began = time.process_time()
    with pytest.raises(ScanError, match=sentence):
        read_scan(tmp_path / "x.csv", tr_s=2)
    assert time.process_time() - began < 3
