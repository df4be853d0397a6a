"""Responses of an engine: the properties that any model's must have."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb import trials as perturb_trials
from brainlm_core.features.perturb.analysis import PerturbOptions, analyse, notices_of, responder_table
from brainlm_core.features.perturb.response import mean_over_draws, prepare, respond
from brainlm_core.features.perturb.scenario import Scenario
from brainlm_core.features.perturb.sets import random_sets
from brainlm_core.features.perturb.trials import Trial, run_trials
from brainlm_core.inference.engine import Cancelled


def scenario(amplitude=2.0, targets=None, **changes):  # type: ignore[no-untyped-def]
    action = {
        "targets": targets or {"parcels": [1, 2, 21]},
        "kind": "add",
        "amplitude_sd": amplitude,
        "onset_s": 14.7,
        "duration_s": 44.1,
    }
    return Scenario.from_dict({"actions": [action], "draws": 3, **changes})


@pytest.fixture(scope="module")
def stage(tiny, small_recording):  # type: ignore[no-untyped-def]
    return prepare(tiny, small_recording)


def test_equal_mask_draws_are_said_and_others_are_not_called_equal(tiny, stage):  # type: ignore[no-untyped-def]
    response = respond(tiny, stage, [scenario(readout="both")])[0]
    effect, gap = response.effect_by_draw[:1], np.full((1, 20), np.nan)

    def said(*draws):  # type: ignore[no-untyped-def]
        notices = notices_of(stage, replace(response, effect_by_draw=np.concatenate(draws)))
        return any("Nothing was left to draw" in notice for notice in notices)

    assert said(effect, effect) and not said(effect, effect + 1)
    halves = np.hstack([effect[:, :20], gap]), np.hstack([gap, effect[:, 20:]])
    assert not said(*halves), "no parcel answered twice: nothing is known of the spread"


class Counting:
    """An engine that counts passes."""

    def __init__(self, engine) -> None:  # type: ignore[no-untyped-def]
        self.engine, self.passes = engine, 0

    def reconstruct(self, windows, hidden, **settings):  # type: ignore[no-untyped-def]
        self.passes += windows.n_windows
        return self.engine.reconstruct(windows, hidden, **settings)


@pytest.mark.parametrize("readout", ["future", "others", "both"])
def test_a_response_is_where_it_was_asked(tiny, stage, readout):  # type: ignore[no-untyped-def]
    response = respond(tiny, stage, [scenario(readout=readout)])[0]
    assert np.isnan(response.mean[[0, 1, 20]]).all()
    others = np.setdiff1d(np.arange(40), [0, 1, 20])
    assert not np.isnan(response.summary[others]).any() and response.statistic == "effect"
    assert (response.summary[others] != 0).mean() > 0.9
    future = response.plan.future
    assert np.isnan(response.mean[:, :future]).all() == (readout == "future")
    assert np.isnan(response.mean[:, future:]).all() == (readout == "others")
    assert np.allclose(response.input_change[0, 20:80], 2, atol=1e-4) and not response.input_change[3].any()


@pytest.mark.parametrize("readout", ["future", "others", "both"])
def test_nothing_done_gives_exactly_nothing(tiny, stage, readout):  # type: ignore[no-untyped-def]
    counting = Counting(tiny)
    response = respond(counting, stage, [scenario(0.0, readout=readout)])[0]
    known = ~np.isnan(response.mean)
    assert known.any() and (response.mean[known] == 0).all()
    assert (response.effect[~response.plan.targets] == 0).all() and counting.passes == 0


def test_silence_twice_is_silence_once(tiny, stage):  # type: ignore[no-untyped-def]
    action = {"targets": {"parcels": [3, 4]}, "kind": "silence", "duration_s": 60, "ramp_s": 8}
    once, twice = respond(
        tiny, stage, [Scenario.from_dict({"actions": [action] * n, "draws": 2}) for n in (1, 2)]
    )
    assert np.array_equal(once.mean, twice.mean, equal_nan=True) and once.statistic == "magnitude"


def test_disjoint_actions_commute(tiny, stage):  # type: ignore[no-untyped-def]
    a = {"targets": {"parcels": [3]}, "kind": "noise", "duration_s": 60}
    b = {"targets": {"parcels": [9, 30]}, "kind": "add", "amplitude_sd": 1, "duration_s": 40}
    one, other = respond(
        tiny, stage, [Scenario.from_dict({"actions": pair, "draws": 2}) for pair in ([a, b], [b, a])]
    )
    assert np.array_equal(one.mean, other.mean, equal_nan=True)


def test_a_request_shares_what_does_not_depend_on_the_action(tiny, stage):  # type: ignore[no-untyped-def]
    counting = Counting(tiny)
    doses = [scenario(d) for d in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    together = respond(counting, stage, doses, draws=2)
    assert counting.passes == 2 * (1 + 4)
    for dose, response in zip(doses, together, strict=True):
        alone = respond(tiny, stage, [dose], draws=2)[0]
        np.testing.assert_allclose(alone.mean, response.mean, atol=2e-5)


def test_how_many_passes_go_at_once_changes_no_number(tiny, stage, monkeypatch):  # type: ignore[no-untyped-def]
    asked = [scenario(0.5, readout="future"), scenario(2.0), scenario(0.0)]
    together = respond(tiny, stage, asked)
    monkeypatch.setitem(perturb_trials.CHUNKS, "cpu", 2)
    for one, other in zip(respond(tiny, stage, asked), together, strict=True):
        assert one.plan.scenario == other.plan.scenario
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.effect_by_draw, other.effect_by_draw, rtol=1e-4, atol=1e-6)


def test_draws_are_averaged_with_their_spread(tiny, stage):  # type: ignore[no-untyped-def]
    response = respond(tiny, stage, [scenario()], draws=6)[0]
    known = ~np.isnan(response.effect)
    np.testing.assert_allclose(
        response.effect[known], np.nanmean(response.effect_by_draw[:, known], axis=0), rtol=1e-5
    )
    answered = (~np.isnan(response.effect_by_draw)).sum(axis=0)
    assert (answered[known] < 6).any() and (np.isnan(response.interval()[:, 0]) == (answered < 2)).all()
    known = answered >= 2
    low, high = response.interval()[known].T
    assert (low <= response.effect[known]).all() and (response.effect[known] <= high).all()
    assert np.nanmean(response.spread) > 0
    single = respond(tiny, stage, [scenario()], draws=1)[0]
    assert np.isnan(single.interval()).all() and np.isnan(single.spread).all()


def test_a_wrong_scenario_stops_the_request_before_the_first_pass(tiny, stage):  # type: ignore[no-untyped-def]
    counting = Counting(tiny)
    with pytest.raises(ConfigError):
        respond(counting, stage, [scenario(), scenario(targets={"structure": "cerebellum"})])
    assert counting.passes == 0
    with pytest.raises(ConfigError, match="no window 3"):
        prepare(tiny, replace_length(stage), 3)


def replace_length(stage):  # type: ignore[no-untyped-def]
    from brainlm_core.base.recording import Provenance, Recording

    return Recording(stage.whole[:, :210], 0.735, stage.parcellation, Provenance("test"))


def test_cancelling_and_progress(tiny, stage):  # type: ignore[no-untyped-def]
    with pytest.raises(Cancelled):
        respond(tiny, stage, [scenario()], cancel=lambda: True)
    told: list[float] = []
    respond(tiny, stage, [scenario()], progress=lambda share, text: told.append(share))
    assert told == sorted(told) and told[-1] == 1.0


def test_random_sets_match_in_size_and_hemisphere(stage):  # type: ignore[no-untyped-def]
    from brainlm_core.features.perturb.masks import make_plan

    plan = make_plan(scenario(), stage.frame, stage.grid)
    allowed = ~plan.targets
    sets = random_sets(plan, stage.frame, allowed, 50, np.random.default_rng(0))
    side = np.array(stage.parcellation.hemisphere)
    rows = [s.actions[0].targets.rows(stage.parcellation) for s in sets]
    assert len({r.tobytes() for r in rows}) == 50
    for r in rows:
        assert sorted(side[r]) == ["L", "R", "R"] and not plan.targets[r].any()
    with pytest.raises(ConfigError, match="hemisphere"):
        random_sets(plan, stage.frame, np.arange(40) < 3, 5, np.random.default_rng(0))


def test_a_set_of_the_null_sees_the_same_mask(tiny, stage):  # type: ignore[no-untyped-def]
    from brainlm_core.features.perturb.masks import draw_masks, make_plan

    plan = make_plan(scenario(), stage.frame, stage.grid)
    mask = draw_masks(plan, stage.grid, [0])[0]
    seen = ~mask[:, : plan.stop].any(axis=1) & ~plan.targets
    other = random_sets(plan, stage.frame, seen, 3, np.random.default_rng(0))
    counting = Counting(tiny)
    trials = [Trial(make_plan(s, stage.frame, stage.grid), mask) for s in other]
    assert len(list(run_trials(counting, stage, trials))) == 3 and counting.passes == 4


@pytest.fixture(scope="module")
def result(tiny, small_recording):  # type: ignore[no-untyped-def]
    return analyse(tiny, small_recording, scenario(draws=4), PerturbOptions(40), twin=tiny)


def test_the_result_has_its_figures(result, tmp_path):  # type: ignore[no-untyped-def]
    facts = result.to_dict()
    assert {"response_max", "response_mean_abs", "n_significant_fdr05", "agreement"} <= set(facts)
    wanted = {"attention", "functional_connectivity", "distance", "random_twin", "no_scan", "group_ridge"}
    assert wanted | {"published_effective_connectivity"} <= set(facts["agreement"])
    assert (
        facts["null"]["matched_on"][:2] == ["number", "hemisphere"] and len(facts["null"]["matched_on"]) == 5
    )
    assert {"map_correlation_no_scan", "map_correlation_split_half"} <= set(facts["depends_on_scan"])
    assert facts["agreement"]["random_twin"] == pytest.approx(1.0)  # here the twin is the model itself
    assert 0 < facts["response_mean_abs"] <= facts["response_max"]
    assert isinstance(facts["n_significant_fdr05"], int) and facts["null"]["n_sets"] == 40
    files = result.save(tmp_path / "out")
    assert all(f.is_file() for f in files)
    assert Scenario.read(tmp_path / "out" / "scenario.json") == result.response.plan.scenario
    assert json.loads((tmp_path / "out" / "perturb.json").read_text())["n_targets"] == 3
    table = responder_table(result.response, result.stage, result.null)
    assert len(table) == 37 and (table["effect_sd"].abs().diff().dropna() <= 0).all()
    assert {"z", "q_fdr", "low_sd", "high_sd", "lag_s"} <= set(table.columns)


def test_the_dose_curve_passes_through_zero(result):  # type: ignore[no-untyped-def]
    dose = result.dose
    at_zero = dose.doses_sd.index(0.0)
    assert dose.curve[at_zero] == 0 and dose.curve[-1] > 0 and 0 <= dose.r2 <= 1
    # The same dose as the scenario's own gives its own response at the same draws.
    two = dose.doses_sd.index(2.0)
    own = mean_over_draws(result.response.effect_by_draw[:2])
    np.testing.assert_allclose(dose.maps[two], own, atol=1e-5)


def test_no_null_says_why(tiny, stage, small_recording):  # type: ignore[no-untyped-def]
    half = scenario(targets={"hemisphere": "L"}, draws=1)
    result = analyse(tiny, small_recording, half, PerturbOptions(20), twin=tiny)
    assert result.to_dict()["n_significant_fdr05"] is None and "hemisphere" in result.null.reason
    none = analyse(tiny, small_recording, scenario(draws=1), PerturbOptions(0), twin=tiny)
    assert none.null.reason and none.to_dict()["null"]["n_sets"] == 0
    with pytest.raises(ConfigError, match="random sets"):
        PerturbOptions(5)


def test_flat_parcels_neither_answer_nor_act(tiny, small_recording):  # type: ignore[no-untyped-def]
    signals = small_recording.signals.copy()
    signals[[1, 7]] = 5.0
    stage = prepare(tiny, replace(small_recording, signals=signals))
    response = respond(tiny, stage, [scenario()], draws=2)[0]
    assert np.isnan(response.summary[7]) and not response.input_change[1].any()
    with pytest.raises(ConfigError, match="varies"):
        respond(tiny, stage, [scenario(targets={"parcels": [2]})])


def test_a_short_recording_is_answered_where_it_was_measured(tiny, small_recording):  # type: ignore[no-untyped-def]
    stage = prepare(tiny, replace(small_recording, signals=small_recording.signals[:, :130]))
    response = respond(tiny, stage, [scenario(readout="both")])[0]
    assert np.isnan(response.mean[:, 130:]).all() and not np.isnan(response.mean[:, 100:130]).all()
    with pytest.raises(ConfigError, match="sees only the first"):
        respond(
            tiny,
            stage,
            [
                Scenario.from_dict(
                    {"actions": [{"targets": {"parcels": [1]}, "kind": "silence", "onset_s": 100}]}
                )
            ],
        )
