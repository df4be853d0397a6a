"""The input-scale doctor finds a planted scale, and nothing where there is nothing."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_engines import recording

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.input_recipe import InputRecipe, ScalingStatistics
from brainlm_core.base.recording import Recording
from brainlm_core.base.surrogates import shuffled_phases
from brainlm_core.features.input_scale.doctor import GAINS, examine
from brainlm_core.inference.results import Predicted
from brainlm_core.inference.windows import Windows, make_windows
from brainlm_core.model.base import InputSpec


@dataclass
class Picky:
    """An engine that fills in from the other parcels, the better the nearer signals are to one size."""

    liked_std: float
    name: str = "picky"

    def __post_init__(self) -> None:
        self.spec = InputSpec(n_parcels=None, tr_s=0.735)
        self.info = SimpleNamespace(model_name=self.name, is_random=False)
        self.masks: list[np.ndarray] = []

    def reconstruct(self, windows: Windows, hidden: np.ndarray, **_: Any) -> Predicted:
        self.masks.append(hidden)
        size = max(float(windows.values.std()), 1e-9)
        fit = np.exp(-4 * np.log(size / self.liked_std) ** 2)
        visible = np.where(hidden, np.nan, windows.values)
        with np.errstate(all="ignore"):
            others = np.nan_to_num(np.nanmean(visible, axis=1, keepdims=True))
        return Predicted((others * np.ones_like(windows.values) * fit).astype(np.float32), hidden)


def alike(seed: int = 0) -> Recording:
    """A recording whose parcels share most of what they do."""
    base = recording(400, seed=seed)
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(400)
    signals = 1000 + 20 * (shared + 0.3 * rng.standard_normal((base.n_parcels, 400)))
    return replace(base, signals=signals.astype(np.float32))


@pytest.mark.parametrize("gain", [0.25, 1.0, 2.83])
def test_finds_the_planted_gain(gain: float) -> None:
    r = alike()
    natural = make_windows(r, InputSpec(n_parcels=None, tr_s=0.735)).values.std()
    engine = Picky(float(natural * gain))
    result = examine(engine, r)  # type: ignore[arg-type]
    assert result.best_gain == gain
    assert result.recipe == InputRecipe(gain=gain, chosen_by="doctor")
    assert 0.8 < result.best_r2 < 1
    assert result.shuffled_r2 < 0.1 and result.across_r2 > 0.7
    assert result.outside_training == (gain in (0.25, 2.83))
    assert ("outside" in result.sentence) == result.outside_training
    assert all(np.array_equal(m, engine.masks[0]) for m in engine.masks)
    assert 0.15 < engine.masks[0].mean() < 0.25


def test_signals_that_share_nothing_are_said_to_tell_nothing() -> None:
    r = alike()
    shuffled = replace(r, signals=shuffled_phases(r.signals, np.random.default_rng(5)))
    natural = make_windows(r, InputSpec(n_parcels=None, tr_s=0.735)).values.std()
    result = examine(Picky(float(natural)), shuffled)  # type: ignore[arg-type]
    assert result.across_r2 < 0.05
    assert "explains nothing here" in result.sentence and result.outside_training


def test_a_model_that_understands_nothing_is_outside() -> None:
    result = examine(Picky(1e9), alike())  # type: ignore[arg-type]
    assert result.outside_training
    assert "explains nothing here with any recipe" in result.sentence


def test_kinds_that_apply_are_tried_and_others_named() -> None:
    r = alike()
    result = examine(Picky(1.0, "13m"), r)  # type: ignore[arg-type]
    assert [c.kind for c in result.curves] == ["recording"]
    assert set(result.not_tried) == {"cohort", "none", "ukb1000"}
    assert result.logged_r2 == 0.46
    engine = Picky(1.0)
    flat = ScalingStatistics("test", r.parcellation.names, (0.0,) * 12, (400.0,) * 12, 3, 900, "three")
    engine.spec = replace(engine.spec, recipe=InputRecipe("cohort", statistics=flat))
    small = replace(r, signals=(r.signals / 20).astype(np.float32))
    result = examine(engine, small)  # type: ignore[arg-type]
    assert [c.kind for c in result.curves] == ["recording", "cohort", "none"]
    assert set(result.not_tried) == {"ukb1000"}


def test_saved_and_serialised(tmp_path: Path) -> None:
    result = examine(Picky(1.0), alike(), gains=(0.5, 2.0))  # type: ignore[arg-type]
    as_json, as_csv = result.save(tmp_path / "out")
    facts = json.loads(as_json.read_text())
    assert facts["curves"][0]["gains"] == [0.5, 1.0, 2.0]
    assert facts["recipe"]["kind"] == "recording" and facts["recipe"]["chosen_by"] == "doctor"
    with as_csv.open(newline="") as stream:
        assert [row[:2] for row in csv.reader(stream)][1] == ["recording", "0.5"]


def test_bad_settings() -> None:
    with pytest.raises(ConfigError):
        examine(Picky(1.0), recording(400), gains=(-1.0,))  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="nothing varies"):
        examine(Picky(1.0), recording(400, flat=12))  # type: ignore[arg-type]
    assert 1.0 in GAINS
