"""Chunks of a run that are done: written beside the output, so that a run that was killed goes on.

A chunk counts as done when its ``.json`` is there; it is written last and names what could not be embedded.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import AnalysisError
from brainlm_core.base.writing import cannot_write, private_folder
from brainlm_core.cohort.embeddings import ACQUISITION, EmbeddingProvenance, Embeddings
from brainlm_core.cohort.files import EmbeddingsWriter, read_embeddings, write_embeddings
from brainlm_core.cohort.phenotypes import RECORDING_KEYS, SUBJECT_KEYS
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.cohort.tasks import ChunkResult, Row

#: Written by the run itself, so never a phenotype.
_TAKEN = {*ACQUISITION, *RECORDING_KEYS, *SUBJECT_KEYS, "site"}


@dataclass(frozen=True)
class Failure:
    """A recording that could not be embedded, and why."""

    recording_id: str
    reason: str


class Parts:
    """The folder of finished chunks of one run.

    Parameters
    ----------
    output : Path
        The file that will come of it.
    run_key : str
        Changes with the model, the settings and the cohort.
    cohort : Cohort
    settings : dict
        For the provenance.
    """

    def __init__(self, output: Path, run_key: str, cohort: Cohort, settings: dict[str, Any]) -> None:
        self.folder = output.parent / f".{output.name}.parts-{run_key[:12]}"
        self.output = output
        self.cohort = cohort
        self.settings = settings
        try:
            private_folder(self.folder)
        except OSError as error:
            raise cannot_write(output, error) from error

    def has(self, number: int) -> bool:
        """Whether a chunk is done."""
        return self._marker(number).is_file()

    def save(self, result: ChunkResult) -> None:
        """Keep a chunk; a second copy of the same chunk changes nothing."""
        if self.has(result.number):
            return
        files = []
        assert result.model is not None and result.parcellations is not None
        for k, digest in enumerate(sorted({r.parcellation for r in result.rows})):
            rows = [r for r in result.rows if r.parcellation == digest]
            name = f"{result.number:07d}-{k}.parquet"
            chunk = self._embeddings(rows, result.parcellations[digest], result.model, result.simulated)
            write_embeddings(chunk, self.folder / name)
            files.append(name)
        about = {
            "files": files,
            "parcellations": sorted({r.parcellation for r in result.rows}),
            "simulated": result.simulated,
            "failed": [[self.cohort.ids[i], reason] for i, reason in result.failed],
        }
        marker = self._marker(result.number)
        part = marker.with_suffix(".part")
        try:
            part.write_text(json.dumps(about), encoding="utf-8")
            part.replace(marker)
        except OSError as error:
            raise cannot_write(self.output, error) from error

    def merge(self, n_chunks: int, extra: Sequence[str] = ()) -> tuple[int, tuple[Failure, ...]]:
        """Write the output, chunk by chunk; return how many recordings it holds and what failed.

        Raises
        ------
        AnalysisError
            If no recording could be embedded.
        """
        markers = [
            json.loads(self._marker(k).read_text(encoding="utf-8")) for k in range(n_chunks) if self.has(k)
        ]
        failed = tuple(Failure(i, reason) for m in markers for i, reason in m["failed"])
        files = [self.folder / name for m in markers for name in m["files"]]
        if not files:
            why = f" (the first because: {failed[0].reason})" if failed else ""
            raise AnalysisError(f"no recording can be embedded{why}", "check TR, length and parcels")
        mixed = len({d for m in markers for d in m["parcellations"]}) > 1
        notices = list(extra)
        if mixed:
            notices.append("The recordings have different parcels: no connectivity or other parcel figures.")
        n = 0
        provenance: EmbeddingProvenance | None = None
        with EmbeddingsWriter(self.output) as writer:
            for file in files:
                chunk = read_embeddings(file)
                if provenance is None:
                    provenance = replace(
                        chunk.provenance,
                        simulated=any(m["simulated"] for m in markers),
                        notices=tuple(notices),
                    )
                if mixed:
                    chunk = _without_parcels(chunk)
                writer.write(replace(chunk, provenance=provenance))
                n += len(chunk)
        return n, failed

    def remove(self) -> None:
        """Let go of the chunks, once the output is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _marker(self, number: int) -> Path:
        return self.folder / f"{number:07d}.json"

    def _embeddings(
        self, rows: list[Row], parcellation: Parcellation, model: dict[str, Any], simulated: bool
    ) -> Embeddings:
        index = [r.index for r in rows]
        table = self.cohort.phenotypes
        people = pd.DataFrame(index=range(len(rows)))
        sites, motion = [""] * len(rows), [r.mean_fd_mm for r in rows]
        if table is not None:
            here = table.iloc[index].reset_index(drop=True)
            people = here.drop(columns=[c for c in here if c in _TAKEN])
            if "site" in here:
                sites = ["" if pd.isna(v) else str(v) for v in here["site"]]
            if "mean_fd_mm" in here:
                told = pd.to_numeric(here["mean_fd_mm"], errors="coerce").to_numpy(np.float64)
                motion = np.where(np.isnan(motion), told, motion).tolist()

        def stack(name: str) -> Any:
            first = getattr(rows[0], name)
            return None if first is None else np.stack([getattr(r, name) for r in rows]).astype(np.float32)

        return Embeddings(
            tuple(self.cohort.ids[i] for i in index),
            tuple(self.cohort.subjects[i] for i in index),
            tuple(sites),
            people,
            pd.DataFrame(
                {
                    "tr_s": [r.tr_s for r in rows],
                    "n_volumes": [float(r.n_volumes) for r in rows],
                    "duration_s": [r.tr_s * r.n_volumes for r in rows],
                    "n_windows": [float(r.n_windows) for r in rows],
                    "mean_fd_mm": np.asarray(motion, dtype=np.float64),
                }
            ),
            stack("cls"),
            stack("mean"),
            EmbeddingProvenance(self.cohort.name, model, simulated, self.settings),
            stack("twin_cls"),
            stack("twin_mean"),
            stack("parcels"),
            parcellation,
            stack("autocorrelation"),
            stack("amplitude"),
            stack("connectivity"),
        )


def _without_parcels(chunk: Embeddings) -> Embeddings:
    return replace(
        chunk, parcels=None, parcellation=None, autocorrelation=None, amplitude=None, connectivity=None
    )
