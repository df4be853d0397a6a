"""Whoever leaves a page and comes back finds every control, and the address, as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.shell.navigation import PAGES
from brainlm_core.base.errors import EngineError
from tests.app.test_links_and_report import LINKS, STATE, opened, stop

#: Not in a link of these pages' own: Perturb's is one scenario, held by its own tests.
WITHOUT_SETTINGS = {"perturb.py"}


def refuse(*_: Any, **__: Any) -> None:
    raise EngineError("no model is needed here", "go on")


def address(app: AppTest) -> dict[str, str]:
    return {name: v[0] if isinstance(v, list) else v for name, v in app.query_params.items()}


def test_every_page_is_in_this_contract() -> None:
    assert {entry.file for entry in PAGES} == set(LINKS) | WITHOUT_SETTINGS


@pytest.mark.parametrize("page", LINKS)
def test_a_page_is_found_as_it_was_left(root: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.shell.session.ModelChoice.engine", refuse)
    monkeypatch.setattr("app.embeddings.work.make_map", refuse)
    app = opened(root, page, LINKS[page])
    before = address(app)
    kept = {key: app.session_state[key] for key in STATE[page]}
    assert kept == STATE[page]
    for file in ("scan.py" if page != "scan.py" else "forecast.py", page):
        app.query_params.clear()  # a click on the navigation goes to a bare address
        app.switch_page(f"../pages/{file}")
        app.run()
        assert not app.exception, [e.value for e in app.exception]
    assert {key: app.session_state[key] for key in STATE[page]} == kept
    assert address(app) == before
    stop(app)
