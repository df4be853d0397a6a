"""``brainlm parcellate``: JSON keys, text, flags and the demo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scan_files import bold_table
from test_fmriprep_folders import confounds

from brainlm_core.base.recording import Recording
from brainlm_core.cli import main

KEYS = {
    "n_parcels",
    "n_timepoints",
    "tr_s",
    "atlas",
    "atlas_is_approximation",
    "parcels_covered",
    "verdict",
    "notices",
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.savetxt(tmp_path / "x.csv", bold_table(220), delimiter=",")
    return tmp_path / "x.csv"


def test_json(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["parcellate", str(table), "--tr", "0.8", "-o", str(tmp_path / "new" / "r.npz"), "--json"]) == 0
    )
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) >= KEYS
    assert (facts["n_parcels"], facts["n_timepoints"], facts["verdict"]) == (424, 220, "good")
    assert Recording.load(tmp_path / "new" / "r.npz").n_parcels == 424


def test_text_and_round_trip(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.npz"
    assert main(["parcellate", str(table), "--tr", "0.8", "-o", str(out)]) == 0
    assert "424 parcels × 220 volumes" in capsys.readouterr().out
    assert main(["parcellate", str(out), "-o", str(tmp_path / "again.npz")]) == 0


def test_cleaning_flags(table: Path, tmp_path: Path) -> None:
    confounds(tmp_path / "c.tsv", 220)
    arguments = ["parcellate", str(table), "--tr", "0.8", "-o", str(tmp_path / "r.npz"), "--confounds"]
    arguments += [str(tmp_path / "c.tsv"), "--detrend", "--confound-strategy", "motion,wm_csf"]
    arguments += ["--high-pass", "0.01", "--low-pass", "0.1", "--censor-fd", "0.5"]
    assert main(arguments) == 0
    recording = Recording.load(tmp_path / "r.npz")
    assert [s.name for s in recording.provenance.steps][-5:] == [
        "detrend",
        "filter",
        "regress confounds",
        "censor",
        "count degrees of freedom",
    ]
    assert recording.n_timepoints < 220
    assert recording.freedom_left is not None and recording.freedom_left[0] < 110


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parcellate", "demo", "-o", str(tmp_path / "r.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["simulated"] is True
    assert main(["parcellate", "demo:nothing", "-o", str(tmp_path / "r.npz")]) == 2
    assert "no demo recording" in capsys.readouterr().err


def test_too_many_scans(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parcellate", *[str(table)] * 3, "-o", str(tmp_path / "r.npz")]) == 2
    assert "3 scans were given" in capsys.readouterr().err
    assert main(["parcellate", *[str(table)] * 2, "--tr", "2", "-o", str(tmp_path / "r.npz")]) == 2
    assert "no pair of GIFTI" in capsys.readouterr().err
