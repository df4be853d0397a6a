"""Fakes for the network tests: planted connectivity, planted attention, no torch model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from brainlm_core.base.atlas import YEO7, Parcellation, a424
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.inference.engine import Attention, EngineInfo
from brainlm_core.inference.windows import Windows, make_windows
from brainlm_core.model.base import InputSpec


def info(name: str, random: bool = False) -> EngineInfo:
    return EngineInfo(name, "fake", "none", "a test", None, "cpu", "fp32", 1, random)


@dataclass
class FakeEngine:
    """Attention that depends on the parcels' networks, by a recipe; two layers, three heads."""

    weights: np.ndarray  # (G, G) positive
    group: np.ndarray
    name: str = "fake"
    random: bool = False

    def __post_init__(self) -> None:
        self.info = info(self.name, self.random)
        self.calls = 0

    def windows(self, recording: Recording, **settings: Any) -> Windows:
        return make_windows(recording, InputSpec(n_parcels=None, tr_s=None), **settings)

    def attention(
        self,
        windows: Windows,
        average: bool = True,
        *,
        steadied: float = 0.0,
        progress: Any = None,
        cancel: Any = None,
    ) -> Attention:
        self.calls += 1
        self.seen = windows
        if progress is not None:
            progress(1.0, "Reading attention: done")
        rng = np.random.default_rng(3)
        maps = np.stack([self.weights * rng.uniform(0.9, 1.1, self.weights.shape) for _ in range(6)])
        maps = 0.9 * maps / maps.sum(axis=-1, keepdims=True)
        cls = rng.uniform(0, 1, (2, 3, len(self.weights)))
        shape = (2, 3, *self.weights.shape)
        return Attention(maps.reshape(shape).astype(np.float32), cls.astype(np.float32), self.group)


def network_index(parcellation: Parcellation) -> np.ndarray:
    return np.array([YEO7.index(name) if name in YEO7 else -1 for name in parcellation.yeo7])


def planted_weights(parcellation: Parcellation) -> np.ndarray:
    """Parcels of one network attend to each other five times as much; keys differ in popularity."""
    net = network_index(parcellation)
    same = (net[:, None] == net[None]) & (net >= 0)[:, None]
    popularity = np.random.default_rng(1).uniform(0.2, 5, len(net))
    return np.where(same, 5.0, 1.0) * popularity[None]


def recording_of(
    parcellation: Parcellation, n_timepoints: int = 260, *, flat: tuple[int, ...] = (), seed: int = 0
) -> Recording:
    """Signals with one rhythm per network plus noise."""
    rng = np.random.default_rng(seed)
    rhythms = rng.standard_normal((8, n_timepoints))
    noise = rng.standard_normal((parcellation.n_parcels, n_timepoints))
    signals = rhythms[network_index(parcellation)] + 1.5 * noise
    signals[list(flat)] = 0.0
    return Recording(signals.astype(np.float32), 0.72, parcellation, Provenance("planted", simulated=True))


@pytest.fixture(scope="session")
def whole() -> Parcellation:
    return a424()


@pytest.fixture
def planted(whole: Parcellation) -> FakeEngine:
    return FakeEngine(planted_weights(whole), np.arange(424))


@pytest.fixture
def blind(whole: Parcellation) -> FakeEngine:
    """A model that knows nothing."""
    weights = np.random.default_rng(7).uniform(0.5, 1.5, (424, 424))
    return FakeEngine(weights, np.arange(424), "random:fake", True)


@pytest.fixture
def recording(whole: Parcellation) -> Recording:
    return recording_of(whole)


@pytest.fixture(scope="session")
def make() -> Any:
    """The builders above, for tests that need variants."""

    class Make:
        engine = FakeEngine
        recording = staticmethod(recording_of)
        weights = staticmethod(planted_weights)
        networks = staticmethod(network_index)

    return Make
