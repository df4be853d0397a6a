"""The Model page as pictures: brains, one parcel's trace, sweeps, the gain curve, the card's figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.brain_view import BrainPanel
from app.charts.order import label
from app.charts.strip import METHODS, Row
from app.theme import palette, plotly_layout
from brainlm_core.analyses.model_card import CardTable
from brainlm_core.analyses.reconstruct import METHODS as RECONSTRUCT_METHODS
from brainlm_core.analyses.reconstruct import ReconstructResult, Sweep
from brainlm_core.analyses.scale_doctor import ScaleDoctorResult
from brainlm_core.atlas import Parcellation

FloatArray = NDArray[np.float32]

#: Ends of the colour bar, in the units of a scaled window.
LIMIT = 2.5
#: What the third brain can show.
THIRD = {"filled": "Filled in", "error": "Error", "r2": "Explained, by parcel"}
UNITS = {
    "robust": "interquartile ranges from the median",
    "zscore": "SD from the mean",
    "ukb1000": "UK Biobank interquartile ranges",
}
#: Words of the ridge baseline here; elsewhere the same colour stands for a ridge over time.
RIDGE_WORDS = "Ridge, visible parcels"
_DASHES = {
    "interpolation": "dot",
    "ridge": "solid",
    "mean": "dash",
    "random_twin": "longdash",
    "prior": "dashdot",
}
#: What lies below is left off the strip and said in words: it would press all others together.
OFF_SCALE = -0.5
_LEGEND = {"orientation": "h", "y": -0.32, "yanchor": "top", "font": {"size": 12}, "entrywidth": 128}


def panels(result: ReconstructResult, third: str, *, simulated: bool) -> list[BrainPanel]:
    """Return the linked brains: observed, what the model sees, and what the visitor chose as third."""
    unit, limits = UNITS[result.windows.scaling], (-LIMIT, LIMIT)
    shown = np.where(result.windows.flat[:, None] | ~result.windows.observed[0], np.nan, result.observed)
    mark = " (simulated)" if simulated else ""
    seen = np.where(result.hidden, np.nan, shown)
    return [
        BrainPanel(f"Observed{mark}", shown.T, unit, "diverging", limits, alt="Observed signals, by parcel."),
        BrainPanel(
            "What the model sees",
            seen.T,
            unit,
            "diverging",
            limits,
            alt="The same with what was hidden from the model in grey.",
        ),
        _third(result, third, shown, unit),
    ]


def _third(result: ReconstructResult, third: str, shown: FloatArray, unit: str) -> BrainPanel:
    known = np.isfinite(shown)
    if third == "error":
        error = np.where(result.scored & known, result.answers["model"] - result.observed, np.nan)
        return BrainPanel(
            "Filled in minus observed", error.T, unit, "diverging", (-LIMIT, LIMIT), alt="Error, by parcel."
        )
    if third == "r2":
        values = np.clip(result.parcel_r2, -1, 1).astype(np.float32)
        return BrainPanel(
            "Explained variance of what was hidden",
            np.broadcast_to(values, (result.observed.shape[1], len(values))),
            "R²",
            "diverging",
            (-1, 1),
            alt="Explained variance of the hidden entries, by parcel.",
        )
    filled = np.where(known, result.filled("model"), np.nan)
    return BrainPanel(
        "Filled in by the model", filled.T, unit, "diverging", (-LIMIT, LIMIT), alt="Filled in, by parcel."
    )


def waiting_panels(signals: FloatArray) -> list[BrainPanel]:
    """Return the observed brain alone, from signals (P, T), until the model has answered."""
    spread = signals.std(axis=1, keepdims=True)
    values = (signals - signals.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    return [BrainPanel("Observed", values.T, UNITS["zscore"], "diverging", (-LIMIT, LIMIT), alt="Observed.")]


def strip_rows(result: ReconstructResult | None) -> list[Row]:
    """Return R² by method for the baseline strip; None while unknown."""
    if result is None:
        return [
            Row(m, None, label=_word(m)) for m in ("model", "random_twin", "mean", "interpolation", "ridge")
        ]
    wanted = [m for m in RECONSTRUCT_METHODS if m in result.scores and m not in off_scale(result)]
    if not result.model.is_random and "random_twin" not in wanted:
        wanted.append("random_twin")
    rows = []
    for method in wanted:
        score = result.scores.get(method)
        rows.append(
            Row(method, None, label=_word(method))
            if score is None
            else Row(method, score.r2, (score.low, score.high), label=_word(method))
        )
    return rows


def off_scale(result: ReconstructResult) -> dict[str, float]:
    """Return the baselines that are too bad for the strip, with their R²."""
    return {
        m: s.r2 for m, s in result.scores.items() if s.r2 < OFF_SCALE and m not in ("model", "random_twin")
    }


def default_parcel(result: ReconstructResult) -> int:
    """Return the parcel shown before one was picked: hidden in part where there is one."""
    share = result.scored.mean(axis=1)
    partly = np.where((share > 0) & (share < 1), result.observed.var(axis=1), -1.0)
    if partly.max() > 0:
        usual = np.abs(share - np.median(share[partly > 0])) < 0.02
        return int(np.where(usual, partly, -1.0).argmax())
    return int(share.argmax())


def sentence(result: ReconstructResult) -> str:
    """Return the one sentence: how much of the hidden part is explained, by whom."""
    own, best = result.scores["model"], result.best_baseline
    other = result.scores[best]
    words = {"mean": "each parcel's mean", "interpolation": "interpolation", "ridge": "ridge"}[best]
    subject = "Random weights explain" if result.model.is_random else "The model explains"
    shares = f"{max(own.r2, 0):.0%} of what it did not see; {words} {max(other.r2, 0):.0%}"
    twin = result.scores.get("random_twin")
    return f"{subject} {shares}" + (
        "." if twin is None else f", the same model with random weights {max(twin.r2, 0):.0%}."
    )


def trace_figure(result: ReconstructResult, parcellation: Parcellation, parcel: int) -> go.Figure:
    """Draw one parcel: observed, what was hidden as bands, and what fills it in."""
    colours = palette()
    figure = go.Figure()
    times, hidden = result.times_s, result.hidden[parcel] & result.windows.observed[0]
    for start, stop in _runs(hidden):
        figure.add_vrect(
            x0=times[start] - result.windows.tr_s / 2,
            x1=times[stop - 1] + result.windows.tr_s / 2,
            fillcolor=colours.muted,
            opacity=0.14,
            line_width=0,
            layer="below",
        )
    for method in ("interpolation", "ridge"):
        if method in result.answers:
            figure.add_scatter(
                x=times,
                y=np.where(hidden, result.answers[method][parcel], np.nan),
                mode="lines",
                name=_word(method) or METHODS[method][0],
                line={"color": _colour(method), "width": 1.6, "dash": _DASHES.get(method, "solid")},
                hovertemplate="%{y:.2f}<extra>" + (_word(method) or METHODS[method][0]) + "</extra>",
            )
    observed = np.where(result.windows.observed[0], result.observed[parcel], np.nan)
    figure.add_scatter(
        x=times,
        y=observed,
        mode="lines",
        name="Observed",
        line={"color": colours.text, "width": 1.6},
        hovertemplate="%{y:.2f}<extra>Observed</extra>",
    )
    figure.add_scatter(
        x=times,
        y=np.where(hidden, result.answers["model"][parcel], np.nan),
        mode="lines",
        name="Model",
        line={"color": colours.accent, "width": 3},
        hovertemplate="%{y:.2f}<extra>Model</extra>",
    )
    figure.update_layout(
        **plotly_layout(
            height=300,
            hovermode="x unified",
            showlegend=True,
            legend=_LEGEND,
        )
    )
    figure.update_xaxes(title_text="Time (s)", showgrid=False)
    name = label(parcellation, parcel).split(" · ")[0]
    figure.update_yaxes(title_text=f"{name} (scaled)", zeroline=False)
    return figure


def sweep_figure(sweep: Sweep) -> go.Figure:
    """Draw R² of every method over the shares or the lengths of holes."""
    figure = go.Figure()
    is_share = sweep.name == "share"
    x = [100 * v for v in sweep.values] if is_share else list(sweep.values)
    for method in [m for m in RECONSTRUCT_METHODS if m in sweep.r2 and m != "interpolation"][::-1]:
        title = _word(method) or METHODS[method][0]
        figure.add_scatter(
            x=x,
            y=sweep.r2[method],
            mode="lines+markers",
            name=title,
            line={
                "color": _colour(method),
                "width": 3 if method == "model" else 1.8,
                "dash": _DASHES.get(method, "solid"),
            },
            hovertemplate="%{y:.3f}<extra>" + title + "</extra>",
        )
    figure.update_layout(
        **plotly_layout(
            height=320,
            hovermode="x unified",
            showlegend=True,
            legend=_LEGEND | {"traceorder": "reversed"},
        )
    )
    if is_share:
        figure.update_xaxes(title_text="Hidden (%)", tickvals=x)
    else:
        figure.update_xaxes(
            title_text="Samples hidden together", type="log", tickvals=x, ticktext=[str(v) for v in x]
        )
    figure.update_yaxes(title_text="Explained variance R²", zeroline=True)
    return figure


def gain_figure(found: ScaleDoctorResult) -> go.Figure:
    """Draw R² over the gain, the best one marked."""
    colours = palette()
    figure = go.Figure()
    figure.add_scatter(
        x=found.gains,
        y=found.r2,
        mode="lines+markers",
        line={"color": colours.accent, "width": 3},
        hovertemplate="gain %{x:g}: %{y:.3f}<extra></extra>",
    )
    figure.add_vline(x=found.best_gain, line={"color": colours.accent, "width": 1, "dash": "dot"})
    figure.update_layout(**plotly_layout(height=320))
    figure.update_xaxes(
        title_text="Gain (1: as the model was trained)",
        type="log",
        tickvals=found.gains,
        ticktext=[f"{g:g}" for g in found.gains],
        showgrid=False,
    )
    low = max(min(found.r2), -1.0)
    figure.update_yaxes(title_text="Explained variance R²", range=[min(low, 0) - 0.05, max(found.r2) + 0.08])
    return figure


def card_rows(table: CardTable, column: int) -> list[Row]:
    """Return one column of a card's table as rows of the strip, the card's own words kept."""
    same = {"connectivity_and_coordinates": "connectivity_coordinates"}
    rows = []
    for row in table.rows:
        method = same.get(row.key, row.key)
        method = method if method in METHODS else "other"
        words, found = row.name[:1].upper() + row.name[1:], row.values[column]
        rows.append(
            Row(method, None, label=words, reason="not in the card")
            if found is None
            else Row(method, found.value, found.ci95, label=words)
        )
    return rows


def _word(method: str) -> str | None:
    return RIDGE_WORDS if method == "ridge" else None


def _colour(method: str) -> str:
    _, light, dark, _ = METHODS[method]
    return dark if palette().name == "dark" else light


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
