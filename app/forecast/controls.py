"""The few controls of the Forecast page: start, horizon, context, ensemble, what the third brain shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import streamlit as st

from app.forecast.charts import THIRD
from app.forecast.work import Picture, latest_key
from app.shell.links import Setting, one_of, seconds
from app.shell.session import Visitor
from app.shell.words import one_of_row
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.plan import ForecastOptions

STEPS = (5, 10, 20, 40, 60)
SHARES = {1.0: "All that fits", 0.75: "Three quarters", 0.5: "Half"}
MEMBERS = {1: "One look", 4: "4 looks", 8: "8 looks"}
STARTS = {20: "20", 50: "50", 0: "Every volume"}
MEASURES = {"r2": "R²", "mse": "Squared error", "correlation": "Correlation"}
_DEFAULTS: dict[str, object] = {
    "fc-steps": 20,
    "fc-share": 1.0,
    "fc-members": 1,
    "fc-starts": 20,
    "fc-beyond": False,
    "fc-third": "error",
    "fc-measure": "r2",
}


_CHOICES: dict[str, tuple[str, Collection[object]]] = {
    "fc-steps": ("steps", STEPS),
    "fc-share": ("seen", SHARES),
    "fc-members": ("looks", MEMBERS),
    "fc-starts": ("starts", STARTS),
    "fc-beyond": ("beyond", (False, True)),
    "fc-third": ("third", THIRD),
    "fc-measure": ("measure", MEASURES),
}


@dataclass(frozen=True)
class Reach:
    """Which start points there are.

    Parameters
    ----------
    context : int
        Seen volumes with the whole context.
    first, last : int
        Start points with the chosen context and a whole truth; ``last < first`` when there are none.
    """

    context: int
    first: int
    last: int


def link(who: Visitor) -> tuple[Setting, ...]:
    """Return what of this page belongs into its address; the start point only where it was moved."""
    recording, reach = who.recording, reach_of(who)
    newest = None if recording is None or reach is None else reach.last * recording.tr_s
    chosen = tuple(
        Setting(key, name, _DEFAULTS[key], one_of(choices)) for key, (name, choices) in _CHOICES.items()
    )
    return (*chosen, Setting(f"fc-start-{who.key}", "start", newest, seconds))


def chosen_options(who: Visitor, recording: Recording) -> ForecastOptions:
    """Return what the controls say (their state is read here, before they are drawn)."""
    state = st.session_state
    for key, value in _DEFAULTS.items():
        state.setdefault(key, value)
    steps, share = int(state["fc-steps"]), float(state["fc-share"])
    reach = reach_of(who)
    context = None if share == 1.0 or reach is None else round(share * reach.context)
    start: int | None = None
    if state["fc-beyond"]:
        start = recording.n_timepoints
    elif reach is not None and reach.last > reach.first and f"fc-start-{who.key}" in state:
        wanted = round(float(state[f"fc-start-{who.key}"]) / recording.tr_s)
        # The newest start is the default one: saying None for it finds the forecast that is there.
        start = None if wanted >= reach.last else max(wanted, reach.first)
    return ForecastOptions(
        steps=steps,
        start=start,
        context=context,
        members=int(state["fc-members"]),
        n_starts=int(state["fc-starts"]) or None,
    )


def reach_of(who: Visitor) -> Reach | None:
    """Return which start points there are, None before the model is known or when it cannot forecast here."""
    from brainlm_core.features.forecast.windows import make_grid

    made = who.results.get(latest_key(who))
    recording = who.recording
    if made is None or recording is None:
        return None
    steps, share = int(st.session_state["fc-steps"]), float(st.session_state["fc-share"])
    try:
        grid = make_grid(recording, made.spec, steps)
    except BrainLMError:
        return None
    return Reach(
        grid.context, max(grid.shortest, round(share * grid.context)), recording.n_timepoints - steps
    )


def third(now: Picture) -> str:
    """Draw what the third brain shows; return it."""
    if now.made is None:
        return str(st.session_state["fc-third"])
    known = ["error", "baseline", "interval"] if now.made.forecast.n_known else ["interval"]
    if now.tested is not None and now.tested.backtest is not None:
        known.append("skill")
    if st.session_state["fc-third"] not in known:
        st.session_state["fc-third"] = known[0]
    return one_of_row(
        "Third brain",
        known,
        format_func=THIRD.__getitem__,
        key="fc-third",
        label_visibility="collapsed",
    )


def draw(who: Visitor, recording: Recording, now: Picture) -> None:
    """Draw the controls."""
    tr = recording.tr_s
    reach = reach_of(who)
    st.toggle(
        "Beyond the end of the recording",
        key="fc-beyond",
        help="Forecast what was never measured; there is no truth to compare with.",
    )
    if reach is not None and reach.last > reach.first and not st.session_state["fc-beyond"]:
        key = f"fc-start-{who.key}"
        low, high = reach.first * tr, reach.last * tr
        st.session_state[key] = min(max(float(st.session_state.get(key, high)), low), high)
        st.slider("Start of the forecast (s)", low, high, step=tr, format="%.1f", key=key)
    st.select_slider(
        "Horizon", STEPS, key="fc-steps", format_func=lambda steps: f"{steps} volumes, {steps * tr:.0f} s"
    )
    with st.expander("More settings"):
        st.segmented_control(
            "What the model sees", list(SHARES), required=True, format_func=SHARES.__getitem__, key="fc-share"
        )
        if now.made is not None:
            grid = now.made.plan.grid
            st.caption(f"Now {grid.context} volumes, {grid.context * tr:.0f} s before the start.")
        st.segmented_control(
            "Ensemble",
            list(MEMBERS),
            required=True,
            format_func=MEMBERS.__getitem__,
            key="fc-members",
            help="Several looks at the past, shorter or with more hidden; their mean is the forecast.",
        )
        st.segmented_control(
            "Start points of the race",
            list(STARTS),
            required=True,
            format_func=STARTS.__getitem__,
            key="fc-starts",
        )
