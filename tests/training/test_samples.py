"""What a training step sees: every kind of mask, two parcellations in one batch, the model's own interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.model.base import InputSpec
from brainlm_core.training.config import MASK_KINDS, PretrainConfig
from brainlm_core.training.masked import MaskedTask
from brainlm_core.training.samples import Sampler, Series, load_series, networks_of, open_data
from tests.training.test_pretrain import _settings

T, PATCH, N_DRAWS = 200, 20, 60
SPEC = InputSpec(n_parcels=None, n_timepoints=T, patch_length=PATCH, tr_s=0.72)


def _cortex(n: int = 300) -> Series:
    cortex = a424_cortex()
    values = np.random.default_rng(0).normal(size=(360, n)).astype(np.float32)
    return Series(values, cortex, torch.from_numpy(cortex.xyz.copy()))


def _sampler(kind: str, folder: Path) -> Sampler:
    config = PretrainConfig(**_settings(folder, masks={kind: 1}))
    return Sampler([([_cortex()], 1.0)], config, SPEC)


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_every_kind_of_mask_hides_what_its_name_says(kind: str, tmp_path: Path) -> None:
    sampler, cortex = _sampler(kind, tmp_path), a424_cortex()
    seen = set()
    for number in range(N_DRAWS):
        hidden = sampler[number].hidden.numpy()
        tokens = hidden.reshape(360, T // PATCH, PATCH)
        assert (tokens.all(axis=2) == tokens.any(axis=2)).all(), "a token is hidden whole or not at all"
        if kind.startswith("random"):
            share = int(kind.removeprefix("random")) / 100
            assert tokens.all(axis=2).mean() == pytest.approx(share, abs=1 / 3600)
        elif kind == "future":
            assert hidden[:, -20:].all() and not hidden[:, :-20].any()
        else:
            rows = hidden.all(axis=1)
            assert (rows == hidden.any(axis=1)).all()
            networks = {cortex.yeo7[i] for i in np.flatnonzero(rows)}
            if kind == "network":
                (network,) = networks
                assert rows.sum() == sum(n == network for n in cortex.yeo7)
            else:
                assert rows.sum() == 36
        seen.add(hidden.tobytes())
    assert len(seen) == (
        1 if kind == "future" else len(networks_of(cortex)) if kind == "network" else N_DRAWS
    )


def test_all_kinds_are_drawn_as_often_as_asked_for(tmp_path: Path) -> None:
    config = PretrainConfig(**_settings(tmp_path, masks={"random20": 3, "future": 1, "parcel": 0}))
    sampler = Sampler([([_cortex()], 1.0)], config, SPEC)
    future = sum(bool(sampler[i].hidden[:, -20:].all()) for i in range(200))
    assert 30 <= future <= 70


def test_a_sample_depends_on_its_number_alone(tmp_path: Path) -> None:
    one, two = _sampler("random75", tmp_path), _sampler("random75", tmp_path)
    backwards = [two[i] for i in reversed(range(5))][::-1]
    for number, other in enumerate(backwards):
        assert torch.equal(one[number].signal, other.signal)
        assert torch.equal(one[number].hidden, other.hidden)


def _two_parcellations(folder: Path, **changes: Any) -> dict[str, Any]:
    settings = _settings(folder, **changes)
    rng = np.random.default_rng(1)
    np.savez(
        folder / "cortex.npz",
        signals=rng.normal(size=(600, 360)).astype(np.float32),
        offsets=np.array([0, 300, 600]),
        tr_s=0.72,
    )
    settings["data"].append({"path": str(folder / "cortex.npz"), "validation_rows": [2]})
    return settings


def test_a_batch_mixes_parcellations_and_weighs_every_sample_the_same(tmp_path: Path) -> None:
    config = PretrainConfig(**_two_parcellations(tmp_path))
    told: list[str] = []
    task = MaskedTask(config, Fabric(accelerator="cpu", devices=1), told.append)
    batch = task.batch(0, 12, torch.device("cpu"))
    assert sorted(len(xyz) for _, _, xyz in batch) == [8, 360]
    assert sum(len(signal) for signal, _, _ in batch) == 12
    task.model.eval()
    with torch.no_grad():
        together = float(task.loss(batch))
        alone = [float(task.loss(task.batch(i, 1, torch.device("cpu")))) for i in range(12)]
    assert together == pytest.approx(np.mean(alone), rel=1e-4)


def test_a_network_mask_without_networks_is_said(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    (tmp_path / "xyz.csv").write_text(
        "label,x,y,z\n" + "\n".join(f"{i},{90 + i},{90 + i},{95 + i}" for i in range(8)) + "\n"
    )
    told: list[str] = []
    MaskedTask(PretrainConfig(**settings), Fabric(accelerator="cpu", devices=1), told.append)
    assert any("single parcels are hidden instead" in t for t in told)


def test_recordings_are_brought_to_the_interval_of_the_model(tmp_path: Path) -> None:
    n, times = 400, (0.72, 2.0)
    waves = [np.sin(2 * np.pi * 0.05 * np.arange(n) * tr) for tr in times]
    rng = np.random.default_rng(0)
    pieces = [w[:, None] + 0.01 * rng.normal(size=(n, 424)) for w in waves]
    np.savez(tmp_path / "two.npz", signals=np.concatenate(pieces).astype(np.float32), offsets=[0, n, 2 * n])
    (tmp_path / "people.csv").write_text("subject_id,tr_s\na,0.72\nb,2.0\n")
    config = PretrainConfig(
        family="parcel_token",
        output=str(tmp_path / "run"),
        data=[{"path": str(tmp_path / "two.npz"), "phenotypes": str(tmp_path / "people.csv")}],
    )
    cohort, rows, _ = open_data(config.data[0])
    series = load_series(cohort, rows, SPEC)
    assert len(series[0].values) == len(a424().xyz)
    for one, tr in zip(series, times, strict=True):
        length = one.values.shape[1]
        assert length == pytest.approx(n * tr / 0.72, abs=2)
        power = np.abs(np.fft.rfft(one.values.mean(axis=0)))
        assert np.fft.rfftfreq(length, 0.72)[power.argmax()] == pytest.approx(0.05, abs=0.004)
