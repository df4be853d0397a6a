"""A small embeddings file and a small cohort store, as bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from brainlm_core.base.atlas import a424_cortex
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings
from brainlm_core.cohort.files import write_embeddings
from brainlm_core.cohort.store import CohortStore
from brainlm_core.scans import read_scan
from tests.fuzz.containers import signals

_N, _WIDTH = 6, 4


def embeddings_file() -> bytes:
    """Return embeddings of six recordings."""
    parcellation = a424_cortex().subset(np.arange(5), "five")
    rng = np.random.default_rng(4)

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal((_N, *shape)).astype(np.float32)

    embeddings = Embeddings(
        tuple(f"r{i}" for i in range(_N)),
        tuple(f"s{i // 2}" for i in range(_N)),
        ("A",) * _N,
        pd.DataFrame({"age_years": 20.0 + np.arange(_N), "sex": ["f", "m"] * (_N // 2)}),
        pd.DataFrame({c: np.full(_N, 2.0) for c in ACQUISITION}),
        some(_WIDTH),
        some(_WIDTH),
        EmbeddingProvenance("test", {"model_name": "none", "licence": "none", "source": "random"}),
        twin_cls=some(_WIDTH),
        twin_mean=some(_WIDTH),
        parcels=some(5, _WIDTH),
        parcellation=parcellation,
        autocorrelation=some(5),
        amplitude=np.abs(some(5)),
        connectivity=some(10),
    )
    with tempfile.TemporaryDirectory() as folder:
        return write_embeddings(embeddings, Path(folder) / "e.parquet").read_bytes()


def store_files() -> dict[str, bytes]:
    """Return the files of a store with two recordings, by their path inside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = CohortStore.create(folder / "store")
        with store.writing():
            for i in range(2):
                np.save(folder / "a.npy", signals(424, seed=i))
                store.add(
                    read_scan(folder / "a.npy", tr_s=2.0),
                    f"r{i}",
                    subject_id=f"s{i}",
                    site="A",
                    source_key=f"k{i}",
                )
        store.add_phenotypes(pd.DataFrame({"recording_id": ["r0", "r1"], "age": [20, 21]}))
        root = folder / "store"
        files = {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
        return {k: v for k, v in files.items() if v}
