"""The login's settings are read so that nothing but a certain login, or no file at all, passes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.shell.login import Login, LoginError, read_login
from app.shell.serving import LoginWatch
from tests.access.secrets_files import BROKEN, good


def test_a_good_file_makes_a_login_and_no_file_makes_none(tmp_path: Path) -> None:
    place = tmp_path / "secrets.toml"
    assert read_login([place]) is None
    assert read_login([tmp_path / "no" / "folder" / "secrets.toml", place / "below"]) is None
    place.write_text(good())
    login = read_login([tmp_path / "absent" / "secrets.toml", place])
    assert login == Login("http://127.0.0.1:{port}/oauth2callback", ("default",), ("@lab.example.org",))
    assert login.origin(8501) == "http://127.0.0.1:8501"


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    place = tmp_path / "secrets.toml"
    BROKEN[name](place, good())
    with pytest.raises(LoginError) as refused:
        read_login([place])
    said = str(refused.value)
    assert "\n" not in said and "secrets.toml" in said and "; " in said and "Error" not in said


@pytest.mark.parametrize(
    "name", ["empty", "[Auth]", "[access] without [auth]", "a folder", "one quote missing"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_broken_file_beside_a_good_one_is_never_overlooked(tmp_path: Path, name: str, first: bool) -> None:
    places = [tmp_path / "home" / "secrets.toml", tmp_path / "here" / "secrets.toml"]
    for place in places:
        place.parent.mkdir()
    broken, fine = places if first else places[::-1]
    BROKEN[name](broken, good())
    fine.write_text(good())
    try:
        login = read_login(places)
    except LoginError:
        return
    # Empty files and rules of access add nothing to a login that another file makes.
    assert name in ("empty", "[access] without [auth]") and login is not None


def test_an_emptied_section_in_a_later_file_takes_the_login_away(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "secrets.toml", tmp_path / "b" / "secrets.toml"
    for place, text in ((first, good()), (second, "[auth]\n")):
        place.parent.mkdir()
        place.write_text(text)
    with pytest.raises(LoginError, match="empty"):
        read_login([first, second])
    assert read_login([second, first]) is not None


@pytest.mark.parametrize(
    "name", ["Secrets.toml", "secret.toml", "secrets.toml.txt", "SECRETS.TOML", "secrets"]
)
def test_a_misspelt_name_is_not_taken_for_no_login(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(good())
    with pytest.raises(LoginError, match="is not read"):
        read_login([tmp_path / "secrets.toml"])


@contextlib.contextmanager
def somebody_without_rights(folder: Path) -> Iterator[None]:
    """Let root be nobody meanwhile, who may enter a folder; anybody else stays who they are."""
    if os.geteuid() != 0:
        yield
        return
    folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs the permissions of POSIX")
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_may_not_be_read_is_refused(which: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / ".streamlit"
        folder.mkdir()
        place = folder / "secrets.toml"
        place.write_text(good())
        assert read_login([place]) is not None
        locked = place if which == "file" else folder
        locked.chmod(0)
        try:
            with somebody_without_rights(Path(top)), pytest.raises(LoginError):
                read_login([place])
        finally:
            locked.chmod(0o700)


def test_named_providers_are_asked_for_by_name(tmp_path: Path) -> None:
    place = tmp_path / "secrets.toml"
    section = '[auth.{}]\nclient_id = "i"\nclient_secret = "s"\nserver_metadata_url = "https://{}.org/x"\n'
    shared = good().split("client_id")[0]
    place.write_text(shared + section.format("google", "a") + section.format("uni", "b"))
    login = read_login([place])
    assert login is not None and login.providers == ("google", "uni") and login.allow == ()


def test_the_watch_closes_when_a_file_breaks_comes_or_goes(tmp_path: Path) -> None:
    place = tmp_path / "secrets.toml"
    open_from_the_start = LoginWatch([place])
    assert open_from_the_start.login() is None
    place.write_text(good())
    with pytest.raises(LoginError, match="has come"):
        open_from_the_start.login()
    watch = LoginWatch([place])
    assert watch.login() is not None
    place.write_text(good().replace("[auth]", "[Auth]"))
    with pytest.raises(LoginError, match="Auth"):
        watch.login()
    place.unlink()
    with pytest.raises(LoginError, match="has gone"):
        watch.login()
    place.write_text(good().replace("@lab", "@other"))
    login = watch.login()
    assert login is not None and login.allow == ("@other.example.org",), "a changed list counts at once"
