"""The bundled context weights: gains alone, the process beside them, whole recordings of every kind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import CheckpointError
from brainlm_core.inference import weights
from brainlm_core.inference.engine import Engine
from brainlm_core.model.checkpoints import load_folder, save_folder
from brainlm_core.model.context.model import ContextModel
from brainlm_core.scans.demo import demo_recordings
from tests.engine.small_engines import recording


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load("context", device="cpu")


def test_the_process_of_the_bundled_network_is_the_default_model(engine: Engine) -> None:
    model = engine.model
    assert isinstance(model, ContextModel)
    default = weights.load("default").model.state_dict()
    for key, value in model.process.state_dict().items():
        assert (value == default[key]).all(), key
    assert engine.info.licence.startswith("CC BY-NC-SA 3.0")


def test_a_network_without_its_process_is_refused(tmp_path: Path) -> None:
    shutil.copytree(weights.bundled_folder("context"), tmp_path / "context")
    with pytest.raises(CheckpointError, match="there is no model folder"):
        load_folder(tmp_path / "context")
    config = json.loads((tmp_path / "context" / "config.json").read_text())
    for name in ("../context", "..", 3):
        (tmp_path / "context" / "config.json").write_text(json.dumps({**config, "process_folder": name}))
        with pytest.raises(CheckpointError):
            load_folder(tmp_path / "context")


def test_saved_again_it_holds_its_process(engine: Engine, tmp_path: Path) -> None:
    save_folder(engine.model, tmp_path / "alone" / "model")
    assert isinstance(load_folder(tmp_path / "alone" / "model"), ContextModel)


@pytest.mark.parametrize(("n_parcels", "tr_s"), [(424, 0.72), (424, 2.0), (12, 0.72)])
def test_whole_atlas_other_intervals_and_other_parcellations(
    engine: Engine, n_parcels: int, tr_s: float
) -> None:
    scan = recording(round(430 * 0.72 / tr_s) + 20, tr_s, n_parcels, flat=2)
    windows = engine.windows(scan).pick(slice(0, 1))
    hidden = np.zeros(windows.values.shape, dtype=bool)
    hidden[:, ::3, 40:80] = True
    answer = engine.reconstruct(windows, hidden).predicted
    maps = engine.attention(windows)
    assert np.isfinite(answer).all() and np.isfinite(maps.maps).all()
    assert np.isfinite(engine.embed(windows).cls).all()
    np.testing.assert_allclose(maps.maps.sum(axis=-1), 1, atol=1e-4)


def test_what_no_group_knows_is_read_from_the_recording(engine: Engine) -> None:
    """Simulated people (drawn from the group) in whom one pattern of their own is planted."""
    scan = demo_recordings()[0]
    rng = np.random.default_rng(0)
    pattern, course = rng.normal(size=(424, 1)), rng.normal(size=(1, scan.n_timepoints))
    sd = scan.signals.std(axis=1, keepdims=True)
    person = replace(scan, signals=(scan.signals + 0.7 * sd * pattern * course).astype(np.float32))
    loaded = replace(weights.load("context"), model=engine.model)
    alone = Engine(loaded, engine.device, "fp32", context="window")
    scores = {}
    for name, one in (("recording", engine), ("window", alone)):
        windows = one.windows(person)
        rng = np.random.default_rng(0)
        hidden = np.repeat(rng.random((windows.n_windows, 424, 10)) < 0.5, 20, axis=2)
        error = ((one.reconstruct(windows, hidden).predicted - windows.values)[hidden] ** 2).sum()
        scores[name] = 1 - error / (windows.values[hidden] ** 2).sum()
    assert scores["recording"] > scores["window"] + 0.02, scores


def test_a_window_unlike_anything_does_not_blow_up(engine: Engine) -> None:
    """One wave in all parcels, a thousand times too large: the answer stays of the window's size."""
    scan = recording(450, 0.72, 24)
    wave = np.sin(np.arange(450) / 7.0) * np.linspace(-1, 1, 24)[:, None]
    signals = (1000 * wave + np.random.default_rng(0).normal(size=wave.shape)).astype(np.float32)
    windows = engine.windows(replace(scan, signals=signals))
    hidden = np.random.default_rng(1).random((windows.n_windows, 24, 10)) < 0.7
    hidden = np.repeat(hidden, 20, axis=2)
    for values in (windows.values, 100 * windows.values):
        answer = engine.reconstruct(replace(windows, values=values), hidden).predicted
        assert np.abs(answer).max() < 5 * np.abs(values).max()


def test_the_twin_keeps_the_group_and_nothing_that_was_trained(engine: Engine) -> None:
    """Random group statistics would let the layers diverge and prove nothing; see docs/context-network.md."""
    twin = engine.twin()
    assert twin.info.is_random and twin.twin() is twin
    one, other = engine.model, twin.model
    assert isinstance(one, ContextModel) and isinstance(other, ContextModel)
    kept = other.process.state_dict()
    assert all((kept[key] == value).all() for key, value in one.process.state_dict().items())
    gains = dict(other.inferences.named_parameters())
    assert not any((gains[key] == value).all() for key, value in one.inferences.named_parameters())
    scan = demo_recordings()[0]
    windows = engine.windows(scan).pick(slice(0, 1))
    hidden = np.repeat(np.random.default_rng(0).random((1, 424, 10)) < 0.5, 20, axis=2)
    error = ((twin.reconstruct(windows, hidden).predicted - windows.values)[hidden] ** 2).sum()
    assert 0.2 < 1 - error / (windows.values[hidden] ** 2).sum() < 0.6
