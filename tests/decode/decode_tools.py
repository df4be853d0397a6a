"""A cohort whose answer is known: signals, a planted column, sites, confounds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brainlm_core.base.atlas import from_coordinates
from brainlm_core.cohort.embeddings import EmbeddingProvenance, Embeddings
from brainlm_core.cohort.features import plain_features

N_PARCELS, N_VOLUMES = 8, 120


def cohort(n: int = 120, *, scans: int = 1, seed: int = 0, n_sites: int = 4) -> Embeddings:
    """Recordings of ``n`` people; ``coupling`` drives the correlation of parcels 0 and 1.

    The embedding is a fixed random projection of what the signals' connectivity is, plus noise; the
    twin's holds noise alone. ``site`` shifts every embedding; motion is noise.
    """
    rng = np.random.default_rng(seed)
    coupling = rng.uniform(0.1, 0.9, n)
    site = rng.integers(0, n_sites, n)
    rows = np.repeat(np.arange(n), scans)
    features = []
    for person in rows:
        noise = rng.standard_normal((N_PARCELS, N_VOLUMES))
        noise[1] = coupling[person] * noise[0] + np.sqrt(1 - coupling[person] ** 2) * noise[1]
        features.append(plain_features(noise))
    connectivity = np.stack([f.connectivity for f in features])
    mixing = rng.standard_normal((connectivity.shape[1], 6)) / 5
    m = len(rows)

    def some(d: int) -> np.ndarray:
        return rng.standard_normal((m, d)).astype(np.float32)

    cls = (connectivity @ mixing + 0.02 * some(6) + 0.3 * site[rows, None]).astype(np.float32)
    age = 20 + 40 * coupling + rng.standard_normal(n)
    phenotypes = pd.DataFrame(
        {
            "age_years": age[rows],
            "sex": np.where(coupling > 0.5, "female", "male")[rows],
            "noise": rng.standard_normal(n)[rows],
            "kind": np.array(["a", "b", "c"])[np.digitize(coupling, [0.35, 0.65])][rows],
        }
    )
    acquisition = pd.DataFrame(
        {
            "tr_s": 2.0,
            "n_volumes": 120.0,
            "duration_s": 240.0,
            "n_windows": 1.0,
            "mean_fd_mm": rng.uniform(0.05, 0.3, m),
        }
    )
    xyz = rng.uniform(-60, 60, (N_PARCELS, 3))
    return Embeddings(
        tuple(f"r{i}" for i in range(m)),
        tuple(f"s{p}" for p in rows),
        tuple(f"site {site[p]}" for p in rows),
        phenotypes,
        acquisition,
        cls,
        cls[:, ::-1].copy(),
        EmbeddingProvenance("planted", {"model_name": "test", "licence": "none", "source": "test"}, True),
        twin_cls=some(6),
        twin_mean=some(6),
        parcellation=from_coordinates("eight", tuple(f"p{i}" for i in range(N_PARCELS)), xyz),
        autocorrelation=np.stack([f.autocorrelation for f in features]),
        amplitude=np.stack([f.amplitude for f in features]),
        connectivity=connectivity,
    )
