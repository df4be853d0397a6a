"""What an engine gives a model beside its window: all other samples, no hidden value, once a recording."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.recording_context import MIN_CONTEXT
from brainlm_core.inference import batches
from brainlm_core.inference.engine import Engine, get_engine
from brainlm_core.model.checkpoints import save_folder
from brainlm_core.model.context.model import ContextModel
from brainlm_core.model.context.statistics import ContextStatistics
from tests.engine.small_engines import recording


@pytest.fixture
def engine(tiny: ContextModel, tmp_path: Path) -> Engine:
    save_folder(tiny, tmp_path / "context")
    return Engine.load(str(tmp_path / "context"), device="cpu")


def test_moments_are_those_of_all_samples_outside_the_window(engine: Engine) -> None:
    windows = engine.windows(recording(230, 0.72))
    context = windows.context
    assert context is not None
    assert context.n_outside().tolist() == [190] * windows.n_windows
    series = np.concatenate([*windows.values[:5], windows.values[5][:, -30:]], axis=1)
    assert series.shape[1] == 230
    for row, start in ((0, 0), (2, 80), (5, 190)):
        rest = np.delete(series, np.s_[start : start + 40], axis=1).astype(np.float64)
        np.testing.assert_allclose(context.outside(row), rest @ rest.T / 190, rtol=1e-4, atol=1e-5)


def test_what_is_done_to_a_window_does_not_reach_its_context(engine: Engine) -> None:
    windows = engine.windows(recording(230, 0.72)).pick(slice(1, 2))
    assert windows.context is not None
    before = windows.context.outside(0)
    changed = replace(windows, values=windows.values * np.nan)
    assert changed.context is not None
    np.testing.assert_array_equal(changed.context.outside(0), before)
    hidden = np.zeros(windows.values.shape, dtype=bool)
    hidden[:, ::2, 10:30] = True
    spoilt = replace(windows, values=np.where(hidden, np.float32(np.nan), windows.values))
    plain, other = (engine.reconstruct(w, hidden).predicted for w in (windows, spoilt))
    np.testing.assert_array_equal(plain, other)


def test_the_engine_reads_the_recording_unless_told_not_to(engine: Engine, tiny: ContextModel) -> None:
    scan = recording(230, 0.72)
    hidden = np.zeros((1, 12, 40), dtype=bool)
    hidden[:, ::3, 10:30] = True
    alone = Engine.load(engine.info.model_name, device="cpu", context="window")
    assert (engine.context, alone.context) == ("recording", "window")
    assert alone.windows(scan).context is None
    with_it, without = (e.reconstruct(e.windows(scan).pick(slice(1, 2)), hidden) for e in (engine, alone))
    assert np.abs(with_it.predicted - without.predicted).max() > 1e-3


def test_a_recording_too_short_for_context_is_said_and_read_alone(engine: Engine) -> None:
    windows = engine.windows(recording(40 + MIN_CONTEXT - 1, 0.72))
    assert any("read alone" in n and f"{MIN_CONTEXT - 1} samples" in n for n in windows.notices)
    alone = Engine.load(engine.info.model_name, device="cpu", context="window")
    hidden = np.zeros(windows.values.shape, dtype=bool)
    hidden[:, ::3, 10:30] = True
    np.testing.assert_allclose(
        engine.reconstruct(windows, hidden).predicted,
        alone.reconstruct(replace(windows, context=None), hidden).predicted,
        atol=1e-6,
    )


def test_many_questions_about_one_window_diagonalise_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = []
    of_moments = ContextStatistics.of_moments.__func__  # type: ignore[attr-defined]

    def counted(cls: type, *args: object) -> ContextStatistics:
        count.append(1)
        return of_moments(cls, *args)  # type: ignore[no-any-return]

    monkeypatch.setattr(ContextStatistics, "of_moments", classmethod(counted))
    monkeypatch.setitem(batches.BATCH_TOKENS, "cpu", 100)  # several batches
    windows = engine.windows(recording(230, 0.72)).pick(np.zeros(20, dtype=np.intp))
    hidden = np.random.default_rng(0).random((20, 12, 40)) < 0.3
    engine.reconstruct(windows, hidden)
    engine.reconstruct(windows, ~hidden)
    assert len(count) == 1


def test_maps_with_nothing_hidden_are_of_the_whole_recording(engine: Engine) -> None:
    windows = engine.windows(recording(230, 0.72))
    maps = engine.attention(windows, average=False).maps
    np.testing.assert_allclose(maps, np.broadcast_to(maps[:1], maps.shape), atol=1e-6)
    hidden = np.zeros(windows.values.shape, dtype=bool)
    hidden[:, :, 30:] = True
    apart = engine.attention(windows, average=False, hidden=hidden).maps
    assert np.abs(apart[0] - apart[3]).max() > 1e-4


def test_memory_of_a_context_does_not_grow_with_the_recording(engine: Engine) -> None:
    sizes = []
    for length in (400, 4000):
        context = engine.windows(recording(length, 0.72)).pick(slice(0, 1)).context
        assert context is not None
        sizes.append(context.total.nbytes + context.values.nbytes)
    assert sizes[0] == sizes[1]


def test_unknown_contexts_and_shares_are_sentences(engine: Engine) -> None:
    with pytest.raises(ConfigError, match="there is no context 'future'"):
        get_engine(engine.info.model_name, context="future")
    windows = engine.windows(recording(230, 0.72)).pick(slice(0, 1))
    with pytest.raises(ConfigError, match="group share of 2"):
        engine.attention(windows, steadied=2.0)
    steady, plain = engine.attention(windows, steadied=0.5), engine.attention(windows)
    assert np.abs(steady.maps - plain.maps).max() > 1e-4
