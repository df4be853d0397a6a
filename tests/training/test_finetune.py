"""Fine-tuning: people and sites apart, exact resume, a head that learns what is there and loads again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from brainlm_core.base.atlas import a424, from_coordinates
from brainlm_core.base.errors import BrainLMError, CheckpointError, ConfigError
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.cli import main
from brainlm_core.inference import weights
from brainlm_core.inference.windows import make_windows
from brainlm_core.model.checkpoints import load_folder, random_model, save_folder
from brainlm_core.model.config import UKB_TR_S
from brainlm_core.training import checkpoint
from brainlm_core.training.clinical import ClinicalHead, predict
from brainlm_core.training.config import FinetuneConfig, read_settings
from brainlm_core.training.finetune import finetune
from tests.model.tiny_models import fine_tuned
from tests.training.test_pretrain import MODEL

N, P, T = 60, 8, 120
IMAGE = {
    "hidden_size": 16,
    "decoder_hidden_size": 16,
    "num_hidden_layers": 1,
    "decoder_num_hidden_layers": 1,
    "num_attention_heads": 2,
    "decoder_num_attention_heads": 2,
    "intermediate_size": 32,
    "decoder_intermediate_size": 32,
    "patch_size": 16,
}


def _cohort(folder: Path) -> dict[str, Any]:
    """Recordings whose parcels are the noisier the older the person; four sites, one recording a person."""
    rng = np.random.default_rng(0)
    age = rng.uniform(10, 40, N)
    pieces = []
    for years in age:
        shared = np.cumsum(rng.normal(size=(T, 1)), axis=0)
        shared = (shared - shared.mean()) / shared.std()
        pieces.append(shared + (years / 20) ** 2 * rng.normal(size=(T, P)))
    np.savez(
        folder / "pack.npz", signals=np.concatenate(pieces).astype(np.float32), offsets=np.arange(N + 1) * T
    )
    rows = "\n".join(f"{i},{-40 + 10 * i},{-20 + 9 * i},{5 * i}" for i in range(P))
    (folder / "xyz.csv").write_text("label,x,y,z\n" + rows + "\n")
    pd.DataFrame(
        {
            "subject_id": [f"s{i}" for i in range(N)],
            "site": ["ABCD"[i % 4] for i in range(N)],
            "age_years": age,
            "group": np.where(age > 25, "old", "young"),
            "same": 1,
        }
    ).to_csv(folder / "people.csv", index=False)
    return {
        "path": str(folder / "pack.npz"),
        "coordinates": [str(folder / "xyz.csv")],
        "tr_s": 2.0,
        "phenotypes": str(folder / "people.csv"),
        "validation_where": "site=D",
    }


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    save_folder(random_model(MODEL, seed=0), tmp_path / "start")
    return {
        "task": "regression",
        "target": "age_years",
        "start_from": str(tmp_path / "start"),
        "output": str(tmp_path / "run"),
        "data": [_cohort(tmp_path)],
        "optimiser": {"steps": 4, "batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 1},
        "checkpoint_every": 2,
        "validate_every": 4,
        "device": "cpu",
        "threads": 1,
    }


def test_head_is_the_published_one() -> None:
    head = ClinicalHead(12)
    shapes = [tuple(p.shape) for p in head.layers.parameters()]
    assert shapes == [(6, 12), (6,), (6, 6), (6,), (1, 6), (1,)]


def test_a_planted_age_is_learnt_on_a_site_never_seen(settings: dict[str, Any]) -> None:
    settings |= {"start_from": "default", "train": "head", "windows_per_recording": 1, "validate_every": 60}
    settings |= {"optimiser": {"steps": 60, "batch_size": 8, "learning_rate": 3e-3, "warmup_steps": 5}}
    scores = finetune(FinetuneConfig(**settings)).validation
    assert scores["r2"] > 0.3 > scores["dummy_r2"]
    assert scores["mae"] < scores["dummy_mae"]


def test_two_classes_and_a_frozen_model(settings: dict[str, Any], tmp_path: Path) -> None:
    settings |= {"task": "binary", "target": "group", "train": "head"}
    result = finetune(FinetuneConfig(**settings))
    assert set(result.validation) == {"auc", "balanced_accuracy", "dummy_auc"}
    before = weights.load(str(tmp_path / "start")).model.state_dict()
    after = weights.load(str(result.folder / "model")).model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    facts = json.loads((result.folder / "model" / "head.json").read_text())
    assert facts["classes"] == ["old", "young"]
    assert facts["n_train"] == 45 and facts["n_held_back"] == 15


def test_training_all_changes_the_model(settings: dict[str, Any], tmp_path: Path) -> None:
    result = finetune(FinetuneConfig(**settings))
    before = weights.load(str(tmp_path / "start")).model.state_dict()
    after = weights.load(str(result.folder / "model")).model.state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)


def test_a_cut_run_goes_on_to_the_same_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    straight = finetune(FinetuneConfig(**settings))
    cut = {**settings, "output": str(tmp_path / "cut")}

    def stop(sentence: str) -> None:
        if sentence.startswith("step 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(FinetuneConfig(**cut), stop)
    state = checkpoint.load(tmp_path / "cut")
    assert state is not None and state["step"] == 2
    again = finetune(FinetuneConfig(**cut))
    assert again.resumed_from == 2
    one, two = (weights.load(str(r.folder / "model")).model.state_dict() for r in (straight, again))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert again.validation == pytest.approx(straight.validation)


def test_the_head_predicts_a_recording_and_says_what_it_is_worth(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = finetune(FinetuneConfig(**settings))
    xyz = np.genfromtxt(tmp_path / "xyz.csv", delimiter=",", skip_header=1)[:, 1:]
    signals = np.random.default_rng(1).normal(size=(P, T)).astype(np.float32)
    place = from_coordinates("eight", tuple(f"p{i}" for i in range(P)), xyz)
    recording = Recording(signals, 2.0, place, Provenance("new"))
    found = predict(result.folder / "model", recording)
    assert np.isfinite(found.value) and found.n_windows == 9  # 240 s in windows of 40 samples at 0.735 s
    assert found.scores == pytest.approx(result.validation)
    recording.save(tmp_path / "new.npz")
    assert main(["predict", str(tmp_path / "new.npz"), "--head", str(result.folder / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["value"] == pytest.approx(found.value)
    with pytest.raises(CheckpointError, match="no head"):
        predict(tmp_path / "start", recording)
    (result.folder / "model" / "head.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="damaged"):
        predict(result.folder / "model", recording)


def test_forecast_hides_the_end_alone_and_the_result_is_a_model(settings: dict[str, Any]) -> None:
    settings = {k: v for k, v in settings.items() if k != "target"} | {"task": "forecast"}
    result = finetune(FinetuneConfig(**settings))
    assert "r2" in result.validation
    assert weights.load(str(result.folder / "model")).model.family == "parcel_token"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"validation": {"validation_rows": [1, 2]}}, "on both sides of the split"),
        ({"target": "nowhere"}, "no column 'nowhere'"),
        ({"target": "group"}, "holds words, not numbers"),
        ({"task": "binary", "target": "age_years"}, "two classes are wanted"),
        ({"start_from": "default"}, "cannot be trained through"),
        ({"validation": {"validation_rows": [1], "site": ""}}, "too few to test on"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_starts(
    settings: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    change = dict(change)
    if (split := change.pop("validation", None)) is not None:
        settings["site"] = split.pop("site", "site")
        settings["data"] = [{k: v for k, v in settings["data"][0].items() if k != "validation_where"} | split]
    with pytest.raises(ConfigError, match=words):
        finetune(FinetuneConfig(**(settings | change)))
    assert not Path(settings["output"]).exists()


def test_of_the_default_model_the_gates_learn_to_forecast(settings: dict[str, Any], tmp_path: Path) -> None:
    settings = {k: v for k, v in settings.items() if k != "target"} | {"task": "forecast"}
    settings |= {"start_from": "default", "validation_windows": 2}
    settings["optimiser"] = {"steps": 2, "batch_size": 1, "learning_rate": 0.01, "warmup_steps": 0}
    result = finetune(FinetuneConfig(**settings))
    assert {"r2", "prior_r2"} <= set(result.validation)
    before = weights.load("default").model.state_dict()
    after = weights.load(str(result.folder / "model")).model.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed and all(k.startswith("gates.") for k in changed)


def test_a_person_or_a_site_on_both_sides_of_two_cohorts_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    second = {**_cohort(other), "validation_where": "site=A"}
    for task in ("regression", "forecast"):
        target = {"task": task, "target": "age_years" if task == "regression" else None}
        both = settings | target | {"data": [settings["data"][0], second]}
        with pytest.raises(ConfigError, match="trained on in one cohort and held back in another"):
            finetune(FinetuneConfig(**both))
        people = pd.read_csv(other / "people.csv", dtype={"subject_id": str})
        people["subject_id"] = [f"t{i}" for i in range(N)]
        people.to_csv(other / "people.csv", index=False)
        with pytest.raises(ConfigError, match="people of site A are on both sides"):
            finetune(FinetuneConfig(**both))
        _cohort(other)


@pytest.mark.parametrize("task", ["forecast", "regression"])
def test_published_shapes_are_fine_tuned(task: str, tmp_path: Path) -> None:
    """A small model of the published image family, saved as the published ones are."""
    save_folder(random_model(IMAGE, seed=0), tmp_path / "image")
    rng = np.random.default_rng(0)
    n = 42
    signals = rng.normal(size=(n * 220, 424)).astype(np.float32)
    np.savez(tmp_path / "p.npz", signals=signals, offsets=np.arange(n + 1) * 220, tr_s=UKB_TR_S)
    people = {
        "subject_id": range(n),
        "site": ["AB"[i % 2] for i in range(n)],
        "age_years": rng.normal(size=n),
    }
    pd.DataFrame(people).to_csv(tmp_path / "people.csv", index=False)
    config = FinetuneConfig(
        task=task,
        target=None if task == "forecast" else "age_years",
        start_from=str(tmp_path / "image"),
        output=str(tmp_path / "run"),
        data=[
            {
                "path": str(tmp_path / "p.npz"),
                "phenotypes": str(tmp_path / "people.csv"),
                "validation_rows": list(range(2, n + 1, 2)),
            }
        ],
        optimiser={"steps": 2, "batch_size": 2, "warmup_steps": 0},
        windows_per_recording=1,
        validation_windows=2,
        device="cpu",
        threads=1,
    )
    result = finetune(config)
    after = weights.load(str(result.folder / "model")).model
    assert after.family == "image_token"
    before = weights.load(str(tmp_path / "image")).model.state_dict()
    assert any(not torch.equal(before[k], v) for k, v in after.state_dict().items())
    assert (result.folder / "model" / "head.json").is_file() == (task == "regression")


@pytest.mark.parametrize(
    "change",
    [{"colour": "red"}, {"task": "dream"}, {"target": None}, {"data": []}, {"task": "forecast"}],
)
def test_bad_settings_are_one_sentence(
    settings: dict[str, Any], change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(settings | change))
    with pytest.raises(BrainLMError):
        read_settings(path, FinetuneConfig)
    assert main(["finetune", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1


def test_nan_is_said_before_anything_is_trained(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(tmp_path / "pack.npz") as store:
        signals, offsets = store["signals"], store["offsets"]
    signals[7 * T + 3, 2] = np.nan
    np.savez(tmp_path / "pack.npz", signals=signals, offsets=offsets)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["finetune", str(tmp_path / "run.yaml")]) == 2
    said = capsys.readouterr().err
    assert "recording s7 of pack.npz holds NaN" in said and said.count("\n") == 1
    assert not Path(settings["output"]).exists()


def test_a_split_without_anybody_held_back_is_refused(settings: dict[str, Any]) -> None:
    settings["data"][0].pop("validation_where")
    with pytest.raises(ValueError, match="nothing is held back"):
        FinetuneConfig(**settings)


@pytest.mark.parametrize("name", ["finetune-forecast.yaml", "finetune-age.yaml"])
def test_example_settings_are_valid(root: Path, name: str) -> None:
    read_settings(root / "configs" / name, FinetuneConfig)


def test_the_head_inside_a_published_file_answers(tmp_path: Path) -> None:
    signals = np.random.default_rng(2).normal(size=(424, 400)).astype(np.float32)
    recording = Recording(signals, UKB_TR_S, a424(), Provenance("test"))
    state = fine_tuned(tmp_path / "tuned")
    told = predict(tmp_path / "tuned", recording)
    model = load_folder(tmp_path / "tuned")
    windows = make_windows(recording, model.spec)
    xyz = torch.from_numpy(windows.xyz.copy())
    x = model.encode(torch.from_numpy(windows.values.copy()), xyz).cls.detach()
    for layer in ("lin1", "lin2", "lin3"):
        x = x @ state[f"mlp_pred_head.{layer}.weight"].T + state[f"mlp_pred_head.{layer}.bias"]
        x = torch.relu(x) if layer != "lin3" else x
    assert told.value == pytest.approx(float(x.mean()), rel=1e-5)
    assert "not in the file" in told.target
    fine_tuned(tmp_path / "yes-no", loss_fn="binary_cross_entropy")
    chance = float(torch.sigmoid(x.mean()))
    assert predict(tmp_path / "yes-no", recording).value == pytest.approx(chance, rel=1e-5)
    fine_tuned(tmp_path / "pooled", use_mean_pooling=True)
    with pytest.raises(CheckpointError, match="reads the mean over all tokens"):
        predict(tmp_path / "pooled", recording)
    fine_tuned(tmp_path / "half", drop="mlp_pred_head.lin2.bias")
    with pytest.raises(CheckpointError, match=r"lacks mlp_pred_head\.lin2\.bias"):
        predict(tmp_path / "half", recording)
