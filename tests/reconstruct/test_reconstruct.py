"""Masked reconstruction of one window: what is hidden, who sees what, and what the scores are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import r2_score

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.recording import Recording
from brainlm_core.cli import main
from brainlm_core.features.reconstruct.analysis import ReconstructOptions, add_twin, reconstruct, sweep
from brainlm_core.features.reconstruct.figures import sentence
from brainlm_core.features.shared.controls import control_recording
from brainlm_core.inference.engine import Engine
from brainlm_core.scans.demo import demo_recordings


@pytest.fixture(scope="module")
def recording() -> Recording:
    return demo_recordings()[0]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load("default", device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("kind", "share", "expected"),
    [("random", 0.5, 0.5), ("future", 0.1, 0.1), ("parcels", 0.3, 0.3), ("network", 0.5, None)],
)
def test_the_asked_share_is_hidden(
    engine: Engine, recording: Recording, kind: str, share: float, expected: float | None
) -> None:
    result = reconstruct(engine, recording, ReconstructOptions(kind=kind, share=share, network="Default"))
    hidden = result.hidden
    if expected is not None:
        assert hidden.mean() == pytest.approx(expected, abs=0.01)
    if kind == "future":
        assert hidden[:, -20:].all() and not hidden[:, :-20].any()
    if kind == "parcels":
        assert set(hidden.sum(axis=1)) == {0, 200}
    if kind == "network":
        assert (hidden.all(axis=1) == (np.array(recording.parcellation.group) == "Default")).all()


def test_nobody_sees_what_is_hidden(engine: Engine, recording: Recording) -> None:
    options = ReconstructOptions(kind="parcels", share=0.2, seed=3)
    first = reconstruct(engine, recording, options)
    gone = first.hidden.all(axis=1)
    other = recording.signals.copy()
    other[gone] = np.random.default_rng(0).normal(size=other[gone].shape) + 50
    second = reconstruct(engine, replace(recording, signals=other), options)
    assert (second.hidden == first.hidden).all()
    for method, answer in first.answers.items():
        assert np.allclose(answer[gone], second.answers[method][gone], atol=1e-5), method


def test_scores_are_those_of_scikit_learn(engine: Engine, recording: Recording) -> None:
    result = reconstruct(engine, recording, ReconstructOptions(share=0.75))
    truth = result.observed[result.scored]
    for method, answer in result.answers.items():
        assert result.scores[method].r2 == pytest.approx(r2_score(truth, answer[result.scored]), abs=1e-6)
        assert result.scores[method].low <= result.scores[method].r2 <= result.scores[method].high
    parcel = int(np.argmax(result.scored.sum(axis=1)))
    own = result.scored[parcel]
    expected = r2_score(result.observed[parcel, own], result.answers["model"][parcel, own])
    assert result.parcel_r2[parcel] == pytest.approx(expected, abs=1e-6)
    assert result.best_baseline == "ridge"


def test_filled_keeps_what_was_visible(engine: Engine, recording: Recording) -> None:
    result = reconstruct(engine, recording)
    filled = result.filled("model")
    assert (filled[~result.hidden] == result.observed[~result.hidden]).all()
    assert (filled[result.hidden] == result.answers["model"][result.hidden]).all()


def test_the_twin_fills_in_the_same_holes_and_knows_less(engine: Engine, recording: Recording) -> None:
    twin = Engine.load("random:default", device="cpu", precision="fp32")
    result = reconstruct(engine, recording)
    assert "random_twin" not in result.scores
    whole = add_twin(result, twin)
    assert whole.scores["random_twin"].r2 < whole.scores["model"].r2 - 0.1
    assert whole.scores["model"] == result.scores["model"]


def test_a_model_with_coarser_tokens_hides_whole_tokens_and_says_so(recording: Recording) -> None:
    coarse = Engine.load("random:13m", device="cpu", precision="fp32")
    result = reconstruct(coarse, recording, ReconstructOptions(share=0.1, block=5))
    assert result.token_length == 20
    tokens = result.hidden.reshape(424, 10, 20)
    assert (tokens.all(axis=2) == tokens.any(axis=2)).all()
    assert any("tokens of 20 samples" in notice for notice in result.notices)
    assert "prior" not in result.answers


def test_hiding_more_is_harder(engine: Engine, recording: Recording) -> None:
    found = sweep(engine, recording, ReconstructOptions(), "share")
    assert found.values == (0.1, 0.25, 0.5, 0.75, 0.9)
    for method in ("model", "ridge"):
        assert found.r2[method][0] > found.r2[method][-1]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "nothing"},
        {"share": 0.0},
        {"share": float("nan")},
        {"block": 0},
        {"window": -1},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        ReconstructOptions(**settings)  # type: ignore[arg-type]


def test_windows_and_networks_that_do_not_exist_are_refused(engine: Engine, recording: Recording) -> None:
    with pytest.raises(ConfigError, match="windows"):
        reconstruct(engine, recording, ReconstructOptions(window=99))
    with pytest.raises(ConfigError, match="network"):
        reconstruct(engine, recording, ReconstructOptions(kind="network", network="Nowhere"))
    with pytest.raises(ConfigError, match="sweep"):
        sweep(engine, recording, ReconstructOptions(), "colour")


def test_a_recording_that_does_not_vary_is_refused(engine: Engine, recording: Recording) -> None:
    still = replace(recording, signals=np.ones_like(recording.signals))
    with pytest.raises(AnalysisError):
        reconstruct(engine, still)


def test_command_prints_every_method_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "demo", "-o", str(tmp_path), "--json", "--share", "0.5"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["r2"]) == {
        *("model", "random_twin", "no_scan", "prior", "mean", "interpolation", "ridge")
    }
    assert all(low <= facts["r2"][m] <= high for m, (low, high) in facts["ci95"].items())
    stored = json.loads((tmp_path / "reconstruction.json").read_text())
    assert stored["options"]["share"] == 0.5
    with np.load(tmp_path / "reconstruction.npz") as arrays:
        assert arrays["answer_model"].shape == arrays["observed"].shape == (424, 200)


def test_command_refuses_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconstruct", "demo", "-o", str(tmp_path), "--share", "2"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1


def test_a_person_stands_above_no_scan_and_noise_does_not(engine: Engine, recording: Recording) -> None:
    options = ReconstructOptions(kind="parcels", share=0.2)
    own = reconstruct(engine, recording, options)
    assert own.scores["model"].low > own.scores["no_scan"].high
    assert "Of no scan (phases shuffled) it explains 0" in sentence(own).replace(
        "-", ""
    ) and "as much" not in sentence(own)
    shuffled = reconstruct(engine, control_recording(recording, seed=7), options)
    assert shuffled.scores["model"].r2 == pytest.approx(shuffled.scores["no_scan"].r2, abs=0.02)
    assert own.to_dict()["r2"]["no_scan"] == own.scores["no_scan"].r2
    assert "no_scan" not in sweep(engine, recording, options, "block").r2


def test_where_no_scan_is_as_good_the_sentence_says_so(engine: Engine, recording: Recording) -> None:
    slow = control_recording(recording, seed=3)
    signals = slow.signals.cumsum(axis=1)  # noise so smooth that short holes fill themselves
    result = reconstruct(engine, replace(slow, signals=signals), ReconstructOptions(share=0.1, block=1))
    assert result.scores["no_scan"].r2 > 0.3
    assert ("explains as much" in sentence(result)) == (
        result.scores["model"].r2 <= result.scores["no_scan"].high
    )
