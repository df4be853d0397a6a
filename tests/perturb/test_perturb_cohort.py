"""The survey over a cohort: what simple predictions would have said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.perturb_survey import Survey, network_scenario, survey
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.perturb.companions import chance_p


@pytest.fixture(scope="module")
def cohort(recording: Any) -> Cohort:
    values = recording.signals.T.astype(np.float32)
    other = values.copy()
    other[5, 3] = np.nan
    return Cohort(
        "two",
        ("first", "broken"),
        ("a", "b"),
        None,
        recording.parcellation,
        np.concatenate([values, other]),
        np.array([[0, len(values)], [len(values), 2 * len(values)]]),
        np.array([0.735, 0.735]),
    )


def test_survey_is_one_row_per_network_and_prediction(tiny: Any, cohort: Cohort) -> None:
    told: list[float] = []
    found = survey(
        tiny, cohort, twin=tiny, networks=("Visual", "Limbic"), draws=2, n_sets=30,
        progress=lambda share, _: told.append(share),
    )  # fmt: skip
    assert found.recordings == ("first",) and "broken was left out" in found.notices[0]
    assert told[0] == 0 and told[-1] == 1
    table = found.table()
    assert len(table) == 2 * len(found.predictors)
    twin = table[table["predictor"] == "random_twin"]
    np.testing.assert_allclose(twin["rho"], 1.0)  # here the twin is the model itself
    assert twin["p"].isna().all()
    rest = table[table["predictor"] != "random_twin"]
    assert rest["p"].between(2 / 31, 1).all()
    assert (rest["chance_low"] < rest["chance_high"]).all()


def test_mean_interval_and_chance_against_closed_forms(tmp_path: Any) -> None:
    rho = np.array([0.1, 0.2, 0.6])[:, None, None]
    chance = np.stack([np.linspace(-0.3, 0.3, 101) + shift for shift in (0.0, 0.05, -0.05)])[:, None, None]
    found = Survey(("a", "b", "c"), ("Visual",), ("distance",), rho, chance, "m", ())
    row = found.table().iloc[0]
    assert row["rho"] == pytest.approx(0.3)
    half = 4.302653 * np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)  # t with 2 degrees of freedom
    assert (row["low"], row["high"]) == pytest.approx((0.3 - half, 0.3 + half))
    assert (row["chance_low"], row["chance_high"]) == pytest.approx((-0.285, 0.285))
    assert row["p"] == pytest.approx(2 * 2 / 102)  # one set of 101 lies as far out
    assert [p.name for p in found.save(tmp_path)] == ["agreement.csv", "agreement_each.csv"]
    assert len(found.each()) == 3


def test_chance_away_from_zero_is_judged_by_rank() -> None:
    draws = np.linspace(-0.6, -0.4, 99)
    assert chance_p(0.5, draws) == pytest.approx(2 / 100), "far outside, though no larger in size"
    assert chance_p(-0.5, draws) == 1.0


def test_the_scenario_asks_the_other_parcels() -> None:
    scenario = network_scenario("Default", draws=3)
    assert (scenario.readout, scenario.draws) == ("others", 3)
    assert scenario.actions[0].targets.network == "Default"
