"""Matched-set null distribution of a response: the same actions on random parcel sets like the targets.

The steps, in their order:

1. :func:`matched_plans`: sets of as many parcels in each hemisphere, as compact and as alike as the targets
   (:mod:`brainlm_core.features.perturb.sets`).
2. :func:`null_map`: each set is asked as a visitor would ask it: with masks of its own, one draw each.
3. Per parcel, answers of the sets are regressed on how near a set lies to the parcel, so that the targets are
   compared with sets at their own distance. z is the answer to the targets against that line, in units of
   the spread around it, for one more set.
4. p: how often sets left out one by one lie as far out, over all parcels; q: Benjamini–Hochberg, and never
   smaller than the share of the sets that would have had a discovery at it. Sets drawn like the targets
   find something at q < .05 in one of twenty cases, whatever the tails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.masks import Plan, draw_masks, make_plan
from brainlm_core.features.perturb.response import Response, summarise
from brainlm_core.features.perturb.sets import likeness, random_sets
from brainlm_core.features.perturb.trials import Cancel, FloatArray, Progress, Stage, Trial, run_trials
from brainlm_core.features.shared.connectivity import functional_connectivity

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

Array = NDArray[np.float64]
#: Random sets of the null; fewer than :data:`MIN_SETS` say nothing.
N_SETS, MIN_SETS = 200, 20
#: A parcel needs as many sets that it answered.
MIN_ANSWERS = 10
#: Mask draws over which the sets of the null are spread, each set in one of them.
NULL_DRAWS = 4
#: How fast nearness falls off, in mm.
NEARNESS_MM = 25.0


@dataclass(frozen=True, eq=False)
class NullMap:
    """The response against random matched sets.

    Parameters
    ----------
    n_sets : int
        Random sets that were run.
    n_draws : int
        Mask draws that they are spread over.
    observed : ndarray (P,), float32
        Summary of the response in the first mask draw in which the parcel answered.
    mean, sd : ndarray (P,), float32
        What a set at the targets' distance gives, and the spread around that.
    z : ndarray (P,), float32
        (observed - mean) / sd, sd widened for one more set; NaN at targets.
    p, q : ndarray (P,), float32
        Two-sided; see the module.
    sets : tuple of Plan
        The random sets.
    matched_on : tuple of str
        What they share with the targets.
    reason : str
        Why there is no null; empty when there is one.
    """

    n_sets: int
    n_draws: int
    observed: FloatArray
    mean: FloatArray
    sd: FloatArray
    z: FloatArray
    p: FloatArray
    q: FloatArray
    sets: tuple[Plan, ...]
    matched_on: tuple[str, ...] = ()
    reason: str = ""

    @property
    def n_significant(self) -> int | None:
        """Parcels with q < .05; None without a null."""
        return None if self.reason else int((self.q < 0.05).sum())


def matched_plans(stage: Stage, plan: Plan, n_sets: int = N_SETS) -> tuple[Plan, ...]:
    """Return the random sets of the null, drawn from all parcels that are no target.

    Raises
    ------
    ConfigError
        If the targets leave too few parcels to draw from.
    """
    rng = np.random.default_rng([plan.scenario.seed, 11])
    alike = likeness(stage.frame, functional_connectivity(stage.whole))
    scenarios = random_sets(plan, stage.frame, ~plan.excluded, n_sets, rng, alike)
    return tuple(make_plan(scenario, stage.frame, stage.grid) for scenario in scenarios)


def matched_on(plan: Plan) -> tuple[str, ...]:
    """Return what the sets of the null share with the targets."""
    swaps = any(a.action.kind == "swap" for a in plan.actions)
    pairs = () if swaps or plan.targets.sum() < 2 else ("compactness", "mutual correlation")
    return ("number", "hemisphere", *pairs, "distance to the answering parcels")


def null_map(
    engine: Engine,
    stage: Stage,
    response: Response,
    *,
    n_sets: int = N_SETS,
    plans: tuple[Plan, ...] = (),
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> NullMap:
    """Compare a response with the same actions on random matched sets, each asked with masks of its own.

    ``plans`` are the sets (:func:`matched_plans`) when they are drawn already.

    Raises
    ------
    EngineError
        If the caller cancelled.
    """
    plan = response.plan
    try:
        plans = plans or matched_plans(stage, plan, n_sets)
    except ConfigError as error:
        return no_null(response, error.what)
    if len(plans) < MIN_SETS:
        return no_null(response, f"only {len(plans)} other sets of this size exist")
    n_draws = min(NULL_DRAWS, len(response.summary_by_draw))
    trials = [Trial(p, draw_masks(p, stage.grid, [i % n_draws])[0]) for i, p in enumerate(plans)]
    values = np.full((len(trials), len(response.summary)), np.nan, dtype=np.float32)
    which = 0 if response.statistic == "effect" else 1
    for i, answer in run_trials(
        engine, stage, trials, progress=progress, cancel=cancel, label="Random sets of parcels"
    ):
        values[i] = summarise(answer, plans[i].counted)[which]
    near = np.stack([nearness(stage, p) for p in plans])
    observed = first_answer(response.summary_by_draw[:n_draws])
    return z_map(observed, values, nearness(stage, plan), near, n_draws, plans, matched_on(plan))


def nearness(stage: Stage, plan: Plan) -> Array:
    """Return how near the targets lie to each parcel, (P,): mean of a falling exponential of distance."""
    place = stage.parcellation.position.astype(np.float64)
    seeds = np.flatnonzero(plan.targets)
    distance = np.linalg.norm(place[:, None] - place[None, seeds], axis=-1)
    return np.asarray(np.exp(-distance / NEARNESS_MM).mean(axis=1))


def first_answer(by_draw: FloatArray) -> FloatArray:
    """Return the answer in the first draw that has one, (K, P) → (P,): one draw, as for each set."""
    at = (~np.isnan(by_draw)).argmax(axis=0)
    return np.take_along_axis(by_draw, at[None], axis=0)[0]


def z_map(
    observed: FloatArray,
    sets: FloatArray,
    near: Array,
    near_sets: Array,
    n_draws: int = 1,
    plans: tuple[Plan, ...] = (),
    matched: tuple[str, ...] = (),
) -> NullMap:
    """Return the null from the summaries of the random sets.

    Parameters
    ----------
    observed : ndarray (P,)
        Answer to the targets; NaN where there is none.
    sets : ndarray (sets, P)
        Answers to the random sets; NaN where there is none.
    near, near_sets : ndarray (P,), (sets, P)
        How near targets and sets lie to each parcel.
    """
    line = _Line(sets, near_sets)
    enough = (line.n >= MIN_ANSWERS) & ~np.isnan(observed)
    expected, wide = line.at(near)
    z = np.divide(observed - expected, wide, out=np.full(len(observed), np.nan), where=enough & (wide > 0))
    left_out = np.where(enough, line.left_out(), np.nan)  # (sets, P)
    p = _p(np.abs(z), np.abs(left_out))
    q = _adjusted(p[None])[0]
    lowest = _lowest(_adjusted(_p(np.abs(left_out), np.abs(left_out))))  # (sets,)
    share = (1 + np.searchsorted(np.sort(lowest), q, side="right")) / (1 + len(lowest))
    q = np.where(np.isnan(q), np.nan, np.maximum(q, np.minimum(share, 1.0)))
    single = [np.asarray(a, dtype=np.float32) for a in (expected, wide, z, p, q)]
    return NullMap(
        len(sets), n_draws, observed, single[0], single[1], single[2], single[3], single[4], plans, matched
    )


class _Line:
    """Least-squares line of each parcel's answers on the nearness of the sets."""

    def __init__(self, sets: FloatArray, near: Array) -> None:
        self.known = ~np.isnan(sets)
        self.n = self.known.sum(axis=0)
        count = np.maximum(self.n, 1)
        self.x = np.where(self.known, near, 0.0)
        y = np.where(self.known, sets.astype(np.float64), 0.0)
        self.x_mean, self.y_mean = self.x.sum(axis=0) / count, y.sum(axis=0) / count
        self.dx = np.where(self.known, near - self.x_mean, 0.0)
        dy = np.where(self.known, y - self.y_mean, 0.0)
        self.sxx = (self.dx**2).sum(axis=0)
        self.slope = np.divide(
            (self.dx * dy).sum(axis=0), self.sxx, out=np.zeros(len(count)), where=self.sxx > 0
        )
        self.rest = dy - self.slope * self.dx
        self.squares = (self.rest**2).sum(axis=0)

    def at(self, near: Array) -> tuple[Array, Array]:
        """Return what one more set at ``near`` (P,) gives, and its spread."""
        dx = near - self.x_mean
        lever = 1 / np.maximum(self.n, 1) + np.divide(
            dx**2, self.sxx, out=np.zeros(len(dx)), where=self.sxx > 0
        )
        variance = self.squares / np.maximum(self.n - 2, 1)
        return self.y_mean + self.slope * dx, np.sqrt(variance * (1 + lever))

    def left_out(self) -> Array:
        """Return z of every set against the line through the others, (sets, P); NaN without an answer."""
        lever = 1 / np.maximum(self.n, 1) + np.divide(
            self.dx**2, self.sxx, out=np.zeros(self.dx.shape), where=self.sxx > 0
        )
        free = np.clip(1 - lever, 1e-6, None)
        variance = np.clip(self.squares - self.rest**2 / free, 0, None) / np.maximum(self.n - 3, 1)
        wide = np.sqrt(variance * free)
        return np.divide(self.rest, wide, out=np.full(wide.shape, np.nan), where=self.known & (wide > 0))


def _p(size: Array, pool: Array) -> Array:
    """Return how often the pool lies as far out: (count + 1) / (size of the pool + 1); NaN stays."""
    ranked = np.sort(pool[~np.isnan(pool)])
    above = len(ranked) - np.searchsorted(ranked, np.nan_to_num(size), side="left")
    return np.where(np.isnan(size), np.nan, np.minimum((1 + above) / (1 + len(ranked)), 1.0))


def _adjusted(p: Array) -> Array:
    """Return Benjamini–Hochberg adjusted p along the last axis; NaN stays and does not count."""
    order = np.argsort(p, axis=-1)  # NaN last
    ranked = np.take_along_axis(p, order, axis=-1)
    m = (~np.isnan(p)).sum(axis=-1, keepdims=True)
    scaled = ranked * m / np.arange(1, p.shape[-1] + 1)
    smallest = np.fmin.accumulate(scaled[..., ::-1], axis=-1)[..., ::-1]
    out = np.empty_like(p)
    np.put_along_axis(out, order, np.where(np.isnan(ranked), np.nan, np.minimum(smallest, 1.0)), axis=-1)
    return out


def _lowest(q: Array) -> Array:
    """Return the smallest q of each set, 1 where none was tested."""
    return np.asarray(np.where(np.isnan(q), 1.0, q).min(axis=-1))


def no_null(response: Response, reason: str) -> NullMap:
    """Return an empty null that says why it is empty."""
    blank = np.full(response.summary.shape, np.nan, dtype=np.float32)
    return NullMap(0, 0, response.summary, blank, blank, blank, blank, blank, (), reason=reason)
