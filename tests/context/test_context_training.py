"""Training of the context family: holes, mixtures, people left out, breaks, bad settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainlm_core.base.atlas import from_coordinates
from brainlm_core.base.errors import ConfigError
from brainlm_core.model.checkpoints import load_folder, random_model, save_folder
from brainlm_core.model.context.model import ContextModel
from brainlm_core.training import context_samples
from brainlm_core.training.config import PretrainConfig
from brainlm_core.training.context_samples import ContextSampler, alike
from brainlm_core.training.group_without import GroupWithout
from brainlm_core.training.loop import pretrain
from brainlm_core.training.samples import Series
from tests.training.conftest import SMALL

N_PARCELS = 20


def _series(seed: int, length: int = 260) -> Series:
    rng = np.random.default_rng(seed)
    xyz = np.random.default_rng(99).uniform(-60, 60, (N_PARCELS, 3))
    parcellation = from_coordinates("test", tuple(f"p{i}" for i in range(N_PARCELS)), xyz)
    sources = rng.normal(size=(N_PARCELS, 4)) @ rng.normal(size=(4, length))
    values = (sources + 0.5 * rng.normal(size=sources.shape)).astype(np.float32)
    return Series(values, parcellation, torch.from_numpy(parcellation.xyz.astype(np.float32)))


def test_windows_come_from_the_hole_and_context_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample carries its own number in one parcel: nothing of a window's hole is in the moments."""
    monkeypatch.setattr(context_samples, "MIXED_SHARE", 0.0)
    recording = _series(0)
    recording.values[0] = np.arange(260)
    sampler = ContextSampler([recording], ["a"], 40, 10, seed=0)
    with_context = 0
    for number in range(60):
        sample = sampler.batch(number, 3)
        assert sample.people == frozenset({"a"})
        seen = sample.signal[:, 0].numpy()
        assert seen.max() - seen.min() < 80  # all from one hole of two windows
        share = sample.hidden.float().mean((1, 2))
        assert (share >= 0.04).all() and (share <= 0.93).all()
        if not sample.n_context:
            assert not bool(sample.moments.any())
            continue
        with_context += 1
        if sample.n_context == 180:  # whole: the sum of squares of all numbers less those of a hole
            outside = round(float(sample.moments[0, 0]) * 180)
            holes = [
                sum(k * k for k in range(260)) - sum(k * k for k in range(s, s + 80)) for s in range(181)
            ]
            gaps = [abs(outside - h) for h in holes]
            start = int(np.argmin(gaps))
            assert min(gaps) < 2e-5 * outside
            assert seen.min() >= start and seen.max() < start + 80
    assert 25 < with_context < 55


def test_a_batch_depends_on_its_number_alone() -> None:
    recordings, people = [_series(k) for k in range(4)], list("abcd")
    one, two = (ContextSampler(recordings, people, 40, 10, seed=3).batch(5, 2) for _ in range(2))
    assert torch.equal(one.signal, two.signal) and torch.equal(one.moments, two.moments)
    drawn = {len(ContextSampler(recordings, people, 40, 10, seed=3).batch(k, 2).people) for k in range(20)}
    assert drawn == {1, 2}


def test_the_group_leaves_people_out() -> None:
    recordings = [_series(k) for k in (0, 1, 2, 0)]
    group = GroupWithout(recordings, ["a", "b", "c", "a"])
    without = group.basis(frozenset({"a"}))
    alone = GroupWithout([_series(1), _series(2), _series(5)], ["b", "c", "e"]).basis(frozenset({"e"}))
    torch.testing.assert_close(without.values, alone.values)
    assert not torch.allclose(without.values, group.basis().values, rtol=1e-2)
    with pytest.raises(ConfigError, match="2 people"):
        GroupWithout(recordings[:2], ["a", "b"])


def test_recordings_that_are_one_persons_are_found() -> None:
    one = _series(0, 400)
    first = Series(one.values[:, :200], one.parcellation, one.xyz)
    second = Series(one.values[:, 200:], one.parcellation, one.xyz)
    others = [_series(k, 200) for k in (1, 2, 3)]
    found = alike([first, *others, second], list("abcde"))
    assert [pair[:2] for pair in found] == [(0, 4)]
    assert alike([first, *others, second], list("abcda")) == []


def _settings(folder: Path, **changes: Any) -> PretrainConfig:
    process = random_model(SMALL.to_dict(), 3)
    save_folder(process, folder / "process")
    series = [_series(k).values.T for k in range(4)]
    offsets = np.arange(5) * 260
    np.savez(folder / "pack.npz", signals=np.concatenate(series), offsets=offsets)
    xyz = np.random.default_rng(99).uniform(-60, 60, (N_PARCELS, 3))
    rows = "\n".join(f"{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(xyz))
    (folder / "xyz.csv").write_text("label,x,y,z\n" + rows + "\n")
    data = {"path": str(folder / "pack.npz"), "coordinates": [str(folder / "xyz.csv")], "tr_s": 0.72}
    settings: dict[str, Any] = {
        "family": "context",
        "output": str(folder / "run"),
        "process_from": str(folder / "process"),
        "data": [{**data, "validation_rows": [4]}],
        "model": {"n_layers": 2, "filter_reach": 10, "inference_of_regime": [0, 0]},
        "optimiser": {"steps": 4, "batch_size": 2, "learning_rate": 3e-3, "weight_decay": 0.0},
        "checkpoint_every": 1,
        "validation_windows": 4,
        "device": "cpu",
        "threads": 1,
    }
    return PretrainConfig(**{**settings, **changes})


def test_a_run_that_was_cut_off_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = _settings(tmp_path)
    result = pretrain(whole)
    assert set(result.validation) <= {"r2_recording", "r2_window"} and result.validation
    cut = whole.model_copy(update={"output": str(tmp_path / "cut")})

    def stop(step: Any) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(cut, on_step=stop)
    assert pretrain(cut).resumed_from == 2
    models = [load_folder(tmp_path / name / "model") for name in ("run", "cut")]
    start = random_model(models[0].config.to_dict(), 0)
    assert isinstance(start, ContextModel)
    moved = 0
    for (key, a), b in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert torch.equal(a, b), key
        if key.startswith("inferences."):
            moved += 1
    process = load_folder(tmp_path / "process").state_dict()
    for key, value in process.items():
        assert torch.equal(models[0].state_dict()[f"process.{key}"], value), key  # the process stays
    assert moved


def test_bad_settings_are_sentences(tmp_path: Path) -> None:
    good = _settings(tmp_path)
    with pytest.raises(ConfigError, match="no set 3 of gains"):
        pretrain(good.model_copy(update={"inference": 3}))
    with pytest.raises(ValueError, match="settings of the context family"):
        PretrainConfig(**{**good.model_dump(), "family": "parcel_token", "model": {}})
    signals = np.load(tmp_path / "pack.npz")["signals"]
    signals[260:520] = signals[:260]
    np.savez(tmp_path / "pack.npz", signals=signals, offsets=np.arange(5) * 260)
    with pytest.raises(ConfigError, match="one and the same, given as two people"):
        pretrain(good)
    signals = np.random.default_rng(0).normal(size=(400, N_PARCELS))
    np.savez(tmp_path / "pack.npz", signals=signals, offsets=np.arange(5) * 100)
    with pytest.raises(ConfigError, match="no recording is longer than 140 samples"):
        pretrain(good)
