"""The null of a response is calibrated: targets like its sets are found in one of twenty cases."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.atlas import a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.actions import Frame
from brainlm_core.features.perturb.controls import (
    group_answers,
    published_connectivity,
    weighted_rows,
)
from brainlm_core.features.perturb.masks import TokenGrid, make_plan
from brainlm_core.features.perturb.null import _adjusted, matched_on, nearness, z_map
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.features.perturb.sets import TOLERANCE, likeness, random_sets
from brainlm_core.features.perturb.trials import Stage
from brainlm_core.features.shared.group_statistics import group_covariance

#: Targets in each hemisphere and targets that are asked; null sets.
N_TARGETS, N_SETS = 100, 110


@pytest.fixture(scope="module")
def stage() -> Stage:
    """Half of the cortex, answered by ridge on the group: nearly what the default model answers."""
    parcels = a424_cortex().subset(np.arange(0, 360, 2), "half of the cortex")
    n = parcels.n_parcels
    frame = Frame(parcels, np.zeros(n, np.float32), np.ones(n, np.float32), 0.72, 200)
    grid = TokenGrid(np.arange(n), np.arange(200) // 20)
    return Stage(None, np.zeros((n, 4), np.float32), frame, grid, None, None, 1)  # type: ignore[arg-type]


def scenario_of(rows, seed: int) -> Scenario:  # type: ignore[no-untyped-def]
    action = {"targets": {"parcels": [int(r) + 1 for r in rows]}, "kind": "add", "amplitude_sd": 2.0}
    action |= {"onset_s": 28.8, "duration_s": 28.8}
    return Scenario.from_dict({"actions": [action], "readout": "others", "draws": 1, "seed": seed})


@pytest.mark.parametrize("size", [5, 10])
def test_random_targets_are_found_in_one_of_twenty_cases(stage: Stage, size: int) -> None:
    group = group_covariance(stage.parcellation.xyz)
    assert group is not None
    rng = np.random.default_rng(size)
    side = np.array(stage.parcellation.hemisphere)

    def one() -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate([rng.choice(np.flatnonzero(side == s), size, replace=False) for s in "LR"])
        plan = make_plan(scenario_of(rows, int(rng.integers(1 << 30))), stage.frame, stage.grid)
        answer = group_answers(group.matrix, stage, plan, np.full(2 * size, 2.0), signed=True, draws=1)
        return answer, nearness(stage, plan)

    answers, near = (np.stack(v) for v in zip(*(one() for _ in range(2 * N_SETS)), strict=True))
    found, square = [], []
    for i in range(2 * N_TARGETS):
        # Half of the sets are the null of the other half, so that no set is in its own null.
        rest = slice(N_SETS, None) if i < N_TARGETS else slice(0, N_SETS)
        at = i if i < N_TARGETS else N_SETS + i - N_TARGETS
        null = z_map(answers[at], answers[rest], near[at], near[rest])
        found.append(bool(null.n_significant))
        square.append(float(np.nanmean(null.z.astype(np.float64) ** 2)))
    assert 0.9 <= np.sqrt(np.mean(square)) <= 1.1
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(found))


def test_a_real_effect_is_found_and_fades_no_other(stage: Stage) -> None:
    rng = np.random.default_rng(0)
    sets, near = rng.standard_normal((200, 300)).astype(np.float32), rng.uniform(0, 1, (200, 300))
    observed = rng.standard_normal(300).astype(np.float32)
    observed[:20] = 9
    null = z_map(observed, sets, near[0], near)
    assert (null.q[:20] < 0.05).all() and (null.q[20:] < 0.05).sum() <= 2
    observed[5], sets[:195, 7] = np.nan, np.nan
    again = z_map(observed, sets, near[0], near)
    assert np.isnan(again.z[[5, 7]]).all() and np.isnan(again.q[[5, 7]]).all()


def test_answers_are_compared_with_sets_at_the_same_distance() -> None:
    rng = np.random.default_rng(1)
    near = rng.uniform(0, 1, (200, 50))
    sets = (10 * near + rng.standard_normal((200, 50))).astype(np.float32)
    here = np.full(50, 0.95)
    null = z_map((10 * here).astype(np.float32), sets, here, near)
    assert np.abs(null.z).max() < 1 and np.allclose(null.mean, 9.5, atol=0.5)


def test_adjusting_is_that_of_scipy_and_leaves_gaps_out() -> None:
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).uniform(size=(3, 40))
    assert np.allclose(_adjusted(p), false_discovery_control(p, axis=1))
    gaps = p.copy()
    gaps[:, ::4] = np.nan
    kept = ~np.isnan(gaps[0])
    assert np.allclose(_adjusted(gaps)[:, kept], false_discovery_control(p[:, kept], axis=1))
    assert np.isnan(_adjusted(gaps)[:, ~kept]).all()


@pytest.mark.parametrize("network", ["Default", "Visual"])
def test_sets_are_as_compact_and_as_alike_as_a_whole_network(network: str) -> None:
    """The how-to's own example: the Default network on 360 parcels has its null."""
    parcels = a424_cortex()
    group = group_covariance(parcels.xyz)
    assert group is not None
    frame = Frame(parcels, np.zeros(360, np.float32), np.ones(360, np.float32), 0.72, 200)
    rows = np.flatnonzero(np.array(parcels.yeo7) == network)
    plan = make_plan(scenario_of(rows, 0), frame, TokenGrid(np.arange(360), np.arange(200) // 20))
    alike = likeness(frame, group.correlation())
    loose = random_sets(plan, frame, ~plan.excluded, 20, np.random.default_rng(0))
    sets = random_sets(plan, frame, ~plan.excluded, 20, np.random.default_rng(0), alike)
    assert len(sets) == 20 and len(matched_on(plan)) == 5
    members = [s.actions[0].targets.rows(parcels) for s in sets]
    assert all(len(m) == len(rows) and not np.isin(m, rows).any() for m in members)
    wanted = alike.of(rows)
    random = np.array([alike.of(s.actions[0].targets.rows(parcels)) for s in loose])
    off = np.abs(np.array([alike.of(m) for m in members]) - wanted) / random.std(axis=0)
    before = np.abs(random - wanted) / random.std(axis=0)
    assert (np.median(off, axis=0) <= np.maximum(TOLERANCE, 0.5 * np.median(before, axis=0))).all()
    overlap = [len(np.intersect1d(a, b)) / len(a) for a in members[:5] for b in members[5:10]]
    assert np.mean(overlap) < 0.8  # they are not one and the same set


def test_ridge_answers_as_the_covariance_says_and_is_silent_on_the_future(stage: Stage) -> None:
    plan = make_plan(scenario_of([3, 40], 0), stage.frame, stage.grid)
    n = stage.parcellation.n_parcels
    nothing = group_answers(np.eye(n), stage, plan, np.ones(2), signed=True)
    assert np.isnan(nothing[[3, 40]]).all() and np.nanmax(np.abs(nothing)) == 0
    shared = group_answers(np.full((n, n), 0.5) + np.eye(n), stage, plan, np.ones(2), signed=True)
    assert np.nanmin(shared) > 0


def test_published_connectivity_is_given_for_the_same_parcels_only() -> None:
    parcels = a424_cortex()
    table = published_connectivity(parcels)
    assert table is not None and table.shape == (360, 360) and np.isfinite(table).all()
    order = np.random.default_rng(0).permutation(360)[:300]
    part = published_connectivity(parcels.subset(order, "some"))
    assert part is not None and np.allclose(part, table[np.ix_(order, order)])
    from brainlm_core.base.atlas import from_coordinates

    assert (
        published_connectivity(from_coordinates("own", ("a", "b"), np.array([[1, 2, 3], [40, 5, 6]]))) is None
    )
    part[:, 4], part[4] = np.nan, np.nan
    seen = weighted_rows(part, np.array([4, 5]), np.array([0.5, 0.5]))
    assert np.allclose(np.delete(seen, 4), np.delete(part[5], 4))
    assert np.isnan(weighted_rows(part, np.array([4]), np.array([1.0]))).all()


def test_targets_that_fill_a_hemisphere_have_no_null(stage: Stage) -> None:
    rows = np.flatnonzero(np.array(stage.parcellation.hemisphere) == "L")
    plan = make_plan(scenario_of(rows, 0), stage.frame, stage.grid)
    with pytest.raises(ConfigError, match="hemisphere"):
        random_sets(plan, stage.frame, ~plan.excluded, 5, np.random.default_rng(0))
