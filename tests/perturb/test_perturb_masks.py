"""What is hidden: never a target, always what is asked, and enough of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.features.perturb.masks import TokenGrid, answers, draw_masks, make_plan
from brainlm_core.features.perturb.scenario import Scenario

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GRID = TokenGrid(np.arange(40), np.arange(200) // 20)


def scenario(parcels=(1, 2), readout="both", seed=0, **changes):  # type: ignore[no-untyped-def]
    action = {"targets": {"parcels": list(parcels)}, "kind": "add", "amplitude_sd": 2.0, **changes}
    return Scenario.from_dict({"actions": [action], "readout": readout, "seed": seed})


@quick
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.sampled_from(["future", "others", "both"]),
    st.floats(0, 60),
    st.floats(2, 60),
    st.integers(0, 9),
)
def test_targets_are_seen_and_answers_are_hidden(frame, parcels, readout, onset, duration, seed):  # type: ignore[no-untyped-def]
    plan = make_plan(scenario(parcels, readout, seed, onset_s=onset, duration_s=duration), frame, GRID)
    masks = draw_masks(plan, GRID, range(6))
    rows = np.flatnonzero(plan.targets)
    for mask in masks:
        assert not mask[rows, plan.first : plan.stop].any()
        counted = answers(plan, mask, frame)
        assert (mask | ~counted).all() and not counted[rows].any() and counted[:, plan.counted].any()
        if readout != "others":
            assert mask[:, plan.future :].all() and plan.stop <= plan.future < 200
    per_block = masks.reshape(6, 40, 10, 20)
    assert (per_block.all(axis=3) == per_block.any(axis=3)).all()  # whole tokens only
    hidden = masks[:, :, : plan.future]
    assert (hidden.all(axis=2) == hidden.any(axis=2)).all()  # whole parcels
    free, per_draw = 40 - len(rows), hidden[:, :, 0].sum(axis=1)
    if readout == "future":
        assert (per_draw <= 0.3 * free + 2).all()
    else:
        assert (per_draw >= free // 2).all()
        assert hidden[:2, ~plan.targets, 0].any(axis=0).sum() >= free - 2  # two draws leave hardly a gap


def test_a_draw_does_not_depend_on_how_many_are_drawn(frame):  # type: ignore[no-untyped-def]
    plan = make_plan(scenario(), frame, GRID)
    assert (draw_masks(plan, GRID, range(8))[3] == draw_masks(plan, GRID, [3])[0]).all()
    other = make_plan(scenario(seed=1), frame, GRID)
    assert (draw_masks(plan, GRID, [0]) != draw_masks(other, GRID, [0])).any()


def test_tokens_of_several_parcels_stay_whole(frame):  # type: ignore[no-untyped-def]
    grid = TokenGrid(np.arange(40) // 4, (np.arange(200) + 6) // 16)
    plan = make_plan(scenario((3,), onset_s=10, duration_s=30), frame, grid)
    assert plan.excluded.sum() == 4 and plan.targets.sum() == 1
    mask = draw_masks(plan, grid, [0])[0]
    assert (mask.reshape(10, 4, 200).all(axis=1) == mask.reshape(10, 4, 200).any(axis=1)).all()
    assert plan.future in np.flatnonzero(np.diff(grid.block)) + 1


def test_a_model_that_cannot_see_the_action_is_refused(frame):  # type: ignore[no-untyped-def]
    plan = make_plan(scenario((3,), onset_s=10, duration_s=30), frame, GRID)
    with pytest.raises(AnalysisError, match="cannot see the action"):
        answers(plan, np.ones((40, 200), dtype=bool), frame)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"parcels": range(1, 41)}, "every parcel"),
        ({"readout": "future", "onset_s": 130.0}, "starts at"),
        ({"readout": "both", "onset_s": 10.0, "duration_s": 125.0}, "lasts until"),
    ],
)
def test_what_leaves_nothing_to_answer_is_a_sentence(frame, data, words):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=words):
        make_plan(scenario(**data), frame, GRID)
