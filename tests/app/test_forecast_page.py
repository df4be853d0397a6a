"""The Forecast page without a browser."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

Open = Any


def test_the_page_fills_in_and_says_who_wins(open_page: Open) -> None:
    tab = open_page("forecast.py")
    assert "is being tested" in tab.words() or "of the variance" in tab.words()
    said = tab.settle().words()
    assert "after" in said.lower() and "mean" in said
    assert "The 90\u202f% interval held" in said
    assert "This recording is simulated" in said
    for name in ("Random weights", "Own AR", "Ridge VAR", "Mean"):
        assert name in said
    assert tab.who.device and tab.who.licence


def test_a_cached_forecast_is_repainted_at_once(open_page: Open) -> None:
    tab = open_page("forecast.py").settle()
    tab.widget("segmented_control", "fc-third").set_value("skill").run()
    times = []
    for third in ("error", "baseline", "interval", "skill"):
        tab.widget("segmented_control", "fc-third").set_value(third)
        start = time.process_time()
        tab.run()
        times.append(time.process_time() - start)
        assert not tab.who.jobs
    assert np.median(times) < 0.5


def test_start_horizon_and_context_change_the_forecast_but_not_the_test_of_it(open_page: Open) -> None:
    tab = open_page("forecast.py").settle()
    slider = tab.widget("slider", "fc-start-")
    before = tab.who.results[("forecast-latest", tab.who.key, "default")].forecast
    slider.set_value(slider.min + 10 * 0.72)
    tab.run()
    assert set(tab.who.jobs) <= {"forecast"}
    tab.settle()
    after = tab.who.results[("forecast-latest", tab.who.key, "default")].forecast
    assert (before.start, after.start) == (280, 190)
    tab.widget("select_slider", "fc-steps").set_value(40)
    tab.run().settle()
    longer = tab.who.results[("forecast-latest", tab.who.key, "default")].forecast
    assert longer.n_steps == 40
    tab.widget("segmented_control", "fc-share").set_value(0.5)
    tab.run().settle()
    shorter = tab.who.results[("forecast-latest", tab.who.key, "default")]
    assert shorter.plan.grid.context == 90
    assert "fewer lie before" not in tab.words()


def test_beyond_the_end_is_said_and_has_no_truth(open_page: Open) -> None:
    tab = open_page("forecast.py").settle()
    tab.widget("toggle", "fc-beyond").set_value(True)
    tab.run().settle()
    made = tab.who.results[("forecast-latest", tab.who.key, "default")]
    assert made.forecast.n_known == 0
    assert "beyond the end of the recording" in tab.words()
    assert "error" not in tab.widget("segmented_control", "fc-third").options


def test_a_recording_that_is_too_short_is_refused_in_a_sentence(open_page: Open) -> None:
    tab = open_page("forecast.py").settle()
    recording = tab.who.recording
    short = replace(recording, signals=recording.signals[:, :70], quality=None)
    tab.who.take(short)
    tab.run().settle()
    assert "The recording has 70 volumes" in tab.words()
    assert "Traceback" not in tab.words()


def test_flat_parcels_are_grey_and_said(open_page: Open) -> None:
    tab = open_page("forecast.py").settle()
    recording = tab.who.recording
    signals = recording.signals.copy()
    signals[[3, 50]] = 7.0
    tab.who.take(replace(recording, signals=signals, quality=None))
    tab.who.picked = 3
    tab.run().settle()
    assert "2 parcels that do not vary" in tab.words()
    assert "This parcel does not vary" in tab.words()


@pytest.mark.parametrize("title", ["Networks", "Figures", "How this is computed", "Export"])
def test_every_tab_can_be_opened(open_page: Open, title: str) -> None:
    tab = open_page("forecast.py").settle()
    tab.app.session_state["fc-tabs"] = title
    tab.run()
    assert tab.words()
    if title == "Export":
        assert set(tab.scripts("fc")) == {"forecast", "race"}


def test_exports_hold_what_is_on_the_page(open_page: Open) -> None:
    import io
    import zipfile

    from app.forecast.controls import chosen_options
    from app.forecast.work import Picture, result
    from app.shell import exports
    from brainlm_core.features.forecast.plan import ForecastOptions

    assert chosen_options  # the page's own way needs a session; the same picture is put together here
    tab = open_page("forecast.py").settle()
    made = tab.who.results[("forecast-latest", tab.who.key, "default")]
    tested = next(v for k, v in tab.who.results.items() if k[0] == "backtest")
    whole = result(tab.who.recording, Picture(made, False, tested))
    with zipfile.ZipFile(io.BytesIO(exports.saved(whole))) as archive:
        assert {"forecast.json", "forecast.csv", "forecast.npz", "race.csv"} <= set(archive.namelist())
    assert whole.options == ForecastOptions(**{**made.plan.options.to_dict()})
