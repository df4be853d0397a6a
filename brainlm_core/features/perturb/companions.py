"""What must stand beside a response before anybody believes it.

1. :mod:`brainlm_core.features.perturb.null`: the same actions on random parcel sets like
   the targets (number, hemispheres, compactness, mutual correlation); where does the response stand
   out from what any such set would give?
2. :func:`dose_curve`: does the response grow with the dose, and linearly?
3. :func:`predictions` and :func:`agreements`: how much of the map would functional connectivity, distance,
   or the model's attention have said without the model's answer? Each correlation stands beside the same
   correlation with the predictions for the random sets.
4. :func:`twin_response`: the same architecture with random weights.
5. :mod:`brainlm_core.features.perturb.controls`: the same question asked of no scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.features.perturb.controls import group_answers, published_connectivity, weighted_rows
from brainlm_core.features.perturb.masks import Plan
from brainlm_core.features.perturb.null import MIN_SETS
from brainlm_core.features.perturb.response import Response, respond
from brainlm_core.features.perturb.scenario import Action, Scenario
from brainlm_core.features.perturb.trials import Cancel, FloatArray, Progress, Stage
from brainlm_core.features.shared.connectivity import functional_connectivity
from brainlm_core.features.shared.group_statistics import group_covariance
from brainlm_core.features.shared.scan_dependence import ScanDependence

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

#: Mask draws of the dose curve, and of the twin at most.
DOSE_DRAWS = 2
TWIN_DRAWS = 4
DOSES_SD = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
#: Predictions without a sign: they are compared with the size of the response.
_UNSIGNED = ("distance", "attention", "attention_to_seed")
#: Responders that the dose curve averages.
N_RESPONDERS = 10


@dataclass(frozen=True, eq=False)
class DoseCurve:
    """Response against dose.

    Parameters
    ----------
    doses_sd : tuple of float
        Of the strongest action; the others in proportion.
    maps : ndarray (doses, P), float32
        Effect per parcel, in SD.
    responders : tuple of int
        0-based rows of the parcels that respond most at the largest dose.
    curve : ndarray (doses,), float64
        Mean effect over the responders, each taken positive at the largest dose, in SD.
    slope, intercept, r2 : float
        Of the least-squares line; slope in SD per SD.
    added : bool
        True when the scenario's own kind has no dose and a shift was added in its place.
    """

    doses_sd: tuple[float, ...]
    maps: FloatArray
    responders: tuple[int, ...]
    curve: NDArray[np.float64]
    slope: float
    intercept: float
    r2: float
    added: bool


@dataclass(frozen=True, eq=False)
class Agreement:
    """Rank correlation of the response with one prediction, over the answering parcels.

    Parameters
    ----------
    predictor : str
        Key of a method of the task ``perturb`` (:mod:`brainlm_core.base.methods`).
    value : float
        Spearman's rho; NaN when one of the two does not vary.
    null : ndarray (n,), float64
        The same with the predictions for the random sets; empty where that makes no sense.
    p : float or None
        Two-sided, from the null; see :func:`chance_p`.
    prediction : ndarray (P,), float32
        The map that the response was compared with.
    """

    predictor: str
    value: float
    null: NDArray[np.float64]
    p: float | None
    prediction: FloatArray


def dose_curve(
    engine: Engine,
    stage: Stage,
    scenario: Scenario,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> DoseCurve:
    """Ask the same question at several doses and fit a line."""
    from scipy.stats import linregress

    added = any(a.kind != "add" for a in scenario.actions)
    scenarios = [scenario.with_actions(_at_dose(scenario.actions, dose)) for dose in DOSES_SD]
    responses = respond(
        engine, stage, scenarios, draws=DOSE_DRAWS, progress=progress, cancel=cancel, label="Doses"
    )
    maps = np.stack([r.effect for r in responses])
    largest = np.nan_to_num(maps[-1])
    responders = np.argsort(-np.abs(largest), kind="stable")[:N_RESPONDERS]
    curve = np.nan_to_num(maps[:, responders] * np.sign(largest[responders])).mean(axis=1, dtype=np.float64)
    fit = linregress(DOSES_SD, curve)
    r2 = float(fit.rvalue**2) if np.ptp(curve) > 0 else float("nan")
    return DoseCurve(
        DOSES_SD, maps, tuple(map(int, responders)), curve, float(fit.slope), float(fit.intercept), r2, added
    )


def _at_dose(actions: Sequence[Action], dose: float) -> list[Action]:
    """Return added shifts in the proportions of the actions, the strongest at ``dose`` SD."""
    own = [a.amplitude_sd or 0.0 if a.kind == "add" else 1.0 for a in actions]
    top = max(own, key=abs)
    own = [v / top for v in own] if top else [1.0] * len(own)
    return [
        replace(a, kind="add", amplitude_sd=dose * v, factor=None, delay_s=None, frequency_hz=None)
        for a, v in zip(actions, own, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What is known of the parcels without asking the model for an answer.

    Parameters
    ----------
    connectivity : ndarray (P, P), float64
        Pearson correlation over the recording.
    distance_mm : ndarray (P, P), float64
        Between parcel positions.
    attention : ndarray (P, P), float64 or None
        Query × key, mean over layers and heads, everything visible; None when the model has none.
    stage : Stage
    group : ndarray (P, P), float64 or None
        Covariance of the group, no scan used; None where it is unknown.
    effective : ndarray (P, P), float64 or None
        Published effective connectivity, source × target; None for other parcels.
    """

    connectivity: NDArray[np.float64]
    distance_mm: NDArray[np.float64]
    attention: NDArray[np.float64] | None
    stage: Stage
    group: NDArray[np.float64] | None = None
    effective: NDArray[np.float64] | None = None


def knowledge(engine: Engine, stage: Stage, cancel: Cancel | None = None) -> Knowledge:
    """Compute connectivity and distance, and read the model's attention in the window."""
    place = stage.parcellation.position.astype(np.float64)
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    try:
        attention = engine.attention(stage.window, cancel=cancel).parcel_map().astype(np.float64)
    except NotImplementedError:
        attention = None
    group = group_covariance(stage.parcellation.xyz)
    return Knowledge(
        functional_connectivity(stage.whole),
        distance,
        attention,
        stage,
        None if group is None else group.matrix,
        published_connectivity(stage.parcellation),
    )


def predictions(known: Knowledge, response: Response) -> dict[str, FloatArray]:
    """Return what each predictor would have said of the scenario, (P,) each; NaN at targets.

    Seeds are weighted by how much the actions changed them. ``functional_connectivity``: weighted mean
    correlation with the seeds; ``distance``: minus the distance to the nearest seed in mm;
    ``attention``: how much the seeds look at the parcel (the seeds' rows); ``attention_to_seed``: how
    much the parcel looks at the seeds (their columns); ``group_ridge``: ridge on the group's covariance;
    ``published_effective_connectivity``: weighted mean of the seeds' rows.
    """
    plan = response.plan
    change = response.input_change[:, plan.first : plan.stop].astype(np.float64)
    signed = response.statistic == "effect"
    weight = change.mean(axis=1) if signed else np.sqrt((change**2).mean(axis=1))
    return _predict(known, np.flatnonzero(plan.targets), weight[plan.targets], plan, signed)


def _predict(
    known: Knowledge, seeds: NDArray[np.intp], weight: NDArray[np.float64], plan: Plan, signed: bool
) -> dict[str, FloatArray]:
    total = np.abs(weight).sum()
    share = weight / total if total > 0 else np.full(len(seeds), 1 / len(seeds))
    connectivity = known.connectivity[seeds]
    out = {
        "functional_connectivity": share @ (connectivity if signed else np.abs(connectivity)),
        "distance": -known.distance_mm[seeds].min(axis=0),
    }
    if known.attention is not None:
        out["attention"] = np.abs(share) @ known.attention[seeds]
        out["attention_to_seed"] = np.abs(share) @ known.attention[:, seeds].T
    if known.group is not None:
        out["group_ridge"] = group_answers(known.group, known.stage, plan, weight, signed=signed)
    if known.effective is not None:
        rows = weighted_rows(known.effective, seeds, share)
        out["published_effective_connectivity"] = rows if signed else np.abs(rows)
    return {name: np.where(plan.excluded, np.nan, values).astype(np.float32) for name, values in out.items()}


def agreements(known: Knowledge, response: Response, sets: Sequence[Plan]) -> tuple[Agreement, ...]:
    """Return the rank correlation of the response with every prediction, beside the random sets' predictions.

    Connectivity carries a sign and is compared with the signed response (where the scenario shifts
    signals); distance and attention carry none and are compared with its size. ``sets`` are the plans of the
    random matched sets (:func:`brainlm_core.features.perturb.null.matched_plans`); none, no chance level.
    """
    signed = response.statistic == "effect"
    change = response.input_change[:, response.plan.first : response.plan.stop].astype(np.float64)
    weight = change.mean(axis=1) if signed else np.sqrt((change**2).mean(axis=1))
    weight = np.sort(weight[response.plan.targets])
    said: dict[str, list[FloatArray]] = {}
    for plan in sets:
        seeds = np.flatnonzero(plan.targets)
        same = weight if len(weight) == len(seeds) else np.full(len(seeds), weight.mean())
        for name, values in _predict(known, seeds, same, plan, signed).items():
            said.setdefault(name, []).append(values)
    chance = {
        name: rank_correlations(_compared(response, name), np.stack(values)) for name, values in said.items()
    }
    out = []
    for name, values in predictions(known, response).items():
        value = rank_correlation(_compared(response, name), values)
        draws = chance.get(name, np.empty(0))
        draws = draws[~np.isnan(draws)]
        p = None
        if len(draws) >= MIN_SETS and not np.isnan(value):
            p = chance_p(value, draws)
        out.append(Agreement(name, value, draws, p, values))
    return tuple(out)


def _compared(response: Response, predictor: str) -> FloatArray:
    return np.abs(response.summary) if predictor in _UNSIGNED else response.summary


def chance_p(value: float, draws: NDArray[np.float64]) -> float:
    """Return how rarely chance lies as far out as ``value``: two-sided, by rank.

    Random sets share the map's large structure, so their correlations need not lie around zero: the
    smaller tail is doubled, instead of comparing sizes.
    """
    above, below = int((draws >= value).sum()), int((draws <= value).sum())
    return min(1.0, 2 * (1 + min(above, below)) / (1 + len(draws)))


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return Spearman's rho over the entries known in both; NaN with fewer than 3 or without variation."""
    return float(rank_correlations(a, b[None])[0])


def rank_correlations(a: NDArray[np.floating], rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return Spearman's rho of ``a`` (P,) with each of ``rows`` (sets, P), (sets,).

    NaN as for :func:`rank_correlation`.
    """
    from scipy.stats import rankdata

    out = np.full(len(rows), np.nan)
    known = ~(np.isnan(a) | np.isnan(rows))  # (sets, P)
    n = known.sum(axis=1)
    # An entry that is not known takes the last rank, and then no part: ranks of the others do not see it.
    x = rankdata(np.where(known, a, np.inf), axis=1)
    y = rankdata(np.where(known, rows, np.inf), axis=1)
    x = np.where(known, x - ((n + 1) / 2)[:, None], 0.0)  # ranks 1..n have this mean, ties included
    y = np.where(known, y - ((n + 1) / 2)[:, None], 0.0)
    size = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.divide((x * y).sum(axis=1), size, out=out, where=(n >= 3) & (size > 0))


def twin_response(
    twin: Engine,
    stage: Stage,
    scenario: Scenario,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Response:
    """Ask the random-weights twin the same question on the same window."""
    draws = min(TWIN_DRAWS, scenario.draws)
    return respond(
        twin, stage, [scenario], draws=draws, progress=progress, cancel=cancel, label="Random-weights twin"
    )[0]


def scan_agreement(response: Response, found: ScanDependence) -> Agreement:
    """Return the rank correlation of the response with the answer without the scan."""
    control = np.asarray(found.no_scan, dtype=np.float32)
    return Agreement("no_scan", rank_correlation(response.summary, control), np.empty(0), None, control)


def twin_agreement(response: Response, twin: Response) -> Agreement:
    """Return the rank correlation of the model's response with its twin's."""
    value = rank_correlation(response.summary, twin.summary)
    return Agreement("random_twin", value, np.empty(0), None, twin.summary)
