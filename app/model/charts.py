"""The Model page as pictures: brains, one parcel's trace, sweeps, the gain curve, the card's figures."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from app.components.brain_view import BrainPanel
from app.components.parcel_order import label
from app.components.strip import Row
from app.shell.recipe import KINDS as SCALING_WORDS
from app.shell.theme import LEGEND_BELOW, palette, plotly_layout
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.methods import METHODS, ordered
from brainlm_core.features.input_scale.doctor import ScaleDoctorResult
from brainlm_core.features.reconstruct.analysis import ReconstructResult, Sweep
from brainlm_core.features.reconstruct.figures import (
    LIMIT,
    UNITS,
    method_word,
)
from brainlm_core.features.shared.model_card import CardTable

FloatArray = NDArray[np.float32]

#: Worse than this is drawn here.
FLOOR = -1.0
#: What the third brain can show.
THIRD = {"filled": "Filled in", "error": "Error", "r2": "Explained, by parcel"}


def waiting_panels(signals: FloatArray) -> list[BrainPanel]:
    """Return the observed brain alone, from signals (P, T), until the model has answered."""
    spread = signals.std(axis=1, keepdims=True)
    values = (signals - signals.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, np.nan)
    return [BrainPanel("Observed", values.T, UNITS["zscore"], "diverging", (-LIMIT, LIMIT), alt="Observed.")]


def default_parcel(result: ReconstructResult) -> int:
    """Return the parcel shown before one was picked: hidden in part where there is one."""
    share = result.scored.mean(axis=1)
    partly = np.where((share > 0) & (share < 1), result.observed.var(axis=1), -1.0)
    if partly.max() > 0:
        usual = np.abs(share - np.median(share[partly > 0])) < 0.02
        return int(np.where(usual, partly, -1.0).argmax())
    return int(share.argmax())


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
                name=method_word(method),
                line={"color": _colour(method), "width": 1.6, "dash": METHODS[method].dash},
                hovertemplate="%{y:.2f}<extra>" + (method_word(method)) + "</extra>",
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
            legend=LEGEND_BELOW,
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
    for method in [m for m in ordered(sweep.r2) if m != "interpolation"][::-1]:
        title = method_word(method)
        figure.add_scatter(
            x=x,
            y=sweep.r2[method],
            mode="lines+markers",
            name=title,
            line={
                "color": _colour(method),
                "width": 3 if method == "model" else 1.8,
                "dash": METHODS[method].dash,
            },
            hovertemplate="%{y:.3f}<extra>" + title + "</extra>",
        )
    figure.update_layout(
        **plotly_layout(
            height=320,
            hovermode="x unified",
            showlegend=True,
            legend=LEGEND_BELOW | {"traceorder": "reversed"},
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
    """Draw R² over the gain for each kind of scaling, beside ridge and the authors."""
    colours = palette()
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot")
    for curve, dash in zip(found.curves, dashes, strict=False):
        best = curve.kind == found.recipe.kind
        figure.add_scatter(
            x=curve.gains,
            y=np.maximum(curve.r2, FLOOR),
            customdata=curve.r2,
            name=SCALING_WORDS[curve.kind],
            mode="lines+markers",
            line={
                "color": colours.accent if best else colours.muted,
                "width": 3 if best else 2,
                "dash": dash,
            },
            hovertemplate="gain %{x:g}: %{customdata:.3f}<extra></extra>",
        )
    for value, name in ((found.ridge_r2, "Ridge on this scan"), (found.logged_r2, "Authors, their data")):
        if value is not None:
            figure.add_hline(
                y=value, line={"color": colours.muted, "width": 1, "dash": "dot"}, annotation_text=name
            )
    figure.add_vline(x=found.best_gain, line={"color": colours.accent, "width": 1, "dash": "dot"})
    figure.update_layout(**plotly_layout(height=340))
    figure.update_layout(showlegend=True, legend=LEGEND_BELOW)
    gains = found.curves[0].gains
    figure.update_xaxes(
        title_text="Gain", type="log", tickvals=gains, ticktext=[f"{g:g}" for g in gains], showgrid=False
    )
    values = [v for curve in found.curves for v in curve.r2]
    others = [v for v in (found.ridge_r2, found.logged_r2) if v is not None]
    low, high = max(min(values), FLOOR), max(*values, *others, 0)
    figure.update_yaxes(title_text="Explained variance R²", range=[min(low, 0) - 0.05, high + 0.08])
    return figure


def card_rows(table: CardTable, column: int) -> list[Row]:
    """Return one column of a card's table as rows of the strip, the card's own words kept."""
    rows = []
    for row in table.rows:
        method = row.key if row.key in METHODS else "other"
        words, found = row.name[:1].upper() + row.name[1:], row.values[column]
        rows.append(
            Row(method, None, label=words, reason="not in the card")
            if found is None
            else Row(method, found.value, found.ci95, label=words)
        )
    return rows


def _colour(method: str) -> str:
    return METHODS[method].colour(palette().name)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
