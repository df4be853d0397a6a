"""The command line: one JSON object, files, and sentences for wrong input."""

from __future__ import annotations

import json

import pytest

from brainlm_core.cli import main


@pytest.fixture(scope="module")
def saved(tmp_path_factory, small_recording):  # type: ignore[no-untyped-def]
    path = tmp_path_factory.mktemp("rec") / "rec.npz"
    small_recording.save(path)
    return path


def write(folder, **changes):  # type: ignore[no-untyped-def]
    action = {
        "targets": {"network": "Visual"},
        "kind": "add",
        "amplitude_sd": 2.0,
        "onset_s": 20,
        "duration_s": 30,
    }
    data = {"actions": [action], "draws": 2, **changes}
    path = folder / "scenario.json"
    path.write_text(json.dumps(data))
    return path


def test_one_json_object_and_files(saved, tiny_folder, tmp_path, capsys):  # type: ignore[no-untyped-def]
    scenario = write(tmp_path, model=str(tiny_folder))
    command = [
        "perturb",
        str(saved),
        "--scenario",
        str(scenario),
        "-o",
        str(tmp_path / "out"),
        "--null-sets",
        "20",
    ]
    assert main([*command, "--json"]) == 0
    out = capsys.readouterr().out
    facts = json.loads(out)
    assert out.count("\n") == 1
    assert {"response_max", "response_mean_abs", "n_significant_fdr05", "agreement"} <= set(facts)
    assert {"attention", "functional_connectivity", "distance", "random_twin"} <= set(facts["agreement"])
    assert facts["model"]["precision"] == "fp32" and len(facts["files"]) == 6
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "shows no cause" in said and "random-weights twin" in said
    other = ["--model", str(tiny_folder)]
    assert main([*command, "--json", *other]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["response_max"] == facts["response_max"] and again["scenario"]["model"] == str(tiny_folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"actions": []}, "no actions"),
        ({"parcellation": "CC200"}, "made for CC200"),
        ({"model": "nonsense"}, "nonsense"),
        ({"window": 7}, "no window 7"),
        ({"actions": [{"targets": {"parcels": [41]}, "kind": "silence"}]}, "parcel 41"),
        ({"actions": [{"targets": {"parcels": [1]}, "kind": "silence", "onset_s": 500}]}, "starts at 500"),
    ],
)
def test_wrong_input_is_one_sentence(saved, tiny_folder, tmp_path, capsys, changes, words):  # type: ignore[no-untyped-def]
    scenario = write(tmp_path, **{"model": str(tiny_folder), **changes})
    assert (
        main(["perturb", str(saved), "--scenario", str(scenario), "-o", str(tmp_path / "out"), "--json"]) == 2
    )
    heard = capsys.readouterr()
    assert heard.out == "" and heard.err.startswith("error: ") and heard.err.count("\n") == 1
    assert words in heard.err and not (tmp_path / "out").exists()
