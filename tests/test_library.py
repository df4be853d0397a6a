"""``import brainlm_core as bl``: names that load when used, jobs in a line each, arrays in both orders."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import brainlm_core as bl
from brainlm_core.base.atlas import a424_cortex
from brainlm_core.base.errors import BrainLMError, ConfigError, ScanError
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.features.perturb.analysis import PerturbResult
from brainlm_core.features.reconstruct.analysis import ReconstructResult
from brainlm_core.inference.engine import Engine
from brainlm_core.model.checkpoints import random_model, save_folder
from brainlm_core.model.config import ParcelTokenConfig
from brainlm_core.scans.quality import assess


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A random model, small enough for any question."""
    small = {"num_hidden_layers": 1, "num_attention_heads": 2}
    config = ParcelTokenConfig(
        hidden_size=16,
        decoder_hidden_size=16,
        intermediate_size=16,
        decoder_intermediate_size=16,
        decoder_num_attention_heads=2,
        decoder_num_hidden_layers=1,
        initializer_range=0.3,
        **small,
    )
    folder = tmp_path_factory.mktemp("model")
    save_folder(random_model(config.to_dict(), 0), folder)
    return Engine.load(str(folder), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Forty cortical parcels, as many volumes as a window has."""
    parcels = a424_cortex().subset(np.r_[0:180:9, 180:360:9], "forty parcels")
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 220)) + rng.standard_normal((40, 220))
    return assess(Recording(signals, 0.72, parcels, Provenance("made up", simulated=True)))


@pytest.fixture(scope="module")
def wide() -> Recording:
    """A recording on all of A424 that is smooth in time."""
    steps = np.random.default_rng(1).standard_normal((424, 240))
    signals = np.cumsum(steps, axis=1)
    return bl.Recording.from_array(signals, tr_s=2.0, atlas="A424")


def test_importing_loads_nothing_and_shows_the_names() -> None:
    code = (
        "import sys, brainlm_core as bl; "
        "print(sorted({'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules)), *dir(bl))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.startswith("[]")
    names = said.split()[1:]
    assert names == sorted(bl.__all__)
    for name in names:
        assert getattr(bl, name) is not None
    stub = Path(bl.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert sorted({*re.findall(r" as (\w+)$", stub, re.M), "__version__"}) == names
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = bl.nothing


def test_every_job_is_a_line_and_its_result_draws_itself(
    engine: Engine, recording: Recording, tmp_path: Path
) -> None:
    filled = bl.reconstruct(recording, engine, share=0.5)
    assert isinstance(filled, ReconstructResult)
    assert "explained variance" in repr(filled) and len(repr(filled)) < 400
    asked = bl.perturb(recording, [1, 2], 1.0, engine, n_sets=0, draws=2)
    assert isinstance(asked, PerturbResult)
    assert asked.response.plan.scenario.actions[0].targets.parcels == (1, 2)
    assert repr(asked).startswith("<PerturbResult: response to 2 parcels")
    for value in (filled, asked, recording):
        frame = value._repr_html_()
        assert frame.startswith("<iframe") and "srcdoc" in frame and "allow-same-origin" not in frame
    picture = recording.plot("dvars")
    assert picture.figure.name == "dvars"
    assert {p.name for p in picture.save(tmp_path / "dvars")} == {"dvars.npz", "dvars.html"}
    with pytest.raises(ConfigError, match="no figure"):
        recording.plot("nothing")
    table = bl.compare(filled, bl.reconstruct(recording, engine, share=0.75))
    assert table.loc["options.share"].tolist() == [0.5, 0.75]
    assert table.loc["r2.mean"].notna().all()


def test_a_repr_never_names_the_file(recording: Recording) -> None:
    from dataclasses import replace

    named = replace(recording, provenance=replace(recording.provenance, source_name="sub-Jane_Doe.npz"))
    assert "Jane" not in repr(named)
    assert (
        repr(named)
        == "<Recording: simulated, 40 parcels (forty parcels) × 220 volumes, TR 0.72 s, quality good>"
    )


def test_swapped_and_wrong_arguments_are_a_sentence(engine: Engine, recording: Recording) -> None:
    filled = bl.reconstruct(recording, engine)
    wrong = {
        "recording stands where the model": lambda: bl.networks("demo", recording),  # type: ignore[arg-type]
        "no option nothing": lambda: bl.networks(recording, engine, nothing=1),
        "cannot be compared": lambda: bl.compare(filled),
        "ReconstructResult and Recording|Recording and ReconstructResult": lambda: bl.compare(
            filled, recording
        ),
        "read already": lambda: bl.read(recording, tr_s=2.0),
        "no demo recording": lambda: bl.demo("nothing"),
    }
    for words, call in wrong.items():
        with pytest.raises(BrainLMError, match=words):
            call()


def test_an_array_is_read_in_both_orders_and_by_names(wide: Recording) -> None:
    turned = bl.Recording.from_array(wide.signals.T, tr_s=2.0)
    assert turned.parcellation is wide.parcellation
    np.testing.assert_array_equal(turned.signals, wide.signals)
    table = wide.to_frame()
    assert table.index.name == "time_s" and table.index[3] == 6.0
    mixed = table.iloc[:, np.random.default_rng(2).permutation(424)]
    np.testing.assert_array_equal(bl.Recording.from_array(mixed, tr_s=2.0).signals, wide.signals)
    by_names = bl.Recording.from_array(mixed.to_numpy().T, tr_s=2.0, names=list(mixed.columns))
    np.testing.assert_array_equal(by_names.signals, wide.signals)


def test_an_array_says_what_is_wrong_with_it(wide: Recording) -> None:
    signals = np.asarray(wide.signals)
    hole = signals.copy()
    hole[3, 7] = np.nan
    wrong = {
        "not a number": lambda: Recording.from_array(2.0, tr_s=signals),  # type: ignore[arg-type]
        "have 1 axes": lambda: Recording.from_array(signals[0], tr_s=2.0),
        "not a table of numbers": lambda: Recording.from_array([["a", "b"]], tr_s=2.0),
        "2 names do not fit": lambda: Recording.from_array(signals, tr_s=2.0, names=["a", "b"]),
        "first: parcel 4, volume 8": lambda: Recording.from_array(hole, tr_s=2.0, atlas="A424"),
        "never change": lambda: Recording.from_array(np.ones((424, 240)), tr_s=2.0, atlas="A424"),
        'give rows_are="volumes" or rows_are="parcels"': lambda: Recording.from_array(
            np.random.default_rng(0).standard_normal((424, 300)), tr_s=2.0
        ),
        "seconds": lambda: Recording.from_array(signals, tr_s=-1.0, atlas="A424"),
    }
    for words, call in wrong.items():
        with pytest.raises(ScanError, match=words):
            call()
