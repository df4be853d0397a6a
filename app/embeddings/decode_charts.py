"""Figures of a decoding: observed against told, the ROC curve, and whether told probabilities hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.shell.theme import palette, plotly_layout
from brainlm_core.base.methods import METHODS, ordered, title_of, words_of
from brainlm_core.features.decode.analysis import DecodeResult
from brainlm_core.features.decode.figures import measure_words, signed

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from brainlm_core.features.decode.scores import Score


def score_table(result: DecodeResult) -> pd.DataFrame:
    """Return every method with interval, p, and the model's lead over it."""
    rows = []
    for name, score in result.scores.items():
        low, high = score.interval
        lead = ""
        if score.difference is not None:
            lead = signed("{:+.2f} ({:+.2f} to {:+.2f})".format(*score.difference))
        rows.append(
            {
                "From": words_of(name, "decode")[:1].upper() + words_of(name, "decode")[1:],
                measure_words(result): score.value,
                "95 % interval": signed(f"{low:.2f} to {high:.2f}"),
                **within_sites(score),
                "p": score.p,
                "Model minus this": lead,
            }
        )
    return pd.DataFrame(rows)


def within_sites(score: Score) -> dict[str, str]:
    """Return the cell of the score within sites; none where no whole sites were left out."""
    if score.ci95_sites is None:
        return {}
    own = score.within_site
    told = "" if own is None else f"{own.value:.2f} ({own.ci95[0]:.2f} to {own.ci95[1]:.2f})"
    return {"Within sites": signed(told)}


def observed_figure(result: DecodeResult, target: str) -> Figure:
    """Return observed against told, one point a recording, for a number."""
    import plotly.graph_objects as go

    colours = palette()
    truth, told = np.asarray(result.truth, dtype=np.float64), result.guesses["model"][:, 0]
    low, high = float(min(truth.min(), told.min())), float(max(truth.max(), told.max()))
    figure = go.Figure(layout=plotly_layout(height=320))
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", hoverinfo="skip",
        line={"color": colours.muted, "dash": "dash", "width": 1.5},
    )  # fmt: skip
    figure.add_scattergl(
        x=truth, y=told, mode="markers", text=list(result.ids),
        marker={"color": colours.accent, "size": 7, "opacity": 0.7},
        hovertemplate="%{text}: observed %{x:.3g}, told %{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text=f"Observed: {target}")
    figure.update_yaxes(title_text="Told by people left out")
    return figure


def roc_figure(result: DecodeResult) -> Figure:
    """Return the ROC curve of the model beside the main baselines; of the last class against the others."""
    import plotly.graph_objects as go
    from sklearn.metrics import roc_curve

    colours = palette()
    figure = go.Figure(
        layout=plotly_layout(height=320, showlegend=True, legend={"y": 0, "x": 1, "xanchor": "right"})
    )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", showlegend=False, hoverinfo="skip",
        line={"color": colours.line, "width": 1.5},
    )  # fmt: skip
    positive = np.asarray(result.truth) == len(result.classes) - 1
    for name in ordered(result.guesses):
        if name == "dummy":
            continue  # the diagonal
        false, true, _ = roc_curve(positive, result.guesses[name][:, -1])
        drawn = METHODS[name]
        figure.add_scatter(
            x=false, y=true, mode="lines", name=title_of(name, "decode"),
            line={
                "color": drawn.colour(colours.name),
                "dash": drawn.dash,
                "width": 2.5 if name == "model" else 1.5,
            },
        )  # fmt: skip
    figure.update_xaxes(title_text=f"Wrongly called {result.classes[-1]}", range=[0, 1])
    figure.update_yaxes(title_text=f"Rightly called {result.classes[-1]}", range=[0, 1.01])
    return figure


def calibration_figure(result: DecodeResult) -> Figure | None:
    """Return told probability against observed share in ten bins; None without probabilities."""
    import plotly.graph_objects as go
    from sklearn.calibration import calibration_curve

    if "model" not in result.probability:
        return None
    colours = palette()
    positive = np.asarray(result.truth) == len(result.classes) - 1
    told = np.clip(result.probability["model"][:, -1], 0, 1)
    observed, mean = calibration_curve(positive, told, n_bins=8, strategy="quantile")
    figure = go.Figure(layout=plotly_layout(height=320))
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", hoverinfo="skip",
        line={"color": colours.muted, "dash": "dash", "width": 1.5},
    )  # fmt: skip
    figure.add_scatter(
        x=mean, y=observed, mode="lines+markers",
        line={"color": colours.accent, "width": 2}, marker={"size": 8},
        hovertemplate="told %{x:.0%}, observed %{y:.0%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text=f"Told probability of {result.classes[-1]}", range=[0, 1])
    figure.update_yaxes(title_text="Observed share", range=[0, 1])
    return figure
