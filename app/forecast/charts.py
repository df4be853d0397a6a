"""The forecast as pictures: brain panels, the race, one parcel's trace, networks."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.components.brain_view import BrainPanel
from app.components.parcel_order import groups_present, label
from app.shell.theme import LEGEND_BELOW, group_words, palette, plotly_layout
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.methods import METHODS, methods_of, ordered, title_of, words_of
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.metrics import Backtest, Race, network_scores, skill_map
from brainlm_core.features.forecast.picture import LIMIT_SD
from brainlm_core.features.forecast.result import Forecast
from brainlm_core.features.forecast.verdict import Verdict

FloatArray = NDArray[np.float32]

UNIT = "SD from the seen mean"
#: What the third brain can show.
THIRD = {
    "error": "Error",
    "baseline": "Gain over baseline",
    "interval": "Uncertainty",
    "skill": "Skill map",
}
#: The strip and the skill map look at this many first steps: where there is something to win.
FIRST_STEPS = 5
#: Entries of one width: measured ones vary from one draw to the next, and the plot's size with them.
_LEGEND = LEGEND_BELOW | {"traceorder": "reversed", "entrywidth": 96}

#: Markers of points that stand close to each other: squares are told apart by their dash.
_SYMBOLS = {"circle": "circle", "solid": "diamond", "dashdot": "square", "longdashdot": "triangle-up"}


def frames_of(forecast: Forecast, after: FloatArray) -> FloatArray:
    """Return the seen volumes followed by ``after`` (H, P), in SD, (C + H, P)."""
    return forecast.in_sd(np.concatenate([forecast.seen, after]))


def times_of(forecast: Forecast) -> NDArray[np.float64]:
    """Return the time of each frame in s from the start of the recording, (C + H,)."""
    return np.concatenate([forecast.seen_times_s, forecast.times_s])


def waiting_panel(recording: Recording, n_frames: int) -> tuple[BrainPanel, NDArray[np.floating]]:
    """Return the last observed volumes and their times in s, until the first forecast is there."""
    first, last = max(0, recording.n_timepoints - n_frames), recording.n_timepoints
    piece = recording.signals[:, first:last]
    spread = piece.std(axis=1, keepdims=True)
    values = (piece - piece.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    panel = BrainPanel(
        "Observed", values.T, UNIT, "diverging", (-LIMIT_SD, LIMIT_SD), alt="Observed signals."
    )
    return panel, np.arange(first, last) * recording.tr_s


def panels(
    forecast: Forecast, third: str, best: str, backtest: Backtest | None, *, simulated: bool
) -> list[BrainPanel]:
    """Return the linked brains: observed, forecast, and what the visitor chose as third.

    Parameters
    ----------
    forecast : Forecast
    third : str
        Key of :data:`THIRD`.
    best : str
        The baseline to compare with.
    backtest : Backtest or None
        For the skill map.
    simulated : bool
        Says so in the title.
    """
    limits = (-LIMIT_SD, LIMIT_SD)
    mark = " (simulated)" if simulated else ""
    observed, predicted = (
        frames_of(forecast, forecast.truth),
        frames_of(forecast, forecast.forecasts["model"]),
    )
    out = [
        BrainPanel("Forecast", predicted, UNIT, "diverging", limits, alt="Forecast by the model, by parcel.")
    ]
    if forecast.n_known:
        title = f"Observed{mark}"
        out.insert(
            0, BrainPanel(title, observed, UNIT, "diverging", limits, alt="Observed signals, by parcel.")
        )
    return [*out, _third(forecast, third, best, backtest, observed, predicted)]


def _third(
    forecast: Forecast,
    third: str,
    best: str,
    backtest: Backtest | None,
    observed: FloatArray,
    predicted: FloatArray,
) -> BrainPanel:
    if third == "skill" and backtest is not None:
        values, against = skill_map(backtest, slice(0, FIRST_STEPS))
        reach = f"first {min(FIRST_STEPS, backtest.n_steps)} volumes"
        return BrainPanel(
            f"R² of the model minus R² of {words_of(against, 'forecast')}, {reach}",
            values.astype(np.float32),
            "R² difference",
            "diverging",
            (-0.3, 0.3),
            alt="Where the model explains more than the best baseline, by parcel.",
        )
    if third == "interval" or not forecast.n_known:
        width = (forecast.upper - forecast.lower) / 2 / np.where(forecast.usable, forecast.spread, np.nan)
        still = np.full(forecast.seen.shape, 0.0) * forecast.in_sd(forecast.seen)
        return BrainPanel(
            "Half-width of the 90 % interval",
            np.concatenate([still, width]).astype(np.float32),
            "SD",
            "sequential",
            (0.0, LIMIT_SD),
            alt="How uncertain the forecast is, by parcel.",
        )
    error = predicted - observed
    if third == "baseline":
        other = frames_of(forecast, forecast.forecasts[best]) - observed
        return BrainPanel(
            f"How much nearer than {words_of(best, 'forecast')}",
            np.abs(other) - np.abs(error),
            "SD",
            "diverging",
            (-1.0, 1.0),
            alt=f"Error of {words_of(best, 'forecast')} minus error of the model, both absolute, by parcel.",
        )
    return BrainPanel(
        "Forecast minus observed", error, "SD", "diverging", (-LIMIT_SD, LIMIT_SD), alt="Error, by parcel."
    )


def race_figure(race: Race, verdict: Verdict, measure: str = "r2") -> go.Figure:
    """Draw a measure per step, every method, with the model's 95 % interval over start points."""
    colours = palette()
    figure = go.Figure()
    times = race.times_s
    low, high = race.intervals[measure]["model"].T
    if np.isfinite(low).all():
        figure.add_scatter(
            x=np.concatenate([times, times[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=_faint(colours.accent),
            hoverinfo="skip",
            name="95 % interval",
        )
    for method in ordered(race.values[measure])[::-1]:
        title = title_of(method, "forecast")
        figure.add_scatter(
            x=times,
            y=race.values[measure][method],
            mode="lines+markers" if method == "model" else "lines",
            name=title,
            line={
                "color": METHODS[method].colour(colours.name),
                "width": 3 if method == "model" else 1.8,
                "dash": METHODS[method].dash,
            },
            hovertemplate="%{x:.1f} s: %{y:.3f}<extra>" + title + "</extra>",
        )
    if verdict.skill_until_s > 0:
        figure.add_vline(x=verdict.skill_until_s, line={"color": colours.muted, "dash": "dot", "width": 1})
        figure.add_annotation(
            x=verdict.skill_until_s,
            y=1,
            yref="paper",
            text="skill ends",
            showarrow=False,
            xanchor="left",
            xshift=4,
            yanchor="top",
            font={"color": colours.muted, "size": 12},
        )
    figure.add_hline(y=1 if measure == "mse" else 0, line={"color": colours.line, "width": 1})
    figure.update_layout(
        **plotly_layout(
            height=400,
            hovermode="x unified",
            showlegend=True,
            legend=_LEGEND,
        )
    )
    words = {"r2": "Explained variance R²", "mse": "Squared error (SD²)", "correlation": "Correlation"}
    figure.update_xaxes(title_text="Time after the last seen volume (s)", showgrid=False)
    figure.update_yaxes(title_text=words[measure], range=_range(race, measure), zeroline=False)
    return figure


def _range(race: Race, measure: str) -> list[float]:
    """Return axis ends that hold everything but a hopeless method."""
    values = np.concatenate(
        [v for m, v in race.values[measure].items() if m != "last_value" and METHODS[m].kind != "control"]
    )
    values = values[np.isfinite(values)]
    if measure == "mse":
        return [float(min(values.min(), 0.6)) - 0.02, float(max(values.max(), 1.0)) * 1.15]
    return [float(min(values.min(), 0.0)) - 0.06, float(max(values.max(), 0.1)) * 1.15]


def trace_figure(forecast: Forecast, parcellation: Parcellation, parcel: int, shown: int = 60) -> go.Figure:
    """Draw one parcel: the last seen volumes, truth, forecast with its interval, baselines."""
    colours = palette()
    figure = go.Figure()
    before = min(shown, len(forecast.seen))
    seen_times, times = forecast.seen_times_s[-before:], forecast.times_s

    def in_sd(values: FloatArray) -> FloatArray:
        return forecast.in_sd(values)[:, parcel]

    last_time, last = seen_times[-1:], in_sd(forecast.seen[-1:])
    low, high = in_sd(forecast.lower), in_sd(forecast.upper)
    if np.isfinite(low).all():
        figure.add_scatter(
            x=np.concatenate([times, times[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=_faint(colours.accent),
            name="90 % interval",
            hoverinfo="skip",
        )
    for method in [m for m in methods_of("forecast", "baseline") if m in forecast.forecasts]:
        title, drawn = title_of(method, "forecast"), METHODS[method]
        figure.add_scatter(
            x=np.concatenate([last_time, times]),
            y=np.concatenate([last, in_sd(forecast.forecasts[method])]),
            mode="lines",
            name=title,
            line={"color": drawn.colour(colours.name), "width": 1.5, "dash": drawn.dash},
            hovertemplate="%{y:.2f} SD<extra>" + title + "</extra>",
        )
    figure.add_scatter(
        x=np.concatenate([seen_times, times]),
        y=np.concatenate([in_sd(forecast.seen[-before:]), in_sd(forecast.truth)]),
        mode="lines",
        name="Observed",
        line={"color": colours.text, "width": 1.8},
        hovertemplate="%{y:.2f} SD<extra>Observed</extra>",
    )
    figure.add_scatter(
        x=np.concatenate([last_time, times]),
        y=np.concatenate([last, in_sd(forecast.forecasts["model"])]),
        mode="lines",
        name="Model",
        line={"color": colours.accent, "width": 3},
        hovertemplate="%{y:.2f} SD<extra>Model</extra>",
    )
    border = float(seen_times[-1])
    figure.add_vline(x=border, line={"color": colours.accent, "width": 1})
    figure.add_annotation(
        x=border,
        y=1,
        yref="paper",
        text="seen | not seen",
        showarrow=False,
        yanchor="bottom",
        font={"size": 12, "color": colours.accent},
    )
    figure.update_layout(
        **plotly_layout(
            height=400,
            hovermode="x unified",
            showlegend=True,
            legend=_LEGEND,
            margin={"l": 8, "r": 8, "t": 24, "b": 8},
        )
    )
    figure.update_xaxes(title_text="Time (s)", showgrid=False)
    figure.update_yaxes(title_text=f"{label(parcellation, parcel).split(' · ')[0]} (SD)", zeroline=False)
    return figure


def network_figure(backtest: Backtest, parcellation: Parcellation, steps: int = FIRST_STEPS) -> go.Figure:
    """Draw R² of the model and the fitted baselines by network, mean over the first steps."""
    colours = palette()
    scores = network_scores(backtest, parcellation.group)
    groups = [g for g in groups_present(parcellation) if g in scores]
    figure = go.Figure()
    fitted = [m for m in methods_of("forecast", "baseline") if m not in ("mean", "last_value")]
    for method in ("model", *(m for m in fitted if m in backtest.forecasts)):
        title, drawn = title_of(method, "forecast"), METHODS[method]
        figure.add_scatter(
            x=[float(np.nanmean(scores[g][method][:steps])) for g in groups],
            y=[group_words(g) for g in groups],
            mode="markers",
            name=title,
            marker={
                "color": drawn.colour(colours.name),
                "size": 12,
                "symbol": _SYMBOLS.get(drawn.dash if drawn.marker == "square" else drawn.marker, "diamond"),
            },
            hovertemplate="%{y}: %{x:.3f}<extra>" + title + "</extra>",
        )
    figure.update_layout(
        **plotly_layout(
            height=80 + 32 * len(groups), showlegend=True, legend={"orientation": "h", "y": 1.12, "x": 0}
        )
    )
    figure.update_xaxes(title_text=f"R², mean over the first {min(steps, backtest.n_steps)} volumes")
    figure.update_yaxes(autorange="reversed")
    return figure


def _faint(colour: str) -> str:
    """Return a colour at a fifth of its strength."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},0.2)"
