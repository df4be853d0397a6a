"""The store: whole or not at all, once and not twice, and a sentence for everything that is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brainlm_core import cli
from brainlm_core.base import writing
from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import Provenance, Recording, Step
from brainlm_core.cohort import recording_file
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.recording_file import read_recording, write_recording
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.cohort.store import CohortStore
from brainlm_core.scans.quality import assess
from tests.cohort.cohort_tools import parcellation, write_pack
from tests.scans.scan_files import bold_volume, label_volume, save_nifti


def recording(seed: int = 0, n_volumes: int = 230) -> Recording:
    signals = 100 + np.random.default_rng(seed).standard_normal((6, n_volumes)).astype(np.float32)
    made = Provenance("a.nii", "ff", (Step("read", {"tr_s": 2.0}),), atlas="six")
    return assess(Recording(signals, 2.0, parcellation(), made, notices=("A notice.",)))


def pack_options(pack: dict) -> ImportOptions:
    return ImportOptions(coordinates=(str(pack["coordinates"]),), phenotypes=str(pack["phenotypes"]))


def add(target: CohortStore, rec: Recording, name: str, **changes: str):
    settings = {"subject_id": "s", "site": "", "source_key": f"key of {name}", **changes}
    return target.add(rec, name, **settings)


def test_a_recording_comes_back_with_everything_it_had(tmp_path: Path) -> None:
    before = recording()
    target = CohortStore.create(tmp_path / "st")
    entry = add(target, before, "r")
    assert entry is not None
    after = read_recording(CohortStore.open(tmp_path / "st").file(entry))
    np.testing.assert_array_equal(after.signals, before.signals)
    assert (after.tr_s, after.provenance, after.notices) == (2.0, before.provenance, before.notices)
    assert after.parcellation.names == before.parcellation.names
    for name in ("coverage", "tsnr", "dvars", "flat", "spikes"):
        np.testing.assert_array_equal(getattr(after.quality, name), getattr(before.quality, name))
    assert after.quality.verdict == before.quality.verdict
    with pq.ParquetFile(target.file(entry)) as file:
        assert [file.metadata.row_group(i).num_rows for i in range(2)] == [200, 30]


def test_half_precision_is_kept_only_where_it_is_exact(tmp_path: Path) -> None:
    target = CohortStore.create(tmp_path / "st")
    half = recording().signals.astype(np.float16).astype(np.float32)
    (tmp_path / "parcellations").mkdir()
    for name, signals in (("exact", half), ("not", half + np.float32(1e-4))):
        rec = Recording(signals, 2.0, parcellation(), Provenance(name))
        write_recording(rec, tmp_path / f"{name}.parquet")
        entry = add(target, rec, name)
        np.testing.assert_array_equal(read_recording(target.file(entry)).signals, signals)
    assert pq.read_schema(tmp_path / "exact.parquet").field("volume").type.value_type == pa.float16()
    assert pq.read_schema(tmp_path / "not.parquet").field("volume").type.value_type == pa.float32()


def test_the_same_content_is_added_once(tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    target = CohortStore.create(tmp_path / "st")
    first = import_scans(target, find_scans(pack["path"], pack_options(pack)))
    assert (first.added, first.known, first.total) == (6, 0, 6)
    journal = (tmp_path / "st" / "journal.jsonl").read_bytes()
    again = import_scans(CohortStore.open(tmp_path / "st"), find_scans(pack["path"], pack_options(pack)))
    assert (again.added, again.known, again.total) == (0, 6, 6)
    assert (tmp_path / "st" / "journal.jsonl").read_bytes() == journal
    os.utime(pack["path"])  # touched: read again, and recognised by its content
    touched = import_scans(CohortStore.open(tmp_path / "st"), find_scans(pack["path"], pack_options(pack)))
    assert (touched.added, touched.known, touched.total) == (0, 6, 6)


def test_a_copy_under_another_name_is_named_and_another_content_under_the_same_name_is_refused(
    tmp_path: Path,
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    recording(1).save(scans / "a.npz")
    target = CohortStore.create(tmp_path / "st")
    import_scans(target, find_scans(scans))
    recording(1).save(scans / "b.npz")
    report = import_scans(target, find_scans(scans))
    assert report.same_content == (("b", "a"),) and report.total == 1
    other = tmp_path / "other"
    other.mkdir()
    recording(2).save(other / "a.npz")
    report = import_scans(target, find_scans(other))
    assert [b.reason for b in report.broken] == ["another recording is called a; give it another name"]
    assert len(CohortStore.open(tmp_path / "st")) == 1


def test_a_broken_scan_is_listed_and_stops_nothing(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    recording(1).save(scans / "a.npz")
    (scans / "b.npz").write_bytes(b"PK\x03\x04 cut short")
    recording(2).save(scans / "c.npz")
    target = CohortStore.create(tmp_path / "st")
    report = import_scans(target, find_scans(scans))
    assert (report.added, report.total) == (2, 2)
    assert [b.recording_id for b in report.broken] == ["b"]
    assert "damaged" in report.broken[0].reason
    assert [b.recording_id for b in CohortStore.open(tmp_path / "st").broken] == ["b"]
    recording(3).save(scans / "b.npz")
    assert import_scans(target, find_scans(scans)).added == 1
    assert CohortStore.open(tmp_path / "st").broken == ()


SLOW_IMPORT = """
import sys, time
from brainlm_core.cohort import store
real = store.write_recording
def slow(recording, path):
    real(recording, path)
    time.sleep(0.15)
store.write_recording = slow
from brainlm_core.cli import main
main(sys.argv[1:])
"""


def test_an_import_killed_with_signal_9_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pack = write_pack(tmp_path, 12)
    arguments = ["cohort", str(pack["path"]), "-o", str(tmp_path / "st")]
    arguments += ["--coordinates", str(pack["coordinates"]), "--phenotypes", str(pack["phenotypes"])]
    journal = tmp_path / "st" / "journal.jsonl"
    process = subprocess.Popen([sys.executable, "-c", SLOW_IMPORT, *arguments])
    deadline = time.monotonic() + 60
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with journal.open("ab") as stream:  # the worst moment: half a line
        stream.write(b'{"added": {"recording_id": "sca')
    stopped = CohortStore.open(tmp_path / "st")
    assert 3 <= len(stopped) < 12
    for row in range(len(stopped)):  # what the journal names can be read
        assert stopped.cohort().recording(row).n_parcels == 6
    report = import_scans(stopped, find_scans(pack["path"], pack_options(pack)))
    assert report.known >= 3 and report.added == 12 - report.known
    whole = CohortStore.open(tmp_path / "st")
    assert sorted(e.recording_id for e in whole.entries) == sorted(f"scan{i}" for i in range(12))
    expected = open_cohort(pack["path"], coordinates=pack["coordinates"], phenotypes=pack["phenotypes"])
    for i, entry in enumerate(whole.entries):
        row = expected.ids.index(entry.recording_id)
        np.testing.assert_array_equal(whole.cohort().recording(i).signals, expected.recording(row).signals)
    assert not list((tmp_path / "st").rglob("*.part"))


def test_a_full_disk_is_a_sentence_and_the_store_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = CohortStore.create(tmp_path / "st")
    add(target, recording(1), "a")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        with pytest.raises(ConfigError, match="the disk is full"):
            add(target, recording(2), "b")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="the disk is full"):
            target.refuse("x", "x", "y")
    again = CohortStore.open(tmp_path / "st")
    assert [e.recording_id for e in again.entries] == ["a"] and again.broken == ()
    assert add(again, recording(2), "b") is not None


def test_stores_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="is no cohort store"):
        CohortStore.open(tmp_path / "none")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other things"):
        CohortStore.create(tmp_path / "full")
    CohortStore.create(tmp_path / "st")
    description = tmp_path / "st" / "store.json"
    description.write_text(description.read_text().replace('"format_version": 1', '"format_version": 2'))
    with pytest.raises(ConfigError, match="written by a newer version"):
        CohortStore.create(tmp_path / "st")
    description.write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        CohortStore.open(tmp_path / "st")
    monkeypatch.setattr(recording_file, "FORMAT_VERSION", 2)
    target = CohortStore.create(tmp_path / "newer")
    entry = add(target, recording(), "r")
    monkeypatch.setattr(recording_file, "FORMAT_VERSION", 1)
    with pytest.raises(ScanError, match="newer version"):
        read_recording(target.file(entry))
    target.file(entry).write_bytes(b"PAR1")
    with pytest.raises(ScanError, match="missing or damaged"):
        read_recording(target.file(entry))


@pytest.mark.skipif(writing.fcntl is None, reason="no file locks on this platform")
def test_two_imports_at_once_do_not_mix(tmp_path: Path) -> None:
    one, two = CohortStore.create(tmp_path / "st"), CohortStore.open(tmp_path / "st")
    with one.writing():
        add(one, recording(1), "a")
        with pytest.raises(ConfigError, match="another process is writing"), two.writing():
            pass
    with two.writing():
        assert len(two) == 1


def test_phenotypes_add_up_and_old_values_stay(tmp_path: Path) -> None:
    pack = write_pack(tmp_path)
    target = CohortStore.create(tmp_path / "st")
    report = import_scans(target, find_scans(pack["path"], pack_options(pack)))
    assert report.phenotypes == "6 of 6 recordings have a row (matched by recording_id)."
    matching = target.add_phenotypes(
        pd.DataFrame({"participant_id": ["sub-0001"], "iq": [99], "age_years": [1.0]})
    )
    assert matching.matched == 2 and len(matching.unmatched) == 4
    people = CohortStore.open(tmp_path / "st").phenotypes()
    assert people["age_years"].tolist() == [20, 21, 1, 1, 24, 25]
    assert people["iq"].notna().tolist() == [False, False, True, True, False, False]
    cohort = open_cohort(tmp_path / "st")
    assert cohort.phenotypes["site"].tolist() == ["A", "B"] * 3
    assert cohort.phenotypes["tr_s"].tolist() == [2.0] * 6
    assert cohort.subset([3]).recording(0).n_timepoints == 120
    extra = tmp_path / "more.csv"
    extra.write_text("subject_id,hand\n0000,left\n")
    assert open_cohort(tmp_path / "st", phenotypes=extra).phenotypes["hand"].tolist()[:2] == ["left", "left"]


def test_a_tree_of_derivatives_brings_its_participants(tmp_path: Path) -> None:
    atlas, labels = label_volume(tmp_path / "labels.nii.gz", 8)
    tree = tmp_path / "derivatives" / "fmriprep"
    for i, subject in enumerate(("sub-01", "sub-02")):
        func = tree / subject / "func"
        func.mkdir(parents=True)
        for space in ("MNI152NLin2009cAsym", "T1w"):
            data = bold_volume(labels, 30, seed=i).astype(np.float32)
            save_nifti(func / f"{subject}_task-rest_space-{space}_desc-preproc_bold.nii.gz", data, tr=2.0)
    (tmp_path / "participants.tsv").write_text("participant_id\tage\tsite\nsub-01\t31\tX\nsub-02\tn/a\tY\n")
    target = CohortStore.create(tmp_path / "st")
    report = import_scans(target, find_scans(tree, ImportOptions(atlas=str(atlas))))
    assert (report.kind, report.added, report.broken) == ("derivatives", 2, ())
    assert [(e.recording_id, e.subject_id) for e in target.entries] == [
        ("sub-01_task-rest", "sub-01"),
        ("sub-02_task-rest", "sub-02"),
    ]
    people = target.phenotypes()
    assert people["age"].tolist()[0] == 31 and np.isnan(people["age"].tolist()[1])
    assert target.cohort().phenotypes["site"].tolist() == ["X", "Y"]


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_the_published_arrow_layout(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((3, 40, 424))
    table = pa.table(
        {
            "Raw_Recording": pa.array(signals.tolist()),
            "Filename": ["/x/sub-1_rest.dat", "/x/sub-2_rest.dat", "/x/sub-3_rest.dat"],
            "Patient ID": ["1", "2", "3"],
            "Age.At.MHQ": [50.0, 60.0, None],
        }
    )
    folder = tmp_path / "train"
    folder.mkdir()
    if kind == "parquet":
        pq.write_table(table, folder / "data-00000-of-00001.parquet")
    else:
        path = str(folder / "data-00000-of-00001.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        (folder / "state.json").write_text("{}")
    target = CohortStore.create(tmp_path / "st")
    report = import_scans(target, find_scans(folder, ImportOptions(tr_s=0.735)))
    assert (report.kind, report.added, report.broken) == ("Arrow rows", 3, ())
    assert [(e.recording_id, e.subject_id) for e in target.entries][2] == ("sub-3_rest", "3")
    np.testing.assert_allclose(target.cohort().recording(1).signals, signals[1].T, rtol=1e-6)
    assert target.phenotypes()["Age.At.MHQ"].tolist()[:2] == [50, 60]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = write_pack(tmp_path)
    arguments = [
        "cohort",
        str(pack["path"]),
        "-o",
        str(tmp_path / "st"),
        "--coordinates",
        str(pack["coordinates"]),
    ]
    assert cli.main([*arguments, "--tr", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["added"], told["total"], told["broken"]) == (6, 6, [])
    assert cli.main([*arguments[:3], str(pack["coordinates"]), "--tr", "2"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert cli.main(["cohort", str(tmp_path / "nothing"), "-o", str(tmp_path / "st")]) == 2
    assert "there is no cohort nothing" in capsys.readouterr().err


def test_a_tree_of_another_program_and_runs_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    space = "space-MNI152NLin6Asym_desc-preproc_bold.nii.gz"
    names = (
        "HCP/100307/MNINonLinear/Results/rfMRI_REST1_LR/rfMRI_REST1_LR_hp2000_clean.nii.gz",
        f"prep/sub-1/func/sub-1_task-rest_{space}",
        "prep/sub-2/func/sub-2_task-rest_space-T1w_desc-preproc_bold.nii.gz",
        *(f"prep/sub-3/func/sub-3_task-rest_echo-{e}_{space}" for e in (1, 2)),
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (scan,) = find_scans(tmp_path / "HCP").scans
    assert (scan.recording_id, scan.subject_id) == ("sub-100307_task-REST1_dir-LR", "sub-100307")
    scans = {scan.subject_id: scan for scan in find_scans(tmp_path / "prep").scans}
    assert set(scans) == {"sub-1", "sub-2", "sub-3"}
    with pytest.raises(ScanError, match="native space"):
        scans["sub-2"].load()
    with pytest.raises(ScanError, match="2 single echoes"):
        scans["sub-3"].load()
