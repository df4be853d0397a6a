from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from brainlm_core.base.atlas import a424_cortex
from brainlm_core.base.errors import AnalysisError
from brainlm_core.features.networks.cohort import METRICS, cohort_network_scores


@pytest.fixture
def cohort(make, whole):
    return [make.recording(whole, seed=seed, flat=(seed,)) for seed in range(3)]


def test_a_cohort_is_scored_recording_by_recording_and_as_a_group(planted, blind, cohort, tmp_path):
    seen = []
    out = cohort_network_scores(planted, cohort, twin=blind, progress=lambda share, text: seen.append(share))
    facts = json.loads(json.dumps(out.to_dict(), allow_nan=False))
    for metric in METRICS:
        for method in ("attention", "functional_connectivity", "coordinates", "random_twin"):
            cell = facts[metric][method]
            assert cell["ci95"][0] <= cell["value"] <= cell["ci95"][1]
            assert facts["group_average"][metric][method]["ci95"] is not None
    assert facts["knn_accuracy"]["attention"]["value"] == 1.0
    assert facts["knn_accuracy"]["random_twin"]["value"] < 0.4
    expected = 1 - facts["knn_accuracy"]["coordinates"]["value"]
    assert facts["attention_minus"]["knn_accuracy"]["coordinates"]["value"] == pytest.approx(expected)
    assert facts["n_recordings"] == facts["n_subjects"] == 3
    assert seen == sorted(seen) and seen[-1] == 1.0
    with out.save(tmp_path)[0].open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * (2 * len(out.mean) + 7)  # two forms of accuracy, seven methods with clusters


def test_averaging_recordings_helps_connectivity(planted, blind, make, whole):
    rng = np.random.default_rng(0)

    def noisy(seed: int):
        from dataclasses import replace

        one = make.recording(whole, seed=seed)
        return replace(one, signals=one.signals + 4 * rng.standard_normal(one.signals.shape).astype("f4"))

    out = cohort_network_scores(planted, [noisy(seed) for seed in range(6)], twin=blind)
    mean = {row.method: row.knn.value for row in out.mean}["functional_connectivity"]
    group = {row.method: row.knn.value for row in out.group}["functional_connectivity"]
    assert mean < 0.9 and group > mean + 0.05


def test_recordings_of_one_person_do_not_narrow_the_interval(planted, blind, cohort):
    out = cohort_network_scores(planted, cohort, twin=blind, subjects=["a", "a", "a"])
    assert out.n_subjects == 1
    assert {row.method: row for row in out.mean}["coordinates"].knn.ci95 is None


def test_mixed_parcellations_have_no_group_average(planted, blind, make, whole, monkeypatch):
    half = a424_cortex()
    recordings = iter([make.recording(whole), make.recording(half)])
    engine = make.engine(make.weights(whole), np.arange(424))

    def attention(windows, *args, **kwargs):
        n = windows.n_parcels
        return make.engine(engine.weights[:n, :n], np.arange(n)).attention(windows)

    monkeypatch.setattr(engine, "attention", attention)
    out = cohort_network_scores(engine, recordings, twin=engine)
    assert out.group == () and out.to_dict()["group_average"] is None
    assert len(out.names) == 2


def test_what_cannot_be_scored_is_refused(planted, blind, cohort):
    with pytest.raises(AnalysisError, match="no recording"):
        cohort_network_scores(planted, [], twin=blind)
    with pytest.raises(AnalysisError, match="1 subjects were named for 3"):
        cohort_network_scores(planted, cohort, twin=blind, subjects=["a"])
