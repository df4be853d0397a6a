"""Names and dates in headers are not kept, shown or exported: every reader, every way out."""

from __future__ import annotations

import gzip
import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import savemat

from app.shell import exports
from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.cohort.store import CohortStore
from brainlm_core.scans import READERS, CleaningOptions, read_scan
from tests.privacy.marks import DATES, FIRST, NAME, NOTE, PERSON, marks_in
from tests.privacy.planted import PLANTED, REFUSED, Planted
from tests.scans.scan_files import bold_table

SAMPLES = [(key, make) for key, makes in PLANTED.items() for make in makes]


def test_every_reader_has_a_planted_scan() -> None:
    assert {r.key for r in READERS} == set(PLANTED) | set(REFUSED)


@pytest.mark.parametrize("make", [m for _, m in SAMPLES], ids=[f"{k}-{m.__name__}" for k, m in SAMPLES])
def test_nothing_of_a_header_is_kept_exported_or_logged(
    make: Callable[[Path], Planted],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    planted = make(folder)
    assert len(marks_in(tmp_path)) >= 3, "a sample without marks proves nothing"
    with caplog.at_level(logging.DEBUG):
        recording = read_scan(planted.path, **planted.options)
        recording.save(tmp_path / "kept.npz")
        outward = ways_out(recording) | {"the saved file": (tmp_path / "kept.npz").read_bytes()}
        cohort = import_all(folder, planted, tmp_path / "store")
        refusals = [str(error) for error in damaged(folder, planted)]
    leaks = {name: found for name, thing in outward.items() if (found := marks_in(thing))}
    assert not leaks
    assert len(cohort) == 1, [b.reason for b in cohort.broken]
    assert not marks_in(tmp_path / "store")
    assert refusals and not [r for r in refusals if marks_in(r)]
    assert not marks_in(caplog.text) and not marks_in("".join(capfd.readouterr()))


def ways_out(recording: Recording) -> dict[str, object]:
    """Return everything that a recording itself can be turned into."""
    parcels = recording.parcellation
    values = recording.signals[:, :2].T
    return {
        "repr": repr(recording),
        "provenance": repr(recording.provenance),
        "notices": "\n".join(recording.notices),
        "quality": repr(recording.quality),
        "npz": exports.recording_npz(recording),
        "csv": exports.recording_csv(recording),
        "json": exports.provenance_json(recording),
        "parcels": exports.parcel_table(parcels, {"value": values[0]}).to_csv(),
        "matrix": exports.matrix_csv(np.corrcoef(recording.signals[:4]), parcels.names[:4]),
        "cifti": exports.cifti_map(values, parcels, ("first", "second")),
        "gifti": exports.gifti_maps(values, parcels, ("first", "second")),
    }


def import_all(folder: Path, planted: Planted, target: Path) -> CohortStore:
    """Import the folder with the scan (one hemisphere, one row) into a store."""
    for file in folder.glob("*hemi-R*"):
        file.rename(folder.parent / file.name)
    options = ImportOptions(
        tr_s=2.0,
        **{
            k: (v,) if k == "coordinates" else v
            for k, v in planted.options.items()
            if k in ("atlas", "coordinates")
        },
    )
    shutil.copytree(folder, folder.parent / "imported")
    one = folder.parent / "imported"
    found = find_scans(one, options)
    store = CohortStore.create(target)
    import_scans(store, replace(found, scans=found.scans[:1]))
    return store


def damaged(folder: Path, planted: Planted) -> list[BrainLMError]:
    """Read the scan cut short, with another scan's confounds, and with parcels it does not have."""
    path = Path(str(planted.path).partition("#")[0])
    file = path if path.is_file() else next(path.glob("*_bold.nii.gz"))
    other = folder.parent / "other.tsv"
    other.write_text(f"trans_x\t{NOTE}\n1\t2\n", "utf-8")
    whole, raised = file.read_bytes(), []
    for share, options in ((1, {"confounds": other}), (1, {"coordinates": other}), (0.9, {}), (0.3, {})):
        file.write_bytes(whole[: int(share * len(whole))])
        try:
            read_scan(planted.path, **{**planted.options, **options})
        except BrainLMError as error:
            raised.append(error)
    return raised


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_no_scan_is_refused_without_a_word_of_it(key: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(REFUSED[key] + f" {NOTE} {PERSON}".encode() * 20)
    with pytest.raises(ScanError) as caught:
        read_scan(tmp_path / "x.csv")
    assert not marks_in(str(caught.value))


def two_matrices(path: Path) -> None:
    np.savez(path, **{NAME: bold_table(), FIRST: bold_table()})


def two_matlab_matrices(path: Path) -> None:
    savemat(path, {NAME: bold_table(), FIRST: bold_table()})


def words_in_a_column(path: Path) -> None:
    pq.write_table(pa.table({NAME: [[[PERSON, "b"]] * 24]}), path)


def two_nested_columns(path: Path) -> None:
    pq.write_table(pa.table({NAME: [bold_table().tolist()], FIRST: [bold_table().tolist()]}), path)


def words_among_numbers(path: Path) -> None:
    rows = [list(map(str, row)) for row in bold_table()]
    rows[7][9] = PERSON
    path.write_text("\n".join(",".join(row) for row in rows), "utf-8")


def ragged(path: Path) -> None:
    path.write_text("\n".join(["1,2,3"] * 30 + [f"1,2,3,{PERSON},{NOTE}"]), "utf-8")


def a_letter(path: Path) -> None:
    path.write_text(f"Dear {NOTE},\n\n{PERSON}\n" * 30, "utf-8")


def no_known_parcels_of_a424(path: Path) -> None:
    pd.DataFrame(bold_table(30), columns=[f"{NAME}_{i}" for i in range(424)]).to_csv(path, index=False)


def no_known_parcels(path: Path) -> None:
    pd.DataFrame(bold_table(30, 17), columns=[f"{NAME}{i}" for i in range(17)]).to_csv(path, index=False)


@pytest.mark.parametrize(
    "write",
    [
        two_matrices,
        two_matlab_matrices,
        words_in_a_column,
        two_nested_columns,
        words_among_numbers,
        ragged,
        a_letter,
        no_known_parcels,
        no_known_parcels_of_a424,
    ],
)
def test_a_refusal_repeats_nothing_of_the_content(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / ("scan.npz" if write is two_matrices else "scan.dat")
    write(path)
    with pytest.raises(ScanError) as caught:
        read_scan(path, tr_s=2.0)
    assert not marks_in(str(caught.value)), str(caught.value)


def test_confounds_leave_no_foreign_column_name(tmp_path: Path) -> None:
    from tests.privacy.planted import text_with_coordinates_and_confounds

    (tmp_path / "scans").mkdir()
    planted = text_with_coordinates_and_confounds(tmp_path / "scans")
    recording = read_scan(
        planted.path, **planted.options, cleaning=CleaningOptions(strategy=("motion",), motion="basic")
    )
    assert any(s.name == "regress confounds" for s in recording.provenance.steps)
    assert not marks_in(json.dumps(recording.provenance.to_dict()))


def test_the_search_for_marks_finds_them_wherever_they_are_put(tmp_path: Path) -> None:
    plain = NOTE.encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("inner.gz", gzip.compress(plain))
    np.savez_compressed(tmp_path / "array.npz", words=np.array([PERSON]))
    pq.write_table(pa.table({"born": [int(DATES[0])], "who": [FIRST]}), tmp_path / "table.parquet")
    inside = pa.table({"n": [1]}).replace_schema_metadata({"npz": (tmp_path / "array.npz").read_bytes()})
    pq.write_table(inside, tmp_path / "nested.parquet")
    assert marks_in(archive.getvalue()) >= {NAME.lower(), DATES[1]}
    assert marks_in(tmp_path / "array.npz") == {NAME.lower(), FIRST.lower(), DATES[0]}
    assert marks_in(tmp_path / "table.parquet") == {FIRST.lower(), DATES[0]}
    assert marks_in(tmp_path / "nested.parquet") >= {NAME.lower()}
    (tmp_path / f"{NAME}.bin").write_bytes(b"\x01" + NOTE.encode("utf-16-le"))
    assert marks_in(tmp_path) >= {NAME.lower(), *DATES[1:]}
    assert marks_in(b"nobody was here in 1964") == set()
