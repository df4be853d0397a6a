"""Tables about people: columns that may tell who somebody is go no further than the reader, by every door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brainlm_core import cli
from brainlm_core.cohort.embed_run import embed_cohort
from brainlm_core.cohort.files import read_embeddings, write_embeddings
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.personal import leave_out_personal
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.cohort.store import CohortStore
from brainlm_core.cohort.tasks import CohortReference, EmbedSettings
from tests.cohort.cohort_tools import embeddings, write_pack
from tests.engine.small_engines import save_tiny
from tests.privacy.marks import DATES, FIRST, NAME, PERSON, marks_in

#: What a hospital's table holds beside what is asked for.
PERSONAL = {
    "Name": NAME,
    "first_name": FIRST,
    "PatientBirthDate": int(DATES[0]),
    "scanned": f"{DATES[1]}T08:15:00",
    "seen": DATES[2],
    "remarks": PERSON,
}


def with_people(path: Path) -> Path:
    """Add the personal columns to a table."""
    table = pd.read_csv(path, dtype=str)
    table.assign(**PERSONAL).to_csv(path, index=False)
    assert marks_in(path)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


def embedded(reference: CohortReference, tiny: str, folder: Path):  # type: ignore[no-untyped-def]
    report = embed_cohort(reference, folder / "e.parquet", EmbedSettings(model=tiny), workers=0)
    assert not marks_in(folder / "e.parquet")
    return read_embeddings(report.path), report


def test_a_pack_with_its_table(tmp_path: Path, tiny: str) -> None:
    pack = write_pack(tmp_path)
    with_people(pack["phenotypes"])
    options = ImportOptions(coordinates=(str(pack["coordinates"]),), phenotypes=str(pack["phenotypes"]))
    report = import_scans(CohortStore.create(tmp_path / "st"), find_scans(pack["path"], options))
    assert report.added == 6 and not marks_in(tmp_path / "st")
    assert all(column in report.phenotypes for column in PERSONAL), report.phenotypes
    got, _ = embedded(CohortReference(str(tmp_path / "st")), tiny, tmp_path)
    assert list(got.phenotypes) == ["age_years"] and got.sites[:2] == ("A", "B")
    direct = CohortReference(
        str(pack["path"]), ("signals",), (str(pack["coordinates"]),), None, str(pack["phenotypes"])
    )
    got, told = embedded(direct, tiny, tmp_path)
    assert list(got.phenotypes) == ["age_years"]
    assert all(column in told.notices[0] for column in PERSONAL)
    assert got.provenance.notices == told.notices


def test_a_folder_of_scans_with_participants(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for i in (1, 2):
        np.save(scans / f"sub-0{i}.npy", np.random.default_rng(i).standard_normal((40, 424)) + 100)
    rows = pd.DataFrame({"participant_id": ["sub-01", "sub-02"], "age": [59, 60], "sex": ["F", "M"]})
    rows.assign(**PERSONAL).to_csv(scans / "participants.tsv", sep="\t", index=False)
    report = import_scans(CohortStore.create(tmp_path / "st"), find_scans(scans, ImportOptions(tr_s=2.0)))
    assert report.added == 2 and not marks_in(tmp_path / "st")
    assert "left out" in report.phenotypes
    kept = CohortStore.open(tmp_path / "st").phenotypes()
    assert kept is not None and list(kept) == ["age", "sex"] and kept["age"].tolist() == [59, 60]


def test_rows_of_arrow_files(tmp_path: Path) -> None:
    signals = [(np.random.default_rng(i).standard_normal((40, 424)) + 100).tolist() for i in range(2)]
    columns = {k: [v] * 2 for k, v in PERSONAL.items()}
    table = {
        "Raw_Recording": signals,
        "Filename": ["one", "two"],
        "Patient ID": ["7", "8"],
        "Age": [59.5, 60.5],
    }
    (tmp_path / "rows").mkdir()
    pq.write_table(pa.table({**table, **columns}), tmp_path / "rows" / "rows.parquet")
    found = find_scans(tmp_path / "rows", ImportOptions(tr_s=2.0))
    report = import_scans(CohortStore.create(tmp_path / "st"), found)
    assert report.added == 2 and not marks_in(tmp_path / "st") and "left out" in report.phenotypes
    kept = CohortStore.open(tmp_path / "st").phenotypes()
    assert kept is not None and list(kept) == ["Age"]


def test_a_store_from_before_is_read_without_them(tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    options = ImportOptions(coordinates=(str(pack["coordinates"]),), phenotypes=str(pack["phenotypes"]))
    import_scans(CohortStore.create(tmp_path / "st"), find_scans(pack["path"], options))
    old = tmp_path / "st" / "participants.tsv"
    pd.read_csv(old, sep="\t", dtype=str).assign(**PERSONAL).to_csv(old, sep="\t", index=False)
    cohort = open_cohort(tmp_path / "st")
    assert cohort.phenotypes is not None and not set(PERSONAL) & set(cohort.phenotypes)


def test_a_table_joined_to_embeddings(tmp_path: Path) -> None:
    rows = pd.DataFrame({"subject_id": [f"s{i}" for i in range(5)], "score": np.arange(5.0)})
    joined, matching = embeddings().with_phenotypes(rows.assign(**PERSONAL), "people.csv")
    assert set(joined.phenotypes) == {"age_years", "sex", "score"}
    assert matching.left_out == tuple(PERSONAL) and "left out" in matching.sentence()
    write_embeddings(joined, tmp_path / "e.parquet")
    assert not marks_in(tmp_path / "e.parquet")


def test_embeddings_from_elsewhere_are_read_without_them(tmp_path: Path) -> None:
    own = embeddings()
    write_embeddings(replace(own, phenotypes=own.phenotypes.assign(**PERSONAL)), tmp_path / "e.parquet")
    assert marks_in(tmp_path / "e.parquet")
    got = read_embeddings(tmp_path / "e.parquet")
    assert list(got.phenotypes) == ["age_years", "sex"]
    assert all(column in got.provenance.notices[-1] for column in PERSONAL)
    write_embeddings(got, tmp_path / "again.parquet")
    assert not marks_in(tmp_path / "again.parquet")
    assert read_embeddings(tmp_path / "again.parquet").provenance == got.provenance


def test_the_commands_say_what_they_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = write_pack(tmp_path)
    with_people(pack["phenotypes"])
    more = ["--coordinates", str(pack["coordinates"]), "--phenotypes", str(pack["phenotypes"])]
    assert cli.main(["cohort", str(pack["path"]), "-o", str(tmp_path / "st"), *more]) == 0
    said = capsys.readouterr().out
    assert "left out, since they may tell who somebody is: Name, first_name" in said
    assert not marks_in(said)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("name", "x"), ("PatientName", "x"), ("participant_name", "x"), ("Surname", "x"),
        ("e-mail Email", "x"),
        ("date_of_birth", "x"), ("DOB", "x"), ("birth_year", 1964), ("YearOfBirth", 1964), ("ScanDate", "x"),
        ("Vorname", "x"), ("Geburtsdatum", "x"), ("InstitutionName", "x"), ("DeviceSerialNumber", 1),
        ("ReferringPhysicianName", "x"), ("a", "1964-08-12"), ("a", "1964/8/12 10:00"), ("a", "12.08.1964"),
        ("a", "8/12/1964"), ("a", "8/12/64"), ("a", "12 Aug 1964"), ("a", "August 12, 1964"), ("a", 19640812),
        ("a", 19640812.0), ("a", "19640812081500.000000"), ("a", "seen on 1964-08-12 by us"),
        ("a", "Mustermann^Erika"), ("a", pd.Timestamp("1964-08-12")),
    ],
)  # fmt: skip
def test_left_out(column: str, value: object) -> None:
    table = pd.DataFrame({"kept": [1.5, None], column: [value, None]})
    rest, gone = leave_out_personal(table)
    assert gone == (column,) and list(rest) == ["kept"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("age", [59.5, 60]), ("site_name", ["NYU", "USM"]), ("birth_weight", [3100, 2900]),
        ("diagnosis", ["1", "2"]),
        ("task_name", ["rest", "rest"]), ("version", ["1.2.10", "2.0.1"]),
        ("subject", ["19640812", "19640813"]),
        ("full_iq", [100, 120]), ("candidate", [1, 2]), ("n_volumes", [200000, 19000101]), ("visit", [1, 2]),
        ("sex", [True, False]), ("score", [float("inf"), 2.0]), ("session", ["2020", "2021"]),
        ("empty", [None, None]),
        ("handedness", pd.Categorical(["R", "L"])), ("updated_model", ["a", "b"]), ("ratio", ["1/2", "3/4"]),
    ],
)  # fmt: skip
def test_kept(column: str, values: object) -> None:
    table = pd.DataFrame({column: values})
    rest, gone = leave_out_personal(table, keep=("subject",))
    assert list(rest) == [column] and gone == ()
