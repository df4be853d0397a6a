from __future__ import annotations

from pathlib import Path

import pytest

from app.intake import allowed_path, plain_name
from brainlm_core.errors import ScanError


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scan.csv").write_text("1,2\n", "utf-8")
    (tmp_path / "secret.csv").write_text("1,2\n", "utf-8")
    monkeypatch.setenv("BRAINLM_ROOTS", str(tmp_path / "data"))
    return tmp_path


def test_paths_below_the_roots_are_read(house: Path) -> None:
    assert allowed_path(str(house / "data" / "scan.csv")).name == "scan.csv"
    assert allowed_path(f"  {house / 'data'}  ").is_dir()


@pytest.mark.parametrize(
    "text", ["../secret.csv", "/etc/passwd", "data/../../secret.csv", "", "\0", "~root", "x" * 5000]
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


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.nii.gz", "a.nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("..", "scan"),
        ("", "scan"),
        ("c:\\x\\y.csv", "y.csv"),
    ],
)
def test_upload_names_lose_their_folders(name: str, plain: str) -> None:
    assert plain_name(name) == plain
