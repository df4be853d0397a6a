"""What actions do to signals, as properties that must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.actions import apply_actions, counterparts, resolve
from brainlm_core.features.perturb.scenario import Action, Target

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
parcels = st.lists(st.integers(1, 40), min_size=1, max_size=10)


@st.composite
def actions(draw, kinds=("add", "scale", "silence", "clamp", "noise", "delay", "swap", "sine"), rows=parcels):  # type: ignore[no-untyped-def]
    onset = draw(st.floats(0, 100))
    duration = draw(st.floats(1.5, 143.9 - onset))
    return Action(
        Target(parcels=tuple(sorted(set(draw(rows))))),
        draw(st.sampled_from(kinds)),
        amplitude_sd=draw(st.floats(0, 5)),
        factor=draw(st.floats(0, 3)),
        delay_s=draw(st.floats(0, 20)),
        frequency_hz=draw(st.floats(0.001, 0.6)),
        onset_s=onset,
        duration_s=duration,
        ramp_s=draw(st.floats(0, duration / 2)),
    )


def done(window, frame, *listed, seed=0):  # type: ignore[no-untyped-def]
    return apply_actions(window, [resolve(a, frame, 200, 200) for a in listed], frame, seed)


@quick
@given(actions())
def test_only_targets_and_only_meanwhile(window, frame, action):  # type: ignore[no-untyped-def]
    resolved = resolve(action, frame, 200, 200)
    changed = done(window, frame, action) != window
    outside = np.ones(40, dtype=bool)
    outside[resolved.rows] = False
    assert not changed[outside].any()
    times = np.arange(200) * frame.tr_s
    assert not changed[:, times < action.onset_s - 1e-3].any()
    assert not changed[:, times >= action.onset_s + action.duration_s + 1e-3].any()


@quick
@given(actions(kinds=("add", "sine")))
def test_nothing_added_changes_nothing(window, frame, action):  # type: ignore[no-untyped-def]
    assert (done(window, frame, replace(action, amplitude_sd=0.0)) == window).all()


@quick
@given(actions(kinds=("scale", "delay")))
def test_neutral_numbers_change_nothing(window, frame, action):  # type: ignore[no-untyped-def]
    assert (done(window, frame, replace(action, kind="scale", factor=1.0)) == window).all()
    neutral = done(window, frame, replace(action, kind="delay", delay_s=0.0))
    np.testing.assert_allclose(neutral, window, atol=1e-5)


@quick
@given(actions(kinds=("silence", "clamp")))
def test_silence_and_clamp_are_idempotent(window, frame, action):  # type: ignore[no-untyped-def]
    assert (done(window, frame, action, action) == done(window, frame, action)).all()


@quick
@given(actions(kinds=("silence",)), parcels)
def test_silence_is_idempotent_on_overlapping_targets(window, frame, action, others):  # type: ignore[no-untyped-def]
    again = replace(action, targets=Target(parcels=tuple(sorted(set(others)))))
    both = replace(action, targets=Target(parcels=tuple(sorted({*others, *action.targets.parcels}))))
    assert (done(window, frame, action, again) == done(window, frame, both)).all()


@quick
@given(
    actions(rows=st.lists(st.integers(1, 10) | st.integers(21, 30), min_size=1, max_size=8)),
    actions(rows=st.lists(st.integers(11, 20) | st.integers(31, 40), min_size=1, max_size=8)),
)
def test_actions_on_disjoint_targets_commute(window, frame, one, other):  # type: ignore[no-untyped-def]
    assert (done(window, frame, one, other, seed=5) == done(window, frame, other, one, seed=5)).all()


@quick
@given(actions(kinds=("swap",)))
def test_swapping_twice_gives_back(window, frame, action):  # type: ignore[no-untyped-def]
    sharp = replace(action, ramp_s=0.0)
    np.testing.assert_allclose(done(window, frame, sharp, sharp), window, atol=1e-5)


def test_each_kind_does_what_its_line_says(window, frame):  # type: ignore[no-untyped-def]
    row, mean, sd = 4, frame.mean[4], frame.sd[4]
    span = slice(100, 150)
    base = Action(Target(parcels=(5,)), "add", 2.0, onset_s=72.0, duration_s=36.0)

    def after(**changes):  # type: ignore[no-untyped-def]
        return done(window, frame, replace(base, **changes))[row, span]

    x = window[row, span]
    np.testing.assert_allclose(after(), x + 2 * sd, rtol=1e-5)
    np.testing.assert_allclose(after(kind="scale", factor=0.5), mean + 0.5 * (x - mean), rtol=1e-4, atol=1e-6)
    assert (after(kind="silence") == mean).all()
    np.testing.assert_allclose(after(kind="clamp", amplitude_sd=-1.5), mean - 1.5 * sd, rtol=1e-5)
    noise = after(kind="noise", amplitude_sd=1.0)
    assert abs(np.corrcoef(noise, x)[0, 1]) < 0.4 and 0.6 < noise.std() / sd < 1.5
    np.testing.assert_allclose(after(kind="delay", delay_s=7.2), window[row, 90:140], rtol=1e-3, atol=1e-3)
    wave = after(kind="sine", amplitude_sd=1.0, frequency_hz=0.1) - x
    np.testing.assert_allclose(wave, sd * np.sin(2 * np.pi * 0.1 * 0.72 * np.arange(50)), atol=1e-5)
    other = window[24, span]
    np.testing.assert_allclose(
        after(kind="swap"), mean + sd * (other - frame.mean[24]) / frame.sd[24], atol=1e-5
    )


def test_ramps_rise_and_fall_alike(frame):  # type: ignore[no-untyped-def]
    action = Action(Target(parcels=(1,)), "add", 1.0, onset_s=72.0, duration_s=36.0, ramp_s=7.2)
    w = resolve(action, frame, 200, 200).strength
    assert not w[:100].any() and not w[150:].any()
    np.testing.assert_allclose(w[100:150], w[100:150][::-1], atol=1e-9)
    assert (np.diff(w[100:110]) > 0).all() and w[110:140].min() == 1.0 and 0 < w[100] < 0.1


def test_flat_parcels_and_padding_stay(window, frame):  # type: ignore[no-untyped-def]
    sd = frame.sd.copy()
    sd[3] = 0
    short = replace(frame, sd=sd, n_seen=150)
    action = Action(Target(parcels=(4, 5)), "add", 2.0)
    out = apply_actions(window, [resolve(action, short, 200, 200)], short, 0)
    assert (
        (out[3] == window[3]).all()
        and (out[:, 150:] == window[:, 150:]).all()
        and (out[4, :150] != window[4, :150]).all()
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"onset_s": 144.0}, "starts at"),
        ({"onset_s": 140.0, "duration_s": 10.0}, "lasts until"),
        ({"duration_s": 0.1, "onset_s": 0.1}, "less than one sample"),
        ({"kind": "sine", "frequency_hz": 0.8}, "Hz"),
        ({"targets": Target(parcels=(41,))}, "has 40 parcels"),
    ],
)
def test_what_does_not_fit_is_a_sentence(frame, changes, words):  # type: ignore[no-untyped-def]
    base = Action(Target(parcels=(1,)), "add", 1.0, onset_s=10.0, duration_s=10.0)
    with pytest.raises(ConfigError, match=words):
        resolve(replace(base, **changes), frame, 200, 200)


def test_counterparts_of_the_atlas():  # type: ignore[no-untyped-def]
    parcellation = a424()
    other = counterparts(parcellation)
    cortex = np.arange(180)
    assert (other[cortex] == cortex + 180).all() and (other[cortex + 180] == cortex).all()
    paired = np.flatnonzero(other >= 0)
    assert (other[other[paired]] == paired).all()
    side = np.array(parcellation.hemisphere)
    assert (side[paired] != side[other[paired]]).all()
    assert (other[side == "midline"] == -1).all() and len(paired) == 416
    assert parcellation.names[other[360]] == "mAmyg_R"


def test_a_swap_of_the_midline_is_refused():  # type: ignore[no-untyped-def]
    from brainlm_core.features.perturb.actions import Frame

    parcellation = a424()
    one = np.ones(424, dtype=np.float32)
    with pytest.raises(ConfigError, match="counterpart"):
        resolve(
            Action(Target(hemisphere="midline"), "swap"),
            Frame(parcellation, one * 0, one, 0.72, 200),
            200,
            200,
        )
