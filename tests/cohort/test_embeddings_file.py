"""The embeddings file: what goes in comes out, and what is wrong is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.cohort import files
from brainlm_core.cohort.features import plain_features
from brainlm_core.cohort.files import EmbeddingsWriter, read_embeddings, write_embeddings
from tests.cohort.cohort_tools import embeddings

ARRAYS = ("cls", "mean", "twin_cls", "twin_mean", "parcels", "autocorrelation", "amplitude", "connectivity")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    before = embeddings()
    after = read_embeddings(write_embeddings(before, tmp_path / "e.parquet"))
    assert (after.ids, after.subjects, after.sites) == (before.ids, before.subjects, before.sites)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), err_msg=name)
    pd.testing.assert_frame_equal(after.phenotypes, before.phenotypes, check_dtype=False)
    pd.testing.assert_frame_equal(after.acquisition, before.acquisition)
    assert after.provenance == before.provenance
    assert after.parcellation is not None
    np.testing.assert_array_equal(after.parcellation.xyz, before.parcellation.xyz)


def test_any_parquet_library_reads_it_and_large_columns_may_stay_out(tmp_path: Path) -> None:
    path = write_embeddings(embeddings(), tmp_path / "e.parquet")
    table = pd.read_parquet(path)
    assert table["phenotype.sex"].tolist()[:2] == ["f", "m"]
    assert len(table["cls"][0]) == 5
    small = read_embeddings(path, connectivity=False, parcels=False)
    assert small.connectivity is None and small.parcels is None
    assert small.cls.shape == (10, 5)


def test_chunks_are_one_file_that_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    whole, path = embeddings(), tmp_path / "e.parquet"
    with pytest.raises(RuntimeError), EmbeddingsWriter(path) as writer:
        writer.write(whole)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with EmbeddingsWriter(path) as writer:
        writer.write(whole.subset(range(4)))
        writer.write(whole.subset(range(4, 10)))
        assert not path.exists()
    np.testing.assert_array_equal(read_embeddings(path).cls, whole.cls)


def test_a_full_disk_is_a_sentence_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_embeddings(embeddings(4), tmp_path / "e.parquet")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(ConfigError, match=r"the disk is full, e\.parquet was not written"):
        write_embeddings(embeddings(6), path)
    assert len(read_embeddings(path)) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["e.parquet"]


def test_wrong_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_embeddings(tmp_path / "none.parquet")
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    with pytest.raises(ConfigError, match="holds no embeddings"):
        read_embeddings(other)
    path = write_embeddings(embeddings(), tmp_path / "e.parquet")
    damaged = tmp_path / "cut.parquet"
    damaged.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ConfigError, match=r"cut\.parquet is a damaged"):
        read_embeddings(damaged)
    monkeypatch.setattr(files, "FORMAT_VERSION", 2)
    newer = write_embeddings(embeddings(), tmp_path / "newer.parquet")
    monkeypatch.setattr(files, "FORMAT_VERSION", 1)
    with pytest.raises(ConfigError, match="newer version"):
        read_embeddings(newer)


def test_one_recording_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="there twice"):
        embeddings().subset([0, 1, 1])


def test_phenotypes_join_by_recording_or_person_and_say_who_is_missing() -> None:
    own = embeddings(4)  # r0 r1 of s0, r2 r3 of s1
    by_person, matching = own.with_phenotypes(
        pd.DataFrame({"participant_id": ["sub-s0", "sub-s9"], "iq": [100, 90]})
    )
    assert by_person.phenotypes["iq"].tolist()[:2] == [100, 100]
    assert by_person.phenotypes["iq"].isna().tolist() == [False, False, True, True]
    assert (matching.matched, matching.unmatched, matching.unused) == (2, ("r2", "r3"), ("s9",))
    assert "2 of 4 recordings" in matching.sentence() and "r2, r3" in matching.sentence()
    replaced, _ = own.with_phenotypes(pd.DataFrame({"scan_id": ["r3"], "sex": ["x"], "site": ["Z"]}))
    assert replaced.phenotypes["sex"].tolist()[3] == "x" and replaced.sites == ("A", "B", "A", "Z")


def test_numbers_as_identifiers_match_whatever_their_zeros() -> None:
    from brainlm_core.cohort.phenotypes import match_phenotypes

    table = pd.DataFrame({"subject_id": [7.0, 12.0], "age": [1, 2]})
    assert match_phenotypes(table, ["a", "b"], ["0007", "0012"]).table["age"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"age": [1]}, "no column of identifiers"),
        ({"subject_id": ["x", "y"], "age": [1, 2]}, "none of the 4 recordings is named.*x, y"),
        ({"subject_id": ["s0", "s0"], "age": [1, 2]}, "more than once in subject_id: s0"),
    ],
)
def test_unfit_phenotypes_are_refused(table: dict[str, list[object]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        embeddings(4).with_phenotypes(pd.DataFrame(table))


def test_plain_features_are_what_numpy_says() -> None:
    rng = np.random.default_rng(1)
    signals = rng.standard_normal((5, 300)).astype(np.float32) * 3 + 1000
    signals[2] = 1000.0
    got = plain_features(signals)
    vary = [0, 1, 3, 4]
    expected = np.zeros((5, 5))
    expected[np.ix_(vary, vary)] = np.arctanh(np.clip(np.corrcoef(signals[vary]), -0.99, 0.99))
    np.testing.assert_allclose(got.connectivity, expected[np.triu_indices(5, 1)], atol=1e-5)
    np.testing.assert_allclose(got.amplitude[vary], signals[vary].std(axis=1), rtol=1e-4)
    centred = signals[0] - signals[0].mean(dtype=np.float64)
    np.testing.assert_allclose(
        got.autocorrelation[0], (centred[1:] * centred[:-1]).sum() / (centred**2).sum(), rtol=1e-4
    )
    assert got.autocorrelation[2] == 0 and got.amplitude[2] == 0


def test_the_table_has_every_column_a_picture_can_be_coloured_by() -> None:
    table = embeddings().table()
    assert list(table)[:3] == ["recording_id", "subject_id", "site"]
    assert {"age_years", "sex", "tr_s", "mean_fd_mm", "mean_autocorrelation", "mean_amplitude"} <= set(table)
    assert len(table) == 10
