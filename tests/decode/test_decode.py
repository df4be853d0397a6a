from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score

from brainlm_core import cli
from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.methods import methods_of
from brainlm_core.cohort.files import write_embeddings
from brainlm_core.features.decode.analysis import _how_to_read, decode
from brainlm_core.features.decode.inputs import DecodeOptions, pose, rotated
from brainlm_core.features.decode.nested import FeatureSet, Labels, ridge_out_of_fold
from brainlm_core.features.decode.pipelines import ConfoundRegression, outer_folds, permutations, pipeline
from brainlm_core.features.decode.scores import auc, p_value, r2, score_methods
from brainlm_core.inference.engine import Cancelled
from tests.decode.decode_tools import cohort

FAST = {"n_permutations": 39, "n_bootstrap": 100}


@pytest.fixture(scope="module")
def planted():
    return cohort()


@pytest.fixture(scope="module")
def age(planted):
    return decode(planted, DecodeOptions("age_years", **FAST))


def with_column(embeddings, name, values):
    return replace(embeddings, phenotypes=embeddings.phenotypes.assign(**{name: values}))


def test_a_planted_number_is_found_beside_every_baseline(age):
    assert tuple(age.scores) == methods_of("decode")
    assert age.scores["model"].value > 0.6
    assert age.scores["model"].p == pytest.approx(1 / 40)
    assert age.scores["functional_connectivity"].value > 0.6
    for method in ("random_twin", "dummy", "autocorrelation"):
        assert age.scores[method].value < 0.1
    gap = age.scores["random_twin"].difference
    assert gap[0] == pytest.approx(age.scores["model"].value - age.scores["random_twin"].value)
    assert gap[1] > 0


def test_a_planted_class_is_found_and_its_probabilities_are_calibrated(planted):
    result = decode(planted, DecodeOptions("sex", **FAST))
    assert result.metric == "auc"
    assert result.classes == ("female", "male")
    assert result.scores["model"].value > 0.85
    assert result.scores["model"].p == pytest.approx(1 / 40)
    assert result.scores["dummy"].value == 0.5
    share = result.probability["model"]
    assert share.sum(axis=1) == pytest.approx(np.ones(len(share)))
    assert roc_auc_score(result.truth, share[:, 1]) > 0.85
    assert abs(share[:, 1].mean() - result.truth.mean()) < 0.05


def test_three_classes(planted):
    result = decode(planted, DecodeOptions("kind", **FAST))
    assert result.guesses["model"].shape[1] == 3
    assert result.scores["model"].value > 0.75
    assert "guess_model_b" in result.table()


@pytest.mark.parametrize("predictor", ["logistic", "svm", "mlp"])
@pytest.mark.parametrize("target", ["age_years", "sex"])
def test_other_predictors_find_it_too(predictor, target):
    planted = cohort(80, seed=2)
    bare = replace(planted, connectivity=None, autocorrelation=None)
    options = DecodeOptions(target, predictor=predictor, n_permutations=3, n_bootstrap=100, n_folds=2)
    result = decode(bare, options)
    assert result.scores["model"].value > (0.5 if target == "age_years" else 0.8)
    assert result.scores["model"].p == 0.25
    assert any("functional connectivity" in notice for notice in result.notices)


def test_p_of_a_shuffled_column_is_uniform():
    """The planted column, shuffled: 200 times nothing is to be found, and p says so."""
    small = cohort(44, seed=3)
    still = small.acquisition.assign(mean_fd_mm=0.1)
    small = replace(small, twin_cls=None, connectivity=None, autocorrelation=None, acquisition=still)
    planted = small.phenotypes["age_years"].to_numpy() - 40
    random = np.random.default_rng(5)
    values = []
    for k in range(200):
        shuffled = replace(small, phenotypes=pd.DataFrame({"told": random.permutation(planted)}))
        shuffled = replace(shuffled, sites=("one",) * 44)
        options = DecodeOptions("told", n_permutations=19, n_bootstrap=100, n_folds=2, n_inner=2, seed=k)
        values.append(decode(shuffled, options).scores["model"].p)
    # p takes the values 1/20 … 20/20; spread over each step it is continuous
    spread = np.array(values) - random.uniform(0, 1 / 20, 200)
    assert kstest(spread, "uniform").pvalue > 0.01


def test_ridge_of_many_label_sets_equals_one_at_a_time():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((60, 5)), random.uniform(1, 9, (60, 4))
    groups = np.arange(60)
    folds = outer_folds(groups, False, 4, 0)
    together = ridge_out_of_fold(
        FeatureSet("x", (x, x**2)), Labels("regression", y, log=True), folds, groups, 3, 0
    )
    for k in range(4):
        alone = ridge_out_of_fold(
            FeatureSet("x", (x, x**2)), Labels("regression", y[:, [k]], log=True), folds, groups, 3, 0
        )
        assert together.guesses[:, k] == pytest.approx(alone.guesses[:, 0])


def test_nobody_is_guessed_by_a_model_that_saw_them():
    """With as many features as people, one look at the answer would give it away."""
    random = np.random.default_rng(1)
    x = np.eye(80) + 1e-3 * random.standard_normal((80, 80))
    y = random.standard_normal((80, 1))
    groups = np.repeat(np.arange(40), 2)
    found = ridge_out_of_fold(
        FeatureSet("x", (x,)), Labels("regression", y), outer_folds(groups, False, 5, 0), groups, 3, 0
    )
    assert abs(np.corrcoef(found.guesses[:, 0, 0], y[:, 0])[0, 1]) < 0.35


def test_confounds_are_removed_with_what_the_training_part_knows():
    random = np.random.default_rng(2)
    confound = random.standard_normal((50, 1))
    x = np.column_stack([3 * confound + 1, random.standard_normal(50), confound])
    step = ConfoundRegression(1).fit(x[:30])
    after = step.transform(x[30:])
    assert np.abs(after[:, 0] - after[0, 0]).max() < 1e-9
    slope = np.polyfit(confound[:30, 0], x[:30, 1], 1)[0]
    assert after[:, 1] == pytest.approx(x[30:, 1] - slope * (confound[30:, 0] - confound[:30].mean()))


def test_a_signal_that_is_only_motion_does_not_survive_its_regression(planted):
    motion = planted.acquisition["mean_fd_mm"].to_numpy()
    moved = replace(planted, cls=(planted.cls * 0 + motion[:, None] * np.arange(1, 7)).astype(np.float32))
    moved = replace(
        moved, cls=moved.cls + 0.01 * np.random.default_rng(0).standard_normal(moved.cls.shape).astype("f4")
    )
    moved = with_column(moved, "score", motion * 10 + 0.01 * np.arange(len(motion)) % 1)
    raw = decode(moved, DecodeOptions("score", confounds=(), n_permutations=0, n_bootstrap=100))
    clean = decode(moved, DecodeOptions("score", n_permutations=0, n_bootstrap=100))
    assert raw.scores["model"].value > 0.7
    assert clean.scores["model"].value < 0.1
    assert raw.scores["model"].p is None


def test_rotation_keeps_what_ridge_sees():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((20, 300)), random.standard_normal(20)
    turned = rotated(x)
    assert turned.shape[1] <= 20
    wide = pipeline(Ridge(2.0), 0, scale_columns=False).fit(x[:15], y[:15]).predict(x[15:])
    narrow = pipeline(Ridge(2.0), 0, scale_columns=False).fit(turned[:15], y[:15]).predict(turned[15:])
    assert narrow == pytest.approx(wide)


def test_measures_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, guess = random.standard_normal((50, 3)), random.standard_normal((50, 3))
    for k in range(3):
        assert r2(guess, truth)[k] == pytest.approx(r2_score(truth[:, k], guess[:, k]))
    label = random.integers(0, 2, (50, 3))
    for k in range(3):
        assert auc(guess[:, :, None], label)[k] == pytest.approx(roc_auc_score(label[:, k], guess[:, k]))
    three = random.integers(0, 3, (50, 1))
    share = random.dirichlet(np.ones(3), 50)
    assert auc(share[:, None], three)[0] == pytest.approx(
        roc_auc_score(three[:, 0], share, multi_class="ovr")
    )
    assert p_value(np.array([2.0, 1.0, 3.0, 0.0])) == pytest.approx(0.5)


def test_labels_change_hands_between_people_of_one_site():
    subjects = np.repeat(["a", "b", "c", "d"], 2)
    blocks = np.repeat(["x", "x", "y", "y"], 2)
    y = np.repeat([1.0, 2.0, 3.0, 4.0], 2)
    seen = {tuple(y[order]) for order in permutations(subjects, blocks, y, 50, 0)}
    assert seen == {
        (*first, *second) for first in ((1, 1, 2, 2), (2, 2, 1, 1)) for second in ((3, 3, 4, 4), (4, 4, 3, 3))
    }
    within = [y2 for y2 in permutations(subjects, blocks, np.arange(8.0), 20, 0)]
    assert all(set(order[:2]) == {0, 1} for order in within)


def test_sentences_call_columns_by_their_words(planted):
    ages = planted.phenotypes["age_years"].where(np.arange(len(planted)) > 1)
    options = DecodeOptions("age_years", leave_out="site")
    assert pose(with_column(planted, "age_years", ages), options).notices == (
        "2 recordings have no value for “Age (years)” and were left out.",
    )
    result = decode(planted, DecodeOptions("age_years", n_permutations=0, n_bootstrap=100))
    regressed = next(n for n in result.notices if n.startswith("Regressed out"))
    assert "Mean head motion (mm)" in regressed and "_" not in regressed


def test_whole_sites_are_left_out(planted):
    result = decode(planted, DecodeOptions("age_years", leave_out="site", n_permutations=0, n_bootstrap=100))
    assert result.folds == "4 folds, whole values of “Site” left out (4)"
    assert result.scores["model"].value > 0.5
    for train, test in outer_folds(np.array(planted.sites), True, 5, 0):
        assert not set(np.array(planted.sites)[train]) & set(np.array(planted.sites)[test])


def test_where_sites_are_left_out_scores_stand_within_sites_and_intervals_draw_sites(planted):
    options = DecodeOptions("sex", leave_out="site", n_permutations=0, n_bootstrap=200)
    result = decode(planted, options)
    score, sites = result.scores["model"], np.array(planted.sites)
    each = [
        (roc_auc_score(result.truth[sites == s], result.guesses["model"][sites == s, 0]), (sites == s).sum())
        for s in np.unique(sites)
    ]
    areas, sizes = zip(*each, strict=True)
    assert score.within_site.value == pytest.approx(np.average(areas, weights=sizes))
    assert score.within_site.n_sites == 4 and score.within_site.ci95[0] > 0.7
    assert score.interval == score.ci95_sites != score.ci95
    facts = score.to_dict()
    assert facts["ci95_sites"] == list(score.ci95_sites)
    assert facts["within_site"]["value"] == score.within_site.value
    people = decode(planted, DecodeOptions("sex", n_permutations=0, n_bootstrap=100)).scores["model"]
    assert people.within_site is None and "ci95_sites" not in people.to_dict()


def test_a_pooled_score_below_chance_is_called_what_it_is():
    """Guesses know nothing but how common the class is elsewhere: pooled they mislead, within sites not."""
    random = np.random.default_rng(0)
    sites = np.repeat(np.arange(20), 40)
    common = np.linspace(0.2, 0.8, 20)
    truth = (random.uniform(size=800) < common[sites]).astype(int)
    elsewhere = (truth.sum() - np.bincount(sites, truth))[sites] / 760
    guess = (elsewhere + 1e-6 * random.standard_normal(800))[:, None, None]
    scores = score_methods(
        {"confounds": guess}, truth[:, None], np.arange(800), "classification", 200, 0, sites=sites
    )
    found = scores["confounds"]
    assert found.value < 0.4 and found.ci95_sites[1] < 0.5
    assert found.within_site.ci95[0] < 0.5 < found.within_site.ci95[1]
    question = SimpleNamespace(task="classification")
    said = " ".join(_how_to_read(scores, question, DecodeOptions("sex", leave_out="site", n_permutations=0)))
    assert "Below one half" in said and "says nothing of people" in said


def test_intervals_over_sites_hold_chance_where_nothing_is_known():
    """200 times guesses that know nothing: 95 % intervals over 20 sites miss chance in at most 5 % + 2 SE."""
    random = np.random.default_rng(4)
    sites = np.repeat(np.arange(20), 10)
    missed = []
    for k in range(200):
        truth = random.integers(0, 2, (200, 1))
        guess = {"confounds": random.standard_normal((200, 1, 1))}
        score = score_methods(guess, truth, np.arange(200), "classification", 200, k, sites=sites)[
            "confounds"
        ]
        missed.append([not low <= 0.5 <= high for low, high in (score.ci95_sites, score.within_site.ci95)])
    assert (np.mean(missed, axis=0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)).all(), np.mean(missed, axis=0)


def test_the_p_of_a_searched_predictor_says_that_the_search_is_not_repeated(planted):
    bare = replace(planted, connectivity=None, autocorrelation=None, twin_cls=None)
    for predictor, told in (("ridge", False), ("logistic", False), ("svm", True)):
        options = DecodeOptions(
            "age_years", predictor=predictor, n_permutations=1, n_bootstrap=100, n_folds=2
        )
        notices = decode(bare, options).notices
        assert any("the search is not" in n for n in notices) == told


def test_repeated_scans_stay_together():
    twice = cohort(60, scans=2)
    question = pose(twice, DecodeOptions("age_years"))
    for train, test in outer_folds(question.groups, False, 5, 0):
        assert not set(question.subjects[train]) & set(question.subjects[test])


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"target": "height"}, "there is no column height"),
        ({}, {"target": "sex", "task": "regression"}, "sex holds text"),
        ({}, {"target": "recording_id"}, "too many for classes"),
        ({"noise": 1.5}, {"target": "noise", "task": "regression"}, "same for everyone"),
        ({"sex": "female"}, {"target": "sex"}, "everyone has the same sex"),
        ({"sex": ["male"] * 3 + ["female"] * 117}, {"target": "sex"}, "only 1 class"),
        ({"age_years": [30.0, 40.0] * 8 + [np.nan] * 104}, {"target": "age_years"}, "16 people"),
        ({"centre": ["A", "B"] * 60}, {"target": "age_years", "leave_out": "centre"}, "2 values"),
        ({"centre": [None] * 120}, {"target": "age_years", "leave_out": "centre"}, "have no centre"),
    ],
)
def test_bad_questions_are_refused_in_a_sentence(planted, change, options, said):
    changed = replace(planted, phenotypes=planted.phenotypes.assign(**change))
    with pytest.raises((AnalysisError, ConfigError), match=said):
        decode(changed, DecodeOptions(**options, **FAST))


def test_leaks_are_refused(planted):
    twice = cohort(60, scans=2)
    with pytest.raises(AnalysisError, match="in training and test"):
        decode(twice, DecodeOptions("age_years", group="recording_id"))
    copied = planted.cls.copy()
    copied[7] = copied[3]
    with pytest.raises(AnalysisError, match="r3 and r7 are the same scan"):
        decode(replace(planted, cls=copied), DecodeOptions("age_years"))
    with pytest.raises(ConfigError, match="no predictor"):
        DecodeOptions("age_years", predictor="forest")


def test_it_can_be_stopped(planted):
    with pytest.raises(Cancelled):
        decode(planted, DecodeOptions("age_years", **FAST), cancel=lambda: True)


def test_the_command_writes_the_promised_keys(planted, tmp_path, capsys):
    file = write_embeddings(planted, tmp_path / "e.parquet")
    people = pd.DataFrame(
        {"subject_id": planted.subjects[:110], "bmi": planted.phenotypes["age_years"][:110]}
    )
    people.to_csv(tmp_path / "people.csv", index=False)
    command = ["decode", str(file), str(tmp_path / "people.csv"), "--target", "bmi", "--group", "subject_id"]
    code = cli.main([*command, "-o", str(tmp_path / "out"), "--permutations", "9", "--json"])
    out = capsys.readouterr()
    assert (code, out.err) == (0, "")
    facts = json.loads(out.out)
    assert {"target", "metric", "n", "groups", "scores"} <= set(facts)
    assert set(facts["scores"]) == set(methods_of("decode"))
    assert all({"value", "ci95", "p"} <= set(s) for s in facts["scores"].values())
    assert facts["n"] == 110
    assert "110 of 120 recordings have a row" in facts["phenotypes"]
    table = pd.read_csv(tmp_path / "out" / "guesses.csv")
    assert r2_score(table["truth"], table["guess_model"]) == pytest.approx(facts["scores"]["model"]["value"])
    assert cli.main([*command[:4], "nothing", "-o", str(tmp_path / "out")]) == 2
    assert "there is no column nothing" in capsys.readouterr().err
