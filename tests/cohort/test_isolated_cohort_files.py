"""Strangers' files about cohorts are read in a child: same content, one sentence, soon at an end."""

from __future__ import annotations

import gzip
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brainlm_core.base.errors import BrainLMError, ConfigError, ScanError
from brainlm_core.base.processes import children
from brainlm_core.cohort.arrow_people import read_flat_columns
from brainlm_core.cohort.files import read_embeddings, write_embeddings
from brainlm_core.cohort.isolated import read_arrow_people, read_embeddings_isolated, read_table_isolated
from brainlm_core.cohort.phenotypes import read_table
from brainlm_core.cohort.reference import reference_cohort
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.scans import read_scan
from brainlm_core.scans.isolation import nursery, read


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embeddings") / "e.parquet"
    few = reference_cohort().subset(np.arange(5))
    write_embeddings(few, path)
    return path


def test_embeddings_come_over_whole(embeddings: Path) -> None:
    here, there = read_embeddings(embeddings), read_embeddings_isolated(embeddings)
    for name in (f.name for f in fields(here)):
        mine, theirs = getattr(here, name), getattr(there, name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
        elif isinstance(mine, pd.DataFrame):
            pd.testing.assert_frame_equal(mine, theirs)
        elif name == "parcellation":
            assert mine.same_as(theirs)
        else:
            assert mine == theirs, name


def test_tables_come_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "people.tsv"
    path.write_text(
        "participant_id\tage\tsex\tscore\tsmokes\tcount\tnote\n"
        "sub-01\t30.5\tF\t-9999\ttrue\t3\tn/a\nsub-02\tn/a\tm\t1\tfalse\t4\tx\nsub-03\t31\tM\t2\ttrue\t5\tn/a\n"
    )
    here, there = read_table(path), read_table_isolated(path)
    pd.testing.assert_frame_equal(here, there)
    assert here.attrs == there.attrs


def test_columns_of_an_arrow_file_come_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    columns = {"a": ["x", None], "b": pa.array([1, None], pa.int16()), "c": pa.array([1, 2], pa.int8())}
    pq.write_table(pa.table({**columns, "d": [True, False], "e": [[1.0], [2.0]], "f": [0.5, None]}), path)
    pd.testing.assert_frame_equal(read_flat_columns(path), read_arrow_people(path))
    assert list(read_arrow_people(path).columns) == ["a", "b", "c", "d", "f"]


def test_refusals_cross_as_they_are(tmp_path: Path, embeddings: Path) -> None:
    for read_it in (read_embeddings_isolated, read_table_isolated):
        with pytest.raises(ConfigError, match="there is no"):
            read_it(tmp_path / "none.csv")
    (tmp_path / "x.parquet").write_bytes(embeddings.read_bytes()[:-500])
    for read_it in (read_embeddings, read_embeddings_isolated):
        with pytest.raises(ConfigError, match=r"mine\.parquet is a damaged embeddings file"):
            read_it(tmp_path / "x.parquet", name="mine.parquet")


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
def test_a_library_that_gives_up_is_a_sentence(
    tmp_path: Path, root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An input of the search on which pyarrow calls abort; its last words do not reach the terminal."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(gzip.decompress((root / "tests/fuzz/found/arrow-killed2-70.gz").read_bytes()))
    nursery._NURSERY.close()  # the next has the stderr that is watched here
    with pytest.raises(ScanError, match=r"the process that read rows\.parquet ended before it was done"):
        read_scan(path, tr_s=2.0)
    assert capfd.readouterr().err == ""


def test_a_bomb_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary of zeros: 40 kB that would be 2 GB."""
    path = tmp_path / "bomb.parquet"
    flat = pa.array(np.zeros(1 << 26, np.float32))
    table = pa.table({"cls": pa.FixedSizeListArray.from_arrays(flat, 1 << 14)})
    schema = pq.read_schema(_tiny(tmp_path))
    pq.write_table(table.replace_schema_metadata(schema.metadata), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(read, "BASE_BYTES", 64 << 20)
    with pytest.raises(BrainLMError, match=r"would unpack|takes more memory"):
        read_embeddings_isolated(path)


def _tiny(folder: Path) -> Path:
    write_embeddings(reference_cohort().subset(np.arange(2)), folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
def test_who_leaves_ends_the_child_at_once(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("subject_id,a\n" + "sub-1,2\n" * 400_000)  # a second or more
    nursery.warm()
    left = threading.Event()
    threading.Timer(0.3, left.set).start()
    start = time.monotonic()
    with pytest.raises(ScanError, match="reading was stopped"):
        read_table_isolated(path, cancelled=left.is_set)
    assert time.monotonic() - start < 1.0
    assert nursery._NURSERY._process is not None and not children(nursery._NURSERY._process.pid)


def test_an_import_reads_in_children_when_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savetxt(tmp_path / "sub-01.csv", np.random.default_rng(0).normal(size=(24, 424)), delimiter=",")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\nsub-01\t30\n")
    started = []
    real = nursery.start_child
    monkeypatch.setattr(nursery, "start_child", lambda limit: started.append(limit) or real(limit))
    for apart, wanted in ((False, 0), (True, 2)):
        found = find_scans(tmp_path, ImportOptions(tr_s=2.0, isolated=apart))
        assert found.scans[0].load().n_timepoints == 24 and found.phenotypes is not None
        assert len(started) == wanted
