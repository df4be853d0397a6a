from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.intake import allowed_path, plain_name, started_locally
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
        "app.intake.st",
        SimpleNamespace(
            get_option=lambda _: address, context=SimpleNamespace(headers=headers, ip_address=ip)
        ),
    )
    assert started_locally() is local
