"""`brainlm pretrain` and `finetune` on the command line: bad input before anything starts, and the bar."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from brainlm_core.cli import main
from brainlm_core.commands.pretrain import TrainingProgress
from brainlm_core.model.checkpoints import random_model, save_folder
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.training.loop import Step
from tests.training.test_pretrain import MODEL, _settings

KERNEL = KernelConfig(
    bank_sizes=(30, 20), n_timepoints=40, patch_length=10, n_blocks=4, n_regimes=2, n_landmarks=10, width=80
)


def _unknown_key(settings: dict[str, Any], _: Path) -> None:
    settings["optimiser"]["momentum"] = 0.9


def _one_tr_missing(settings: dict[str, Any], folder: Path) -> None:
    (folder / "people.csv").write_text("subject_id,tr_s\na,2.0\nb,0.8\nc,\n")
    settings["data"][0] |= {"tr_s": None, "phenotypes": str(folder / "people.csv")}


def _nan(settings: dict[str, Any], folder: Path, recording: int = 1) -> None:
    path = Path(settings["data"][0]["path"])
    with np.load(path) as store:
        signals, offsets = store["signals"], store["offsets"]
    signals[offsets[recording] + 5, 3] = np.nan
    np.savez(path, signals=signals, offsets=offsets)


def _nan_held_back(settings: dict[str, Any], folder: Path) -> None:
    _nan(settings, folder, recording=2)


def _other_architecture(settings: dict[str, Any], folder: Path) -> None:
    save_folder(random_model(KERNEL.to_dict(), 0), folder / "kernel")
    settings.pop("model")
    settings["start_from"] = str(folder / "kernel")


def _weights_of_another_shape(settings: dict[str, Any], folder: Path) -> None:
    save_folder(random_model(MODEL, 0), folder / "one")
    save_folder(random_model({**MODEL, "intermediate_size": 64}, 0), folder / "two")
    (folder / "one" / "model.safetensors").write_bytes((folder / "two" / "model.safetensors").read_bytes())
    settings.pop("model")
    settings["start_from"] = str(folder / "one")


def _two_architectures(settings: dict[str, Any], folder: Path) -> None:
    save_folder(random_model(MODEL, 0), folder / "one")
    settings["start_from"] = str(folder / "one")


def _gates_for_a_family_without(settings: dict[str, Any], _: Path) -> None:
    settings["gates_from"] = "default"


def _no_such_mask(settings: dict[str, Any], _: Path) -> None:
    settings["masks"] = {"random50": 1}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_unknown_key, "unknown setting optimiser.momentum"),
        (_one_tr_missing, "1 of 3 recordings of pack.npz have no repetition time"),
        (_nan, "recording 2 of pack.npz holds NaN"),
        (_nan_held_back, "recording 3 of pack.npz holds NaN"),
        (_other_architecture, "is of the family kernel, the settings say parcel_token"),
        (_weights_of_another_shape, "have another shape than config.json says"),
        (_two_architectures, "start_from brings its own architecture"),
        (_gates_for_a_family_without, "has no gates"),
        (_no_such_mask, "unknown mask random50"),
    ],
)
def test_bad_input_is_one_sentence_before_training_starts(
    spoil: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _settings(tmp_path)
    spoil(settings, tmp_path)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["pretrain", str(tmp_path / "run.yaml")]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and "step" not in said.split(words)[0], said
    assert not Path(settings["output"]).exists()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_the_time_left() -> None:
    stream = _Terminal()
    with TrainingProgress(stream) as progress:
        progress.say("Fitting")
        for done in (3, 4):  # a run that goes on
            progress.step(Step(done, 8, 0.5, 12.0))
        progress.say("Aside")
    shown = stream.getvalue()
    assert "Fitting\n" in shown and "Aside\n" in shown
    last = next(part for part in shown.split("\r") if "4/8" in part)
    assert "50%" in last and "loss 0.5000" in last and "<" in last, "elapsed<left"


def test_a_log_gets_a_line_a_step() -> None:
    stream = io.StringIO()
    with TrainingProgress(stream) as progress:
        progress.step(Step(1, 2, 0.25, 30.0))
        progress.step(Step(2, 2, 0.2, 0.0))
    assert stream.getvalue().splitlines() == [
        "step 1 of 2, loss 0.2500, 30 s left",
        "step 2 of 2, loss 0.2000, 0 s left",
    ]
