"""What is hidden from the model when it answers a scenario, and which answers count.

Time is cut into the model's own blocks (one token along time), parcels into its own groups (one token
along space; one parcel each for parcel-token models). A draw hides, by read-out:

- ``others``: most of the other parcels, for the whole window. The model sees the targets and some
  companions: a quarter of the parcels in all, or twice as many companions as targets where that is more,
  the same share in each hemisphere, at most half of what is no target. What counts: the hidden parcels while
  the actions last.
- ``future``: everything from the first block that starts after the last action; besides one of five of
  the other parcels for the whole window. What counts: the hidden future.
- ``both``: the other parcels as in ``others``, and everything after the last action as in ``future``.
  What counts: the hidden parcels, while the actions last and in the future.

Companions change from draw to draw in turn, so that two draws leave hardly a parcel unanswered. They are
also where the null finds its random sets: sets inside the companions see the very same mask as the targets,
so the pass without actions serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.features.perturb.actions import Frame, Resolved, resolve
from brainlm_core.features.perturb.scenario import Scenario

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine
    from brainlm_core.inference.windows import Windows

BoolArray = NDArray[np.bool_]
#: Share of the parcels that is visible (others, both), and share of the other parcels that is (future).
VISIBLE_SHARE, FUTURE_SHARE = 0.25, 0.8
#: Companions per target at least.
COMPANIONS = 2
#: Length of the future that is summarised, in samples: later steps are beyond any model (see the baselines).
FUTURE_SAMPLES = 20


@dataclass(frozen=True, eq=False)
class TokenGrid:
    """How a model cuts a window into tokens.

    Parameters
    ----------
    group : ndarray (P,), int64
        Token row of each parcel.
    block : ndarray (T,), int64
        Token column of each sample, rising.
    """

    group: NDArray[np.int64]
    block: NDArray[np.int64]

    def next_block(self, sample: int) -> int:
        """Return the first sample at or after ``sample`` at which a block starts; T when there is none."""
        starts = np.flatnonzero(np.diff(self.block, prepend=-1))
        later = starts[starts >= sample]
        return int(later[0]) if later.size else len(self.block)

    def last_block(self) -> int:
        """Return the first sample of the last block."""
        return int(np.flatnonzero(np.diff(self.block, prepend=-1))[-1])


def token_grid(engine: Engine, windows: Windows) -> TokenGrid:
    """Find a model's grid: from its description, or by asking it where one token covers several parcels."""
    length, n = engine.spec.patch_length, windows.n_timepoints
    time = np.arange(n, dtype=np.int64)
    if engine.spec.parcels_per_token == 1:
        return TokenGrid(np.arange(windows.n_parcels, dtype=np.int64), time // length)
    one = windows.pick(slice(0, 1))
    group = engine.attention(one).group
    probe = np.zeros(one.values.shape, dtype=bool)
    probe[0, :, n // 2] = True  # whole tokens are hidden: what is truly hidden shows where one starts
    start = int(np.flatnonzero(engine.reconstruct(one, probe).hidden[0].all(axis=0))[0])
    return TokenGrid(np.unique(group, return_inverse=True)[1], (time - start) // length - (-start) // length)


@dataclass(frozen=True, eq=False)
class Plan:
    """A scenario against one window: resolved actions, masks and what counts.

    Parameters
    ----------
    scenario : Scenario
    actions : tuple of Resolved
    targets : ndarray (P,), bool
        Parcels that an action touches.
    excluded : ndarray (P,), bool
        Targets and parcels that share a token with one: no answer is read there.
    hemisphere : tuple of str
        Side of each parcel.
    first, stop : int
        Samples from the first onset to the last end.
    future : int
        First sample of the hidden future; T when nothing of the future is asked.
    counted : ndarray (T,), bool
        Samples over which answers are summarised.
    """

    scenario: Scenario
    actions: tuple[Resolved, ...]
    targets: BoolArray
    excluded: BoolArray
    hemisphere: tuple[str, ...]
    first: int
    stop: int
    future: int
    counted: BoolArray


def make_plan(scenario: Scenario, frame: Frame, grid: TokenGrid) -> Plan:
    """Resolve a scenario on a window.

    Raises
    ------
    ConfigError
        If an action does not fit the window or the parcellation, or no parcel is left to answer.
    """
    scenario.check_parcellation(frame.parcellation)
    n = len(grid.block)
    asks_future = scenario.readout != "others"
    until = frame.n_seen
    if asks_future:
        until = min(grid.last_block(), frame.n_seen - 1) if frame.n_seen < n else grid.last_block()
    actions = tuple(resolve(a, frame, n, until, i) for i, a in enumerate(scenario.actions, 1))
    targets = np.zeros(frame.parcellation.n_parcels, dtype=bool)
    for action in actions:
        targets[action.rows] = True
    excluded = np.isin(grid.group, grid.group[targets])
    if (excluded | (frame.sd == 0)).all():
        raise ConfigError("the actions touch every parcel, so none is left to answer", "choose fewer targets")
    first, stop = min(a.first for a in actions), max(a.stop for a in actions)
    counted = np.zeros(n, dtype=bool)
    future = n
    if asks_future:
        future = grid.next_block(stop)
        counted[future : min(future + FUTURE_SAMPLES, frame.n_seen)] = True
        if not counted.any():
            raise ConfigError(
                "nothing of the recording is left after the last action",
                "end the actions earlier, or ask for others",
            )
    if scenario.readout != "future":
        counted[first:stop] = True
    return Plan(
        scenario, actions, targets, excluded, frame.parcellation.hemisphere, first, stop, future, counted
    )


def draw_masks(plan: Plan, grid: TokenGrid, draws: Sequence[int]) -> BoolArray:
    """Return what each draw hides, (len(draws), P, T); a draw's mask depends on its number alone."""
    out = np.zeros((len(draws), len(grid.group), len(grid.block)), dtype=bool)
    for i, draw in enumerate(draws):
        out[i] = ~(plan.excluded | _companions(plan, grid, draw))[:, None]
        out[i, :, plan.future :] = True
    return out


def _companions(plan: Plan, grid: TokenGrid, draw: int) -> BoolArray:
    """Return the parcels that a draw shows beside the targets, (P,): whole groups, by hemisphere in turn."""
    names = np.asarray(plan.hemisphere)
    first = np.array([int(np.flatnonzero(grid.group == g)[0]) for g in range(int(grid.group.max()) + 1)])
    side = names[first]  # of each group; where a group spans both, of its first parcel
    taken = np.zeros(len(side), dtype=bool)
    taken[grid.group[plan.excluded]] = True
    shown = np.zeros(len(side), dtype=bool)
    for number, name in enumerate(("L", "R", "midline")):
        mine = np.flatnonzero(side == name)
        free = mine[~taken[mine]]
        n_targets = len(mine) - len(free)
        wanted = max(round(VISIBLE_SHARE * len(mine)) - n_targets, COMPANIONS * n_targets)
        wanted = min(wanted, len(free) // 2)
        if plan.scenario.readout == "future":
            wanted = round(FUTURE_SHARE * len(free))
        if wanted == 0:
            continue
        rng = np.random.default_rng([plan.scenario.seed, 7, number])
        order = rng.permutation(len(side))[free].argsort()
        turn = (np.arange(wanted) + draw * wanted) % len(free)
        shown[free[order[turn]]] = True
    return np.asarray(shown[grid.group])


def answers(plan: Plan, truly_hidden: BoolArray, frame: Frame) -> BoolArray:
    """Return which entries of a draw are answers, (P, T).

    Raises
    ------
    AnalysisError
        If the model did not see the targets while they were acted upon.
    """
    for action in plan.actions:
        touched = truly_hidden[action.rows][:, action.first : action.stop]
        if touched.any():
            raise AnalysisError(
                "this model hides parcels together with the targets, so it cannot see the action",
                "use a model with one token per parcel, such as default or 13m",
            )
    out = truly_hidden & ~plan.excluded[:, None] & (frame.sd > 0)[:, None]
    out[:, frame.n_seen :] = False
    if plan.scenario.readout == "future":
        out[:, : plan.future] = False
    if plan.scenario.readout == "both":
        # A companion would answer for the future alone, which is something else than what the others answer.
        out[~truly_hidden[:, plan.first : plan.stop].all(axis=1)] = False
    return np.asarray(out)
