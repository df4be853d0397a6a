"""Controls of the Networks question: what a model draws from no scan, and what of a map is the scan's."""

from __future__ import annotations

import numpy as np
import pytest

from brainlm_core.base.surrogates import shuffled_phases, white_noise_like
from brainlm_core.features.networks.figures import attention_words, dependence_words, who_wins
from brainlm_core.features.networks.metrics import Score
from brainlm_core.features.networks.scores import MethodScores
from brainlm_core.features.shared.controls import control_recording, halves_of
from brainlm_core.features.shared.scan_dependence import ScanDependence, correlation, scan_dependence


@pytest.mark.parametrize("n", [99, 100])
def test_shuffled_phases_keep_each_spectrum_and_nothing_shared(n) -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(n)
    signals = (5 + shared + 0.1 * rng.standard_normal((30, n))).astype(np.float32)
    out = shuffled_phases(signals, rng)
    before, after = (np.abs(np.fft.rfft(s.astype(np.float64), axis=1)) for s in (signals, out))
    assert out.dtype == np.float32 and np.allclose(before, after, atol=1e-3)
    assert np.allclose(out.mean(axis=1), signals.mean(axis=1), atol=1e-4)
    off = ~np.eye(30, dtype=bool)
    assert np.corrcoef(signals)[off].mean() > 0.9 and abs(np.corrcoef(out)[off].mean()) < 0.03
    noise = white_noise_like(signals, rng)
    assert np.allclose(noise.mean(axis=1), signals.mean(axis=1), atol=0.5)


def test_a_control_is_the_same_every_time_and_leaves_flat_parcels_flat(make, whole) -> None:
    recording = make.recording(whole, flat=(3,))
    one, again, other = (control_recording(recording, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.signals, again.signals) and not np.array_equal(one.signals, other.signals)
    assert np.ptp(one.signals[3]) == 0 and one.n_timepoints == recording.n_timepoints
    assert one.provenance.steps[-1].parameters["kind"] == "no_scan"
    first, second = halves_of(recording)
    assert first.n_timepoints + second.n_timepoints == recording.n_timepoints


def dependence(person: float, group: float, seed: int = 0) -> ScanDependence:
    """Maps made of a person's part, a part of everybody and noise."""
    rng = np.random.default_rng(seed)
    mine, all_of_us = rng.standard_normal((2, 40, 40))

    def draw(recording) -> np.ndarray:
        control = any(s.name == "control" for s in recording.provenance.steps)
        return (0 if control else person) * mine + group * all_of_us + rng.standard_normal((40, 40))

    from brainlm_core.base.atlas import a424
    from brainlm_core.base.recording import Provenance, Recording

    recording = Recording(rng.standard_normal((424, 40)), 1.0, a424(), Provenance("x"))
    return scan_dependence(recording, draw(recording), draw)


def test_what_the_scan_adds_is_reliable_of_a_person_and_not_of_noise() -> None:
    mine, everybody = dependence(2.0, 1.0), dependence(0.0, 5.0)
    assert mine.depends and mine.added_split_half_correlation > 0.5
    assert everybody.depends is False and abs(everybody.added_split_half_correlation) < 0.1
    assert np.median(mine.reliability()) > 0.6 and np.median(everybody.reliability()) < 0.2
    assert np.abs(everybody.faded()).mean() < 0.4 * np.abs(everybody.difference).mean()
    assert everybody.to_dict()["map_correlation_no_scan"] > 0.9


def test_a_short_recording_says_that_it_has_no_halves() -> None:
    from brainlm_core.base.errors import EngineError

    def draw(recording):
        if recording.n_timepoints < 30:
            raise EngineError("the recording lasts 10 s", "give more")
        return np.arange(12.0).reshape(3, 4)

    from brainlm_core.base.atlas import a424
    from brainlm_core.base.recording import Provenance, Recording

    rng = np.random.default_rng(0)
    recording = Recording(rng.standard_normal((424, 40)), 1.0, a424(), Provenance("x"))
    found = scan_dependence(recording, draw(recording), draw)
    assert found.depends is None and "too short" in found.reason and found.to_dict()["reason"]
    assert "nobody can say" in dependence_words(found)
    assert np.isnan(correlation(np.ones(4), np.arange(4.0)))


def row(method: str, value: float) -> MethodScores:
    score = Score(value, (value - 0.03, value + 0.03))
    return MethodScores(method, score, score, score)


def test_the_headline_claims_only_what_stands_above_no_scan() -> None:
    level = who_wins([row("attention", 0.85), row("no_scan", 0.86), row("functional_connectivity", 0.65)])
    assert level.startswith("This picture shows what all brains share") and "65 %" in level
    above = who_wins([row("attention", 0.73), row("no_scan", 0.18), row("functional_connectivity", 0.71)])
    assert "all brains share" not in above and "without the scan it names 18 %" in above
    map_says_no = who_wins([row("attention", 0.85), row("no_scan", 0.6)], dependence=dependence(0.0, 5.0))
    assert map_says_no.startswith("This picture shows what all brains share")
    assert "is being asked" in who_wins([row("attention", 0.85)])


def test_attention_is_what_a_model_reads_only_where_an_ablation_shows_it() -> None:
    assert "hardly pass through it" in attention_words("kernel")
    assert "what the model reads" in attention_words("parcel_token")
    assert "reads" not in attention_words("something new")


def test_the_command_has_the_controls(planted, blind, make, whole) -> None:
    from brainlm_core.features.networks.analysis import analyse

    result = analyse(planted, make.recording(whole), twin=blind)
    facts = result.to_dict()
    assert isinstance(facts["knn_accuracy"]["no_scan"], float) and isinstance(facts["ari"]["no_scan"], float)
    assert isinstance(facts["knn_accuracy"]["group_connectivity"], float)
    assert {"map_correlation_no_scan", "map_correlation_split_half"} <= set(facts["depends_on_scan"])
