"""Tables about people as consortia, spreadsheets and databases write them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.cohort.phenotypes import match_phenotypes, read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "scans"))
from table_files import write_workbook

PEOPLE = ("sub-001", "sub-002", "sub-003", "sub-010")
ROWS = (("001", 29.5, "F"), ("002", 49.5, "M"), ("003", 39.5, "M"), ("010", 19.5, "F"))


def csv(key: str = "participant_id", delimiter: str = ",", prefix: str = "sub-") -> str:
    lines = [delimiter.join((key, "age", "sex"))]
    lines += [delimiter.join((prefix + i, str(age), sex)) for i, age, sex in ROWS]
    return "\n".join(lines) + "\n"


WRITERS: dict[str, Callable[[], tuple[str, bytes]]] = {
    "plain": lambda: ("p.csv", csv().encode()),
    "tabs in .csv": lambda: ("p.csv", csv(delimiter="\t").encode()),
    "tabs in .txt": lambda: ("p.txt", csv(delimiter="\t").encode()),
    "semicolon, comma": lambda: ("p.csv", csv(delimiter=";").replace(".5", ",5").encode()),
    "quoted comma": lambda: (
        "p.csv",
        csv().replace("29.5", '"29,5"').replace("49.5", '"49,5"').replace("39.5", '"39,5"').encode(),
    ),
    "blanks around": lambda: ("p.csv", csv().replace(",", " , ").encode()),
    "Windows": lambda: ("p.csv", csv().replace("F", "weiblich").replace("M", "männlich").encode("cp1252")),
    "UTF-16": lambda: ("p.csv", csv().encode("utf-16-le")),
    "small letters": lambda: ("p.csv", csv().replace("F", "f ").replace("M", "Male").encode()),
    "numbers": lambda: ("p.csv", csv("Subject", prefix="").replace("00", "").encode()),
    "marked header": lambda: ("p.tsv", ("#" + csv(delimiter="\t")).encode()),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_one_table_however_it_is_written(tmp_path: Path, writer: str) -> None:
    name, content = WRITERS[writer]()
    (tmp_path / name).write_bytes(content)
    matching = match_phenotypes(read_table(tmp_path / name), PEOPLE, PEOPLE)
    assert matching.matched == 4
    assert matching.table["age"].tolist() == [29.5, 49.5, 39.5, 19.5]
    assert matching.table["sex"].tolist() == ["F", "M", "M", "F"]


def test_a_workbook(tmp_path: Path) -> None:
    rows = [["ID", "age", "sex"], *([f"sub-{i}", age, sex] for i, age, sex in ROWS)]
    for shared in (False, True):
        path = write_workbook(tmp_path / "p.xlsx", rows, shared=shared)
        assert match_phenotypes(read_table(path), PEOPLE, PEOPLE).table["age"].tolist()[0] == 29.5


@pytest.mark.parametrize(
    "key",
    [
        "Subject",
        "SUB_ID",
        "eid",
        "src_subject_id",
        "participant_id",
        "ID",
        "subjectkey",
        "PTID",
        "SubID",
        "subject ID",
    ],
)
def test_columns_of_identifiers_by_all_their_names(tmp_path: Path, key: str) -> None:
    (tmp_path / "p.csv").write_text(csv(key))
    matching = match_phenotypes(read_table(tmp_path / "p.csv"), PEOPLE, PEOPLE)
    assert matching.matched == 4 and key not in matching.table


def test_identifiers_of_nda_are_those_of_bids(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("src_subject_id,age\nNDAR_INV0A1,10\nNDAR_INV0B2,11\n")
    ids = ("sub-NDARINV0A1", "sub-NDARINV0B2")
    assert match_phenotypes(read_table(tmp_path / "p.csv"), ids, ids).matched == 2


@pytest.mark.parametrize("code", [-9999, -999, -99, 999, 9999])
def test_codes_far_from_all_others_are_missing_and_said(tmp_path: Path, code: int) -> None:
    values = [100, 105, 98, 110, code, 101]
    people = [f"sub-{i}" for i in range(6)]
    lines = "".join(f"{p},{v}\n" for p, v in zip(people, values, strict=True))
    (tmp_path / "p.csv").write_text(f"participant_id,FIQ\n{lines}")
    matching = match_phenotypes(read_table(tmp_path / "p.csv"), people, people)
    assert np.isnan(matching.table["FIQ"][4]) and matching.table["FIQ"].notna().sum() == 5
    assert str(code).replace("-", "−") in matching.sentence()


def test_values_that_may_be_true_stay(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("participant_id,age,score\na,99,-9\nb,85,-7\nc,92,3\nd,71,-12\n")
    table = read_table(tmp_path / "p.csv")
    assert table["age"].tolist() == [99, 85, 92, 71]
    assert table["score"].tolist() == [-9, -7, 3, -12]


def test_sessions_choose_the_row(tmp_path: Path) -> None:
    lines = "".join(f"sub-{i},ses-{s},{20 + i + s}\n" for i in (1, 2) for s in (1, 2))
    (tmp_path / "sessions.tsv").write_text(f"participant_id,session_id,age\n{lines}")
    ids = [f"sub-{i}_ses-{s}" for i in (2, 1) for s in (1, 2)]
    people = [i.split("_")[0] for i in ids]
    table = read_table(tmp_path / "sessions.tsv")
    assert match_phenotypes(table, ids, people).table["age"].tolist() == [23, 24, 22, 23]
    with pytest.raises(ConfigError, match="more than once"):
        match_phenotypes(table, people[::2], people[::2])


def test_words_among_numbers_are_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("participant_id,age\na,71\nb,89+\nc,80\n")
    assert read_table(tmp_path / "p.csv")["age"].tolist() == ["71", "89+", "80"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a" * 3_000_000, b"PK\x03\x04xl/", b"\x1f\x8bnot gzip"])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(ConfigError):
        read_table(tmp_path / "p.csv")
