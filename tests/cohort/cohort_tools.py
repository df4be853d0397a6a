"""Small cohorts that the tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from brainlm_core.base.atlas import from_coordinates
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings

N_PARCELS = 6


def parcellation(n: int = N_PARCELS):
    xyz = np.random.default_rng(0).uniform(-60, 60, (n, 3))
    return from_coordinates("six", tuple(f"p{i}" for i in range(n)), xyz)


def embeddings(n: int = 10, d: int = 5, *, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal((n, *shape)).astype(np.float32)

    return Embeddings(
        tuple(f"r{i}" for i in range(n)),
        tuple(f"s{i // 2}" for i in range(n)),
        tuple("AB"[i % 2] for i in range(n)),
        pd.DataFrame(
            {
                "age_years": np.where(np.arange(n) == 1, np.nan, 20.0 + np.arange(n)),
                "sex": ["f", "m"] * (n // 2),
            }
        ),
        pd.DataFrame({c: np.full(n, 2.0) for c in ACQUISITION}),
        some(d),
        some(d),
        EmbeddingProvenance("test", {"model_name": "none", "licence": "none", "source": "random"}),
        twin_cls=some(d),
        twin_mean=some(d),
        parcels=some(N_PARCELS, d).astype(np.float16).astype(np.float32),
        parcellation=parcellation(),
        autocorrelation=some(N_PARCELS),
        amplitude=np.abs(some(N_PARCELS)),
        connectivity=some(N_PARCELS * (N_PARCELS - 1) // 2).astype(np.float16).astype(np.float32),
    )


def write_pack(
    folder: Path, n: int = 6, *, n_parcels: int = N_PARCELS, n_volumes: int = 120, name: str = "pack"
) -> dict:
    """Write a pack, its coordinates and its phenotypes; return keywords of ``open_cohort``."""
    rng = np.random.default_rng(3)
    lengths = n_volumes + 10 * (np.arange(n) % 3)
    signals = np.cumsum(rng.standard_normal((lengths.sum(), n_parcels)), axis=0)
    signals = (signals - signals.mean(axis=0)) / signals.std(axis=0)
    path = folder / f"{name}.npz"
    np.savez(path, signals=signals.astype(np.float16), offsets=np.r_[0, np.cumsum(lengths)])
    xyz = parcellation(n_parcels).xyz
    pd.DataFrame({"label": range(n_parcels), "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2]}).to_csv(
        folder / "xyz.csv", index=False
    )
    pd.DataFrame(
        {
            "scan_id": [f"scan{i}" for i in range(n)],
            "subject_id": [f"{i // 2:04d}" for i in range(n)],
            "site": ["A", "B"] * (n // 2),
            "tr_s": 2.0,
            "age_years": 20.0 + np.arange(n),
            "mean_fd_mm": 0.1,
        }
    ).to_csv(folder / "people.csv", index=False)
    return {"path": path, "coordinates": folder / "xyz.csv", "phenotypes": folder / "people.csv"}
