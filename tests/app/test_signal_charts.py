from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.components.parcel_order import by_network
from app.scan.signal_charts import MAX_COLUMNS, carpet, traces
from brainlm_core.base.recording import Recording
from brainlm_core.scans.demo import demo_recordings
from brainlm_core.viz.signals import frames, standardised


@pytest.fixture(scope="module")
def recording() -> Recording:
    return demo_recordings()[0]


def test_frames_are_standardised_per_parcel(recording: Recording) -> None:
    moving = frames(recording)
    assert moving.shape == (recording.n_timepoints, recording.n_parcels)
    np.testing.assert_allclose(moving.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(moving.std(axis=0), 1, atol=1e-3)


def test_flat_parcels_have_no_colour(recording: Recording) -> None:
    signals = recording.signals.copy()
    signals[3] = 5.0
    flat = standardised(replace(recording, signals=signals))
    assert np.isnan(flat[3]).all() and np.isfinite(np.delete(flat, 3, axis=0)).all()


def test_order_is_a_permutation_with_bands_that_cover_it(recording: Recording) -> None:
    order, bands = by_network(recording.parcellation)
    assert sorted(order) == list(range(424))
    assert [b.start for b in bands[1:]] == [b.stop for b in bands[:-1]]
    assert (bands[0].start, bands[-1].stop) == (0, 424)
    groups = [recording.parcellation.group[i] for i in order]
    assert all(len(set(groups[b.start : b.stop])) == 1 for b in bands)


@pytest.mark.parametrize("with_fd", [False, True])
def test_carpet_rows_follow_the_order_and_columns_are_thinned(recording: Recording, with_fd: bool) -> None:
    assert recording.quality is not None
    long = np.tile(recording.signals, (1, 5))
    fd = np.linspace(0, 1, long.shape[1], dtype=np.float32) if with_fd else None
    repeated = {k: np.tile(getattr(recording.quality, k), 5) for k in ("dvars", "spikes")}
    quality = replace(recording.quality, fd_mm=fd, **repeated)
    figure, block = carpet(replace(recording, signals=long, quality=quality), picked=[10])
    heat = next(t for t in figure.data if t.type == "heatmap")
    order, bands = by_network(recording.parcellation)
    assert heat.z.shape[1] <= MAX_COLUMNS and block == 3
    values = standardised(replace(recording, signals=long, quality=None))
    np.testing.assert_allclose(heat.z[0, 0], values[order[0], :3].mean(), rtol=1e-4)
    assert any(t.name == "Displacement" for t in figure.data) is with_fd
    rects = [s for s in figure.layout.shapes if s.type == "rect"]
    assert len(rects) == len(bands) and {r.yref for r in rects} == {heat.yaxis}


def test_traces_are_stacked_and_hover_tells_the_true_value(recording: Recording) -> None:
    figure = traces(recording, [5, 9])
    assert [t.name.split(" · ")[0] for t in figure.data] == [recording.parcellation.names[i] for i in (5, 9)]
    np.testing.assert_allclose(figure.data[1].customdata, standardised(recording)[9])
    assert figure.data[1].y.mean() < figure.data[0].y.mean() - 3
