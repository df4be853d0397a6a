"""Tasks of the Embeddings page: maps, what they use, the scan in hand, comparisons, decoding, attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.embeddings.state import Desk
from app.shell import tasks
from app.shell.jobs import Report, within
from app.shell.session import Visitor
from app.shell.tasks import Task
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.features.attribution.result import Attribution
from brainlm_core.features.decode.analysis import DecodeOptions, DecodeResult, decode
from brainlm_core.features.embedding.analysis import LAYER_WORDS, EmbeddingMap, Placement, make_map
from brainlm_core.features.embedding.comparison import GroupComparison, compare_groups
from brainlm_core.features.embedding.uses import Uses, what_it_uses
from brainlm_core.inference.results import EngineInfo

#: Slots of the tasks; a second map has a slot of its own.
MAP, SECOND_MAP = "embeddings-map", "embeddings-map-2"
USES, HERE = "embeddings-uses", "embeddings-here"
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
        Key of :data:`brainlm_core.features.embedding.analysis.LAYER_WORDS`.
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


def ask(who: Visitor, own: Desk, task: Task[Any], patience_s: float = 0.3) -> Any:
    """Return the answer of a task, why it failed, or None while it runs or is stopped; start it if new."""
    outcome = tasks.run(who, replace(task, results=own.kept), patience_s=patience_s)
    return outcome.error if outcome.error is not None else outcome.result


def maps(who: Visitor, own: Desk, choices: Sequence[MapChoice]) -> list[EmbeddingMap | BrainLMError | None]:
    """Return the maps that are there, None for those that are still being drawn."""
    out: list[EmbeddingMap | BrainLMError | None] = []
    for slot, choice in zip((MAP, SECOND_MAP), choices, strict=False):
        source = own.other if choice.other else own.cohort
        if source is None:
            continue
        if any(m is None for m in out) and choice.key(own) not in own.kept:  # one after the other
            tasks.expect(who, slot, choice.key(own))
            out.append(None)
        else:
            out.append(ask(who, own, map_task(own, slot, source, choice), 1.5))
    if len(choices) == 1:
        tasks.drop(who, SECOND_MAP)
    return out


def map_task(own: Desk, slot: str, source: Embeddings, choice: MapChoice) -> Task[EmbeddingMap]:
    """Draw a map."""

    def work(report: Report) -> EmbeddingMap:
        return make_map(source, choice.method, choice.kind, progress=report, cancel=report.cancelled)

    return Task(slot, choice.key(own), "Drawing the map", work)


def uses(who: Visitor, own: Desk, drawn: EmbeddingMap, choice: MapChoice) -> Uses | BrainLMError | None:
    """Return what the embedding uses, or None while it is being measured."""
    cohort = own.cohort

    def work(report: Report) -> Uses:
        report(0.05, "Measuring what the embedding uses")
        return what_it_uses(cohort, drawn)

    result: Uses | BrainLMError | None = ask(
        who, own, Task(USES, ("uses", *choice.key(own)), "What it uses", work)
    )
    return result


def why_not_placed(who: Visitor, own: Desk) -> str:
    """Return why the scan in hand cannot be placed; empty when it can."""
    wanted = str(own.cohort.provenance.model.get("model_name", ""))
    if wanted != who.model.name:
        return f"This cohort was embedded with {wanted or 'another model'}; choose it to place your scan."
    if not own.cohort.provenance.fits_input(who.model.recipe):
        return "This cohort was embedded with another scaling of signals; choose that to place your scan."
    return ""


def here_key(who: Visitor) -> tuple[str, ...]:
    """Identify the scan in hand, embedded."""
    return ("here", who.key, who.model.name, repr(who.model.recipe))


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

    result: Here | BrainLMError | None = ask(
        who, own, Task(HERE, here_key(who), "Placing your scan", work), 0.2
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
            own.kept.remember(key, drawn.place(getattr(scan, choice.kind)))
        except BrainLMError as error:
            own.kept.remember(key, error)
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
    result: GroupComparison | BrainLMError | None = ask(who, own, Task(COMPARE, key, "Comparing", work))
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

    result: DecodeResult | BrainLMError | None = ask(
        who, own, Task(DECODE, decode_key(own, options), "Decoding", work), 0.5
    )
    return result


def attribute_key(who: Visitor, own: Desk, readout: str, layer: str, method: str) -> tuple[str, ...]:
    """Identify an attribution of the scan in hand."""
    return (
        "attribute",
        str(own.serial),
        who.key,
        who.model.name,
        repr(who.model.recipe),
        readout,
        layer,
        method,
    )


def attribution(
    who: Visitor, own: Desk, recording: Recording, readout: str, layer: str, method: str
) -> Attribution | BrainLMError | None:
    """Return what moves a read-out of the scan in hand (``axis-N`` or a column), None while that runs."""
    cohort, model = own.cohort, who.model

    def work(report: Report) -> Attribution:
        from brainlm_core.features.attribution.analysis import attribute
        from brainlm_core.features.attribution.direction import axis_direction, decoded_direction
        from brainlm_core.features.attribution.result import AttributeOptions

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
    result: Attribution | BrainLMError | None = ask(who, own, Task(ATTRIBUTE, key, "Attributing", work))
    return result


def build_abide(who: Visitor, own: Desk, n: int) -> None:
    """Start building the public cohort: download, store, embed; a second start goes on from the first."""
    model = who.model

    def work(report: Report) -> Embeddings:
        from brainlm_core.base.paths import cache_dir
        from brainlm_core.cohort.abide import find_abide
        from brainlm_core.cohort.embed_run import embed_cohort
        from brainlm_core.cohort.files import read_embeddings
        from brainlm_core.cohort.importing import import_scans
        from brainlm_core.cohort.store import CohortStore
        from brainlm_core.cohort.tasks import CohortReference, EmbedSettings

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

    def take(made: Embeddings) -> None:
        from brainlm_core.cohort.abide import NAME

        own.take(made, NAME)

    tasks.start(who, Task(ABIDE, (ABIDE, n), "Building a cohort from ABIDE", work, then=take))


def fingerprint_of(model: str) -> str:
    """Return a plain name for a model's files."""
    from brainlm_core.cohort.store import source_key

    return source_key(model)[:8]
