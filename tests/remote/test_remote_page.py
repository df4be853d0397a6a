"""The dashboard with its model on a worker: pages do not know, the chip says where, nobody there is said."""

from __future__ import annotations

import pytest

from brainlm_core.remote import cluster as clusters
from brainlm_core.remote.worker import host
from tests.app.conftest import Open
from tests.app.conftest import open_page as open_page
from tests.dask_lab import Lab


def test_the_chip_says_where_the_model_runs(
    shared_lab: Lab, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINLM_SCHEDULER", shared_lab.address)
    page = open_page("networks.py").settle()
    assert page.who.model_error is None and not page.who.tasks
    assert page.who.device == f"CPU on {host()}"
    chip = next(b for b in page.app.get("popover") if "Default model" in b.proto.popover.label)
    assert chip.proto.popover.label.endswith(f"CPU on {host()}")
    page.run()
    assert page.who.device == f"CPU on {host()}"


def test_an_unreachable_scheduler_is_one_sentence_on_the_page(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAINLM_SCHEDULER", "tcp://127.0.0.1:1")
    page = open_page("networks.py").settle()
    assert "No Dask scheduler answers at tcp://127.0.0.1:1" in page.words()
    assert "Start one with `dask scheduler`" in page.words()
    clusters.close_all()
