from __future__ import annotations

import json

import pytest
from PIL import Image

from brainlm_core import cli
from brainlm_core.base.methods import methods_of


def brainlm(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["forecast", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_json_has_the_promised_keys_and_the_files_are_there(tiny_folder, tmp_path, capsys):
    common = ("demo", "--model", tiny_folder, "-o", tmp_path / "out", "--starts", 5)
    code, out, err = brainlm(capsys, *common, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    for measure in ("r2", "mse"):
        assert set(facts[measure]) == set(methods_of("forecast"))
        assert all(len(values) == 20 for values in facts[measure].values())
    assert 0 <= facts["coverage_90"] <= 1
    assert facts["provenance"]["simulated"] is True
    names = {path.rsplit("/", 1)[-1] for path in facts["files"]}
    assert names == {p.name for p in (tmp_path / "out").iterdir()}
    with Image.open(tmp_path / "out" / "forecast.gif") as film:
        assert film.n_frames == 40


def test_words_say_who_wins(tiny_folder, tmp_path, capsys):
    common = ("--model", tiny_folder, "-o", tmp_path, "--starts", 5, "--animation", "none")
    code, out, _ = brainlm(capsys, "demo", *common, "--steps", 6, "--start", "end")
    assert code == 0
    assert "beyond the end of the recording" in out
    assert "R² over 5 start points" in out
    assert "last_value" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--start", "210"), "is longer than the"),
        (("--start", "2"), "too early"),
        (("--start", "9999"), "the recording ends at volume 300"),
        (("--start", "soon"), "--start soon is not understood"),
        (("--starts", "many"), "--starts many is not understood"),
        (("--steps", "0"), "a horizon of 0 volumes"),
        (("--steps", "199", "--seen", "80", "--start", "100"), "is longer than the"),
        (("--seen", "5000"), "a context of 5000 volumes"),
        (("--members", "99"), "99 ensemble members"),
    ],
)
def test_bad_input_is_one_sentence(tiny_folder, tmp_path, capsys, arguments, words):
    code, out, err = brainlm(capsys, "demo", "--model", tiny_folder, "-o", tmp_path / "o", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and words in err and ";" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_a_scan_that_is_too_short_is_refused(shared, tiny_folder, tmp_path, capsys):
    table = shared / "samples" / "a424_rest_99x424.dat"
    code, _, err = brainlm(
        capsys, table, "--tr", 0.8, "--model", "random:13m", "-o", tmp_path, "--device", "cpu"
    )
    assert code == 2
    assert "99 volumes" in err and err.count("\n") == 1


def test_an_unwritable_folder_is_said(tiny_folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    code, _, err = brainlm(
        capsys, "demo", "--model", tiny_folder, "-o", tmp_path / "file", "--starts", 1, "--animation", "none"
    )
    assert code == 2 and "cannot be written" in err
