"""The whole dashboard with a drawn cohort of many recordings in place of the bundled one."""

import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.base.atlas import a424  # noqa: E402
from brainlm_core.cohort import reference  # noqa: E402
from brainlm_core.cohort.embeddings import EmbeddingProvenance, Embeddings  # noqa: E402


@st.cache_resource
def drawn() -> Embeddings:
    """Return as many recordings as $BRAINLM_POINTS says, 40,000 by default, of the shape of real ones."""
    n, rng = int(os.environ.get("BRAINLM_POINTS", "40000")), np.random.default_rng(0)
    about = reference.reference_cohort()
    site = rng.integers(0, 4, n)
    cls = rng.standard_normal((n, about.width)).astype(np.float32)
    cls[:, :2] = 10 * rng.standard_normal((n, 2)) + 30 * np.c_[site % 2, site // 2]
    length = rng.integers(150, 600, n)
    made = {"tr_s": 0.735, "n_volumes": length, "duration_s": 0.735 * length, "n_windows": length // 200 + 1}
    people = {
        "age_years": 50 + cls[:, 0] + rng.standard_normal(n),
        "sex": np.where(rng.random(n) < 0.5, "female", "male"),
        "diagnosis": np.where(rng.random(n) < 0.1, "patient", "control"),
        **{f"score_{i}": rng.standard_normal(n) for i in range(10)},
    }
    parcels = a424()
    return Embeddings(
        tuple(f"sub-{i:07d}_ses-2_task-rest" for i in range(n)),
        tuple(f"sub-{i:07d}" for i in range(n)),
        tuple("ABCD"[s] for s in site),
        pd.DataFrame(people),
        pd.DataFrame({**made, "mean_fd_mm": rng.gamma(2, 0.1, n)}),
        cls,
        cls[:, ::-1].copy(),
        EmbeddingProvenance("Drawn", dict(about.provenance.model), True, notices=("Drawn for a benchmark.",)),
        parcellation=parcels,
        autocorrelation=rng.random((n, parcels.n_parcels), dtype=np.float32),
        amplitude=rng.random((n, parcels.n_parcels), dtype=np.float32),
    )


many = drawn()
reference.reference_cohort = lambda: many
runpy.run_path(str(ROOT / "app" / "main.py"), run_name="__main__")
