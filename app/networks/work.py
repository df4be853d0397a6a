"""Task of the Networks page: attention, networks, baselines and twin, each drawn as it comes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.shell import tasks
from app.shell.jobs import Report, within
from app.shell.model_chooser import reads_recording
from app.shell.session import Visitor
from app.shell.tasks import Task
from brainlm_core.base.recording import Recording
from brainlm_core.features.networks.analysis import AttentionView, NetworksOptions, NetworksResult
from brainlm_core.features.networks.scores import Clustering, MethodScores
from brainlm_core.features.shared.scan_dependence import ScanDependence

#: Slot of the task.
NETWORKS = "networks"


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
    clustering: Clustering | None = None
    scores: tuple[MethodScores, ...] = ()
    dependence: ScanDependence | None = None

    def score(self, method: str) -> MethodScores | None:
        """Return the scores of one method, None while unknown."""
        return next((row for row in self.scores if row.method == method), None)


def view_key(who: Visitor, options: NetworksOptions) -> tuple[str, ...]:
    """Identify one pass of the model over the recording in hand."""
    return ("view", who.key, who.model.name, repr((options.windows, options.steadied)))


def scores_key(who: Visitor, options: NetworksOptions) -> tuple[str, ...]:
    """Identify everything that follows from one choice on the page; begins as :func:`view_key` does."""
    return (NETWORKS, *view_key(who, options)[1:], repr(options))


def networks_task(who: Visitor, recording: Recording, options: NetworksOptions) -> Task[NetworksResult]:
    """Load the model if need be, run it once, draw networks and score them beside every baseline."""
    model, known = who.model, who.results.get(view_key(who, options))

    def work(report: Report) -> NetworksResult:
        report(0.0, "Loading the model")
        from brainlm_core.features.networks.analysis import analyse

        engine = model.engine(within(report, 0.0, 0.3))
        tell = within(report, 0.3, 1.0)
        return analyse(engine, recording, options, tell, report.cancelled, view=known, publish=report.publish)

    return Task(NETWORKS, scores_key(who, options), "Reading the model's attention", work)


def picture(who: Visitor, options: NetworksOptions) -> Picture:
    """Return what is known now, from finished results and from parts of the running job."""
    from brainlm_core.features.networks.analysis import chosen_cls, chosen_map

    result: NetworksResult | None = who.results.get(scores_key(who, options))
    if result is not None:
        return Picture(
            result.view, result.attention, result.cls, result.clustering, result.scores, result.dependence
        )
    view: AttentionView | None = who.results.get(view_key(who, options))
    if view is None:
        return Picture()
    parts = tasks.parts(who, NETWORKS)
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
        n_networks=int(state.get("net-k", 7)),
        windows=state.get("net-windows") or "first",
        steadied=int(state.get("net-group") or 0) / 100 if reads_recording(who) else 0.0,
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
    _keep_view(who)
    if who.model_error is None:
        tasks.run(who, networks_task(who, recording, options))
    _keep_view(who)
    view: AttentionView | None = who.results.get(view_key(who, options))
    if view is not None:
        who.device, who.licence = view.model.where, view.model.licence


def _keep_view(who: Visitor) -> None:
    """Keep the pass of the model from a task that is not done: the next question may need no other."""
    found = who.tasks.get(NETWORKS)
    if found is not None and "view" in found.job.parts:
        who.results.remember(("view", *found.task.key[1:4]), found.job.parts["view"])
