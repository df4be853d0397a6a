"""`brainlm evaluate` on a small pack: its keys, its honesty about what it cannot say, its errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pytest import CaptureFixture

from brainlm_core.base.atlas import a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.methods import methods_of
from brainlm_core.cli import main
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.features.evaluate.analysis import EvaluateOptions
from brainlm_core.features.evaluate.decoding import decode_cohort
from brainlm_core.inference.engine import get_engine
from brainlm_core.inference.weights import default_folder
from brainlm_core.model.checkpoints import load_folder
from brainlm_core.model.kernel_model import KernelModel


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings of the cortex, drawn from the group kernel with slow components."""
    import torch

    model = load_folder(default_folder())
    assert isinstance(model, KernelModel)
    loadings = model._basis(torch.from_numpy(a424_cortex().xyz.copy()))[0].numpy()
    rng = np.random.default_rng(0)
    slow = rng.normal(size=(loadings.shape[1], 607))
    slow = np.apply_along_axis(np.convolve, 1, slow, np.ones(8) / 8**0.5, "valid")[:, :600]
    signals = (loadings @ slow + 0.4 * rng.normal(size=(360, 600))).T
    path = tmp_path_factory.mktemp("pack") / "two.npz"
    np.savez(path, signals=signals.astype(np.float32), offsets=np.array([0, 300, 600]), tr_s=0.72)
    return path


@pytest.mark.slow
def test_keys_and_order_of_methods(pack: Path, tmp_path: Path, capsys: CaptureFixture[str]) -> None:
    code = main(
        [
            "evaluate",
            str(pack),
            "-o",
            str(tmp_path),
            "--windows",
            "1",
            "--starts",
            "2",
            "--steps",
            "5",
            "--json",
        ]
    )
    out = capsys.readouterr()
    assert code == 0, out.err
    facts = json.loads(out.out)
    assert set(facts["masked_r2"]) == {"random20", "random75", "random90", "future", "parcel"}
    for kind, methods in facts["masked_r2"].items():
        assert {"model", "random_twin", "mean", "last_value", "interpolation", "ridge", "prior"} <= set(
            methods
        )
        if kind != "future":  # of whole parcels and holes, what parcels share is what fills them in
            for control in ("no_scan", "white_noise"):
                assert methods[control]["model_minus_this"]["ci95"][0] > 0.02, (kind, control)
        for score in methods.values():
            assert score["ci95"][0] <= score["value"] + 1e-9 and score["value"] <= score["ci95"][1] + 1e-9
        gap = methods["ridge"]["model_minus_this"]
        assert gap["value"] == pytest.approx(methods["model"]["value"] - methods["ridge"]["value"])
        assert gap["ci95"][0] <= gap["value"] <= gap["ci95"][1]
        if kind.startswith("random"):
            assert methods["model"]["value"] > methods["interpolation"]["value"]
            assert methods["model"]["value"] > methods["random_twin"]["value"]
    assert len(facts["forecast"]["r2"]["model"]) == 5
    controls = {"no_scan", "white_noise"}
    assert {"mean", "last_value", "ar", "ridge", "random_twin"} | controls <= set(facts["forecast"]["r2"])
    assert max(facts["forecast"]["r2"]["white_noise"]) < 0.02
    gaps = facts["forecast"]["model_minus_this"]
    assert set(gaps) == set(facts["forecast"]["r2"]) - {"model"}
    assert all(len(pair) == 2 for pair in facts["forecast"]["model_minus_this_ci95"]["mean"])
    for name in ("knn_accuracy", "knn_accuracy_homologues"):
        methods = facts["networks"][name]
        assert {"attention", "random_twin", "functional_connectivity", "coordinates"} <= set(methods)
        assert methods["attention"]["ci95"] is not None
    assert facts["decode"] is None and any("No decoding" in n for n in facts["notices"])
    assert json.loads((tmp_path / "evaluation.json").read_text())["masked_r2"] == facts["masked_r2"]


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--parts", "dreams"], "no part 'dreams'"),
        (["--rows", "7"], "beyond 1 to 2"),
        (["--signals", "cc200"], "no array 'cc200'"),
        (["--where", "site=A"], "no column 'site'"),
    ],
)
def test_wrong_input_is_one_sentence(
    pack: Path, tmp_path: Path, capsys: CaptureFixture[str], extra: list[str], words: str
) -> None:
    assert main(["evaluate", str(pack), "-o", str(tmp_path), *extra]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error and error.count("\n") == 1


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError):
        EvaluateOptions(n_windows=0)


@pytest.mark.slow
def test_people_are_decoded_like_everywhere(tmp_path: Path) -> None:
    n = 80
    rng = np.random.default_rng(0)
    coupling = rng.uniform(0, 1, n)
    parts = [rng.normal(size=(120, 360)) + 2 * c * rng.normal(size=(120, 1)) for c in coupling]
    np.savez(
        tmp_path / "p.npz", signals=np.concatenate(parts).astype(np.float32), offsets=np.arange(n + 1) * 120
    )
    people = pd.DataFrame(
        {
            "scan_id": [f"r{i}" for i in range(n)],
            "subject_id": [f"s{i}" for i in range(n)],
            "site": [f"site {i % 4}" for i in range(n)],
            "age_years": 20 + 40 * coupling,
            "sex": np.where(coupling > 0.5, "male", "female"),
            "diagnosis": "none",
            "mean_fd_mm": rng.uniform(0.1, 0.2, n),
        }
    )
    people.to_csv(tmp_path / "people.csv", index=False)
    cohort = open_cohort(tmp_path / "p.npz", tr_s=2.0, phenotypes=tmp_path / "people.csv")
    notices: list[str] = []
    found = decode_cohort(get_engine("default"), get_engine("random:default"), cohort, 0, notices)
    assert found is not None and set(found) == {"age_years", "sex"}
    assert found["age_years"]["groups"] == "4 folds, whole values of “Site” left out (4)"
    assert set(found["age_years"]["scores"]) == set(methods_of("decode"))
    assert found["age_years"]["scores"]["model"]["value"] > 0.5
    assert found["sex"]["scores"]["model"]["value"] > 0.8
    assert all(len(s["ci95"]) == 2 for b in found.values() for s in b["scores"].values())
