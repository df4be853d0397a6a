"""Figures and tables of the Perturb page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.shell.theme import group_words, palette, plotly_layout
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.methods import words_of
from brainlm_core.features.perturb.figures import chance_range

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from brainlm_core.features.perturb.analysis import Response, Stage
    from brainlm_core.features.perturb.companions import Agreement, DoseCurve
    from brainlm_core.features.perturb.null import NullMap


def agreement_table(agreement: Sequence[Agreement]) -> pd.DataFrame:
    """Return every prediction with its correlation beside that of the random sets."""
    rows = []
    for a in agreement:
        ends = chance_range(a)
        chance = "" if ends is None else f"{ends[0]:+.2f} to {ends[1]:+.2f}"
        rows.append(
            {
                "Prediction": _capital(words_of(a.predictor, "perturb")),
                "Rank correlation with the response": a.value,
                "Predictions for random sets": chance.replace("-", "−"),
                "p": a.p,
            }
        )
    return pd.DataFrame(rows)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def responders(
    response: Response, stage: Stage, null: NullMap | None, *, compare: Response | None = None
) -> pd.DataFrame:
    """Return the ranked table in words; with ``compare``, the same parcels' response in scenario A."""
    from brainlm_core.features.perturb.analysis import responder_table

    table = responder_table(response, stage, null)
    if compare is not None:
        at = list(table.columns).index(f"{response.statistic}_sd") + 1
        table.insert(at, "a_sd", compare.summary[table["parcel"].to_numpy() - 1])
    table["network"] = [group_words(g) for g in table["network"]]
    names = {
        "rank": "Rank",
        "parcel": "Parcel",
        "name": "Name",
        "network": "Network",
        "hemisphere": "Side",
        f"{response.statistic}_sd": "Response (SD)",
        "a_sd": "In A (SD)",
        "low_sd": "Low (SD)",
        "high_sd": "High (SD)",
        "lag_s": "Peak after onset (s)",
        "z": "z",
        "q_fdr": "q (FDR)",
    }
    return table.rename(columns=names)


def dose_figure(dose: DoseCurve) -> Figure:
    """Return response against dose with the fitted line."""
    import plotly.graph_objects as go

    colours = palette()
    x = np.asarray(dose.doses_sd)
    figure = go.Figure(layout=plotly_layout(height=280))
    figure.add_scatter(
        x=x, y=dose.intercept + dose.slope * x, mode="lines", name="Straight line",
        line={"color": colours.muted, "dash": "dash", "width": 1.5},
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=dose.curve, mode="markers+lines", name="Response",
        line={"color": colours.accent, "width": 2}, marker={"size": 9},
        hovertemplate="%{x:+.0f} SD: %{y:+.3f} SD<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text="Dose (SD)", dtick=1)
    figure.update_yaxes(title_text="Response of the ten strongest (SD)")
    return figure


def course_figure(response: Response, parcellation: Parcellation, parcels: Sequence[int]) -> Figure:
    """Return what was done and the responses of some parcels over time, with their spread over draws."""
    import plotly.graph_objects as go

    from app.components.parcel_order import label
    from app.shell.theme import NETWORK_COLOURS

    colours = palette()
    times = response.times_s
    legend = {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0}
    figure = go.Figure(layout=plotly_layout(height=360, showlegend=True, legend=legend))
    plan = response.plan
    figure.add_vrect(
        x0=times[plan.first], x1=times[plan.stop - 1], fillcolor=colours.muted, opacity=0.12, line_width=0,
        annotation_text="action", annotation_position="top left",
    )  # fmt: skip
    for parcel, dash in zip(parcels, cycle(("solid", "dash", "dot", "dashdot", "longdash"))):
        colour = NETWORK_COLOURS.get(parcellation.group[parcel], NETWORK_COLOURS["unknown"])
        figure.add_scatter(
            x=times, y=response.mean[parcel], mode="lines", name=label(parcellation, parcel),
            line={"color": colour, "width": 2, "dash": dash},
        )  # fmt: skip
    figure.update_xaxes(title_text="Time in the window (s)")
    figure.update_yaxes(title_text="Response (SD)")
    return figure
