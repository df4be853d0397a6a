"""Work on one run of a dataset: read it, do the steps, write BIDS derivatives, remember what was done."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.base.tables import write_table
from brainlm_core.base.writing import whole_file, whole_files
from brainlm_core.dataset.plan import STATE, DatasetSettings, Job
from brainlm_core.scans.bids import as_label, build_name
from brainlm_core.scans.types import MissingTR

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Parameters
    ----------
    label : str
    reason : str
        Why it failed; empty when it is done.
    files : tuple of str
        What was written, below the output dataset.
    """

    label: str
    reason: str = ""
    files: tuple[str, ...] = ()


def state_of(job: Job) -> dict[str, Any] | None:
    """Return what an earlier command remembers of a run, if that is still true and its files are there."""
    try:
        told = json.loads(_state_file(job).read_text(encoding="utf-8"))
        whole = all((Path(job.output) / name).is_file() for name in told["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole and told.get("key") == job.key and not told.get("reason") else None


def process_run(job: Job, settings: DatasetSettings) -> Outcome:
    """Work on one run; a failure is its reason in one sentence, never an exception."""
    try:
        if job.problem:
            raise BrainLMError(*_split(job.problem))
        files, facts = _process(job, settings)
        outcome = Outcome(job.label, "", files)
    except BrainLMError as error:
        outcome, facts = Outcome(job.label, str(error)), {}
    except Exception as error:  # one run's defect may not cost the others
        reason = f"an unexpected {type(error).__name__}; please report it with the program that wrote the run"
        outcome, facts = Outcome(job.label, reason), {}
    state = {"key": job.key, "label": job.label, "entities": dict(job.entities), "source": job.shown}
    state |= {"reason": outcome.reason, "files": list(outcome.files), **facts}
    with whole_file(_state_file(job)) as path:
        path.write_text(_json(state), encoding="utf-8")
    return outcome


def _split(problem: str) -> tuple[str, str]:
    what, _, fix = problem.rpartition("; ")
    return what, fix


def _state_file(job: Job) -> Path:
    return Path(job.output) / STATE / "runs" / f"{job.label}.json"


def _process(job: Job, settings: DatasetSettings) -> tuple[tuple[str, ...], dict[str, Any]]:
    recording = read_run(job, settings)
    names = Names(job, recording)
    folder = names.folder
    with whole_files(folder) as part:
        facts = (
            _write_signals(recording, names, part) if "parcellate" in settings.steps else _facts(recording)
        )
        if set(settings.steps) - {"parcellate"}:
            from brainlm_core.inference.engine import get_engine

            engine = get_engine(
                settings.model,
                device=settings.device,
                precision=settings.precision,
                context=settings.context,
                recipe=settings.recipe,
                accept_licence=settings.accept_licence,
            )
            if "networks" in settings.steps:
                facts["scores"] = _write_networks(engine, recording, names, part)
            if "embed" in settings.steps:
                _write_embedding(engine, recording, names, part, settings)
            if "forecast" in settings.steps:
                _write_forecast(engine, recording, names, part)
        written = sorted(path.name for path in part.iterdir())
    facts["seg"] = names.seg
    return tuple((folder.relative_to(job.output) / name).as_posix() for name in written), facts


def read_run(job: Job, settings: DatasetSettings) -> Recording:
    """Read a run; where its own file does not say TR, the JSON of the run's image does."""
    from brainlm_core.scans.intake import scan_reader

    read = scan_reader(settings.isolated)
    options: dict[str, Any] = {"atlas": settings.atlas, "cleaning": settings.cleaning}
    if job.confounds:
        options["confounds"] = job.confounds if settings.cleaning.is_active else None
    try:
        return read(job.source, tr_s=settings.tr_s, **options)
    except MissingTR:
        tr_s = _tr_beside(Path(job.source))
        if tr_s is None:
            raise
        return read(job.source, tr_s=tr_s, **options)


def _tr_beside(source: Path) -> float | None:
    from brainlm_core.scans.bids import index_dataset, runs_of
    from brainlm_core.scans.sidecars import sidecar_timing

    for run in runs_of(index_dataset(source.parent, deep=False)):
        if any(source.name == f.path.name for f in (*run.images, *run.tables)):
            for sidecar in run.sidecars:
                if (tr_s := sidecar_timing(sidecar.path.with_suffix(".nii")).repetition_time) is not None:
                    return tr_s
    return None


class Names:
    """Names of what is written for a run.

    Parameters
    ----------
    job : Job
    recording : Recording
    """

    def __init__(self, job: Job, recording: Recording) -> None:
        self.job = job
        self.seg = as_label(recording.parcellation.name)
        parts = [f"{e}-{job.entities[e]}" for e in ("sub", "ses") if e in job.entities]
        self.folder = Path(job.output, *parts, "func")
        self.sources = [f"bids:source:{job.shown}"]

    def __call__(self, suffix: str, extension: str, **entities: str) -> str:
        """Return the name of a file of the run."""
        return build_name({**self.job.entities, "seg": self.seg, **entities}, suffix, extension)


def _facts(recording: Recording) -> dict[str, Any]:
    quality = recording.quality
    motion = None if quality is None or quality.fd_mm is None else float(np.nanmean(quality.fd_mm))
    return {
        "tr_s": recording.tr_s,
        "n_volumes": recording.n_timepoints,
        "mean_fd_mm": motion,
        "verdict": None if quality is None else quality.verdict,
    }


def _write_signals(recording: Recording, names: Names, part: Path) -> dict[str, Any]:
    frame = pd.DataFrame(recording.signals.T, columns=list(recording.parcellation.names))  # (T, P)
    write_tsv(part / names("timeseries", ".tsv"), frame, "%.7g")
    facts, quality = _facts(recording), recording.quality
    about = {
        "Description": "Mean signal of each parcel, one row a volume",
        "SamplingFrequency": 1 / recording.tr_s,
        "RepetitionTime": recording.tr_s,
        "StartTime": 0,
        "Atlas": recording.provenance.atlas,
        "Sources": names.sources,
        "MeanFramewiseDisplacement": facts["mean_fd_mm"],
        "Verdict": facts["verdict"],
        "Reasons": [] if quality is None else list(quality.reasons),
        "Notices": list(recording.notices),
        "Provenance": recording.provenance.to_dict(),
    }
    write_json(part / names("timeseries", ".json"), about)
    return facts


def _write_networks(engine: Engine, recording: Recording, names: Names, part: Path) -> dict[str, Any]:
    from brainlm_core.features.networks.analysis import analyse

    result = analyse(engine, recording)
    told = result.to_dict()
    parcels = recording.parcellation.names
    about = {"Sources": names.sources, "WindowLength": told["window_length_s"], "Notices": told["notices"]}
    write_matrix(part / names("relmat", ".tsv", meas="attention"), result.attention, parcels)
    model = {"Description": "Attention of the model, from the row's parcel to the column's", "Directed": True}
    shown = {k: v for k, v in told.items() if k not in ("provenance", "notices")}
    write_json(part / names("relmat", ".json", meas="attention"), {**model, **about, "Networks": shown})
    write_matrix(part / names("relmat", ".tsv", meas="pearsoncorrelation"), result.view.connectivity, parcels)
    plain = {"Description": "Pearson correlation of the parcels over the same window", "Directed": False}
    write_json(part / names("relmat", ".json", meas="pearsoncorrelation"), {**plain, **about})
    return {k: told[k] for k in ("knn_accuracy", "ari") if k in told}


def write_matrix(path: Path, values: NDArray[np.floating], parcels: tuple[str, ...]) -> None:
    """Write a matrix (n_parcels, n_parcels) with the parcels' names as header."""
    write_tsv(path, pd.DataFrame(np.asarray(values), columns=list(parcels)))


def write_tsv(path: Path, table: pd.DataFrame, float_format: str = "%.6g") -> None:
    """Write a table as BIDS has it: tabs, and n/a for what is missing."""
    write_table(path, table, separator="\t", missing="n/a", float_format=float_format)


def _write_embedding(
    engine: Engine, recording: Recording, names: Names, part: Path, settings: DatasetSettings
) -> None:
    from brainlm_core.cohort.embeddings import EmbeddingProvenance, Embeddings
    from brainlm_core.cohort.features import embed_recording, plain_features
    from brainlm_core.cohort.files import write_embeddings

    own = embed_recording(engine, recording)
    twin = None if engine.info.is_random else embed_recording(engine.twin(), recording)
    plain, facts = plain_features(recording.signals), _facts(recording)
    motion = facts["mean_fd_mm"]
    acquisition = {
        "tr_s": [recording.tr_s],
        "n_volumes": [float(recording.n_timepoints)],
        "duration_s": [recording.tr_s * recording.n_timepoints],
        "n_windows": [float(own.n_windows)],
        "mean_fd_mm": [math.nan if motion is None else motion],
    }
    told = {"model": settings.model, "input": settings.recipe.to_dict(), "windows": "side by side, averaged"}
    one = Embeddings(
        (names.job.label,),
        (f"sub-{names.job.entities.get('sub', '')}",),
        ("",),
        pd.DataFrame(index=range(1)),
        pd.DataFrame(acquisition),
        own.cls[None],
        own.mean[None],
        EmbeddingProvenance(
            Path(names.job.output).name, engine.info.to_dict(), recording.provenance.simulated, told
        ),
        None if twin is None else twin.cls[None],
        None if twin is None else twin.mean[None],
        None,
        recording.parcellation,
        plain.autocorrelation[None],
        plain.amplitude[None],
        plain.connectivity[None],
    )
    write_embeddings(one, part / names("embeddings", ".parquet"))
    about = {
        "Description": "Embedding of the run by the model and by its random-weights twin, one row",
        "Model": engine.info.to_dict(),
        "Sources": names.sources,
    }
    write_json(part / names("embeddings", ".json"), about)


def _write_forecast(engine: Engine, recording: Recording, names: Names, part: Path) -> None:
    from brainlm_core.features.forecast.analysis import analyse

    told = analyse(engine, recording).to_dict()
    about = {"Description": "Forecast of the run's end beside simple methods", "Sources": names.sources}
    write_json(part / names("forecast", ".json"), {**about, **told})


def write_json(path: Path, about: Mapping[str, Any]) -> None:
    """Write a sidecar; NaN and infinities become null."""
    path.write_text(_json(about), encoding="utf-8")


def _json(about: Mapping[str, Any]) -> str:
    return json.dumps(_plain(about), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    """Return what JSON has words for; NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
