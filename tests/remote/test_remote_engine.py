"""An engine on a worker: the numbers of the engine here, nothing left there, and an end whoever dies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core.base.errors import CheckpointError, ConfigError, EngineError
from brainlm_core.cli import main
from brainlm_core.cohort.reference import reference_cohort
from brainlm_core.features.attribution.analysis import attribute
from brainlm_core.features.attribution.direction import axis_direction
from brainlm_core.features.attribution.result import AttributeOptions
from brainlm_core.features.forecast.analysis import forecast_from, plan
from brainlm_core.features.forecast.plan import ForecastOptions
from brainlm_core.features.networks.analysis import attention_of
from brainlm_core.features.perturb.analysis import PerturbOptions
from brainlm_core.features.perturb.analysis import analyse as perturb
from brainlm_core.inference import weights
from brainlm_core.inference.engine import Cancelled, Engine, get_engine
from brainlm_core.remote import cluster as clusters
from brainlm_core.remote import engine as remote_engine
from brainlm_core.remote.cluster import cluster
from brainlm_core.remote.engine import RemoteEngine
from brainlm_core.remote.worker import host
from brainlm_core.report.contents import default_scenario
from brainlm_core.scans.demo import demo_recordings
from tests.dask_lab import ROOT, Lab
from tests.engine.small_engines import save_tiny
from tests.remote import works


def near(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def remote(lab: Lab, name: str = "default", **settings: Any) -> RemoteEngine:
    return RemoteEngine.on(lab.address, name, **{"device": "cpu", "precision": "fp32"} | settings)


def here(name: str = "default") -> Engine:
    return get_engine(name, device="cpu", precision="fp32")


def test_every_answer_is_that_of_the_engine_here(shared_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = demo_recordings()[0]
    own, other = here(), remote(shared_lab)
    assert other.spec == own.spec
    windows = own.windows(recording, stride_s=30.0).pick(slice(0, 2))
    monkeypatch.setattr(remote_engine, "MAX_BYTES", windows.values[:1].nbytes)  # two requests
    hidden = np.random.default_rng(0).random(windows.values.shape) < 0.5
    told: list[float] = []
    answer = other.reconstruct(windows, hidden, progress=lambda share, _: told.append(share))
    truth = own.reconstruct(windows, hidden)
    np.testing.assert_array_equal(answer.hidden, truth.hidden)
    near(answer.predicted, truth.predicted)
    assert all(0 <= share <= 1 for share in told)
    near(other.prior_answer(windows, hidden), own.prior_answer(windows, hidden))
    one, hide = windows.pick(slice(0, 1)), hidden[:1]
    only = other.reconstruct(one, hide, only_hidden=True)
    near(only.predicted[only.hidden], truth.predicted[:1][only.hidden])
    near(other.embed(one).cls, own.embed(one).cls)
    near(other.embed(one, hide).tokens, own.embed(one, hide).tokens)
    near(other.attention(one).maps, own.attention(one).maps)
    near(other.attention(windows, average=False).cls[:1], own.attention(one, average=False).cls)
    twin = other.twin()
    assert twin.info.is_random and twin.info.host and twin.twin() is twin
    near(twin.embed(one).cls, own.twin().embed(one).cls)


def test_analyses_do_not_know(shared_lab: Lab) -> None:
    recording = demo_recordings()[0]
    own, other = here(), remote(shared_lab)
    near(attention_of(other, recording).attention.maps, attention_of(own, recording).attention.maps)
    what = plan(recording, own.spec, ForecastOptions(steps=10, n_starts=1))
    one, two = (forecast_from(engine, recording, what) for engine in (own, other))
    near(one.forecasts["model"], two.forecasts["model"])
    scenario = replace(default_scenario(recording.parcellation), draws=1)
    one, two = (perturb(engine, recording, scenario, PerturbOptions(0)) for engine in (own, other))
    near(one.response.mean, two.response.mean)
    assert two.stage.model.host == host()


def test_work_that_needs_the_model_goes_to_it(shared_lab: Lab) -> None:
    recording = demo_recordings()[0]
    own, other = here(), remote(shared_lab)
    direction = axis_direction(reference_cohort(), 1, "cls")
    options = AttributeOptions(max_windows=1, n_references=1, n_steps=2)
    one, two = (
        attribute(engine, recording, direction, options, twin=engine.twin()) for engine in (own, other)
    )
    near(one.parcels, two.parcels)
    assert one.agreement == pytest.approx(two.agreement)
    with pytest.raises(EngineError, match="on another machine"), other.gradients():
        pass


def test_it_says_where_and_with_which_weights(shared_lab: Lab) -> None:
    info = remote(shared_lab).info
    assert info.where == f"CPU on {host()}"
    assert info.sha256 == weights.digest("default")
    assert info.to_dict()["host"] == host()
    assert "host" not in here().info.to_dict() and here().info.where == "CPU"


def test_weights_are_loaded_once_for_all_dashboards(shared_lab: Lab) -> None:
    own = remote(shared_lab).call(works.who)
    code = (
        "from brainlm_core.remote.engine import RemoteEngine\n"
        "from tests.remote import works\n"
        f"engine = RemoteEngine.on({shared_lab.address!r}, device='cpu', precision='fp32')\n"
        "print(engine.call(works.who))"
    )
    for _ in range(2):
        said = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
        )
        assert said.stdout.strip() == str(own)
        assert not said.stderr.strip()


def test_nothing_is_written_where_the_model_is(shared_lab: Lab) -> None:
    engine = remote(shared_lab)
    windows = engine.windows(demo_recordings()[0])
    hidden = np.ones(windows.values.shape, dtype=bool)
    hidden[:, :, :100] = False

    def files() -> dict[Path, int]:
        return {p: p.stat().st_size for p in shared_lab.folder.rglob("*") if p.is_file()}

    before = files()
    engine.reconstruct(windows, hidden)
    assert files() == before
    assert engine.call(works.n_stored) == [0]


def test_a_worker_that_dies_mid_request_is_replaced(lab: Lab, tmp_path: Path) -> None:
    engine, place = remote(lab), tmp_path / "pid"
    stages: list[str] = []
    killed: list[int] = []

    def tell(_: float, text: str) -> None:
        stages.append(text)
        if not killed and place.exists() and place.read_text():
            killed.append(int(place.read_text()))
            lab.kill(killed[0])

    survivor = engine.call(works.first_hangs, str(place), progress=tell)
    assert survivor != killed[0] and survivor in [w.pid for w in lab.workers]
    assert "A worker is gone; asking another one" in stages


def test_a_reconstruction_survives_its_worker(lab: Lab) -> None:
    engine, own = remote(lab), here()
    windows = own.windows(demo_recordings()[0], stride_s=30.0).pick(slice(0, 2))
    hidden = np.random.default_rng(0).random(windows.values.shape) < 0.5
    busy = engine.call(works.who)[0]
    killed = threading.Event()

    def tell(_: float, text: str) -> None:
        if not killed.is_set() and text.startswith("Reconstructing"):
            killed.set()
            lab.kill(busy)

    answer = engine.reconstruct(windows, hidden, progress=tell)
    assert killed.is_set()
    near(answer.predicted, own.reconstruct(windows, hidden).predicted)
    assert engine.call(works.who)[0] != busy


def test_when_nobody_is_left_one_sentence_says_so(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clusters, "WAIT_FOR_WORKERS_S", 1.0)
    engine = remote(lab)
    for worker in lab.workers:
        lab.kill(worker.pid)
    with pytest.raises(EngineError, match="has no worker; start one with `dask worker tcp://127"):
        engine.call(works.who)
    lab.add_worker()
    assert engine.call(works.who)[0] == lab.workers[-1].pid, "a worker that comes later is used"


def test_a_scheduler_that_dies_is_one_sentence_and_comes_back(lab: Lab) -> None:
    engine = remote(lab)
    lab._scheduler.kill()
    lab._scheduler.wait()
    with pytest.raises(ConfigError, match="no Dask scheduler answers at tcp://127"):
        engine.call(works.who)


def test_a_frozen_worker_counts_as_gone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    engine = remote(lab)
    busy = engine.call(works.who)[0]
    monkeypatch.setattr(clusters, "SILENCE_S", 2.0)
    frozen = next(w for w in lab.workers if w.pid == busy)
    frozen.send_signal(signal.SIGSTOP)
    try:
        assert engine.call(works.who)[0] != busy
    finally:
        frozen.send_signal(signal.SIGCONT)


def test_who_stops_waiting_stops_the_work(shared_lab: Lab, tmp_path: Path) -> None:
    place = tmp_path / "work"
    engine = remote(shared_lab)
    with pytest.raises(Cancelled):
        engine.call(works.until_stopped, str(place), cancel=place.exists)
    deadline = time.monotonic() + 30
    while not place.with_suffix(".stopped").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_errors_there_are_errors_here(shared_lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no model or folder named 'nope'"):
        remote(shared_lab, "nope")
    folder = Path(save_tiny(tmp_path))
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        remote(shared_lab, str(folder))
    with pytest.raises(RuntimeError, match="a defect on the worker"):
        remote(shared_lab).call(works.breaks)


def test_other_weights_under_the_same_name_are_refused(shared_lab: Lab, tmp_path: Path) -> None:
    engine = remote(shared_lab, save_tiny(tmp_path))
    engine.info = replace(engine.info, sha256="0" * 64)
    with pytest.raises(EngineError, match="are not those that the work began with"):
        engine.call(works.who)


def test_another_version_is_one_sentence(
    shared_lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clusters.close_all()
    monkeypatch.setattr(clusters, "__version__", "99.0")
    with pytest.raises(ConfigError, match=r"has BrainLM Explorer .* and this dashboard 99\.0; install"):
        cluster(shared_lab.address).check()
    clusters.close_all()


def test_a_worker_without_this_package_is_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "old" / "brainlm_core"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text("__version__ = '0.0.1'\n")
    lab = Lab(tmp_path)
    try:
        lab.add_worker(path=tmp_path / "old")
        with pytest.raises(ConfigError, match=r"does not run BrainLM Explorer .*; install brainlm-explorer"):
            remote(lab)
        lab.add_worker()
        assert remote(lab).call(works.who)[0] == lab.workers[-1].pid, "the fit one is asked"
    finally:
        clusters.close_all()
        lab.close()


def test_nobody_there_is_one_sentence_at_start(capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        assert main(["app", "--no-browser", "--scheduler", address]) == 2
        said = capsys.readouterr().err
        assert f"no Dask scheduler answers at {address}" in said and said.count("\n") == 1
    clusters.close_all()
