"""Nothing here goes to the network."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _offline(offline: None) -> None:
    """Every test here."""
