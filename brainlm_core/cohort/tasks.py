"""What a worker does: read some recordings of a cohort, embed them, and hand plain arrays back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.cohort.features import embed_recording, plain_features
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.recording_file import parcellation_digest
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.cohort.store import source_key

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class CohortReference:
    """Where a cohort lies and how it is opened, so that every worker opens it for itself.

    Parameters
    ----------
    path : str
        A store, a pack or a folder; workers on other machines need it at the same place.
    signals, coordinates : tuple of str
    tr_s : float or None
    phenotypes : str or None
        As :func:`brainlm_core.cohort.packs.open_cohort`.
    """

    path: str
    signals: tuple[str, ...] = ("signals",)
    coordinates: tuple[str, ...] = ()
    tr_s: float | None = None
    phenotypes: str | None = None

    def open(self) -> Cohort:
        """Open the cohort."""
        return open_cohort(
            self.path,
            signals=self.signals,
            coordinates=self.coordinates or None,
            tr_s=self.tr_s,
            phenotypes=self.phenotypes,
        )

    def keys(self, cohort: Cohort) -> tuple[str, ...]:
        """Return what stands for the content of each recording, without reading it."""
        if cohort.read is not None:  # a store: files are named by their content
            return tuple(p.stem for p in cohort.files)
        files = cohort.files or (Path(self.path),) * len(cohort)
        stamps = [f"{p.name} {(about := p.stat()).st_size} {about.st_mtime_ns}" for p in files]
        settings = f"{self.signals} {self.coordinates}"
        return tuple(
            source_key(f"{stamp} {settings} {i} {t}")
            for stamp, i, t in zip(stamps, cohort.ids, cohort.tr_s, strict=True)
        )


@dataclass(frozen=True)
class EmbedSettings:
    """How a cohort is embedded.

    Parameters
    ----------
    model, device, precision : str
        As :meth:`brainlm_core.inference.engine.Engine.load`.
    recipe : InputRecipe
        How recordings are scaled for the model.
    accept_licence : bool
        Of published weights.
    twin : bool
        Embed with the random-weights twin too, which every claim needs.
    parcels : bool
        Keep one embedding per parcel (large).
    connectivity : bool
        Keep functional connectivity, the baseline of every decoding.
    """

    model: str = "default"
    device: str = "auto"
    precision: str = "auto"
    recipe: InputRecipe = DEFAULT_RECIPE
    accept_licence: bool = False
    twin: bool = True
    parcels: bool = False
    connectivity: bool = True


@dataclass(frozen=True, eq=False)
class Row:
    """One recording's numbers; see :class:`brainlm_core.cohort.embeddings.Embeddings` for the arrays."""

    index: int
    cls: FloatArray
    mean: FloatArray
    twin_cls: FloatArray | None
    twin_mean: FloatArray | None
    parcels: NDArray[np.float16] | None
    connectivity: NDArray[np.float16] | None
    autocorrelation: FloatArray
    amplitude: FloatArray
    tr_s: float
    n_volumes: int
    n_windows: int
    mean_fd_mm: float
    parcellation: str


@dataclass(frozen=True, eq=False)
class ChunkResult:
    """What a worker hands back.

    Parameters
    ----------
    number : int
        Of the chunk.
    rows : tuple of Row
    failed : tuple of (int, str)
        Index and reason of recordings that cannot be embedded.
    parcellations : dict
        By digest.
    model : dict
        :meth:`EngineInfo.to_dict`; empty after a fatal error.
    simulated : bool
        Whether a recording was simulated.
    fatal : (str, str) or None
        What is wrong with the model or the cohort as a whole, and what to do.
    """

    number: int
    rows: tuple[Row, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()
    parcellations: dict[str, Parcellation] | None = None
    model: dict[str, Any] | None = None
    simulated: bool = False
    fatal: tuple[str, str] | None = None


@lru_cache(maxsize=2)
def _open(reference: CohortReference) -> Cohort:
    return reference.open()


def embed_chunk(
    reference: CohortReference, settings: EmbedSettings, number: int, indices: tuple[int, ...]
) -> ChunkResult:
    """Embed some recordings of a cohort in this process."""
    from brainlm_core.inference.engine import get_engine

    load: dict[str, Any] = {
        "device": settings.device,
        "precision": settings.precision,
        "recipe": settings.recipe,
    }
    try:
        cohort = _open(reference)
        engine = get_engine(settings.model, accept_licence=settings.accept_licence, **load)
        wanted = settings.twin and not engine.info.is_random
        twin = get_engine(f"random:{settings.model}", **load) if wanted else None
    except BrainLMError as error:
        return ChunkResult(number, fatal=(error.what, error.fix))
    rows: list[Row] = []
    failed: list[tuple[int, str]] = []
    parcellations: dict[str, Parcellation] = {}
    simulated = False
    for index in indices:
        try:
            row, parcels, was_simulated = _embed_row(cohort, index, engine, twin, settings)
        except BrainLMError as error:
            failed.append((index, str(error)))
            continue
        rows.append(row)
        parcellations[row.parcellation] = parcels
        simulated |= was_simulated
    return ChunkResult(number, tuple(rows), tuple(failed), parcellations, engine.info.to_dict(), simulated)


def _embed_row(
    cohort: Cohort, index: int, engine: Engine, twin: Engine | None, settings: EmbedSettings
) -> tuple[Row, Parcellation, bool]:
    recording = cohort.recording(index)
    own = embed_recording(engine, recording)
    other = None if twin is None else embed_recording(twin, recording)
    plain = plain_features(recording.signals)
    quality = recording.quality
    motion = np.nan if quality is None or quality.fd_mm is None else float(np.nanmean(quality.fd_mm))
    row = Row(
        index,
        own.cls,
        own.mean,
        None if other is None else other.cls,
        None if other is None else other.mean,
        own.parcels.astype(np.float16) if settings.parcels else None,
        plain.connectivity.astype(np.float16) if settings.connectivity else None,
        plain.autocorrelation,
        plain.amplitude,
        recording.tr_s,
        recording.n_timepoints,
        own.n_windows,
        motion,
        parcellation_digest(recording.parcellation),
    )
    return row, recording.parcellation, recording.provenance.simulated
