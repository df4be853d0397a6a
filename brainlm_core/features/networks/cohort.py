"""Network scores over many recordings, for ``brainlm evaluate``.

Two readings, both beside every baseline:

- **per recording**: each recording's own first window, scored alone; the mean over recordings with an
  interval over subjects, and the paired difference between attention and each other method;
- **group**: maps averaged over all recordings, scored once. Weights trained on people can hold the group's
  connectivity, so the fair bar for them is the group average of connectivity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError
from brainlm_core.base.methods import ordered
from brainlm_core.base.progress import Cancel, Progress
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.features.networks.analysis import (
    AttentionView,
    NetworksOptions,
    attention_of,
    attention_scores,
    baseline_scores,
    chosen_map,
    twin_map,
)
from brainlm_core.features.networks.controls import control_map, control_scores, log_map
from brainlm_core.features.networks.reference import group_connectivity
from brainlm_core.features.networks.scores import (
    Array,
    MethodScores,
    Score,
    ScoreSetting,
    attention_row,
    baseline_rows,
    labelled_parcels,
    mean_interval,
    score_table,
)
from brainlm_core.features.shared.controls import SURROGATES
from brainlm_core.features.shared.scan_dependence import correlation

if TYPE_CHECKING:
    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.inference.engine import Engine

#: Scores of one method, by their key in :func:`network_scores.score_table`.
METRICS = ("knn_accuracy", "knn_accuracy_homologues", "ari")
#: ``{metric: {method: scores}}``.
Values = dict[str, dict[str, NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class CohortNetworkScores(Saved):
    """Network scores of a cohort.

    Parameters
    ----------
    names : tuple of str
        Recordings, in order.
    values : mapping
        ``{metric: {method: ndarray (n_recordings,)}}``, NaN where a recording gave no score.
    mean : tuple of MethodScores
        Mean over recordings; intervals by bootstrap over subjects.
    differences : mapping
        ``{metric: {method: Score}}``: attention minus the method, paired within recordings.
    group : tuple of MethodScores
        Scores of maps averaged over recordings; intervals over parcels. Empty when the recordings
        do not share a parcellation.
    n_subjects : int
    chance : float
        Accuracy of always naming the largest network (first recording).
    model : str
    options : NetworksOptions
    alike : mapping of str to Score
        By control: correlation of a recording's log map with that of the control, mean over recordings.
    """

    names: tuple[str, ...]
    values: Values
    mean: tuple[MethodScores, ...]
    differences: Mapping[str, Mapping[str, Score]]
    group: tuple[MethodScores, ...]
    n_subjects: int
    chance: float
    model: str
    options: NetworksOptions
    alike: Mapping[str, Score]

    def to_dict(self) -> dict[str, Any]:
        """Return means, differences and group scores, each value with ``ci95``."""
        return {
            **score_table(self.mean),
            "attention_minus": {
                metric: {method: score.to_dict() for method, score in row.items()}
                for metric, row in self.differences.items()
            },
            "map_correlation": {kind: score.to_dict() for kind, score in self.alike.items()},
            "group_average": score_table(self.group) if self.group else None,
            "n_networks": self.options.n_networks,
            "n_recordings": len(self.names),
            "n_subjects": self.n_subjects,
            "chance": self.chance,
            "model": self.model,
            "reduction": self.options.in_words(),
            "windows": "first window of each recording"
            if self.options.windows == "first"
            else str(self.options.windows),
            "intervals": "mean and attention_minus: bootstrap over subjects, for these very parcels; "
            "group average: bootstrap (ARI: jackknife) over pairs of homologous parcels",
        }

    def files(self) -> ResultFiles:
        """Return ``network_scores.csv``, one row per recording, metric and method."""
        rows = [
            (name, metric, method, value)
            for metric, methods in self.values.items()
            for method, values in methods.items()
            for name, value in zip(self.names, values, strict=True)
        ]
        table = pd.DataFrame(rows, columns=["recording", "metric", "method", "value"])
        return ResultFiles(tables={"network_scores.csv": table}, float_format="%.6f")


def cohort_network_scores(
    engine: Engine,
    recordings: Iterable[Any],
    *,
    subjects: Sequence[str] | None = None,
    options: NetworksOptions | None = None,
    twin: Engine | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> CohortNetworkScores:
    """Score attention, its random twin, connectivity and coordinates over a cohort.

    Recordings are taken one at a time; two parcel × parcel sums are all that is kept of them.

    Parameters
    ----------
    engine : Engine
    recordings : iterable of Recording
    subjects : sequence of str, optional
        Who each recording is of; recordings of one subject are not independent.
    options : NetworksOptions, optional
        The first window and the average over layers and heads unless said otherwise.
    twin : Engine, optional
        The random-weights twin when it is loaded already.
    progress, cancel : callable, optional

    Raises
    ------
    AnalysisError
        If there is no recording, or ``subjects`` differs from them in length.
    """
    options = options or NetworksOptions()
    twin = twin or engine.twin()
    total = len(recordings) if isinstance(recordings, Sequence) else None
    rows: list[tuple[MethodScores, ...]] = []
    names: list[str] = []
    chance = float("nan")
    alike: dict[str, list[float]] = {kind: [] for kind in SURROGATES}
    sums = _Sums()
    for i, recording in enumerate(recordings):
        if progress is not None:
            share = i / total if total else 0.0
            progress(share, f"Network scores: recording {i + 1}" + (f" of {total}" if total else ""))
        view = attention_of(engine, recording, options, None, cancel)
        own, other = chosen_map(view, options), twin_map(view, options, twin, None, cancel)
        controls = {
            kind: control_map(engine, view, recording, options, kind, cancel=cancel) for kind in SURROGATES
        }
        logs = {"own": log_map(own, view.usable)}
        logs |= {kind: log_map(values, view.usable) for kind, values in controls.items()}
        for kind in controls:
            alike[kind].append(correlation(logs["own"], logs[kind]))
        setting = view.setting(options)
        rows.append(
            (
                attention_scores(view, options, attention=own),
                attention_row(other, view.group, setting, method="random_twin"),
                *(control_scores(values, view, options, kind) for kind, values in controls.items()),
                *baseline_scores(view, options),
            )
        )
        names.append(recording.provenance.source_name)
        chance = setting.labelled.chance() if i == 0 else chance
        sums.add(view, own, other, *controls.values())
    if not rows:
        raise AnalysisError("the cohort holds no recording", "give at least one")
    who = tuple(map(str, range(len(rows)))) if subjects is None else tuple(subjects)
    if len(who) != len(rows):
        raise AnalysisError(f"{len(who)} subjects were named for {len(rows)} recordings", "name one for each")
    values = _values(rows)
    if progress is not None:
        progress(1.0, "Network scores: done")
    return CohortNetworkScores(
        names=tuple(names),
        values=values,
        mean=_mean_rows(values, who, options.seed),
        differences=_differences(values, who, options.seed),
        group=sums.rows(options),
        n_subjects=len(set(who)),
        chance=chance,
        model=engine.info.model_name,
        options=options,
        alike={kind: mean_interval(np.array(v), who, seed=options.seed) for kind, v in alike.items()},
    )


class _Sums:
    """Sums of maps over recordings that share a parcellation, each entry over usable pairs only."""

    def __init__(self) -> None:
        self.parcellation: Parcellation | None = None
        self.same = True
        self.maps: list[Array] = []
        self.count: Array = np.zeros((0, 0))
        self.group: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.n = 0

    def add(self, view: AttentionView, *attention: NDArray[Any]) -> None:
        if self.parcellation is None:
            self.parcellation, self.group = view.parcellation, view.group
            self.maps = [np.zeros_like(view.connectivity) for _ in range(len(attention) + 1)]
            self.count = np.zeros_like(view.connectivity)
        self.same &= self.parcellation.names == view.parcellation.names and len(self.group) == len(view.group)
        if not self.same:
            return
        pair = view.usable[:, None] & view.usable[None]
        for total, new in zip(self.maps, (view.connectivity, *attention), strict=True):
            total[pair] += new[pair]
        self.count += pair
        self.n += 1

    def rows(self, options: NetworksOptions) -> tuple[MethodScores, ...]:
        """Score the averages; parcels usable in less than half of the recordings are left out."""
        if not self.same or self.parcellation is None:
            return ()
        usable = np.diag(self.count) >= self.n / 2
        setting = ScoreSetting(
            labelled_parcels(self.parcellation, usable), usable, options.n_networks, options.seed
        )
        connectivity, own, other, *controls = (total / np.maximum(self.count, 1) for total in self.maps)
        return (
            attention_row(own, self.group, setting),
            attention_row(other, self.group, setting, method="random_twin"),
            *(
                attention_row(values, self.group, setting, method=kind)
                for kind, values in zip(SURROGATES, controls, strict=True)
            ),
            *baseline_rows(
                connectivity,
                self.parcellation.xyz,
                setting,
                group=self.n > 1,
                reference=group_connectivity(self.parcellation),
            ),
        )


def _values(rows: list[tuple[MethodScores, ...]]) -> Values:
    def number(score: Score | None) -> float:
        return float("nan") if score is None or score.value is None else score.value

    table = {(r, row.method): row for r, every in enumerate(rows) for row in every}
    methods = ordered(row.method for row in rows[0])
    pick = dict(zip(METRICS, ("knn", "knn_homologues", "ari"), strict=True))
    return {
        metric: {
            method: np.array([number(getattr(table[r, method], name)) for r in range(len(rows))])
            for method in methods
            if getattr(table[0, method], name) is not None
        }
        for metric, name in pick.items()
    }


def _mean_rows(values: Values, who: Sequence[str], seed: int) -> tuple[MethodScores, ...]:
    def mean(metric: str, method: str) -> Score:
        return mean_interval(values[metric][method], who, seed=seed)

    return tuple(
        MethodScores(
            method,
            mean("knn_accuracy", method),
            mean("knn_accuracy_homologues", method),
            mean("ari", method) if method in values["ari"] else None,
        )
        for method in ordered(values["knn_accuracy"])
    )


def _differences(values: Values, who: Sequence[str], seed: int) -> dict[str, dict[str, Score]]:
    return {
        metric: {
            method: mean_interval(methods["attention"] - other, who, seed=seed)
            for method, other in methods.items()
            if method != "attention"
        }
        for metric, methods in values.items()
    }
