"""``brainlm bids``: names and sidecars out, one line a failure, nothing done twice, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainlm_core import cli
from brainlm_core.base.atlas import a424
from brainlm_core.cohort.files import read_embeddings
from brainlm_core.scans.bids import is_valid_name
from tests.engine.small_engines import save_tiny

SPACE = "space-MNI152NLin6Asym_seg-A424_stat-mean_timeseries"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


def dataset(root: Path, n_people: int = 2, n_volumes: int = 220) -> Path:
    """Write tables as XCP-D does: two people, the first with two sessions; TR at the root only."""
    rng = np.random.default_rng(3)
    names = list(a424().names)
    runs = [("01", "1"), ("01", "2"), *((f"{k:02d}", "1") for k in range(2, n_people + 1))]
    for sub, ses in runs:
        folder = root / f"sub-{sub}" / f"ses-{ses}" / "func"
        folder.mkdir(parents=True)
        values = rng.standard_normal((n_volumes, 424)).cumsum(axis=0) * 0.2 + rng.standard_normal(
            (n_volumes, 424)
        )
        table = pd.DataFrame(values, columns=names)
        table.to_csv(folder / f"sub-{sub}_ses-{ses}_task-rest_{SPACE}.tsv", sep="\t", index=False)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    (root / "timeseries.json").write_text('{"RepetitionTime": 0.72}')
    people = "participant_id\tage\tPatientName\nsub-01\t30\tA\nsub-02\t40\tB\n"
    (root / "participants.tsv").write_text(people)
    (root / "sub-01" / "sub-01_sessions.tsv").write_text("session_id\tdrug\nses-1\tyes\nses-2\tno\n")
    return root


def brainlm(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict, str]:
    code = cli.main(["bids", *map(str, arguments), "--workers", "0", "--json"])
    out, error = capsys.readouterr()
    return code, json.loads(out) if out else {}, error


def test_a_dataset_from_tables_to_the_group(tmp_path: Path, tiny: str, capsys) -> None:  # type: ignore[no-untyped-def]
    source, out = dataset(tmp_path / "xcp_d"), tmp_path / "out"
    broken = source / "sub-02" / "ses-1" / "func" / f"sub-02_ses-1_task-nback_{SPACE}.tsv"
    broken.write_text("no table")
    code, told, _ = brainlm(capsys, source, out, "participant", "--model", tiny)
    assert code == 1 and (told["done"], told["resumed"], told["n_runs"]) == (3, 0, 4)
    (failed,) = told["failed"]
    assert failed["run"] == "sub-02_ses-1_task-nback" and "\n" not in failed["reason"]
    front = out / "sub-01" / "ses-2" / "func" / "sub-01_ses-2_task-rest_seg-A424"
    written = pd.read_csv(f"{front}_timeseries.tsv", sep="\t")
    given = pd.read_csv(source / "sub-01/ses-2/func" / f"sub-01_ses-2_task-rest_{SPACE}.tsv", sep="\t")
    assert list(written) == list(a424().names)
    np.testing.assert_allclose(written.to_numpy(), given.to_numpy(), rtol=1e-4, atol=1e-5)
    about = json.loads(Path(f"{front}_timeseries.json").read_text())
    assert about["RepetitionTime"] == 0.72
    assert about["Sources"] == [f"bids:source:sub-01/ses-2/func/sub-01_ses-2_task-rest_{SPACE}.tsv"]
    relmat = pd.read_csv(f"{front}_meas-attention_relmat.tsv", sep="\t")
    assert relmat.shape == (424, 424) and list(relmat) == list(written)
    assert "knn_accuracy" in json.loads(Path(f"{front}_meas-attention_relmat.json").read_text())["Networks"]
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "BrainLM Explorer"
    assert (out / description["DatasetLinks"]["source"]).resolve() == source.resolve()
    assert all(is_valid_name(p.name) for p in out.glob("sub-*/ses-*/func/*"))

    before = {p: p.stat().st_mtime_ns for p in out.glob("sub-*/ses-*/func/*")}
    code, told, _ = brainlm(capsys, source, out, "participant", "--model", tiny, "--task", "rest")
    assert code == 0 and (told["done"], told["resumed"]) == (3, 3)  # nothing is done twice
    assert before == {p: p.stat().st_mtime_ns for p in out.glob("sub-*/ses-*/func/*")}

    code, told, _ = brainlm(capsys, source, out, "group")
    assert code == 0 and (told["n_runs"], told["n_participants"], told["n_failed"]) == (3, 2, 1)
    assert told["columns_left_out"] == ["PatientName"]
    table = pd.read_csv(out / "group" / "recordings.tsv", sep="\t", na_values=["n/a"])
    assert table["age"].tolist() == [30, 30, 40] and table["drug"].iloc[:2].tolist() == ["yes", "no"]
    assert pd.read_csv(out / "group" / "failures.tsv", sep="\t")["recording_id"].tolist() == [failed["run"]]
    mean = pd.read_csv(out / "group" / "task-rest_seg-A424_stat-mean_meas-attention_relmat.tsv", sep="\t")
    each = {
        run: pd.read_csv(
            out / run.split("_")[0] / run.split("_")[1] / "func"
            / f"{run}_task-rest_seg-A424_meas-attention_relmat.tsv", sep="\t", na_values=["n/a"],
        ).to_numpy()
        for run in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    }  # fmt: skip
    right = ((each["sub-01_ses-1"] + each["sub-01_ses-2"]) / 2 + each["sub-02_ses-1"]) / 2
    np.testing.assert_allclose(mean.to_numpy(), right, rtol=1e-4, atol=1e-9)
    embeddings = read_embeddings(out / "group" / "seg-A424_embeddings.parquet")
    assert embeddings.subjects == ("sub-01", "sub-01", "sub-02")
    assert embeddings.phenotypes["age"].tolist() == [30, 30, 40]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--participant-label", "77"), "none of the 3 runs"),
        (("--steps", "dream"), "no step 'dream'"),
    ],
)
def test_wrong_arguments_are_one_sentence(
    tmp_path: Path,
    tiny: str,
    capsys,
    arguments: tuple[str, ...],
    words: str,  # type: ignore[no-untyped-def]
) -> None:
    source = dataset(tmp_path / "d", n_volumes=5)
    code, _, error = brainlm(capsys, source, tmp_path / "o", "participant", "--model", tiny, *arguments)
    assert code == 2 and words in error and error.count("\n") == 1
    assert brainlm(capsys, source, tmp_path / "o", "group")[0] == 2


def test_a_killed_run_goes_on(tmp_path: Path, tiny: str, capsys) -> None:  # type: ignore[no-untyped-def]
    source, out = dataset(tmp_path / "d", n_people=8), tmp_path / "out"
    line = [sys.executable, "-m", "brainlm_core", "bids", str(source), str(out), "participant"]
    process = subprocess.Popen([*line, "--model", tiny, "--steps", "parcellate", "--workers", "0"])
    states = out / ".brainlm" / "runs"
    deadline = time.monotonic() + 60
    while not (states.is_dir() and len(list(states.glob("*.json"))) >= 2) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (out / "sub-01" / ".part-left").mkdir()
    kept = len(list(states.glob("*.json")))
    code, told, _ = brainlm(capsys, source, out, "participant", "--model", tiny, "--steps", "parcellate")
    assert code == 0 and told["done"] == 9 and 2 <= told["resumed"] <= kept
    assert len(list(out.glob("sub-*/ses-*/func/*_timeseries.tsv"))) == 9
    assert not list(out.rglob(".part-*"))


def test_work_is_shared_by_processes(tmp_path: Path, tiny: str) -> None:
    source, out = dataset(tmp_path / "d"), tmp_path / "out"
    arguments = ["participant", "--steps", "parcellate", "--workers", "2", "--session-label", "ses-1"]
    assert cli.main(["bids", str(source), str(out), *arguments]) == 0
    assert len(list(out.glob("sub-*/ses-1/func/*_timeseries.tsv"))) == 2
