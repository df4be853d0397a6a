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
import pytest
import torch
import yaml

from brainlm_core.errors import CheckpointError, ConfigError
from brainlm_core.training import checkpoint
from brainlm_core.training.config import PretrainConfig, read_config
from brainlm_core.training.loop import learning_rate

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


def _run(config: Path, *, processes: int = 1, timeout: int = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "brainlm_core", "pretrain", str(config)]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [sys.executable, *launch, "-m", "brainlm_core", "pretrain", str(config)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env, check=False)


@pytest.mark.slow
def test_resume_after_kill_gives_the_same_weights(tmp_path: Path) -> None:
    straight = _settings(tmp_path, output=str(tmp_path / "straight"))
    straight["optimiser"]["steps"] = 12
    assert _run(_write(tmp_path, straight, "a.yaml")).returncode == 0
    cut = {**straight, "output": str(tmp_path / "cut")}
    config = _write(tmp_path, cut, "b.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "brainlm_core", "pretrain", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and (not log.is_file() or log.read_text().count("\n") < 4):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _run(config).returncode == 0
    assert _curve(tmp_path / "cut") == pytest.approx(_curve(tmp_path / "straight"), rel=1e-6)
    from safetensors.torch import load_file

    first, second = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("straight", "cut"))
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    one = _settings(tmp_path, output=str(tmp_path / "one"))
    one["optimiser"]["batch_size"] = 4
    two = _settings(tmp_path, output=str(tmp_path / "two"))
    assert _run(_write(tmp_path, one, "one.yaml")).returncode == 0
    done = _run(_write(tmp_path, two, "two.yaml"), processes=2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert _curve(tmp_path / "two") == pytest.approx(_curve(tmp_path / "one"), rel=1e-4)


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
