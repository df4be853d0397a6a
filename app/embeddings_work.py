"""What the Embeddings page computes beside the page: maps, the place of the scan in hand, comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.embeddings_state import Desk
from app.jobs import Job, Report
from app.state import Visitor
from app.waiting import collect
from brainlm_core.analyses.cohort_compare import GroupComparison, compare_groups
from brainlm_core.analyses.cohort_map import AxesMap, Placed, principal_map
from brainlm_core.cohort.embeddings import Embeddings
from brainlm_core.errors import BrainLMError
from brainlm_core.recording import Recording

#: Slots of the jobs.
HERE, COMPARE = "embeddings-here", "embeddings-compare"
#: Which embedding of the file a map is made of.
KINDS = {"cls": "Summary token", "mean": "Mean of all tokens", "twin_cls": "Random weights, summary token"}
_MAPS = "embeddings-map"


@dataclass(frozen=True, eq=False)
class Here:
    """The scan in hand, embedded.

    Parameters
    ----------
    cls, mean : ndarray (d,), float32
    """

    cls: NDArray[np.float32]
    mean: NDArray[np.float32]


def kinds_of(embeddings: Embeddings) -> list[str]:
    """Return which kinds of embedding a cohort holds."""
    return [k for k in KINDS if getattr(embeddings, k) is not None]


def map_of(own: Desk, kind: str, *, other: bool = False) -> AxesMap:
    """Return the map of one kind of embedding; kept, since a rerun asks again.

    Raises
    ------
    AnalysisError
        If the cohort is too small.
    """
    key = (_MAPS, str(own.serial), own.other_name if other else "", kind)
    if key not in own.kept:
        source = own.other if other and own.other is not None else own.cohort
        own.remember(key, principal_map(source.vectors(kind), source.subjects))
    result: AxesMap = own.kept[key]
    return result


def why_not_placed(who: Visitor, own: Desk) -> str:
    """Return why the scan in hand cannot be placed; empty when it can."""
    wanted = str(own.cohort.provenance.model.get("model_name", ""))
    if wanted != who.model.name:
        return f"This cohort was embedded with {wanted or 'another model'}; choose it to place your scan."
    return ""


def place_job(recording: Recording, who: Visitor) -> Job[Here]:
    """Embed the scan in hand."""
    model = who.model

    def work(report: Report) -> Here:
        report(0.1, "Loading the model")
        from brainlm_core.cohort.features import embed_recording
        from brainlm_core.engine import get_engine

        engine = get_engine(model.name, accept_licence=model.licence_accepted)
        report(0.4, "Embedding your scan")
        done = embed_recording(engine, recording)
        return Here(done.cls, done.mean)

    return Job("Placing your scan", work)


def advance(who: Visitor, own: Desk, recording: Recording) -> None:
    """Take over what has been computed, and embed the scan in hand when that is possible."""
    key = here_key(who)
    job = collect(HERE)
    if job is not None:
        if job.error is not None:
            own.remember(key, job.error)
        elif job.result is not None:
            own.remember(key, job.result)
    if key not in own.kept and HERE not in who.jobs and not why_not_placed(who, own):
        who.start(HERE, place_job(recording, who)).wait(0.2)


def here_key(who: Visitor) -> tuple[str, ...]:
    """Identify the embedding of the scan in hand."""
    return ("embeddings-here", who.key, who.model.name)


def placed(who: Visitor, own: Desk, kind: str) -> Placed | BrainLMError | None:
    """Return where the scan in hand lies, why it cannot be placed, or None while it is being embedded."""
    if why_not_placed(who, own) or kind not in ("cls", "mean"):
        return None
    here = own.kept.get(here_key(who))
    if here is None or isinstance(here, BrainLMError):
        return here
    try:
        return map_of(own, kind).place(getattr(here, kind))
    except BrainLMError as error:
        return error


def compare_key(own: Desk, measure: str) -> tuple[str, ...]:
    """Identify a comparison of the selection with the rest."""
    return ("embeddings-compare", str(own.serial), str(hash(own.selected.tobytes())), measure)


def compare_job(own: Desk, measure: str) -> Job[GroupComparison]:
    """Compare the selection with the rest."""
    cohort, rows = own.cohort, own.selected

    def work(report: Report) -> GroupComparison:
        report(0.1, "Comparing the selection with the rest")
        full = cohort
        if measure == "connectivity" and cohort.connectivity is None:
            report(0.1, "Drawing the simulated recordings again for their connectivity")
            from brainlm_core.cohort.reference import with_connectivity

            full = with_connectivity()
        return compare_groups(full, rows, measure)

    return Job("Comparing", work)


def comparison(who: Visitor, own: Desk, measure: str) -> GroupComparison | BrainLMError | None:
    """Return the comparison, why there is none, or None while it is being made; starts it."""
    key = compare_key(own, measure)
    running = who.jobs.get(COMPARE)
    if running is not None and getattr(running, "wanted", None) != key:
        who.jobs.pop(COMPARE).cancel()
    job = collect(COMPARE)
    if job is not None:
        own.remember(key, job.error if job.error is not None else job.result)
    if key in own.kept:
        result: GroupComparison | BrainLMError = own.kept[key]
        return result
    if COMPARE not in who.jobs:
        job = who.start(COMPARE, compare_job(own, measure))
        job.wanted = key  # type: ignore[attr-defined]
        job.wait(0.3)
    return None
