"""info, verify and bench on the command line, and the model arguments."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from small_engines import save_tiny

from brainlm_core.base.paths import assets_dir
from brainlm_core.bench import BenchResult
from brainlm_core.cli import main
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine

CASES = assets_dir() / "verify"


def test_info_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"version", "device", "precision", "memory_gb", "packages", "models"} <= set(facts)
    assert [m["name"] for m in facts["models"]] == ["default", "context", "13m", "111m", "650m"]
    assert all(m["licence"] for m in facts["models"])


def test_info_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert "CC BY-NC-ND" in capsys.readouterr().out


def test_verify_prints_one_object_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    cases = ["tiny13m_mask075", "tinyvit_p14_autoencode_mask075"]
    assert main(["verify", "--json", *(str(CASES / c) for c in cases)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == cases
    for line in lines:
        assert line["mask_equal"] is True
        assert set(line["max_abs_error"]) == {"latent", "logits", "attention", "loss"}


def test_verify_without_a_folder_runs_the_bundled_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["case"] for line in lines] == [p.name for p in sorted(CASES.iterdir())]


def test_verify_says_no_with_exit_code_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "brainlm_core.features.verify.analysis.TOLERANCE",
        dict.fromkeys(("latent", "logits", "attention", "loss"), 0.0),
    )
    assert main(["verify", str(CASES / "tiny13m_mask075")]) == 1


def test_verify_of_something_else_is_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_bench_keys(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = BenchResult("a", "b", 2.0, 0.4, 0.9, {"seconds": 1.0})
    monkeypatch.setattr("brainlm_core.bench.run_area", lambda area, quick: [result])
    assert main(["bench", "--quick", "--only", "model", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["results"][0] == {
        "name": "a",
        "peer": "b",
        "time_ratio": 2.0,
        "memory_ratio": 0.4,
        "limit_fraction": 0.9,
        "details": {"seconds": 1.0},
    }
    assert main(["bench", "--only", "model"]) == 0
    assert "2.00 times as fast" in capsys.readouterr().out


def test_model_arguments(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    folder = save_tiny(tmp_path / "tiny")
    engine = load_engine(parser.parse_args(["--model", folder, "--precision", "fp32"]))
    assert engine.info.model_name == folder
    assert engine.info.precision == "fp32"
    assert parser.parse_args([]).model == "default"


def test_flops_are_those_of_the_published_shape() -> None:
    from brainlm_core.bench.model import forward_flops
    from brainlm_core.inference.weights import PUBLISHED

    n, d = 4241, 512
    layer = 2 * n * (4 * d * d + 2 * d * 1024) + 4 * n * n * d + 2 * 65 * n * d
    assert forward_flops(PUBLISHED["13m"].config, 424) == pytest.approx(6 * layer)
    assert forward_flops(PUBLISHED["13m"].config, 424, decoder=False) == pytest.approx(4 * layer)


def test_peers_give_the_same_numbers() -> None:
    pytest.importorskip("transformers")
    import torch

    from brainlm_core.bench._peers import ParcelPeer
    from brainlm_core.bench.model import _parcel_setup, _with_maps

    model, signal, xyz = _parcel_setup(20)
    with torch.inference_mode():
        theirs, attentions = ParcelPeer(model)(signal, xyz, attentions=True)
        ours, (maps, _) = _with_maps(model, signal, xyz)
        alone = model.attention(signal, xyz[0])
    assert torch.allclose(ours, theirs, atol=1e-4)
    full = torch.stack(attentions, 1)[..., 1:, 1:].view(1, 4, 4, 20, 10, 20, 10)
    assert torch.allclose(maps, full.sum(6).mean(4), atol=1e-6)
    assert torch.allclose(maps, alone.maps, atol=1e-6)
