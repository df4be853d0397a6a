"""What the Embeddings page computes: maps, what they use, the scan in hand, comparisons, decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.embeddings_state import Desk
from app.jobs import Job, Report, within
from app.state import Visitor
from app.waiting import collect
from brainlm_core.analyses.attribute_result import Attribution
from brainlm_core.analyses.cohort_compare import GroupComparison, compare_groups
from brainlm_core.analyses.decode import DecodeOptions, DecodeResult, decode
from brainlm_core.analyses.embed import LAYER_WORDS, EmbeddingMap, Placement, make_map
from brainlm_core.analyses.embed_uses import Uses, what_it_uses
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.engine_results import EngineInfo
from brainlm_core.errors import BrainLMError, ConfigError
from brainlm_core.recording import Recording

#: Slots of the jobs.
MAP, USES, HERE = "embeddings-map", "embeddings-uses", "embeddings-here"
COMPARE, DECODE = "embeddings-compare", "embeddings-decode"
ATTRIBUTE, ABIDE = "embeddings-attribute", "embeddings-abide"
#: Larger cohorts are told what they use only on demand.
MAX_USES = 2000


@dataclass(frozen=True)
class MapChoice:
    """Which map.

    Parameters
    ----------
    method : {"pca", "umap", "pacmap"}
    kind : str
        Key of :data:`brainlm_core.analyses.embed.LAYER_WORDS`.
    other : bool
        Of the other checkpoint beside the cohort.
    """

    method: str
    kind: str
    other: bool = False

    def key(self, own: Desk) -> tuple[str, ...]:
        """Identify the map among a visitor's results."""
        return ("map", str(own.serial), own.other_name if self.other else "", self.method, self.kind)


@dataclass(frozen=True, eq=False)
class Here:
    """The scan in hand, embedded.

    Parameters
    ----------
    cls, mean : ndarray (d,), float32
    model : EngineInfo
    """

    cls: NDArray[np.float32]
    mean: NDArray[np.float32]
    model: EngineInfo


def kinds_of(embeddings: Embeddings) -> list[str]:
    """Return which kinds of embedding a cohort holds."""
    return [k for k in LAYER_WORDS if getattr(embeddings, k) is not None]


def run_slot(
    who: Visitor,
    own: Desk,
    slot: str,
    key: tuple[str, ...],
    make: Callable[[], Job[Any]],
    patience_s: float = 0.3,
) -> Any:
    """Return a kept result or error, None while its job runs; starts it, stops one for another question.

    A job that was cancelled by hand is not started again for the same question.
    """
    running = who.jobs.get(slot)
    if running is not None and getattr(running, "wanted", None) != key:
        who.jobs.pop(slot).cancel()
    _take(who, own, slot, key)
    if key in own.kept:
        return own.kept[key]
    if slot not in who.jobs:
        if own.stopped.get(slot) == key:
            return ConfigError("this was stopped", "choose something else, or start it again")
        job = who.start(slot, make())
        job.wanted = key  # type: ignore[attr-defined]
        own.stopped[slot] = key  # until its result is there
        job.wait(patience_s)
        _take(who, own, slot, key)
    return own.kept.get(key)


def _take(who: Visitor, own: Desk, slot: str, key: tuple[str, ...]) -> None:
    job = collect(slot)
    if job is not None:
        own.stopped.pop(slot, None)
        own.remember(key, job.error if job.error is not None else job.result)


def maps(who: Visitor, own: Desk, choices: Sequence[MapChoice]) -> list[EmbeddingMap | BrainLMError | None]:
    """Return the maps that are there, None for those that are still being drawn."""
    out: list[EmbeddingMap | BrainLMError | None] = []
    for choice in choices:
        source = own.other if choice.other else own.cohort
        if source is None:
            continue
        key = choice.key(own)
        if key in own.kept:
            out.append(own.kept[key])
        elif any(m is None for m in out):  # one after the other
            out.append(None)
        else:
            out.append(run_slot(who, own, MAP, key, lambda s=source, c=choice: map_job(s, c), 1.5))  # type: ignore[misc]
    return out


def map_job(source: Embeddings, choice: MapChoice) -> Job[EmbeddingMap]:
    """Draw a map."""

    def work(report: Report) -> EmbeddingMap:
        return make_map(source, choice.method, choice.kind, progress=report, cancel=report.cancelled)

    return Job("Drawing the map", work)


def uses(who: Visitor, own: Desk, drawn: EmbeddingMap, choice: MapChoice) -> Uses | BrainLMError | None:
    """Return what the embedding uses, or None while it is being measured."""
    cohort = own.cohort

    def work(report: Report) -> Uses:
        report(0.05, "Measuring what the embedding uses")
        return what_it_uses(cohort, drawn)

    key = ("uses", *choice.key(own))
    result: Uses | BrainLMError | None = run_slot(who, own, USES, key, lambda: Job("What it uses", work))
    return result


def why_not_placed(who: Visitor, own: Desk) -> str:
    """Return why the scan in hand cannot be placed; empty when it can."""
    wanted = str(own.cohort.provenance.model.get("model_name", ""))
    if wanted != who.model.name:
        return f"This cohort was embedded with {wanted or 'another model'}; choose it to place your scan."
    return ""


def here_key(who: Visitor) -> tuple[str, ...]:
    """Identify the scan in hand, embedded."""
    return ("here", who.key, who.model.name)


def here(who: Visitor, own: Desk, recording: Recording) -> Here | BrainLMError | None:
    """Return the scan in hand, embedded; None while that runs or where it is not possible."""
    if why_not_placed(who, own):
        return None
    model = who.model

    def work(report: Report) -> Here:
        report(0.1, "Loading the model")
        from brainlm_core.cohort.features import embed_recording

        engine = model.engine()
        report(0.4, "Embedding your scan")
        done = embed_recording(engine, recording)
        return Here(done.cls, done.mean, engine.info)

    key = here_key(who)
    result: Here | BrainLMError | None = run_slot(
        who, own, HERE, key, lambda: Job("Placing your scan", work), 0.2
    )
    return result


def placed(
    who: Visitor,
    own: Desk,
    recording: Recording,
    drawn: EmbeddingMap | BrainLMError | None,
    choice: MapChoice,
) -> Placement | BrainLMError | None:
    """Return where the scan in hand lies, why it cannot be placed, or None while it is being embedded."""
    scan = here(who, own, recording)
    if scan is None or isinstance(scan, BrainLMError):
        return scan
    if not isinstance(drawn, EmbeddingMap) or choice.kind not in ("cls", "mean"):
        return None
    key = ("placed", who.key, *choice.key(own))
    if key not in own.kept:
        try:
            own.remember(key, drawn.place(getattr(scan, choice.kind)))
        except BrainLMError as error:
            own.remember(key, error)
    result: Placement | BrainLMError = own.kept[key]
    return result


def whole(cohort: Embeddings, report: Report) -> Embeddings:
    """Return the cohort with connectivity: that of the bundled one is drawn again."""
    from brainlm_core.cohort.reference import NAME, with_connectivity

    if cohort.connectivity is not None or cohort.provenance.cohort != NAME:
        return cohort
    report(0.02, "Drawing the simulated recordings again for their connectivity")
    return with_connectivity(cohort)


def comparison(who: Visitor, own: Desk, measure: str) -> GroupComparison | BrainLMError | None:
    """Return the selected against the rest, or None while that is being computed."""
    cohort, rows = own.cohort, own.selected

    def work(report: Report) -> GroupComparison:
        full = whole(cohort, report) if measure == "connectivity" else cohort
        report(0.6, "Comparing the selection with the rest")
        return compare_groups(full, rows, measure)

    key = ("compare", str(own.serial), str(hash(rows.tobytes())), measure)
    result: GroupComparison | BrainLMError | None = run_slot(
        who, own, COMPARE, key, lambda: Job("Comparing", work)
    )
    return result


def decode_key(own: Desk, options: DecodeOptions) -> tuple[str, ...]:
    """Identify a decoding."""
    return ("decode", str(own.serial), repr(options))


def decoding(who: Visitor, own: Desk, options: DecodeOptions) -> DecodeResult | BrainLMError | None:
    """Return the scores of a decoding that was asked for, or None while it runs."""
    cohort = own.cohort

    def work(report: Report) -> DecodeResult:
        full = whole(cohort, report)
        return decode(full, options, progress=report, cancel=report.cancelled)

    result: DecodeResult | BrainLMError | None = run_slot(
        who, own, DECODE, decode_key(own, options), lambda: Job("Decoding", work), 0.5
    )
    return result


def attribute_key(who: Visitor, own: Desk, readout: str, layer: str, method: str) -> tuple[str, ...]:
    """Identify an attribution of the scan in hand."""
    return ("attribute", str(own.serial), who.key, who.model.name, readout, layer, method)


def attribution(
    who: Visitor, own: Desk, recording: Recording, readout: str, layer: str, method: str
) -> Attribution | BrainLMError | None:
    """Return what moves a read-out of the scan in hand (``axis-N`` or a column), None while that runs."""
    cohort, model = own.cohort, who.model

    def work(report: Report) -> Attribution:
        from brainlm_core.analyses.attribute import attribute
        from brainlm_core.analyses.attribute_direction import axis_direction, decoded_direction
        from brainlm_core.analyses.attribute_result import AttributeOptions

        report(0.02, "Fitting the read-out on the cohort")
        if readout.startswith("axis-"):
            direction = axis_direction(cohort, int(readout.removeprefix("axis-")), layer)
        else:
            direction = decoded_direction(cohort, DecodeOptions(target=readout, layer=layer))
        # Gradients of a path need single precision: half precision would not add up.
        engine, twin = model.engine(precision="fp32"), model.twin(precision="fp32")
        options = AttributeOptions(method)
        return attribute(
            engine, recording, direction, options, twin=twin, progress=report, cancel=report.cancelled
        )

    key = attribute_key(who, own, readout, layer, method)
    result: Attribution | BrainLMError | None = run_slot(
        who, own, ATTRIBUTE, key, lambda: Job("Attributing", work)
    )
    return result


def build_abide(who: Visitor, own: Desk, n: int) -> None:
    """Start building the public cohort: download, store, embed; a second start goes on from the first."""
    model = who.model

    def work(report: Report) -> Embeddings:
        from brainlm_core.cohort.abide import find_abide
        from brainlm_core.cohort.embed_run import embed_cohort
        from brainlm_core.cohort.files import read_embeddings
        from brainlm_core.cohort.importing import import_scans
        from brainlm_core.cohort.store import CohortStore
        from brainlm_core.cohort.tasks import CohortReference, EmbedSettings
        from brainlm_core.paths import cache_dir

        folder = cache_dir() / "cohorts"
        found = find_abide(n, folder / "downloads", within(report, 0, 0.6))
        store = CohortStore.create(folder / "abide-pcp")
        import_scans(store, found, progress=within(report, 0.6, 0.7), cancel=report.cancelled)
        settings = EmbedSettings(model=model.name, accept_licence=model.licence_accepted)
        made = embed_cohort(
            CohortReference(str(store.path)),
            folder / f"abide-pcp-{fingerprint_of(model.name)}.parquet",
            settings,
            workers=0,
            progress=within(report, 0.7, 1),
            cancel=report.cancelled,
        )
        whole = read_embeddings(made.path)
        wanted = {scan.recording_id for scan in found.scans}
        return whole.subset([row for row, name in enumerate(whole.ids) if name in wanted])

    own.error = None
    who.start(ABIDE, Job("Building a cohort from ABIDE", work))


def finish_abide(who: Visitor, own: Desk) -> None:
    """Take over the public cohort once it is built, or the reason why it could not be."""
    job = collect(ABIDE)
    if job is None:
        return
    if job.error is not None:
        own.error = job.error
    elif job.result is not None:
        from brainlm_core.cohort.abide import NAME

        own.take(job.result, NAME)


def fingerprint_of(model: str) -> str:
    """Return a plain name for a model's files."""
    from brainlm_core.cohort.store import source_key

    return source_key(model)[:8]
