"""What the Networks page asks for, as it comes: attention, networks, baselines, twin."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.jobs import Job, Report, within
from app.state import ModelChoice, Visitor
from app.waiting import collect
from brainlm_core.analyses.network_scores import MethodScores
from brainlm_core.analyses.networks import AttentionView, NetworksOptions, NetworksResult
from brainlm_core.analyses.scan_dependence import ScanDependence
from brainlm_core.recording import Recording

#: Slots of the two jobs.
ATTENTION, SCORES = "attention", "scores"


@dataclass(frozen=True)
class Picture:
    """What can be drawn now; None for what is still being computed.

    Parameters
    ----------
    view : AttentionView or None
        One pass of the model.
    attention : ndarray (n_parcels, n_parcels) or None
        The chosen map, query × key.
    cls : ndarray (n_parcels,) or None
        The chosen map of the summary token.
    clustering : Clustering or None
        The k networks.
    scores : tuple of MethodScores
        As far as they are known.
    dependence : ScanDependence or None
        What the scan adds to what all brains share.
    """

    view: AttentionView | None = None
    attention: NDArray[np.float32] | None = None
    cls: NDArray[np.float32] | None = None
    clustering: object | None = None
    scores: tuple[MethodScores, ...] = ()
    dependence: ScanDependence | None = None

    def score(self, method: str) -> MethodScores | None:
        """Return the scores of one method, None while unknown."""
        return next((row for row in self.scores if row.method == method), None)


def view_key(who: Visitor, options: NetworksOptions) -> tuple[str, ...]:
    """Identify one pass of the model over the recording in hand."""
    return ("view", who.key, who.model.name, repr(options.windows))


def scores_key(who: Visitor, options: NetworksOptions) -> tuple[str, ...]:
    """Identify everything that follows from one choice on the page."""
    return ("networks", who.key, who.model.name, repr(options))


def attention_job(recording: Recording, model: ModelChoice, options: NetworksOptions) -> Job[AttentionView]:
    """Load the model if need be and run it once."""

    def work(report: Report) -> AttentionView:
        report(0.0, "Loading the model")
        from brainlm_core.analyses.networks import attention_of

        engine = model.engine(within(report, 0.0, 0.5))
        report(0.5, "Reading the model's attention")
        return attention_of(engine, recording, options, within(report, 0.5, 1.0), report.cancelled)

    return Job("Reading the model's attention", work)


def scores_job(
    recording: Recording, view: AttentionView, model: ModelChoice, options: NetworksOptions
) -> Job[NetworksResult]:
    """Draw networks and score them beside every baseline; each part is published as soon as it is there."""

    def work(report: Report) -> NetworksResult:
        from brainlm_core.analyses import networks as analysis

        report(0.02, "Drawing networks")
        chosen = analysis.chosen_map(view, options)
        clustering = analysis.networks_of(view, options, chosen)
        report.publish("clustering", clustering)
        report(0.2, "Scoring the model")
        own = analysis.attention_scores(view, options, attention=chosen, clustering=clustering)
        report(0.4, "Scoring connectivity and coordinates")
        baselines = analysis.baseline_scores(view, options)
        report.publish("scores", (own, *baselines))
        report(0.7, "Running the random-weights twin")
        twin = analysis.twin_scores(view, options, model.twin(), within(report, 0.7, 0.8), report.cancelled)
        report.publish("scores", (own, twin, *baselines))
        later = within(report, 0.8, 1.0)
        control, dependence = analysis.scan_controls(
            model.engine(), recording, view, options, chosen, later, report.cancelled
        )
        return NetworksResult(
            view=view,
            options=options,
            attention=chosen,
            cls=analysis.chosen_cls(view, options),
            thumbnails=analysis.thumbnails(view),
            clustering=clustering,
            scores=analysis.in_order(own, control, twin, *baselines),
            notices=view.notices,
            dependence=dependence,
        )

    return Job("Scoring networks", work)


def picture(who: Visitor, options: NetworksOptions) -> Picture:
    """Return what is known now, from finished results and from parts of the running job."""
    from brainlm_core.analyses.networks import chosen_cls, chosen_map

    result: NetworksResult | None = who.results.get(scores_key(who, options))
    if result is not None:
        return Picture(
            result.view, result.attention, result.cls, result.clustering, result.scores, result.dependence
        )
    view: AttentionView | None = who.results.get(view_key(who, options))
    if view is None:
        return Picture()
    parts = who.jobs[SCORES].parts if SCORES in who.jobs else {}
    return Picture(
        view,
        chosen_map(view, options),
        chosen_cls(view, options),
        parts.get("clustering"),
        parts.get("scores", ()),
    )


def chosen_options(who: Visitor) -> NetworksOptions:
    """Return what the controls say (their state is read here, before they are drawn).

    A layer or head that the model in hand does not have counts as "all": it was chosen for another model.
    """
    state = st.session_state
    options = NetworksOptions(
        n_networks=int(state.get("net-k", 7)), windows=state.get("net-windows") or "first"
    )
    reduction = state.get("net-reduction") or "average"
    if reduction == "rollout":
        return replace(options, reduction="rollout")
    view: AttentionView | None = who.results.get(view_key(who, options))
    if reduction != "layer/head" or view is None:
        return options
    layer, head = (
        chosen if chosen is not None and chosen < size else None
        for chosen, size in (
            (state.get("net-layer"), view.attention.n_layers),
            (state.get("net-head"), view.attention.n_heads),
        )
    )
    if layer is None and head is None:
        return options
    return replace(options, reduction="layer/head", layer=layer, head=head)


def advance(who: Visitor, recording: Recording, options: NetworksOptions) -> None:
    """Take over what has been computed, and start what is missing."""
    view_at, scores_at = view_key(who, options), scores_key(who, options)
    for slot, wanted in ((ATTENTION, view_at), (SCORES, scores_at)):
        if slot in who.jobs and getattr(who.jobs[slot], "wanted", None) != wanted:
            who.jobs.pop(slot).cancel()
        job = collect(slot)
        if job is not None:
            who.model_error = job.error
            if job.result is not None:
                who.remember(wanted, job.result)
    if who.model_error is not None:
        return
    if view_at not in who.results:
        if ATTENTION not in who.jobs:
            who.start(ATTENTION, attention_job(recording, who.model, options)).wanted = view_at
        return
    info = who.results[view_at].model
    who.device, who.licence = info.where, info.licence
    if scores_at not in who.results and SCORES not in who.jobs:
        job = scores_job(recording, who.results[view_at], who.model, options)
        who.start(SCORES, job).wanted = scores_at
