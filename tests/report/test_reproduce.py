"""Every figure's script makes the same figure again, from the core alone."""

from __future__ import annotations

import html
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.base.slices import Slice, Slices
from brainlm_core.cohort.files import write_embeddings
from brainlm_core.cohort.reference import reference_cohort, with_connectivity
from brainlm_core.features.attribution.analysis import attribute
from brainlm_core.features.attribution.direction import axis_direction
from brainlm_core.features.attribution.result import AttributeOptions
from brainlm_core.features.decode.analysis import DecodeOptions, decode
from brainlm_core.features.reconstruct.analysis import ReconstructOptions, reconstruct
from brainlm_core.inference.engine import Engine
from brainlm_core.report import Contents, Figure, figures_of, open_embeddings, open_recording, script_of
from brainlm_core.report.figures import FIGURES, make
from brainlm_core.report.figures_cohort import coloured_map
from brainlm_core.report.reproduce import embeddings_digest, script, signals_digest
from brainlm_core.scans.demo import demo_recordings
from tests.report.test_report import block, unpack


@dataclass(frozen=True)
class Sample:
    """A figure as the dashboard draws it, its script, and what the script is given."""

    figure: Figure
    code: str
    given: tuple[str, ...]


@dataclass(frozen=True)
class Inputs:
    """What figures are made from, and the files it lies in."""

    contents: Contents
    recording: Path
    folder: Path


@pytest.fixture(scope="module")
def inputs(
    contents: Contents,
    hostile_recording: tuple[Recording, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Inputs:
    return Inputs(contents, hostile_recording[1], tmp_path_factory.mktemp("given"))


def from_report(name: str) -> Callable[[Inputs], Sample]:
    def sample(inputs: Inputs) -> Sample:
        own = inputs.contents
        figure = next(f for f in figures_of(own) if f.name == name)
        return Sample(figure, script(name, own.recording, own.model, own.options), (str(inputs.recording),))

    return sample


def with_quality(name: str) -> Callable[[Inputs], Sample]:
    def sample(inputs: Inputs) -> Sample:
        recording = demo_recordings()[0]
        assert recording.quality is not None
        numbers = np.linspace(1, 100, recording.n_parcels)
        told = replace(recording.quality, tsnr=numbers, coverage=numbers / 100)
        path = inputs.folder / "with-quality.npz"
        cut = Slice("axial", 4.0, (2.0, 2.0), np.full((9, 7), 90, np.uint8), np.ones((9, 7), np.int16))
        replace(recording, quality=told, slices=Slices((cut,), 424, "mean", 12)).save(path)
        recording = Recording.load(path)
        return Sample(make(name, recording), script_of(name, recording=recording), (str(path),))

    return sample


def engine() -> Engine:
    return Engine.load("default", device="cpu", precision="fp32")


def filled_in(inputs: Inputs) -> Sample:
    own, recording = engine(), inputs.contents.recording
    asked = ReconstructOptions(kind="parcels", share=0.3, seed=4)
    result = reconstruct(own, recording, asked, twin=own.twin())
    return Sample(
        make("reconstruction", (result, recording.parcellation)),
        script_of("reconstruction", asked, model=own.info, recording=recording),
        (str(inputs.recording),),
    )


def mapped(inputs: Inputs) -> Sample:
    cohort = reference_cohort()
    path = write_embeddings(cohort, inputs.folder / "embeddings.parquet")
    asked = ("pca", "mean", "age_years")
    return Sample(
        make("cohort-map", coloured_map(cohort, *asked)),
        script_of("cohort-map", asked, cohort=cohort),
        (str(path),),
    )


def decoded(_: Inputs) -> Sample:
    cohort = with_connectivity()
    asked = DecodeOptions("coffee_cups", n_permutations=0, n_bootstrap=100)
    return Sample(
        make("decoding", decode(cohort, asked)), script_of("decoding", asked, cohort=cohort), ("demo",)
    )


def attributed(inputs: Inputs) -> Sample:
    own, recording, cohort = engine(), inputs.contents.recording, reference_cohort()
    asked = AttributeOptions(n_steps=4, n_references=1, max_windows=1)
    result = attribute(own, recording, axis_direction(cohort, 2, "cls"), asked, twin=own.twin())
    return Sample(
        make("attribution", (result, recording.parcellation)),
        script_of(
            "attribution", ("axis-2", "cls", asked), model=own.info, recording=recording, cohort=cohort
        ),
        ("demo", str(inputs.recording)),
    )


#: One for every figure; "companions" is told by test_companions_come_from_the_same_result.
SAMPLES: dict[str, Callable[[Inputs], Sample]] = {
    **{n: from_report(n) for n in ("signal", "networks", "network-scores", "forecast", "race")},
    **{n: from_report(n) for n in ("response", "place")},
    **{n: with_quality(n) for n in ("quality", "dvars", "slices")},
    "reconstruction": filled_in,
    "cohort-map": mapped,
    "decoding": decoded,
    "attribution": attributed,
}


def test_every_figure_has_a_sample() -> None:
    assert {*SAMPLES, "companions"} == set(FIGURES)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_scripts_make_the_same_figures_again(
    name: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = SAMPLES[name](inputs)
    figure, path = sample.figure, tmp_path / f"reproduce-{name}.py"
    assert set(re.findall(r"^(?:from|import) (\w+)", sample.code, re.MULTILINE)) == {"brainlm_core"}
    assert len(sample.code.splitlines()) < 30, "a short script"
    path.write_text(sample.code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), *sample.given])
    runpy.run_path(str(path), run_name="__main__")
    with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as again:
        assert set(again.files) == set(figure.data)
        for key, values in figure.data.items():
            if values.dtype.kind == "U":
                np.testing.assert_array_equal(again[key], values)
            else:
                np.testing.assert_allclose(again[key], values, rtol=1e-4, atol=1e-5, err_msg=key)
    alone = (tmp_path / f"{name}.html").read_text("utf-8")
    assert figure.drawing in alone
    assert html.escape(figure.not_shown) in alone
    for i, panel in enumerate(figure.panels):
        _, arrays = unpack(block(alone, name))
        np.testing.assert_allclose(arrays[f"panel{i}"], panel.values.ravel(), rtol=1e-4, atol=1e-5)


def test_a_script_runs_on_its_own(inputs: Inputs, tmp_path: Path) -> None:
    sample = SAMPLES["signal"](inputs)
    (tmp_path / "reproduce-signal.py").write_text(sample.code, encoding="utf-8")
    command = [sys.executable, "reproduce-signal.py", *sample.given]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "signal.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "this script is given other files; call it with RECORDING"),
        (["nowhere.npz"], "nowhere.npz"),
        (["demo:simulated-2"], "does not hold the signals of this figure"),
    ],
)
def test_a_script_refuses_in_one_sentence(
    files: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "reproduce-signal.py"
    path.write_text(script_of("signal", recording=demo_recordings()[0]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), *files])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(path), run_name="__main__")
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line
    assert not list(tmp_path.glob("signal.*"))


def test_the_report_shows_the_scripts(page: str, contents: Contents) -> None:
    shown = html.unescape(page)
    for figure in figures_of(contents):
        assert script(figure.name, contents.recording, contents.model, contents.options) in shown


def test_companions_come_from_the_same_result_as_the_response(contents: Contents) -> None:
    """Their scripts differ in the last line only, so running one of them tests the other's analysis."""
    one, other = (
        script(n, contents.recording, contents.model, contents.options).replace(n, "NAME")
        for n in ("response", "companions")
    )
    assert one == other


def test_a_script_refuses_what_it_was_not_made_from(tmp_path: Path) -> None:
    first, second = demo_recordings()[:2]
    second.save(tmp_path / "other.npz")
    assert open_recording("demo:simulated-1", signals_digest(first)).provenance.simulated
    with pytest.raises(ScanError, match="does not hold the signals of this figure"):
        open_recording(tmp_path / "other.npz", signals_digest(first))

    cohort = reference_cohort()
    other = write_embeddings(cohort.subset(range(20)), tmp_path / "other.parquet")
    assert len(open_embeddings("demo", embeddings_digest(cohort))) == len(cohort)
    with pytest.raises(ConfigError, match="does not hold the embeddings of this figure"):
        open_embeddings(other, embeddings_digest(cohort))
