"""The null of a response: the same actions on random parcel sets of the same size and hemispheres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.analyses.perturb_actions import Frame, counterparts, parcels_target
from brainlm_core.analyses.perturb_masks import Plan, draw_masks, make_plan
from brainlm_core.analyses.perturb_response import Response, mean_over_draws, summarise
from brainlm_core.analyses.perturb_trials import Cancel, FloatArray, Progress, Stage, Trial, run_trials
from brainlm_core.analyses.scenario import Scenario
from brainlm_core.errors import ConfigError

if TYPE_CHECKING:
    from brainlm_core.engine import Engine

#: Random sets of the null; fewer than :data:`MIN_SETS` say nothing.
N_SETS, MIN_SETS = 200, 20
#: Mask draws over which the sets of the null are spread, each set in one of them.
NULL_DRAWS = 4


@dataclass(frozen=True, eq=False)
class NullMap:
    """The response against random matched sets.

    Parameters
    ----------
    n_sets : int
        Random sets that were run.
    n_draws : int
        Mask draws that they are spread over, and that ``observed`` is the mean of.
    observed : ndarray (P,), float32
        Summary of the response over those draws.
    mean, sd : ndarray (P,), float32
        Of the summary over the sets in whose draw the parcel was hidden.
    z : ndarray (P,), float32
        (observed - mean) / (sd * sqrt(1 + 1/n)); NaN at targets.
    p : ndarray (P,), float32
        Two-sided, Student's t with n - 1 degrees of freedom.
    q : ndarray (P,), float32
        Benjamini-Hochberg adjusted over all answering parcels.
    sets : tuple of Plan
        The random sets.
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
    reason: str = ""

    @property
    def n_significant(self) -> int | None:
        """Parcels with q < .05; None without a null."""
        return None if self.reason else int((self.q < 0.05).sum())


def random_sets(
    plan: Plan, frame: Frame, allowed: NDArray[np.bool_], n_sets: int, rng: np.random.Generator
) -> list[Scenario]:
    """Return the scenario on random parcel sets: per action the same number of parcels in each hemisphere.

    Actions that share targets go on sharing them. No set is drawn twice, so that fewer may come back
    where few exist. For swaps pairs of counterparts are drawn.

    Parameters
    ----------
    plan : Plan
    frame : Frame
    allowed : ndarray (P,), bool
        Parcels to draw from.
    n_sets : int
    rng : Generator

    Raises
    ------
    ConfigError
        If there are hardly more parcels to draw from than targets: all sets would be the same.
    """
    side = np.asarray(frame.parcellation.hemisphere)
    allowed = allowed & (frame.sd > 0)
    other = counterparts(frame.parcellation)
    named = [a.rows for a in plan.actions]
    if any(a.action.kind == "swap" for a in plan.actions):
        allowed = (
            allowed & (other >= 0) & allowed[other] & (side == "L")
        )  # a pair is named by its left member
        named = [np.unique(np.where((side[r] == "R") & (other[r] >= 0), other[r], r)) for r in named]
    touched = np.unique(np.concatenate(named))
    pools = {str(s): np.flatnonzero(allowed & (side == s)) for s in np.unique(side[touched])}
    for s, pool in pools.items():
        if len(pool) < 1.5 * int((side[touched] == s).sum()):
            raise ConfigError(
                "the targets fill so much of a hemisphere that random sets would all be the same parcels",
                "choose fewer targets for a null",
            )
    seen: set[bytes] = set()
    out: list[Scenario] = []
    for _ in range(20 * n_sets):
        move = np.arange(len(side))
        for s, pool in pools.items():
            mine = touched[side[touched] == s]
            move[mine] = rng.choice(pool, size=len(mine), replace=False)
        key = np.sort(move[touched]).tobytes()
        if key in seen:
            continue
        seen.add(key)
        actions = [
            replace(a.action, targets=parcels_target(move[rows]))
            for a, rows in zip(plan.actions, named, strict=True)
        ]
        out.append(plan.scenario.with_actions(actions))
        if len(out) == n_sets:
            break
    return out


def matched_plans(stage: Stage, plan: Plan, n_sets: int = N_SETS) -> tuple[tuple[Plan, ...], ...]:
    """Return the random sets of the null by mask draw: drawn from what the model sees beside the targets.

    Raises
    ------
    ConfigError
        If the targets leave too few parcels to draw from.
    """
    out = []
    for draw, mask in enumerate(draw_masks(plan, stage.grid, range(NULL_DRAWS))):
        seen = ~mask[:, plan.first : plan.stop].any(axis=1) & ~plan.excluded
        rng = np.random.default_rng([plan.scenario.seed, 11, draw])
        count = len(range(draw, n_sets, NULL_DRAWS))
        scenarios = random_sets(plan, stage.frame, seen, count, rng)
        out.append(tuple(make_plan(scenario, stage.frame, stage.grid) for scenario in scenarios))
    return tuple(out)


def null_map(
    engine: Engine,
    stage: Stage,
    response: Response,
    *,
    n_sets: int = N_SETS,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> NullMap:
    """Compare a response with the same actions on random matched sets.

    In each of :data:`NULL_DRAWS` mask draws the sets are drawn from the parcels that the model sees there
    beside the targets: the mask is the same for the targets and for every set, so one pass without actions
    serves them all.

    Raises
    ------
    EngineError
        If the caller cancelled.
    """
    plan = response.plan
    masks = draw_masks(plan, stage.grid, range(NULL_DRAWS))
    try:
        matched = matched_plans(stage, plan, n_sets)
    except ConfigError as error:
        return no_null(response, error.what)
    trials = [Trial(plan, mask) for mask in masks]
    trials += [Trial(other, masks[draw]) for draw, others in enumerate(matched) for other in others]
    if len(trials) - NULL_DRAWS < MIN_SETS:
        return no_null(response, f"only {len(trials) - NULL_DRAWS} other sets of this size exist")
    values = np.full((len(trials), len(response.summary)), np.nan, dtype=np.float32)
    which = 0 if response.statistic == "effect" else 1
    for i, answer in run_trials(
        engine, stage, trials, progress=progress, cancel=cancel, label="Random sets of parcels"
    ):
        values[i] = summarise(answer, plan.counted)[which]
    observed = mean_over_draws(values[:NULL_DRAWS])
    return _z_map(observed, values[NULL_DRAWS:], NULL_DRAWS, tuple(t.plan for t in trials[NULL_DRAWS:]))


def _z_map(observed: FloatArray, sets: FloatArray, n_draws: int, plans: tuple[Plan, ...]) -> NullMap:
    """Return the null from the summaries of the random sets, (sets, P)."""
    from scipy.stats import false_discovery_control, t

    known = ~np.isnan(sets)
    n = known.sum(axis=0)
    mean = mean_over_draws(sets).astype(np.float64)
    deviation = np.where(known, sets - mean, 0.0)
    enough = (n >= MIN_SETS) & ~np.isnan(observed)
    sd = np.sqrt(np.divide((deviation**2).sum(axis=0), n - 1, out=np.full(n.shape, np.nan), where=n > 1))
    wide = sd * np.sqrt(1 + 1 / np.maximum(n, 1))
    z = np.divide(observed - mean, wide, out=np.full(n.shape, np.nan), where=enough & (wide > 0))
    p = np.where(np.isnan(z), np.nan, 2 * t.sf(np.abs(np.nan_to_num(z)), np.maximum(n - 1, 1)))
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested], method="bh")
    single = [np.asarray(a, dtype=np.float32) for a in (mean, sd, z, p, q)]
    return NullMap(len(sets), n_draws, observed, single[0], single[1], single[2], single[3], single[4], plans)


def no_null(response: Response, reason: str) -> NullMap:
    """Return an empty null that says why it is empty."""
    blank = np.full(response.summary.shape, np.nan, dtype=np.float32)
    return NullMap(0, 0, response.summary, blank, blank, blank, blank, blank, (), reason)
