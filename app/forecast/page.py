"""Forecast: the next seconds of the brain, beside what came and beside simple methods."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.components.brain_view import brain_view
from app.components.flat_brain import flat_brains
from app.components.parcel_order import label
from app.components.strip import baseline_strip
from app.forecast import charts
from app.forecast import controls as forecast_controls
from app.forecast import exports as forecast_exports
from app.forecast.work import BACKTEST, FORECAST, Picture, advance, picture, result
from app.shell import exports, tasks
from app.shell.chips import chip_row
from app.shell.links import keep, restore
from app.shell.model_chooser import reads_recording, title_of
from app.shell.reproduce import reproduce
from app.shell.session import Visitor, visitor
from app.shell.task_bar import refused_model, task_bar
from app.shell.words import how, note, one_of_row, sentence
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.figures import strip_rows

#: Volumes on screen before the first forecast is there, and how many of them it will have seen: those
#: of the published task, so that the clock need not move when the forecast arrives.
WAITING, WAITING_SEEN = 200, 180


def main() -> None:
    """Draw the page: what was observed at once, the forecast and its test as they come."""
    who = visitor()
    restore(who, "forecast", lambda: forecast_controls.link(who))
    recording = who.recording
    assert recording is not None  # visitor() always puts one in hand
    options = forecast_controls.chosen_options(who, recording)
    advance(who, recording, options)
    now = picture(who, options)
    chip_row(who, recording)
    left, right = st.columns([5, 2], gap="large")
    with left:
        working(who, now)
        brain(who, recording, now)
    with right:
        summary(who, now)
        forecast_controls.draw(who, recording, now)
        strip(now)
        remarks(who, now)
    trace, race = st.columns(2, gap="large")
    with trace:
        one_parcel(who, recording, now)
    with race:
        the_race(now)
    keep(who, forecast_controls.link(who))
    details(who.key)


def working(who: Visitor, now: Picture) -> None:
    """Draw progress or refusal above the picture that stays."""
    with st.container(key="fc-work"):
        if FORECAST in who.jobs and now.stale:
            st.html("<style>.st-key-picture{opacity:.45}</style>")
        refused_model(who)
        task_bar(who, FORECAST, BACKTEST)


def brain(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the linked brains on one clock and one camera."""
    third = forecast_controls.third(now)
    if now.made is None:
        panel, times = charts.waiting_panel(recording, WAITING)
        panels, seen_until, start_frame = [panel], None, min(WAITING_SEEN, len(times) - 1)
    else:
        own = now.made.forecast
        test = None if now.tested is None else now.tested.backtest
        panels = charts.panels(own, third, best_baseline(now), test, simulated=recording.provenance.simulated)
        times, seen_until = charts.times_of(own), float(own.seen_times_s[-1])
        start_frame = len(own.seen)
    with st.container(key="picture"):
        event = brain_view(
            panels,
            recording.parcellation,
            key="fc-brain",
            times_s=times,
            seen_until_s=seen_until,
            picked=who.picked,
            height=280,
            start_frame=start_frame,
        )
    if event.webgl_missing:
        flat_brains(panels, recording.parcellation, event.frame)
    if event.changed:
        who.picked = event.picked
    if now.made is not None and not now.made.forecast.n_known:
        note("This forecast lies beyond the end of the recording: there is no truth to compare it with.")
    note(
        "Click a parcel to see its trace. Space plays and pauses, arrow keys step. "
        "Not shown: how often a forecast this near is luck; the race below says that."
    )


def best_baseline(now: Picture) -> str:
    """Return the baseline with the highest R² one volume ahead, the own AR before that is known."""
    race = None if now.tested is None else now.tested.race
    return "ar" if race is None else race.best_baseline[0]


def summary(who: Visitor, now: Picture) -> None:
    """Draw the one sentence."""
    refused = who.model_error is not None or tasks.failure(who, FORECAST, BACKTEST) is not None
    if refused and now.made is None:
        sentence("The model could not forecast; the recording is shown.")
    elif refused and now.tested is None:
        sentence("The forecast could not be tested on earlier start points of this recording.")
    elif now.tested is None and BACKTEST in who.tasks and BACKTEST not in who.jobs:
        sentence("The forecast has not been tested on earlier start points of this recording.")
    elif now.tested is None:
        sentence("The forecast is being tested on earlier start points of this recording.")
    else:
        sentence(now.tested.verdict.sentence)


def remarks(who: Visitor, now: Picture) -> None:
    """Draw what a reader must know."""
    held = None if now.tested is None else now.tested.coverage
    if held is not None and held.share is not None:
        note(f"The 90 % interval held {held.share:.0%} of the truth over {held.n_starts} start points.")
    if now.made is not None:
        for text in now.made.plan.notices:
            note(text)
        flat = int((~now.made.forecast.usable).sum())
        if flat:
            note(f"{flat} parcels that do not vary in the seen part are grey and take part in no score.")
    if who.recording is not None and who.recording.provenance.simulated:
        note("This recording is simulated: judge the model on a measured scan.")


def strip(now: Picture) -> None:
    """Draw the baseline strip."""
    race = None if now.tested is None else now.tested.race
    step = "" if now.made is None else f", {now.made.forecast.tr_s:.2g} s ahead"
    count = "" if race is None else f", {race.n_starts} start points"
    st.html(
        baseline_strip(
            strip_rows(race),
            title=f"Explained variance R²{step}{count}",
            limits=(-0.1, 0.5),
        )
    )
    if race is not None:
        note(f"Last value (persistence): {race.values['r2']['last_value'][0]:.2f}.")


def one_parcel(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the picked parcel's trace."""
    st.subheader("One parcel")
    if now.made is None:
        note("The trace appears with the forecast.")
        return
    parcel = who.picked if who.picked is not None else default_parcel(now)
    st.plotly_chart(
        charts.trace_figure(now.made.forecast, recording.parcellation, parcel),
        key="fc-trace",
        config={"displayModeBar": False},
        alt=f"Signal of {label(recording.parcellation, parcel)}: seen, observed, forecast.",
    )
    note(f"{label(recording.parcellation, parcel)}. Click another one on the brain.")
    if not now.made.forecast.usable[parcel]:
        note("This parcel does not vary: nothing is forecast for it.")


def the_race(now: Picture) -> None:
    """Draw the model against every baseline, by time ahead."""
    st.subheader("The race")
    if now.tested is None:
        note("The race is being run.")
        return
    if now.tested.race is None:
        note("No start point of this recording can be tested.")
        return
    measure = one_of_row(
        "Measure",
        list(forecast_controls.MEASURES),
        format_func=forecast_controls.MEASURES.__getitem__,
        key="fc-measure",
        label_visibility="collapsed",
    )
    st.plotly_chart(
        charts.race_figure(now.tested.race, now.tested.verdict, measure),
        key="fc-race",
        config={"displayModeBar": False},
        alt=f"{forecast_controls.MEASURES[measure]} by time ahead, the model against every baseline.",
    )


def default_parcel(now: Picture) -> int:
    """Return the parcel shown before one was picked: where the model sees most to come."""
    assert now.made is not None  # only called with a forecast
    own = now.made.forecast
    moving = np.nan_to_num(np.abs(own.in_sd(own.forecasts["model"][:1]))[0], nan=-1.0)
    return int(moving.argmax())


@st.fragment
def details(key: str) -> None:
    """Draw the tabs below the fold; only the open one is computed."""
    who = visitor()
    recording = who.recording
    if recording is None or who.key != key:
        return
    now = picture(who, forecast_controls.chosen_options(who, recording))
    tabs = st.tabs(
        ["Networks", "Figures", "How this is computed", "Export"], key="fc-tabs", on_change="rerun"
    )
    for tab, draw in zip(tabs, (tab_networks, tab_figures, tab_how, tab_export), strict=True):
        if tab.open:
            with tab:
                draw(who, recording, now)


def tab_networks(_: Visitor, recording: Recording, now: Picture) -> None:
    """Draw R² by network."""
    if now.tested is None or now.tested.backtest is None:
        note("The race is not there yet.")
        return
    st.plotly_chart(
        charts.network_figure(now.tested.backtest, recording.parcellation),
        key="fc-networks",
        config={"displayModeBar": False},
        alt="Explained variance over the first volumes by network: model, own AR, ridge VAR.",
    )


def tab_figures(_: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the race as a table."""
    whole = result(recording, now)
    if whole is None or whole.race is None:
        note("The race is not there yet.")
        return
    st.dataframe(
        forecast_exports.race_in_words(whole),
        hide_index=True,
        alt="R² by method and step with 95 % intervals.",
    )
    note("R² over all start points and parcels, in brackets the 95 % interval over start points.")


def tab_how(who: Visitor, _: Recording, __: Picture) -> None:
    """Say how the pictures are computed."""
    how(
        [
            f"{title_of(who.model.name)} gets a window whose last 20 samples (or a few more: whole patches) "
            "are hidden and fills them in. Longer horizons feed its own answer back."
            + (" Its forecasts are those of the Gaussian process inside it." if reads_recording(who) else ""),
            "Only volumes before the start point are used: for the model, its scaling, the baselines and the "
            "interval.",
            "Baselines on the same seen volumes: their mean; the last value; an autoregression per parcel "
            "(Yule–Walker, order by BIC); a ridge vector autoregression on 30 components, with each "
            "parcel's own autoregression for the rest.",
            "The interval is the 90 % quantile of the model's own earlier misses on this recording; how "
            "often it held is counted.",
            "The race repeats this from many start points. Errors are in standard deviations of each "
            "parcel over the seen part; intervals come from drawing blocks of start points again.",
        ],
        "model: Ortega Caro et al. 2024; AR: Brockwell & Davis 1991; interval: Vovk et al. 2005.",
        "other recordings. The race is about this one; another person, another scanner may differ.",
    )


def tab_export(who: Visitor, recording: Recording, now: Picture) -> None:
    """Offer films, tables and arrays."""
    if now.made is None:
        note("The forecast is not there yet.")
        return
    stem = exports.safe_stem(recording.provenance.source_name)
    forecast_exports.buttons(recording, now, stem)
    note("The film shows the last seen volumes and the forecast on one clock; it is drawn on the server.")
    options = forecast_controls.chosen_options(who, recording)
    tested = now.tested is not None and now.tested.race is not None
    reproduce(
        "fc",
        {"forecast": options, **({"race": options} if tested else {})},
        model=now.made.model,
        recording=recording,
    )
