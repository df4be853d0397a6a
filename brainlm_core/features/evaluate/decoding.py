"""What frozen embeddings tell of people, for ``brainlm evaluate``.

:func:`brainlm_core.features.decode.analysis.decode` of age, sex and diagnosis, whole sites left out
where there are enough of them, else whole people.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, BrainLMError, ConfigError
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings
from brainlm_core.cohort.features import embed_recording, plain_features
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.decode.analysis import decode
from brainlm_core.features.decode.inputs import FEW_PEOPLE, MIN_SITES, DecodeOptions
from brainlm_core.inference.engine import Cancelled

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: Columns that are decoded.
TARGETS = ("age_years", "sex", "diagnosis")


def decode_cohort(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    seed: int,
    notices: list[str],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> dict[str, Any] | None:
    """Decode age, sex and diagnosis where the cohort's phenotypes have them.

    Returns
    -------
    dict or None
        ``{target: {metric, n, groups, scores: {method: {value, ci95}}}}``.
    """
    table = cohort.phenotypes
    wanted = [t for t in TARGETS if table is not None and t in table and table[t].nunique() > 1]
    if table is None or not wanted or len(cohort) < FEW_PEOPLE:
        notices.append(f"No decoding: it needs age_years, sex or diagnosis of at least {FEW_PEOPLE} people.")
        return None
    people = embed_in_memory(engine, twin, cohort, progress, cancel)
    sites = len(set(filter(None, people.sites)))
    leave_out = "site" if sites >= MIN_SITES and "" not in people.sites else None
    out: dict[str, Any] = {}
    for target in wanted:
        options = DecodeOptions(target, leave_out=leave_out, n_permutations=0, seed=seed)
        try:
            facts = decode(people, options, cancel=cancel).to_dict()
        except (AnalysisError, ConfigError) as error:
            notices.append(f"Decoding {target}: {error}.")
            continue
        out[target] = {key: facts[key] for key in ("metric", "n", "groups", "scores")}
    return out or None


def embed_in_memory(
    engine: Engine, twin: Engine, cohort: Cohort, progress: Progress | None, cancel: Cancel | None
) -> Embeddings:
    """Embed a cohort in this process; recordings that cannot be embedded are left out."""
    vectors: dict[str, list[NDArray[np.float32]]] = {k: [] for k in ("cls", "mean", "twin_cls", "twin_mean")}
    plain, rows, how = [], [], []
    for row in range(len(cohort)):
        if cancel is not None and cancel():
            raise Cancelled
        if progress is not None:
            progress(row / len(cohort), f"Embedding: recording {row + 1} of {len(cohort)}")
        try:
            recording = cohort.recording(row)
            own, other = embed_recording(engine, recording), embed_recording(twin, recording)
        except Cancelled:
            raise
        except BrainLMError:
            continue
        for key, value in zip(vectors, (own.cls, own.mean, other.cls, other.mean), strict=True):
            vectors[key].append(value)
        plain.append(plain_features(recording.signals))
        n = recording.n_timepoints
        how.append((recording.tr_s, n, n * recording.tr_s, own.n_windows, np.nan))
        rows.append(row)
    if not rows:
        raise AnalysisError("no recording can be embedded", "check their length and parcels")
    shared = len({len(p.amplitude) for p in plain}) == 1  # a folder of scans may be on several parcellations
    acquisition = pd.DataFrame(how, columns=list(ACQUISITION))
    phenotypes = pd.DataFrame(index=range(len(cohort))) if cohort.phenotypes is None else cohort.phenotypes
    known = phenotypes.iloc[rows].reset_index(drop=True)
    if "mean_fd_mm" in known:
        acquisition["mean_fd_mm"] = pd.to_numeric(known["mean_fd_mm"], errors="coerce")
    sites = known["site"].fillna("").astype(str) if "site" in known else [""] * len(rows)
    keys = ("recording_id", "scan_id", "subject_id", "site")
    return Embeddings(
        tuple(cohort.ids[r] for r in rows),
        tuple(cohort.subjects[r] for r in rows),
        tuple(sites),
        known.drop(columns=[c for c in (*ACQUISITION, *keys) if c in known]),
        acquisition,
        provenance=EmbeddingProvenance(cohort.name, engine.info.to_dict()),
        parcellation=cohort.parcellation,
        autocorrelation=np.stack([p.autocorrelation for p in plain]) if shared else None,
        amplitude=np.stack([p.amplitude for p in plain]) if shared else None,
        connectivity=np.stack([p.connectivity for p in plain]) if shared else None,
        **{k: np.stack(v) for k, v in vectors.items()},
    )
