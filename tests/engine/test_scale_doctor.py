"""The input-scale doctor finds a planted scale."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_engines import recording

from brainlm_core.analyses.scale_doctor import GAINS, examine
from brainlm_core.engine_results import Predicted
from brainlm_core.errors import AnalysisError, ConfigError
from brainlm_core.model.base import InputSpec
from brainlm_core.windows import Windows, make_windows


@dataclass
class Picky:
    """An engine that only understands signals of one size."""

    liked_std: float

    def __post_init__(self) -> None:
        self.spec = InputSpec(n_parcels=None, tr_s=0.735)
        self.info = SimpleNamespace(model_name="picky", is_random=False)
        self.masks: list[np.ndarray] = []

    def windows(self, r: Any, **settings: Any) -> Windows:
        return make_windows(r, self.spec, **settings)

    def reconstruct(self, windows: Windows, hidden: np.ndarray, **_: Any) -> Predicted:
        self.masks.append(hidden)
        size = max(float(windows.values.std()), 1e-9)
        fit = np.exp(-4 * np.log(size / self.liked_std) ** 2)
        return Predicted((windows.values * fit).astype(np.float32), hidden)


@pytest.mark.parametrize("gain", [0.25, 1.0, 2.83])
def test_finds_the_planted_gain(gain: float) -> None:
    r = recording(400)
    natural = make_windows(r, InputSpec(n_parcels=None, tr_s=0.735)).values.std()
    engine = Picky(float(natural * gain))
    result = examine(engine, r)  # type: ignore[arg-type]
    assert result.best_gain == gain
    assert result.best_r2 == pytest.approx(1, abs=1e-3)
    assert result.outside_training == (gain in (0.25, 2.83))
    assert ("outside" in result.sentence) == result.outside_training
    assert all(np.array_equal(m, engine.masks[0]) for m in engine.masks)
    assert 0.15 < engine.masks[0].mean() < 0.25


def test_a_model_that_understands_nothing_is_outside() -> None:
    result = examine(Picky(1e9), recording(400))  # type: ignore[arg-type]
    assert result.outside_training
    assert "does not understand this scan" in result.sentence


def test_saved_and_serialised(tmp_path: Path) -> None:
    result = examine(Picky(1.0), recording(400), gains=(0.5, 2.0))  # type: ignore[arg-type]
    assert result.gains == (0.5, 1.0, 2.0)
    as_json, as_csv = result.save(tmp_path / "out")
    assert json.loads(as_json.read_text())["gains"] == [0.5, 1.0, 2.0]
    with as_csv.open(newline="") as stream:
        assert [row[0] for row in csv.reader(stream)] == ["gain", "0.5", "1.0", "2.0"]


def test_bad_settings() -> None:
    with pytest.raises(ConfigError):
        examine(Picky(1.0), recording(400), gains=(-1.0,))  # type: ignore[arg-type]
    with pytest.raises(AnalysisError, match="nothing varies"):
        examine(Picky(1.0), recording(400, flat=12))  # type: ignore[arg-type]
    assert 1.0 in GAINS
