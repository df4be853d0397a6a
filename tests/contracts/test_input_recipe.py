"""The input recipe reaches what the model is given, from every command and every page."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brainlm_core import cli
from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.base.input_recipe import InputRecipe, ScalingStatistics
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.scaling import pooled_statistics, save_statistics
from brainlm_core.command_line import COMMANDS
from brainlm_core.command_line.model_arguments import recipe_of
from brainlm_core.inference.batches import Batches
from brainlm_core.inference.windows import Windows
from brainlm_core.report.contents import default_scenario
from brainlm_core.scans.demo import demo_recordings
from tests.app.conftest import Open
from tests.app.conftest import open_page as open_page

sys.path.insert(0, str(Path(__file__).parents[1] / "cohort"))
from cohort_tools import write_pack


def with_a_model() -> list[str]:
    """Commands that run a model, found by their arguments."""
    found = []
    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        importlib.import_module(COMMANDS[name]).add_arguments(parser)
        if any("--precision" in action.option_strings for action in parser._actions):
            found.append(name)
    return found


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Windows]:
    """Windows that reach a model, which then refuses them."""
    seen: list[Windows] = []

    def refuse(self: Batches, windows: Windows, *args: Any, **named: Any) -> None:
        seen.append(windows)
        raise EngineError("this model only looks at its input", "do not ask it")

    monkeypatch.setattr(Batches, "_run", refuse)
    return seen


def arguments(command: str, folder: Path) -> list[str]:
    """A cheap call of a command."""
    if command in ("embed", "evaluate"):
        pack = write_pack(folder, 2, n_volumes=220)
        given = [str(pack["path"]), "--coordinates", str(pack["coordinates"]), "--tr", "0.72"]
        end = ["-o", str(folder / "e.parquet"), "--workers", "0"]
        return [*given, *(end if command == "embed" else ["-o", str(folder / "e"), "--parts", "masked"])]
    out = ["-o", str(folder / ("r.html" if command == "report" else "out"))]
    if command == "perturb":
        recording = demo_recordings()[0]
        scenario = folder / "scenario.json"
        scenario.write_text(default_scenario(recording.parcellation, "random:default").to_json())
        out += ["--scenario", str(scenario)]
    return ["demo", *out]


@pytest.mark.parametrize("command", [c for c in with_a_model() if c != "bids"])
def test_every_command_gives_its_recipe_to_the_model(
    command: str, tmp_path: Path, given: list[Windows], capsys: pytest.CaptureFixture[str]
) -> None:
    call = [command, *arguments(command, tmp_path), "--model", "random:default", "--device", "cpu"]
    cli.main([*call, "--precision", "fp32"])
    cli.main([*call, "--precision", "fp32", "--gain", "3", "--scaling", "zscore"])
    kinds = [(w.scaling, w.gain) for w in given]
    assert ("recording", 1.0) in kinds and ("zscore", 3.0) in kinds
    first, last = given[0], next(w for w in given if w.gain == 3)
    assert np.isfinite(last.values).all() and last.values.std() != pytest.approx(first.values.std(), rel=0.05)
    capsys.readouterr()


def test_commands_with_a_model_are_found_and_all_have_the_options() -> None:
    commands = with_a_model()
    known = {"networks", "forecast", "perturb", "reconstruct", "report", "bids", "embed", "evaluate"}
    assert known <= {*commands}
    for name in commands:
        parser = argparse.ArgumentParser()
        importlib.import_module(COMMANDS[name]).add_arguments(parser)
        options = {o for action in parser._actions for o in action.option_strings}
        assert {"--scaling", "--gain", "--centre", "--scaling-statistics"} <= options, name


@pytest.mark.parametrize("page", ["networks.py", "forecast.py", "perturb.py", "model.py"])
def test_every_page_gives_the_recipe_to_the_model(page: str, open_page: Open, given: list[Windows]) -> None:
    tab = open_page()
    tab.who.change_model(replace(tab.who.model, recipe=InputRecipe("zscore", gain=3.0, chosen_by="hand")))
    tab.app.switch_page(f"../pages/{page}")
    tab.app.run()
    until = time.monotonic() + 60
    while not given and time.monotonic() < until:
        time.sleep(0.05)
    assert given and {(w.scaling, w.gain) for w in given} == {("zscore", 3.0)}
    tab.app.run()
    assert "Scaling: zscore × 3" in tab.words()


def test_a_cohort_scaled_over_itself(tmp_path: Path) -> None:
    cohort = open_cohort(**write_pack(tmp_path, 4, n_volumes=220))
    statistics = pooled_statistics(cohort)
    centred = [s - s.mean(axis=1, keepdims=True) for s in (cohort.recording(i).signals for i in range(4))]
    low, median, high = np.percentile(np.concatenate(centred, axis=1), (25, 50, 75), axis=1)
    assert np.allclose(statistics.median, median, atol=1e-5)
    assert np.allclose(statistics.iqr, high - low, atol=1e-5)
    path = save_statistics(statistics, tmp_path / "s.json")
    assert ScalingStatistics.read(path) == statistics
    from brainlm_core.inference.windows import make_windows
    from brainlm_core.model.base import InputSpec

    spec = InputSpec(None, 200, 20, None, recipe=InputRecipe("cohort", gain=2.0, statistics=statistics))
    windows = make_windows(cohort.recording(1), spec)
    expected = 2 * (centred[1] - median[:, None]) / (high - low)[:, None]
    assert np.allclose(windows.values[0], expected[:, :200], atol=1e-4)
    assert np.allclose(
        windows.to_source_units(windows.values[0]), cohort.recording(1).signals[:, :200], atol=1e-4
    )


def test_bad_recipes_are_one_sentence(tmp_path: Path) -> None:
    def asked(**changes: Any) -> argparse.Namespace:
        usual = {"scaling": "recording", "centre": "own", "gain": 1.0, "scaling_statistics": None}
        return argparse.Namespace(**{**usual, **changes})

    bad = tmp_path / "bad.json"
    with pytest.raises(ConfigError, match="needs the statistics"):
        recipe_of(asked(scaling="cohort"))
    with pytest.raises(ConfigError, match="goes with --scaling cohort"):
        recipe_of(asked(scaling_statistics=str(bad)))
    with pytest.raises(ConfigError, match="cannot be read"):
        recipe_of(asked(scaling="cohort", scaling_statistics=str(bad)))
    with pytest.raises(ConfigError, match="gain"):
        recipe_of(asked(gain=float("nan")))
    few = {"parcellation": "x", "names": ["a"], "median": [0], "iqr": [-1], "n_recordings": 1, "n_samples": 9}
    for content in ("{}", "[", "[]", json.dumps({**few, "source": "c"}), json.dumps(few)):
        bad.write_text(content)
        with pytest.raises(ConfigError):
            recipe_of(asked(scaling="cohort", scaling_statistics=str(bad)))
