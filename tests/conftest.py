"""Fixtures for all tests: shared material is used where it is, and its absence is said in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser_tools import chromium as chromium  # one browser for all: two cannot run in one thread

ROOT = Path(__file__).resolve().parents[1]
_MAIN = sys.modules["__main__"]

# Two test processes with two threads each on two cores are many times slower than one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, session_cache: Path) -> None:
    """No network, and a cache of the tests' own."""
    monkeypatch.setenv("BRAINLM_CACHE", str(session_cache))
    monkeypatch.setenv("BRAINLM_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with the shared research material (data, samples, fixtures); skips without it."""
    path = Path(os.environ.get("BRAINLM_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip("the shared research material (recordings, samples) is not beside this checkout")
    return path


@pytest.fixture(scope="session")
def shared_fixture_dir(shared: Path) -> Path:
    """Folder of the numeric parity fixtures of the published code."""
    return shared / "spec" / "fixtures"


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Give the process its main module back: Streamlit leaves a script there, spawned ones would run it."""
    sys.modules["__main__"] = _MAIN
    yield
    sys.modules["__main__"] = _MAIN
