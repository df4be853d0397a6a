from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.shell.intake import (
    Options,
    Uploads,
    allowed_model_folder,
    allowed_path,
    plain_name,
    read_path,
    read_upload,
    started_locally,
)
from app.shell.jobs import Job
from app.shell.tasks import Task
from brainlm_core.base.errors import ScanError
from tests.fuzz.containers import brain, gifti, gz, nifti


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scan.csv").write_text("1,2\n", "utf-8")
    (tmp_path / "secret.csv").write_text("1,2\n", "utf-8")
    monkeypatch.setenv("BRAINLM_ROOTS", str(tmp_path / "data"))
    return tmp_path


def job_of(task: Task[Any]) -> Job[Any]:
    return Job(task.title, task.work)


def test_paths_below_the_roots_are_read(house: Path) -> None:
    assert allowed_path(str(house / "data" / "scan.csv")).name == "scan.csv"
    assert allowed_path(f"  {house / 'data'}  ").is_dir()


@pytest.mark.parametrize(
    "text",
    [
        "../secret.csv",
        "/etc/passwd",
        "data/../../secret.csv",
        "",
        "\0",
        "scan.csv\0.txt",
        "~root",
        "~nobody-of-this-name/x",
        "x" * 5000,
        "x/" * 3000,
        "..%2fsecret.csv",
        "%2e%2e/secret.csv",
        "%252e%252e%252fsecret.csv",
        "..\\secret.csv",
        "file:///etc/passwd",
        "//etc/passwd",
        "/proc/self/root/etc/passwd",
        "/dev/stdin",
        "．．/secret.csv",  # full-width dots
        "..∕secret.csv",  # a slash that is none
        "․․/secret.csv",  # one-dot leaders
        "\u202e../secret.csv",
        "\ud800",
    ],
)
def test_other_paths_are_refused_alike(house: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(house / "data")
    if text == "":
        monkeypatch.chdir(house)
    with pytest.raises(ScanError, match="no readable file or folder of that name"):
        allowed_path(text)


def test_links_that_lead_outside_are_refused(house: Path) -> None:
    link = house / "data" / "link.csv"
    link.symlink_to(house / "secret.csv")
    with pytest.raises(ScanError):
        allowed_path(str(link))


def dropped(path: Path, name: str) -> Any:
    file = io.BytesIO(path.read_bytes())
    file.name, file.file_id = name, name  # type: ignore[attr-defined]
    return file


@pytest.mark.parametrize(
    "name", ["a\0b.csv", "x" * 300 + ".csv", "a\ud800.csv", "a\nb\x1b[31m.csv", "../../x.csv", ""]
)
def test_a_dropped_file_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    np.savetxt(tmp_path / "scan.csv", np.random.default_rng(0).normal(100, 1, (30, 424)), delimiter=",")
    job = job_of(read_upload(Uploads(dropped(tmp_path / "scan.csv", name)), Options(tr_s=2.0)))
    assert job.wait(60) and job.error is None and job.defect is None
    assert job.result is not None and job.result.provenance.source_name == plain_name(name)
    assert job.result.provenance.source_name.isprintable()


def test_both_dropped_hemispheres_are_read(tmp_path: Path) -> None:
    (tmp_path / "left").write_bytes(gifti())
    (tmp_path / "right").write_bytes(gifti().replace(b"CortexLeft", b"CortexRight"))
    pair = Uploads(dropped(tmp_path / "left", "a.gii"), partner=dropped(tmp_path / "right", "b.gii"))
    job = job_of(read_upload(pair, Options(tr_s=2.0)))
    assert job.wait(60) and job.result is not None and job.result.quality is not None
    assert job.result.provenance.source_name == "a.gii + b.gii"
    assert not any("hemisphere was given" in n for n in job.result.notices)
    assert job.result.quality.flat.sum() < 200


def test_a_neighbour_with_the_same_beginning_is_outside(house: Path) -> None:
    (house / "data-of-others").mkdir()
    (house / "data-of-others" / "scan.csv").write_text("1,2\n", "utf-8")
    with pytest.raises(ScanError):
        allowed_path(str(house / "data-of-others" / "scan.csv"))


def test_a_linked_root_counts_as_the_folder_it_leads_to(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (house / "root").symlink_to(house / "data", target_is_directory=True)
    monkeypatch.setenv("BRAINLM_ROOTS", str(house / "root"))
    assert allowed_path(str(house / "root" / "scan.csv")) == (house / "data" / "scan.csv").resolve()


@pytest.mark.parametrize("link", ["bold", "confounds"])
def test_a_run_folder_whose_links_lead_outside(house: Path, link: str) -> None:
    """The page reads the folder, but not what its links lead to."""
    run = house / "data" / "run"
    run.mkdir()
    bold = run / "sub-01_task-rest_space-MNI152NLin6Asym_desc-preproc_bold.nii.gz"
    motion = run / "sub-01_task-rest_desc-confounds_timeseries.tsv"
    bold.write_bytes(gz(nifti(brain())))
    motion.write_text("framewise_displacement\n" + "0.3\n" * 24, "utf-8")
    path = {"bold": bold, "confounds": motion}[link]
    path.rename(house / path.name)
    path.symlink_to(house / path.name)
    job = job_of(read_path(str(run), Options(tr_s=2.0)))
    assert job.wait(60)
    if link == "bold":
        assert job.error is not None and "no BOLD run" in job.error.what
    else:
        assert job.result is not None and job.result.quality is not None
        assert job.result.quality.fd_mm is None


def test_a_model_folder_must_lie_inside_with_all_its_files(house: Path, tmp_path: Path) -> None:
    folder = house / "data" / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", "utf-8")
    (house / "data" / "blob").write_bytes(b"x")
    (folder / "model.safetensors").symlink_to(house / "data" / "blob")
    assert allowed_model_folder(str(folder)) == folder.resolve()
    (folder / "MODEL_CARD.md").symlink_to(house / "secret.csv")
    with pytest.raises(ScanError, match="no readable file or folder of that name"):
        allowed_model_folder(str(folder))
    (house / "data" / "linked").symlink_to(house, target_is_directory=True)
    for text in ("..", str(house / "data" / "linked"), "\0", "/etc", f"{folder}/../../.."):
        with pytest.raises(ScanError):
            allowed_model_folder(text)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.nii.gz", "a.nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("..", "scan"),
        ("", "scan"),
        ("c:\\x\\y.csv", "y.csv"),
        ("..\\..\\evil.csv", "evil.csv"),
        ("a/..", "scan"),
        ("a/.", "a"),
        ("/", "scan"),
        ("..%2f..%2fx.csv", "..%2f..%2fx.csv"),
        ("．．／x.csv", "．．／x.csv"),
        ("a\0b\n\x1b[31m\u202e\ud800.csv", "ab[31m.csv"),
        ("\x07", "scan"),
        ("ä" * 300 + ".nii.gz", "ä" * 24 + "…" + "ä" * 17 + ".nii.gz"),
    ],
)
def test_upload_names_lose_their_folders(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@pytest.mark.parametrize(
    ("address", "ip", "headers", "local"),
    [
        ("127.0.0.1", None, {"Host": "127.0.0.1:8501"}, True),
        ("127.0.0.1", "127.0.0.1", {"Host": "localhost:8501"}, True),
        ("127.0.0.1", "::1", {"Host": "[::1]:8501"}, True),
        ("0.0.0.0", "127.0.0.1", {"Host": "localhost:8501"}, False),
        ("127.0.0.1", "10.0.0.7", {"Host": "localhost:8501"}, False),
        ("127.0.0.1", None, {"Host": "brain.example.org"}, False),
        ("127.0.0.1", None, {"Host": "localhost:8501", "X-Forwarded-For": "10.0.0.7"}, False),
        ("127.0.0.1", None, {}, False),
    ],
)
def test_paths_are_offered_only_to_the_machine_itself(
    monkeypatch: pytest.MonkeyPatch, address: str, ip: str | None, headers: dict[str, str], local: bool
) -> None:
    monkeypatch.setattr(
        "app.shell.intake.st",
        SimpleNamespace(
            get_option=lambda _: address, context=SimpleNamespace(headers=headers, ip_address=ip)
        ),
    )
    assert started_locally() is local
