from __future__ import annotations

import json

import numpy as np
import pytest

from brainlm_core import cli
from brainlm_core.model.checkpoints import random_model, save_folder
from brainlm_core.model.config import ParcelTokenConfig


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model small enough for a command that is run many times."""
    config = ParcelTokenConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        timepoint_patching_size=100,
    )
    folder = tmp_path_factory.mktemp("tiny")
    save_folder(random_model(config.to_dict(), 1), folder)
    return folder


def brainlm(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["networks", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_json_has_the_promised_keys(tiny, tmp_path, capsys):
    code, out, err = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path / "out", "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    for key in ("knn_accuracy", "ari"):
        values = [
            facts[key][m] for m in ("attention", "functional_connectivity", "coordinates", "random_twin")
        ]
        assert all(isinstance(value, float) for value in values)
    assert facts["n_networks"] == 7
    assert facts["provenance"]["simulated"] is True
    assert {path.rsplit("/", 1)[-1] for path in facts["files"]} == {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_layers_and_heads_are_counted_from_one(tiny, tmp_path, capsys):
    common = ("demo", "--model", tiny, "--json")
    facts = {}
    for name, arguments in {
        "both": ("--layer", 2, "--head", 1),
        "layer": ("--layer", 2),
        "rollout": ("--reduction", "rollout", "--n-networks", 5),
    }.items():
        code, out, _ = brainlm(capsys, *common, *arguments, "-o", tmp_path / name)
        assert code == 0
        facts[name] = json.loads(out)
    assert facts["both"]["reduction"] == "layer 2, head 1"
    assert facts["layer"]["options"]["layer"] == 1
    assert facts["rollout"]["n_networks"] == len(facts["rollout"]["networks"]) == 5
    maps = {}
    for name in facts:
        with np.load(tmp_path / name / "matrices.npz") as store:
            maps[name] = store["attention"]
    assert not np.allclose(maps["both"], maps["layer"])


def test_a_person_reads_a_table(tiny, tmp_path, capsys):
    code, out, _ = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path, "--windows", "1,2")
    assert code == 0
    assert "Attention of its random-weights twin" in out
    assert "always naming the largest network: 0.230" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layer", "9"), "no layer 9; choose 1 to 2"),
        (("--layer", "0"), "no layer 0; count from 1"),
        (("--reduction", "rollout", "--head", "1"), "uses all layers and heads"),
        (("--n-networks", "1"), "ask for 2 to 30"),
        (("--windows", "last"), "not understood"),
        (("--windows", "99"), "has no window"),
    ],
)
def test_wrong_settings_are_one_sentence(arguments, words, tiny, tmp_path, capsys):
    code, out, err = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path / "out", *arguments)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and words in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_one_sentence(tiny, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    code, _, err = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path / "file")
    assert code == 2 and "cannot be written" in err


def test_only_a_map_of_the_scan_can_be_steadied(tiny, tmp_path, capsys):
    code, _, err = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path, "--steadied", 0.3)
    assert code == 2 and "cannot be steadied by the group" in err
    code, _, err = brainlm(capsys, "demo", "--model", tiny, "-o", tmp_path, "--steadied", 3)
    assert code == 2 and "group share of 3 is impossible" in err
