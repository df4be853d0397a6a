"""Which networks the model's attention draws on this recording, beside what needs no model.

The steps, in their order:

1. :func:`attention_of`: one pass of the model over the chosen window(s); the connectivity of the
   very same samples is kept beside it.
2. :func:`chosen_map`, :func:`chosen_cls`, :func:`thumbnails`: one map out of layers and heads (no new pass).
3. :func:`networks_of`: k networks by clustering, matched to the Yeo-7 networks.
4. :func:`attention_scores`, :func:`baseline_scores`, :func:`twin_scores`: the same scores for the model,
   for connectivity and coordinates, and for the same architecture with random weights.
5. :func:`scan_controls`: the same question asked of no scan, and of each half of the recording.

:func:`analyse` runs all of it and publishes each part as it comes, so that a page can draw it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.methods import ordered
from brainlm_core.base.progress import Cancel, Progress, Publish, portion
from brainlm_core.base.recording import Recording
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.base.shown import Shown
from brainlm_core.features.networks.controls import control_map, control_scores, map_dependence
from brainlm_core.features.networks.files import attention_received, parcel_table, scores_table, write_maps
from brainlm_core.features.networks.scores import (
    Clustering,
    MethodScores,
    attention_features_of,
    attention_row,
    baseline_rows,
    cluster,
    score_table,
)
from brainlm_core.features.networks.views import (
    REDUCTIONS,
    AttentionView,
    Block,
    NetworksOptions,
    Reduction,
    attention_of,
    chosen_cls,
    chosen_map,
    network_order,
    thumbnails,
)
from brainlm_core.features.shared.scan_dependence import ScanDependence

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

__all__ = [
    "REDUCTIONS",
    "AttentionView",
    "Block",
    "NetworksOptions",
    "NetworksResult",
    "Reduction",
    "analyse",
    "attention_of",
    "attention_scores",
    "baseline_scores",
    "chosen_cls",
    "chosen_map",
    "network_order",
    "networks_of",
    "scan_controls",
    "thumbnails",
    "twin_map",
    "twin_scores",
]


@dataclass(frozen=True, eq=False, repr=False)
class NetworksResult(Saved, Shown):
    """Attention networks of one recording and their scores.

    Parameters
    ----------
    view : AttentionView
    options : NetworksOptions
    attention : ndarray (n_parcels, n_parcels), float32
        Query × key of the chosen reduction; rows of recording order.
    cls : ndarray (n_parcels,), float32
        Attention of the summary token to each parcel, same reduction.
    thumbnails : ndarray (layers, heads, m, m), float32
        Mean attention per cell, in network order, m ≤ 53.
    clustering : Clustering
        k networks and the known networks they match.
    scores : tuple of MethodScores
        In the order of the table of methods.
    notices : tuple of str
        What a reader must know.
    dependence : ScanDependence
        The map of the scan beside the map of no scan, and what the halves say of the difference.
    """

    view: AttentionView
    options: NetworksOptions
    attention: NDArray[np.float32]
    cls: NDArray[np.float32]
    thumbnails: NDArray[np.float32]
    clustering: Clustering
    scores: tuple[MethodScores, ...]
    notices: tuple[str, ...]
    dependence: ScanDependence

    first_figure: ClassVar[str] = "networks"

    def in_words(self) -> str:
        """Return who names known networks best, one line."""
        named = [f"{s.title} {s.knn.value:.2f}" for s in self.scores if s.knn.value is not None]
        said = "known networks named by " + ", ".join(named) if named else "not scored"
        return f"{self.options.n_networks} networks of {len(self.cls)} parcels, {said}"

    def to_dict(self) -> dict[str, Any]:
        """Return the figures: values by method, intervals and reasons beside them."""
        table = score_table(self.scores)
        setting = self.view.setting(self.options)
        out: dict[str, Any] = {}
        for name, cells in table.items():
            out[name] = {method: cell["value"] for method, cell in cells.items()}
            out[f"{name}_ci95"] = {method: cell["ci95"] for method, cell in cells.items()}
        out["not_scored"] = setting.labelled.reason or None
        out["depends_on_scan"] = self.dependence.to_dict()
        labelled = setting.labelled
        return {
            **out,
            "chance": labelled.chance() if len(labelled.rows) else None,
            "n_networks": self.options.n_networks,
            "n_labelled_parcels": len(labelled.rows),
            "networks": [
                {"name": name, "n_parcels": int((self.clustering.labels == i).sum()), "dice": float(dice)}
                for i, (name, dice) in enumerate(
                    zip(self.clustering.names, self.clustering.dice, strict=True)
                )
            ],
            "model": self.view.model.model_name,
            "input": self.view.model.recipe.to_dict(),
            "reduction": self.options.in_words(),
            "windows_start_s": self.view.windows.starts_s.tolist(),
            "window_length_s": self.view.windows.n_timepoints * self.view.windows.tr_s,
            "options": self.options.to_dict(),
            "notices": list(self.notices),
            "provenance": self.view.provenance.to_dict(),
        }

    def files(self) -> ResultFiles:
        """Return the figures, tables of parcels and scores, matrices and brain maps."""
        view, clustering = self.view, self.clustering
        received = attention_received(self.attention)
        return ResultFiles(
            {"networks.json": self.to_dict()},
            tables={
                "parcels.csv": parcel_table(view, clustering, self.cls, received),
                "scores.csv": scores_table(self.scores),
            },
            arrays={
                "matrices.npz": {
                    "attention": self.attention,
                    "functional_connectivity": view.connectivity.astype(np.float32),
                    "cls": self.cls,
                    "clusters": clustering.labels,
                    "cluster_names": np.array(clustering.names, dtype=np.str_),
                    "order": view.order,
                    "group": view.group,
                    "usable": view.usable,
                    "layer_head_thumbnails": self.thumbnails,
                    "log2_attention_no_scan": self.dependence.no_scan.astype(np.float32),
                    "added_by_scan": self.dependence.difference.astype(np.float32),
                    "added_by_scan_faded": self.dependence.faded().astype(np.float32),
                }
            },
            maps=(lambda folder: write_maps(folder, view.parcellation, clustering, self.cls, received),),
        )


def networks_of(
    view: AttentionView, options: NetworksOptions, attention: NDArray[np.float32] | None = None
) -> Clustering:
    """Draw k networks from the chosen attention and match them to the known ones."""
    setting = view.setting(options)
    chosen = chosen_map(view, options) if attention is None else attention
    return cluster(
        attention_features_of(chosen, view.group, setting),
        setting.labelled,
        usable=view.usable,
        n_networks=options.n_networks,
        seed=options.seed,
    )


def attention_scores(
    view: AttentionView,
    options: NetworksOptions,
    *,
    attention: NDArray[np.float32] | None = None,
    clustering: Clustering | None = None,
) -> MethodScores:
    """Score the chosen attention; pass the map and the clusters when they are known already."""
    chosen = chosen_map(view, options) if attention is None else attention
    return attention_row(chosen, view.group, view.setting(options), clusters=clustering)


def baseline_scores(view: AttentionView, options: NetworksOptions) -> tuple[MethodScores, ...]:
    """Score connectivity of the same window(s), coordinates, both, and the average of many people."""
    from brainlm_core.features.networks.reference import group_connectivity

    reference = group_connectivity(view.parcellation)
    return baseline_rows(view.connectivity, view.parcellation.xyz, view.setting(options), reference=reference)


def twin_map(
    view: AttentionView,
    options: NetworksOptions,
    twin: Engine,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> NDArray[np.float32]:
    """Return the same reduction of the random-weights twin on the same window(s), query × key."""
    attention = twin.attention(
        view.windows, average=True, steadied=options.steadied, progress=progress, cancel=cancel
    )
    return chosen_map(replace(view, attention=attention), options)


def twin_scores(
    view: AttentionView,
    options: NetworksOptions,
    twin: Engine,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> MethodScores:
    """Score the twin's attention (``engine.twin()``) as the model's own was scored."""
    chosen = twin_map(view, options, twin, progress, cancel)
    return attention_row(chosen, view.group, view.setting(options), method="random_twin")


def scan_controls(
    engine: Engine,
    recording: Recording,
    view: AttentionView,
    options: NetworksOptions,
    attention: NDArray[np.float32],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[MethodScores, ScanDependence]:
    """Ask the same question of no scan, and of each half of the recording; see ``network_controls``.

    Parameters
    ----------
    attention : ndarray (n_parcels, n_parcels)
        The scan's own chosen map.

    Returns
    -------
    MethodScores
        Of the control ``no_scan``.
    ScanDependence
    """
    if progress is not None:
        progress(0.0, "Asking the same of no scan")
    control = control_map(engine, view, recording, options, cancel=cancel)
    scores = control_scores(control, view, options)
    later = portion(progress, 0.3, 1.0)
    return scores, map_dependence(engine, view, recording, options, attention, control, later, cancel)


def in_order(*rows: MethodScores) -> tuple[MethodScores, ...]:
    """Return scores in the order of the table of methods."""
    by_method = {row.method: row for row in rows}
    return tuple(by_method[method] for method in ordered(by_method))


def analyse(
    engine: Engine,
    recording: Recording,
    options: NetworksOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    twin: Engine | None = None,
    view: AttentionView | None = None,
    publish: Publish | None = None,
) -> NetworksResult:
    """Do everything in the module's list for one recording.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    options : NetworksOptions, optional
    progress : callable, optional
        Called with a share 0–1 and what is being done.
    cancel : callable, optional
        Asked between stages and by the engine; True stops.
    twin : Engine, optional
        The random-weights twin when it is loaded already.
    view : AttentionView, optional
        The answer of :func:`attention_of` to the same engine, recording and windows, when it is known.
    publish : callable, optional
        Called with a name and a part of the result as soon as it is there: ``view`` (AttentionView),
        ``clustering`` (Clustering), ``scores`` (those of the model and of what needs no model).

    Returns
    -------
    NetworksResult

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    options = options or NetworksOptions()
    tell = progress or (lambda share, text: None)
    hand_over = publish or (lambda name, part: None)
    if view is None:
        tell(0.0, "Reading the model's attention")
        view = attention_of(engine, recording, options, portion(progress, 0.0, 0.4), cancel)
    hand_over("view", view)
    tell(0.4, "Drawing networks")
    attention = chosen_map(view, options)
    clustering = networks_of(view, options, attention)
    hand_over("clustering", clustering)
    tell(0.45, "Scoring the model")
    own = attention_scores(view, options, attention=attention, clustering=clustering)
    tell(0.5, "Scoring connectivity and coordinates")
    baselines = baseline_scores(view, options)
    hand_over("scores", (own, *baselines))
    tell(0.6, "Running the random-weights twin")
    other = twin_scores(view, options, twin or engine.twin(), portion(progress, 0.6, 0.75), cancel)
    hand_over("scores", (own, other, *baselines))
    control, dependence = scan_controls(
        engine, recording, view, options, attention, portion(progress, 0.75, 1.0), cancel
    )
    return NetworksResult(
        view=view,
        options=options,
        attention=attention,
        cls=chosen_cls(view, options),
        thumbnails=thumbnails(view),
        clustering=clustering,
        scores=in_order(own, control, other, *baselines),
        notices=view.notices,
        dependence=dependence,
    )
