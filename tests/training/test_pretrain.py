"""Pretraining: same curve with two processes, exact resume after kill -9, a full disk, wrong settings."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import CheckpointError, ConfigError
from brainlm_core.training import checkpoint, loop
from brainlm_core.training.config import FinetuneConfig, PretrainConfig, read_config
from brainlm_core.training.loop import learning_rate, pretrain

MODEL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "num_brain_voxels": 8,
    "num_timepoints_per_voxel": 40,
    "timepoint_patching_size": 10,
    "conv_kernel_size": None,
}


def _settings(folder: Path, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.normal(size=(600, 2)), axis=0)
    signals = slow @ rng.normal(size=(2, 8)) + rng.normal(size=(600, 8))
    np.savez(folder / "pack.npz", signals=signals.astype(np.float32), offsets=np.array([0, 200, 400, 600]))
    rows = "\n".join(f"{i},{-40 + 10 * i},{-20 + 9 * i},{5 * i}" for i in range(8))
    (folder / "xyz.csv").write_text("label,x,y,z\n" + rows + "\n")
    data = {"path": str(folder / "pack.npz"), "coordinates": [str(folder / "xyz.csv")], "tr_s": 2.0}
    return {
        "family": "parcel_token",
        "output": str(folder / "run"),
        "data": [{**data, "validation_rows": [3]}],
        "model": MODEL,
        "optimiser": {"steps": 6, "batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 2},
        "checkpoint_every": 1,
        "validate_every": 3,
        "validation_windows": 2,
        "device": "cpu",
        "threads": 1,
        **changes,
    }


def _write(folder: Path, settings: dict[str, Any], name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(settings))
    return path


def _curve(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    facts = [json.loads(line) for line in lines]
    assert [f["step"] for f in facts] == list(range(1, len(facts) + 1))
    return [f["loss"] for f in facts]


def _command(config: Path, processes: int = 1) -> dict[str, Any]:
    """Return what starts a run: the same command, under ``torchrun`` for several processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    args = [sys.executable, *(launch if processes > 1 else []), "-m", "brainlm_core", "pretrain"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return {"args": [*args, str(config), "--json"], "env": env}


def _run(config: Path, processes: int = 1) -> dict[str, Any]:
    done = subprocess.run(
        **_command(config, processes), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = done.stdout.splitlines()  # of several processes one tells
    facts: dict[str, Any] = json.loads(line)
    return facts


def _cut(config: Path, folder: Path, processes: int = 1) -> None:
    """Start a run and kill -9 it, with all of its processes, after a few steps."""
    process = subprocess.Popen(
        **_command(config, processes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = folder / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and (not log.is_file() or log.read_text().count("\n") < 4):
        time.sleep(0.005)
    parent = psutil.Process(process.pid)
    workers = parent.children(recursive=True)  # torchrun puts them into sessions of their own
    for one in (parent, *workers):
        one.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it had ended before it could be killed"
    psutil.wait_procs(workers, timeout=30)
    assert not (folder / "model").exists()


@pytest.mark.slow
def test_resume_after_kill_gives_the_same_weights(tmp_path: Path) -> None:
    """Dropout is on: weights are equal only when the random numbers go on where they were."""
    cut = _settings(tmp_path, output=str(tmp_path / "cut"), checkpoint_every=2)
    cut["optimiser"] |= {"steps": 24, "dropout": True}
    config = _write(tmp_path, cut)
    _cut(config, tmp_path / "cut")
    assert 2 <= _run(config)["resumed_from"] < 24
    pretrain(PretrainConfig(**{**cut, "output": str(tmp_path / "straight")}))
    assert _curve(tmp_path / "cut") == pytest.approx(_curve(tmp_path / "straight"), rel=1e-6)
    first, second = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("straight", "cut"))
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.slow
def test_two_processes_cut_off_and_resumed_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    """Two parcellations, every kind of mask, accumulated gradients, kill -9 on the way."""
    rng = np.random.default_rng(1)
    signals = np.cumsum(rng.normal(size=(400, 40)), axis=0).astype(np.float32)
    np.savez(tmp_path / "other.npz", signals=signals, offsets=np.array([0, 200, 400]), tr_s=0.72)
    rows = "\n".join(f"{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(a424().xyz[:40]))
    (tmp_path / "other.csv").write_text(f"label,x,y,z\n{rows}\n")
    one = _settings(tmp_path, output=str(tmp_path / "one"), checkpoint_every=2)
    one["data"].append({"path": str(tmp_path / "other.npz"), "coordinates": [str(tmp_path / "other.csv")]})
    one["optimiser"] |= {"batch_size": 4, "accumulate": 2, "steps": 20}
    two = {**one, "output": str(tmp_path / "two"), "optimiser": {**one["optimiser"], "batch_size": 2}}
    config = _write(tmp_path, two)
    _cut(config, tmp_path / "two", processes=2)
    assert 2 <= _run(config, processes=2)["resumed_from"] < 20
    pretrain(PretrainConfig(**one))
    assert _curve(tmp_path / "two") == pytest.approx(_curve(tmp_path / "one"), rel=1e-4)
    with pytest.raises(ConfigError, match="of 2 processes, and this is one of 1"):
        pretrain(PretrainConfig(**two))


class _SecondOfTwo:
    """What the loop asks of a Fabric, in the second of two processes; the first one's state is given."""

    world_size, device = 2, torch.device("cpu")

    def __init__(self, rank: int, *states: torch.Tensor) -> None:
        self.global_rank, self.is_global_zero, self._states = rank, rank == 0, states

    def all_gather(self, _: torch.Tensor) -> torch.Tensor:
        return torch.stack(self._states)

    def barrier(self) -> None:
        pass


def test_every_process_goes_on_with_its_own_random_numbers(tmp_path: Path) -> None:
    config, model = PretrainConfig(**_settings(tmp_path)), torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    before = torch.get_rng_state()
    try:
        states = []
        for seed in (5, 6):
            torch.manual_seed(seed)
            states.append(torch.get_rng_state())
        loop._save(config, tmp_path, model, optimiser, 3, _SecondOfTwo(0, *states))
        for rank, state in enumerate(states):
            assert loop._resume(config, tmp_path, model, optimiser, _SecondOfTwo(rank)) == 3
            assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_rng_state(before)


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path: Path) -> None:
    curves = []
    for name, batch, accumulate in (("large", 4, 1), ("pieces", 1, 4)):
        settings = _settings(tmp_path, output=str(tmp_path / name))
        settings["optimiser"] |= {"batch_size": batch, "accumulate": accumulate}
        pretrain(PretrainConfig(**settings))
        curves.append(_curve(tmp_path / name))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_every_step_is_in_the_log_and_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pretrain(PretrainConfig(**_settings(tmp_path)))
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    assert {"loss", "learning_rate", "r2"} <= set(board.Tags()["scalars"])
    drawn = board.Scalars("loss")
    assert [e.step for e in drawn] == [1, 2, 3, 4, 5, 6]
    assert [e.value for e in drawn] == pytest.approx(_curve(tmp_path / "run"), rel=1e-6)
    assert [e.step for e in board.Scalars("r2")] == [3, 6]


def test_bf16_trains_close_to_fp32(tmp_path: Path) -> None:
    curves = []
    for precision in ("fp32", "bf16"):
        settings = _settings(tmp_path, output=str(tmp_path / precision))
        settings["optimiser"]["precision"] = precision
        pretrain(PretrainConfig(**settings))
        curves.append(_curve(tmp_path / precision))
    assert curves[0] == pytest.approx(curves[1], rel=0.05)
    assert curves[0] != pytest.approx(curves[1], rel=1e-6), "bf16 must be on"


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16"), (False, "fp32")])
def test_automatic_precision_is_bf16_where_it_gains(
    native: bool, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainlm_core.inference.devices.cpu_multiplies_bf16", lambda: native)
    settings = _settings(tmp_path)
    settings["optimiser"]["precision"] = "auto"
    assert loop.resolved_precision(PretrainConfig(**settings)) == wanted
    kernel = {k: v for k, v in settings.items() if k != "model"} | {"family": "kernel"}
    assert loop.resolved_precision(PretrainConfig(**kernel)) == "fp32"
    tune = {"task": "forecast", "output": "x", "device": "cpu", "optimiser": {"precision": "auto"}}
    data = [{"path": "x", "validation_rows": [1]}]
    for start, expected in (("default", "fp32"), ("13M", wanted), ("random:111m", wanted)):
        assert loop.resolved_precision(FinetuneConfig(**tune, data=data, start_from=start)) == expected


def test_other_settings_in_the_same_folder_are_named(tmp_path: Path) -> None:
    pretrain(PretrainConfig(**_settings(tmp_path)))
    with pytest.raises(ConfigError, match=r"run holds a run with other settings \(seed\)"):
        pretrain(PretrainConfig(**_settings(tmp_path, seed=1)))


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting optimiser\.momentum"):
        settings = _settings(tmp_path)
        settings["optimiser"]["momentum"] = 0.9
        read_config(_write(tmp_path, settings))


@pytest.mark.parametrize(
    ("text", "words"), [("a: [", "not readable YAML"), ("- 1", "no settings"), ("family: kernel", "wrong")]
)
def test_broken_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_config(path)


def test_learning_rate_warms_up_and_falls_to_zero(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    settings["optimiser"] = {"steps": 100, "warmup_steps": 10, "learning_rate": 1.0}
    config = PretrainConfig(**settings)
    rates = [learning_rate(s, config) for s in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[9] == pytest.approx(1.0) and rates[99] < 0.001
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


def test_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save({"step": 1}, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(ConfigError, match="disk full"):
        checkpoint.save({"step": 2}, tmp_path)
    state = checkpoint.load(tmp_path)
    assert state is not None and state["step"] == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [checkpoint.NAME]


def test_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / checkpoint.NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(tmp_path)


def test_log_is_trimmed_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.LOG_NAME
    path.write_text(
        "".join(json.dumps({"step": s, "loss": 1.0}) + "\n" for s in range(1, 6)) + '{"step": 6, "lo'
    )
    checkpoint.trim_log(tmp_path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
