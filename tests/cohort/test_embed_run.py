"""Embedding a cohort: right numbers, and nothing lost and nothing twice whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from brainlm_core import cli
from brainlm_core.base.errors import AnalysisError, BrainLMError, ConfigError
from brainlm_core.cohort import embed_run
from brainlm_core.cohort.embed_run import embed_cohort
from brainlm_core.cohort.features import plain_features
from brainlm_core.cohort.files import read_embeddings
from brainlm_core.cohort.importing import import_scans
from brainlm_core.cohort.sources import ImportOptions, find_scans
from brainlm_core.cohort.store import CohortStore
from brainlm_core.cohort.tasks import CohortReference, EmbedSettings
from brainlm_core.inference.engine import Cancelled, Engine
from tests.cohort.cohort_tools import write_pack
from tests.dask_lab import Lab
from tests.engine.small_engines import save_tiny

ARRAYS = ("cls", "mean", "twin_cls", "twin_mean", "autocorrelation", "amplitude", "connectivity")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


def make_store(folder: Path, n: int = 20, n_parcels: int = 6) -> CohortReference:
    pack = write_pack(folder, n, n_parcels=n_parcels)
    options = ImportOptions(coordinates=(str(pack["coordinates"]),), phenotypes=str(pack["phenotypes"]))
    import_scans(CohortStore.create(folder / "st"), find_scans(pack["path"], options))
    return CohortReference(str(folder / "st"))


def test_every_number_is_that_of_the_recording_alone(tmp_path: Path, tiny: str) -> None:
    reference = make_store(tmp_path, 10)
    shares: list[float] = []
    report = embed_cohort(
        reference,
        tmp_path / "e.parquet",
        EmbedSettings(model=tiny, parcels=True),
        workers=0,
        progress=lambda share, _: shares.append(share),
    )
    assert (report.n, report.resumed, report.failed) == (10, 0, ()) and shares == [0.8, 1.0]
    got = read_embeddings(report.path)
    cohort, engine = reference.open(), Engine.load(tiny)
    twin = Engine.load(f"random:{tiny}")
    assert got.ids == cohort.ids and got.sites == ("A", "B") * 5
    recording = cohort.recording(7)
    windows = engine.windows(recording, stride_s=engine.spec.n_timepoints * (engine.spec.tr_s or 2.0))
    answer = engine.embed(windows)
    np.testing.assert_allclose(got.cls[7], answer.cls.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.mean[7], answer.tokens.mean(axis=(0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got.parcels[7], answer.tokens.mean(axis=0), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(got.twin_cls[7], twin.embed(windows).cls.mean(axis=0), rtol=1e-5, atol=1e-6)
    plain = plain_features(recording.signals)
    np.testing.assert_allclose(got.connectivity[7], plain.connectivity, atol=1e-3)
    np.testing.assert_array_equal(got.autocorrelation[7], plain.autocorrelation)
    assert list(got.phenotypes) == ["age_years"]
    assert got.acquisition["mean_fd_mm"].tolist() == [0.1] * 10
    assert got.acquisition["n_volumes"].tolist()[:3] == [120, 130, 140]
    assert got.provenance.model["model_name"] == tiny
    assert [p.name for p in tmp_path.glob(".*")] == []  # the chunks are gone


def test_what_cannot_be_embedded_is_listed(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = make_store(tmp_path, 6)
    entry = CohortStore.open(reference.path).entries[2]
    CohortStore.open(reference.path).file(entry).write_bytes(b"PAR1")
    report = embed_cohort(reference, tmp_path / "e.parquet", EmbedSettings(model=tiny), workers=0)
    assert report.n == 5
    assert [(f.recording_id, "missing or damaged" in f.reason) for f in report.failed] == [("scan2", True)]
    for other in CohortStore.open(reference.path).entries:
        CohortStore.open(reference.path).file(other).unlink()
    with pytest.raises(AnalysisError, match="no recording can be embedded"):
        embed_cohort(reference, tmp_path / "none.parquet", EmbedSettings(model=tiny), workers=0)


def test_recordings_of_different_parcels_share_embeddings_but_no_parcel_figures(
    tmp_path: Path, tiny: str
) -> None:
    make_store(tmp_path, 4)
    (tmp_path / "b").mkdir()
    pack = write_pack(tmp_path / "b", 2, n_parcels=8, name="other")
    options = ImportOptions(coordinates=(str(pack["coordinates"]),), tr_s=2.0)
    found = find_scans(pack["path"], options)
    import_scans(CohortStore.open(tmp_path / "st"), found)
    report = embed_cohort(
        CohortReference(str(tmp_path / "st")), tmp_path / "e.parquet", EmbedSettings(model=tiny), workers=0
    )
    got = read_embeddings(report.path)
    assert len(got) == 6 and got.parcellation is None and got.connectivity is None
    assert "different parcels" in got.provenance.notices[0]


def test_a_stopped_run_goes_on(tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, settings = make_store(tmp_path), EmbedSettings(model=tiny)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    with pytest.raises(Cancelled):
        embed_cohort(reference, tmp_path / "e.parquet", settings, workers=0, cancel=stop)
    assert not (tmp_path / "e.parquet").exists()
    seen: list[int] = []
    real = embed_run.embed_chunk

    def counted(reference: CohortReference, settings: EmbedSettings, number: int, rows: tuple[int, ...]):
        seen.append(number)
        return real(reference, settings, number, rows)

    monkeypatch.setattr(embed_run, "embed_chunk", counted)
    report = embed_cohort(reference, tmp_path / "e.parquet", settings, workers=0)
    assert (report.n, report.resumed, seen) == (20, 16, [2])
    whole = embed_cohort(reference, tmp_path / "whole.parquet", settings, workers=0)
    same(read_embeddings(report.path), read_embeddings(whole.path))


def same(one, other) -> None:
    order = [other.ids.index(i) for i in one.ids]
    assert sorted(one.ids) == sorted(other.ids) and len(set(one.ids)) == len(one.ids)
    for name in ARRAYS:
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name)[order], rtol=1e-4, atol=1e-5, err_msg=name
        )


def run_quietly(*command: str, **settings) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **settings
    )


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A real scheduler and two workers, each a process of its own, on the loopback."""
    lab = Lab(tmp_path)
    try:
        for _ in range(2):
            lab.add_worker()
        yield lab.address, lab.workers
    finally:
        lab.close()


def embed_command(reference: CohortReference, tiny: str, output: Path, *more: str) -> list[str]:
    command = ["embed", reference.path, "-o", str(output), "--model", tiny, "--device", "cpu", "--json"]
    return [sys.executable, "-m", "brainlm_core", *command, *more]


def wait_for_chunks(output: Path, n: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while len(list(output.parent.glob(f".{output.name}.parts-*/*.json"))) < n:
        assert process.poll() is None, "the run ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_worker_killed_mid_run_loses_nothing_and_doubles_nothing(
    tmp_path: Path, tiny: str, cluster: tuple[str, list[subprocess.Popen]]
) -> None:
    address, workers = cluster
    reference = make_store(tmp_path, 96)
    output = tmp_path / "e.parquet"
    run = run_quietly(*embed_command(reference, tiny, output, "--scheduler", address))
    wait_for_chunks(output, 3, run)
    workers[0].send_signal(signal.SIGKILL)
    done = len(list(tmp_path.glob(".e.parquet.parts-*/*.json")))
    assert run.wait(120) == 0
    assert done < 12  # the worker died in the middle
    whole = embed_cohort(reference, tmp_path / "whole.parquet", EmbedSettings(model=tiny), workers=0)
    got = read_embeddings(output)
    assert len(got) == 96
    same(got, read_embeddings(whole.path))


@pytest.mark.slow
def test_a_run_killed_with_signal_9_goes_on_and_a_local_cluster_gives_the_same(
    tmp_path: Path, tiny: str
) -> None:
    reference = make_store(tmp_path, 96)
    output = tmp_path / "e.parquet"
    run = run_quietly(*embed_command(reference, tiny, output, "--workers", "0"))
    wait_for_chunks(output, 2, run)
    run.kill()
    run.wait()
    assert not output.exists()
    command = embed_command(reference, tiny, output, "--workers", "2")
    told = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, timeout=120).stdout)
    assert told["n"] == 96 and 16 <= told["resumed"] < 96 and told["failed"] == []
    whole = embed_cohort(reference, tmp_path / "whole.parquet", EmbedSettings(model=tiny), workers=0)
    same(read_embeddings(output), read_embeddings(whole.path))


def test_clusters_that_do_not_answer_and_models_that_do_not_load_are_sentences(
    tmp_path: Path, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = make_store(tmp_path, 2)
    output = tmp_path / "e.parquet"
    arguments = ["embed", reference.path, "-o", str(output), "--model", tiny]
    assert cli.main([*arguments, "--scheduler", "nonsense://x"]) == 2
    assert "no Dask scheduler answers at nonsense://x" in capsys.readouterr().err
    with pytest.raises(BrainLMError):
        embed_cohort(reference, output, EmbedSettings(model=str(tmp_path / "none")), workers=0)
    with pytest.raises(ConfigError, match="-1 workers cannot work"):
        embed_cohort(reference, output, EmbedSettings(model=tiny), workers=-1)
    assert not output.exists()


def test_a_folder_of_scans_needs_no_store(tmp_path: Path, tiny: str) -> None:
    pack = write_pack(tmp_path, 2)
    base = CohortReference(str(pack["path"]), coordinates=(str(pack["coordinates"]),), tr_s=2.0).open()
    scans = tmp_path / "scans"
    scans.mkdir()
    for k in range(2):
        base.recording(k).save(scans / f"person{k}.npz")
    report = embed_cohort(
        CohortReference(str(scans)), tmp_path / "e.parquet", EmbedSettings(model=tiny), workers=0
    )
    got = read_embeddings(report.path)
    assert got.ids == ("person0", "person1")
    assert np.isnan(got.acquisition["mean_fd_mm"]).all()
