from __future__ import annotations

import json
from pathlib import Path

import pytest
import streamlit as st
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from app.shell.streamlit_patches.secrets_again import forget_secrets
from app.shell.streamlit_patches.user_cookie import claims_of, login_address
from tests.access.secrets_files import COOKIE_SECRET, good

ORIGIN, NAME = "http://127.0.0.1:8501", "_streamlit_user"


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from streamlit import config

    place = tmp_path / "secrets.toml"
    place.write_text(good())
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(place)])
    forget_secrets()
    yield place
    config.set_option("secrets.files", before)
    forget_secrets()


def signed(payload: object, secret: str = COOKIE_SECRET, name: str = NAME) -> str:
    return create_signed_value(secret, name, json.dumps(payload)).decode()


def test_only_a_cookie_that_this_server_signed_for_this_address_says_who_it_is() -> None:
    person = {"origin": ORIGIN, "is_logged_in": True, "email": "ann@lab.example.org"}
    assert claims_of({NAME: signed(person)}, ORIGIN)["email"] == "ann@lab.example.org"
    for cookies in (
        {},
        {NAME: ""},
        {NAME: "x"},
        {NAME: json.dumps(person)},
        {NAME: signed(person)[:-1]},
        {NAME: signed(person, secret="another secret of some length")},
        {NAME: signed(person, name="_streamlit_user_tokens")},
        {NAME: signed({**person, "is_logged_in": False})},
        {NAME: signed({**person, "is_logged_in": "true"})},
        {NAME: signed({k: v for k, v in person.items() if k != "is_logged_in"})},
        {NAME: signed({**person, "origin": "http://elsewhere:8501"})},
        {NAME: signed([1])},
        {NAME: "ü" * 9},
    ):
        assert claims_of(cookies, ORIGIN) == {}, cookies


def test_a_changed_file_counts_at_once(secrets: Path) -> None:
    assert login_address("default").startswith("/auth/login?provider=")
    person = {"origin": ORIGIN, "is_logged_in": True, "email": "ann@lab.example.org"}
    cookie = {NAME: signed(person)}
    assert claims_of(cookie, ORIGIN)
    secrets.write_text(good().replace(COOKIE_SECRET, "another secret of some length"))
    forget_secrets()
    assert claims_of(cookie, ORIGIN) == {} and st.secrets["auth"]["cookie_secret"].startswith("another")
