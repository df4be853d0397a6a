"""Intake tests run without a network and with a cache of their own."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _offline(offline: None) -> None:
    """Every test here."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
