"""A tiny engine and recordings for the perturbation tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.recording import Provenance, Recording
from brainlm_core.features.perturb.actions import Frame


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random parcel-token model, small enough for hundreds of passes."""
    from brainlm_core.model.checkpoints import random_model, save_folder
    from brainlm_core.model.config import ParcelTokenConfig

    config = ParcelTokenConfig(
        hidden_size=16,
        decoder_hidden_size=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        intermediate_size=16,
        decoder_num_attention_heads=2,
        decoder_num_hidden_layers=1,
        decoder_intermediate_size=16,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("tiny-model")
    save_folder(random_model(config.to_dict(), 0), folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):  # type: ignore[no-untyped-def]
    from brainlm_core.inference.engine import Engine

    return Engine.load(str(tiny_folder), device="cpu", precision="fp32")


def simulated_recording(parcellation, n: int = 220, seed: int = 0, tr_s: float = 0.735) -> Recording:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((3, n))
    mix = rng.standard_normal((parcellation.n_parcels, 3))
    signals = mix @ common + rng.standard_normal((parcellation.n_parcels, n))
    return Recording(
        signals=100 + signals,
        tr_s=tr_s,
        parcellation=parcellation,
        provenance=Provenance("test", simulated=True),
    )


@pytest.fixture(scope="session")
def recording() -> Recording:
    return simulated_recording(a424())


@pytest.fixture(scope="session")
def small_parcellation():  # type: ignore[no-untyped-def]
    """Forty cortical parcels: twenty counterparts on either side."""
    return a424_cortex().subset(np.r_[np.arange(0, 180, 9), np.arange(180, 360, 9)], "forty parcels")


@pytest.fixture(scope="session")
def small_recording(small_parcellation) -> Recording:  # type: ignore[no-untyped-def]
    return simulated_recording(small_parcellation, seed=1)


@pytest.fixture(scope="session")
def frame(small_parcellation) -> Frame:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(3)
    n = small_parcellation.n_parcels
    return Frame(
        small_parcellation,
        rng.normal(0, 0.2, n).astype(np.float32),
        rng.uniform(0.5, 1.5, n).astype(np.float32),
        0.72,
        200,
    )


@pytest.fixture(scope="session")
def window(frame: Frame) -> np.ndarray:
    rng = np.random.default_rng(4)
    noise = rng.standard_normal((frame.parcellation.n_parcels, 200))
    return (frame.mean[:, None] + frame.sd[:, None] * noise).astype(np.float32)
