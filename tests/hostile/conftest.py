"""One process with the readers for all hostile files."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.hostile.measure import Readers


@pytest.fixture(scope="session")
def readers() -> Iterator[Readers]:
    """Readers in a process whose memory can be measured."""
    if sys.platform != "linux":
        pytest.skip("the memory of a process is measured through /proc here")
    made = Readers()
    yield made
    made.close()
