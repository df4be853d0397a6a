"""Random parcel sets that match the targets of a scenario: the sets of its null.

Sets are drawn from parcels that are no target, with as many in each hemisphere. Sets of several parcels
are then changed parcel by parcel until they are as compact (mean distance between members) and as alike (mean
correlation between members) as the targets, within :data:`TOLERANCE` of the spread over random sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.actions import Frame, counterparts, parcels_target
from brainlm_core.features.perturb.masks import Plan
from brainlm_core.features.perturb.scenario import Scenario

Rows = NDArray[np.intp]
#: Sets stop being changed at this distance from the targets' figures, in SD over random sets.
TOLERANCE = 0.3
#: Candidates among which a better member is looked for; few keep the sets different from each other.
_CANDIDATES = 12
#: Sets are drawn anew at most so many times where a set came out twice.
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Likeness:
    """What sets are matched on beside number and hemisphere.

    Parameters
    ----------
    pairs : mapping of str to ndarray (P, P)
        Figure of each pair of parcels, by name; a set's figure is the mean over its pairs.
    """

    pairs: Mapping[str, NDArray[np.float64]]

    def of(self, rows: Rows) -> NDArray[np.float64]:
        """Return the figures of a set."""
        n = len(rows)
        inside = np.ix_(rows, rows)
        return np.array(
            [(m[inside].sum() - np.trace(m[inside])) / (n * (n - 1)) for m in self.pairs.values()]
        )


def likeness(frame: Frame, connectivity: NDArray[np.floating]) -> Likeness:
    """Return compactness (mm between parcels) and mutual correlation as what sets are matched on."""
    place = frame.parcellation.position.astype(np.float64)
    distance = np.linalg.norm(place[:, None] - place[None], axis=-1)
    return Likeness(
        {"compactness": distance, "mutual correlation": np.nan_to_num(connectivity.astype(np.float64))}
    )


def random_sets(
    plan: Plan,
    frame: Frame,
    allowed: NDArray[np.bool_],
    n_sets: int,
    rng: np.random.Generator,
    alike: Likeness | None = None,
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
    alike : Likeness, optional
        Match the sets on this besides; swaps and single targets have nothing to match.

    Raises
    ------
    ConfigError
        If there are hardly more parcels to draw from than targets: all sets would be the same.
    """
    side = np.asarray(frame.parcellation.hemisphere)
    allowed = allowed & (frame.sd > 0)
    other = counterparts(frame.parcellation)
    named = [a.rows for a in plan.actions]
    swaps = any(a.action.kind == "swap" for a in plan.actions)
    if swaps:
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
    draw = _Draw(touched, side, pools, rng)
    match = None if alike is None or swaps or len(touched) < 2 else _Match(draw, alike)
    seen: set[bytes] = set()
    out: list[Scenario] = []
    for _ in range(_ROUNDS):
        drawn = draw.many(n_sets)
        if match is not None:
            drawn = match.towards(drawn)
        for found in drawn:
            key = np.sort(found).tobytes()
            if key in seen:
                continue
            seen.add(key)
            move = np.arange(len(side))
            move[touched] = found
            actions = [
                replace(a.action, targets=parcels_target(move[rows]))
                for a, rows in zip(plan.actions, named, strict=True)
            ]
            out.append(plan.scenario.with_actions(actions))
            if len(out) == n_sets:
                return out
    return out


class _Draw:
    """Random members for the touched parcels, hemisphere by hemisphere."""

    def __init__(
        self, touched: Rows, side: NDArray[np.str_], pools: Mapping[str, Rows], rng: np.random.Generator
    ) -> None:
        self.touched, self.pools, self.rng = touched, pools, rng
        self.side = side[touched]

    def many(self, n: int) -> Rows:
        """Return ``n`` times one parcel for each touched parcel, (n, touched)."""
        out = np.tile(self.touched, (n, 1))
        for s, pool in self.pools.items():
            mine = np.flatnonzero(self.side == s)
            order = self.rng.random((n, len(pool))).argsort(axis=1)
            out[:, mine] = pool[order[:, : len(mine)]]
        return out


class _Match:
    """Changes random sets, all at once, until they are like the targets."""

    def __init__(self, draw: _Draw, alike: Likeness) -> None:
        self.draw, self.alike = draw, alike
        self.pairs = np.stack(list(alike.pairs.values()))  # (figures, P, P)
        self.wanted = alike.of(draw.touched)
        spread = np.std([alike.of(rows) for rows in draw.many(60)], axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)
        sizes = {s: len(pool) for s, pool in draw.pools.items()}
        self._sizes = np.array([sizes[str(s)] for s in draw.side])  # of the pool of each member
        self._pools = np.zeros((len(draw.side), max(sizes.values())), dtype=np.intp)
        for i, s in enumerate(draw.side):
            self._pools[i, : sizes[str(s)]] = draw.pools[str(s)]

    def towards(self, rows: Rows) -> Rows:
        """Return the sets (sets, n) with members exchanged until their figures are near the targets'."""
        rng, (n_sets, n) = self.draw.rng, rows.shape
        rows = rows.copy()
        figures = np.stack([self.alike.of(r) for r in rows])  # (sets, figures)
        idle = np.zeros(n_sets, dtype=np.intp)
        inside = np.zeros((n_sets, self.pairs.shape[1]), dtype=bool)
        np.put_along_axis(inside, rows, True, axis=1)
        for _ in range(20 + 2 * n):
            near = (np.abs(figures - self.wanted) <= TOLERANCE * self.spread).all(axis=1)
            left = np.flatnonzero(~near & (idle <= n))
            if not len(left):
                break
            at = rng.integers(n, size=len(left))
            now = rows[left, at]
            tried = self._pools[
                at[:, None], rng.integers(self._sizes[at, None], size=(len(left), _CANDIDATES))
            ]
            taken = np.take_along_axis(inside[left], tried, axis=1)
            tried = np.c_[np.where(taken, now[:, None], tried), now]  # staying is an answer too
            others = np.arange(n)[None] != at[:, None]
            rest = rows[left][others].reshape(len(left), n - 1)
            sums = self.pairs[:, tried[:, :, None], rest[:, None, :]].sum(
                axis=3
            )  # (figures, left, candidates)
            every = figures[left].T[..., None] + 2 * (sums - sums[..., -1:]) / (n * (n - 1))
            off = (every - self.wanted[:, None, None]) / self.spread[:, None, None]
            best = (off**2).sum(axis=0).argmin(axis=1)  # (left,)
            chosen = tried[np.arange(len(left)), best]
            idle[left] = np.where(chosen == now, idle[left] + 1, 0)
            inside[left, now] = False
            inside[left, chosen] = True
            rows[left, at] = chosen
            figures[left] = every[:, np.arange(len(left)), best].T
        return rows
