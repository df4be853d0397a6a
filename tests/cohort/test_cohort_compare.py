"""Selected against the rest, held to scipy and to planted differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.cohort.reference import reference_cohort, with_connectivity
from brainlm_core.features.embedding.comparison import compare_groups, measures_of, nearest_to, parcel_measure
from tests.cohort.cohort_tools import embeddings


def test_effects_are_those_of_scipy_with_each_person_once() -> None:
    own = embeddings(60)
    rows = np.arange(20)
    got = compare_groups(own, rows)
    person = own.autocorrelation.astype(float).reshape(30, 2, -1).mean(axis=1)
    expected = stats.ttest_ind(person[:10], person[10:], equal_var=False)
    np.testing.assert_allclose(got.p, expected.pvalue)
    np.testing.assert_allclose(got.q, stats.false_discovery_control(expected.pvalue))
    assert got.people == (10, 20) and got.mixed == 0
    pooled = np.sqrt((9 * person[:10].var(0, ddof=1) + 19 * person[10:].var(0, ddof=1)) / 28)
    np.testing.assert_allclose(got.effect, (person[:10].mean(0) - person[10:].mean(0)) / pooled)


def test_people_selected_at_random_are_found_to_differ_no_more_often_than_is_said() -> None:
    """200 random halves of people: z has a spread of 1, some parcel has q < .05 in at most 5 % + 2 SE."""
    rng = np.random.default_rng(0)
    own = embeddings(160)
    values = np.cumsum(
        rng.standard_normal((160, own.autocorrelation.shape[1])), axis=1
    )  # parcels go together
    own = replace(own, autocorrelation=values.astype(np.float32))
    z, found = [], []
    for _ in range(200):
        people = rng.permutation(80)[:40]
        got = compare_groups(own, np.concatenate([2 * people, 2 * people + 1]))
        assert got.mixed == 0
        z.append(np.sign(got.effect) * stats.norm.isf(got.p / 2))
        found.append(got.n_significant > 0)
    assert 0.9 < np.std(z) < 1.1
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)


def test_people_on_both_sides_are_left_out() -> None:
    got = compare_groups(embeddings(60), np.arange(19))
    assert (got.people, got.mixed) == ((9, 20), 1)


def test_phenotypes_that_differ_come_first() -> None:
    own = embeddings(80)
    site = tuple("AB"[i // 40] for i in range(80))
    own = replace(own, sites=site, phenotypes=own.phenotypes.assign(age_years=np.arange(80.0)))
    table = compare_groups(own, np.arange(40)).phenotypes.set_index("column")
    assert set(table.index[:2]) == {"age_years", "site"}
    assert table.loc["site", "selected"] == "A 100%" and table.loc["site", "effect"] == pytest.approx(1)
    assert table.loc["age_years", "p"] < 1e-6 and "tr_s" not in table.index  # it never varies


def test_parcels_that_do_not_vary_are_told_apart() -> None:
    own = embeddings(40)
    flat = own.autocorrelation.copy()
    flat[:, 2] = 0.5
    got = compare_groups(replace(own, autocorrelation=flat), np.arange(20))
    assert np.isnan(got.q).tolist() == [False, False, True, False, False, False]


def test_mean_connectivity_of_each_parcel() -> None:
    own = embeddings(4)
    matrix = np.zeros((6, 6))
    matrix[np.triu_indices(6, 1)] = own.connectivity[1]
    matrix += matrix.T
    np.testing.assert_allclose(parcel_measure(own, "connectivity")[1], matrix.sum(0) / 5, rtol=1e-6)


def test_an_amplitude_that_was_scaled_away_is_no_measure() -> None:
    people = embeddings(30)
    assert "amplitude" in measures_of(people) and "mean_amplitude" in people.table()
    noise = 1e-5 * np.random.default_rng(0).standard_normal(people.amplitude.shape)
    scaled = replace(people, amplitude=(1 + noise).astype(np.float32))
    assert "amplitude" not in measures_of(scaled) and "mean_amplitude" not in scaled.table()


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(AnalysisError, match="only 2 people are selected"):
        compare_groups(embeddings(40), [0, 1, 2, 3])
    with pytest.raises(AnalysisError, match="only 0 people are left"):
        compare_groups(embeddings(40), np.arange(40))
    with pytest.raises(ConfigError, match="hold no amplitude"):
        compare_groups(reference_cohort(), np.arange(40), "amplitude")


def test_nearest_recordings() -> None:
    own = embeddings(12)
    cls = own.cls.copy()
    cls[7] = cls[3] + 1e-3
    near = nearest_to(replace(own, cls=cls), 3, k=4)
    assert near.rows[0] == 7 and near.similarity[0] > 0.99 and 3 not in near.rows
    assert nearest_to(own, 2, k=11).same_person.sum() == 1


def test_the_bundled_cohort_is_what_it_says() -> None:
    from brainlm_core.cohort.reference import PLANTED, phenotypes
    from brainlm_core.inference.weights import default_folder

    own = reference_cohort()
    assert len(own) == 240 and len(set(own.subjects)) == 120 and own.provenance.simulated
    assert own.provenance.notices == PLANTED and measures_of(own) == ("autocorrelation",)
    assert own.ids == tuple(phenotypes()["recording_id"])
    import hashlib

    weights = hashlib.sha256((default_folder() / "model.safetensors").read_bytes()).hexdigest()
    assert own.provenance.settings["weights_sha256"] == weights, (
        "the default model has changed: run `python -m tools.assets_build --only cohort`"
    )


@pytest.mark.slow
def test_planted_differences_are_found_where_they_were_planted() -> None:
    from brainlm_core.cohort.features import embed_recording
    from brainlm_core.cohort.reference import recordings
    from brainlm_core.inference.engine import Engine

    own = with_connectivity()
    network = np.array(own.parcellation.yeo7)
    young = np.flatnonzero((own.phenotypes["age_years"] < 45).to_numpy())
    got = compare_groups(own, young, "connectivity")
    default = network == "Default"
    assert got.effect[default].mean() > got.effect[~default].mean() + 0.3
    coffee = np.flatnonzero((own.phenotypes["coffee_cups"] > 2).to_numpy())
    assert compare_groups(own, coffee, "connectivity").n_significant < 10
    engine = Engine.load("default", device="cpu", precision="fp32")
    _, _, first = next(recordings())
    np.testing.assert_allclose(own.cls[0], embed_recording(engine, first).cls, atol=2e-3, rtol=2e-3)
