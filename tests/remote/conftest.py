from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brainlm_core.remote import cluster as clusters
from tests.dask_lab import Lab


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A scheduler with one worker that nobody kills."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.add_worker()
        yield lab
    finally:
        clusters.close_all()
        lab.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A scheduler with two workers, to be disturbed."""
    lab = Lab(tmp_path)
    try:
        for _ in range(2):
            lab.add_worker()
        yield lab
    finally:
        clusters.close_all()
        lab.close()
