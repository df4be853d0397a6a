"""Figures of an attribution: the brain, networks in time, and the sentence that says what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from app.brain_view import BrainPanel
from app.charts.order import groups_present
from app.embeddings_charts import words
from app.exports import parcel_table
from app.theme import colour_stops, group_words, palette, plotly_layout
from brainlm_core.analyses.attribute_result import Attribution
from brainlm_core.atlas import Parcellation

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Length of a column of the picture over time, in s.
STRETCH_S = 10.0
#: The colours reach this percentile of the shares' size: a few large ones would blank the rest.
_PERCENTILE = 98
#: Shares that miss more than this of the difference are not to be trusted.
MAX_MISSED = 0.05
_AGREE_WORDS = {
    "attention": "the summary token's attention",
    "connectivity": "mean connectivity",
    "random_twin": "the same read-out of random weights",
}
#: How shares are computed, by key.
METHOD_WORDS = {"integrated_gradients": "Integrated gradients", "occlusion": "Occlusion"}


def name_of(found: Attribution) -> str:
    """Return the read-out's name as the page says it."""
    name = found.direction.name
    column, colon, rest = name.partition(":")
    return f"{words(column)}{colon}{rest}"


def panels(found: Attribution, *, simulated: bool) -> list[BrainPanel]:
    """Return two linked brains: the shares, and the attention that they are compared with."""
    mark = " (simulated)" if simulated else ""
    shares = np.where(found.flat, np.nan, found.parcels)
    top = float(np.nanpercentile(np.abs(shares), _PERCENTILE)) if np.isfinite(shares).any() else 0.0
    attention = np.where(found.flat, np.nan, found.attention * len(found.attention))
    top = top or 1.0
    return [
        BrainPanel(
            f"Share in {name_of(found)}{mark}",
            shares,
            found.direction.unit,
            "diverging",
            (-top, top),
            alt=f"How much each parcel moves {name_of(found)}.",
        ),
        BrainPanel(
            "Attention of the summary token",
            attention,
            "× even spread",
            "sequential",
            alt="The summary token's attention to each parcel, for comparison.",
        ),
    ]


def time_figure(found: Attribution, parcellation: Parcellation) -> Figure:
    """Return networks × time: the sum of shares in stretches of about ten seconds."""
    import plotly.graph_objects as go

    colours = palette()
    n_samples = max(1, round(STRETCH_S / found.tr_s))
    shares = found.by_group(parcellation.group, n_samples)
    names, times = shares.names, shares.times_s
    order = [names.index(g) for g in groups_present(parcellation)]
    shown = shares.sums[order]
    top = float(np.percentile(np.abs(shown), 99)) or 1.0
    stops = colour_stops("diverging")
    per_window = len(times) // len(found.values)
    figure = go.Figure(layout=plotly_layout(height=120 + 26 * len(order)))
    rows = [group_words(names[i]) for i in order]
    for w in range(len(found.values)):  # one map per window: what lies between was not looked at
        part = slice(w * per_window, (w + 1) * per_window)
        figure.add_heatmap(
            x=times[part],
            y=rows,
            z=shown[:, part],
            zmin=-top,
            zmax=top,
            colorscale=[[i / (len(stops) - 1), c] for i, c in enumerate(stops)],
            showscale=w == 0,
            colorbar={
                "title": {"text": found.direction.unit, "side": "right", "font": {"size": 12}},
                "thickness": 10,
                "outlinewidth": 0,
                "tickfont": {"size": 11, "color": colours.muted},
            },
            hovertemplate="%{y}, around %{x:.0f} s: %{z:+.3g}<extra></extra>",
        )
    figure.update_xaxes(title_text="Time in the recording, s", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def one_sentence(found: Attribution, parcellation: Parcellation) -> str:
    """Return the read-out, its reference, what moved it most, and whether the shares add up."""
    shares = found.by_group(parcellation.group, found.values.shape[2])
    names, total = shares.names, shares.sums.sum(axis=1)
    strongest = int(np.abs(total).argmax())
    against = (
        "with shuffled phases" if found.options.reference == "surrogate" else "with nothing in the window"
    )
    # A decoded number is in the units of its column, which the name says already.
    unit = "" if found.direction.unit == found.direction.name else f" {found.direction.unit}"
    text = (
        f"{name_of(found)} reads {found.value:.3g}{unit}, {against} {found.reference:.3g}; "
        f"{group_words(names[strongest])} moves it most ({total[strongest]:+.2g})."
    )
    return text.replace("-", "−")


def completeness_words(found: Attribution) -> str:
    """Return in words what the shares leave unexplained."""
    missed = f"{found.completeness_error:.1%}".replace("%", "\u202f%")
    if found.options.method == "occlusion":
        return (
            f"Occluded one by one, the shares and the whole difference are {missed} apart: "
            "parcels act together, and occlusion counts that several times or not at all."
        )
    if found.completeness_error > MAX_MISSED:
        return f"The shares miss {missed} of the difference: take more steps before believing the map."
    if found.completeness_error < 0.0005:
        missed = "less than 0.1\u202f%"
    return f"Completeness error: the shares add up to the difference within {missed}."


def agreement_table(found: Attribution, other: Attribution | None = None) -> pd.DataFrame:
    """Return the rank correlation of the shares' size with what stands beside them.

    ``other`` is the same question answered by the other method, where that is known.
    """
    rows = [
        {"Compared with": _capital(_AGREE_WORDS[name]), "Rank correlation": value}
        for name, value in found.agreement.items()
    ]
    if other is not None:
        same = spearmanr(np.abs(found.parcels[~found.flat]), np.abs(other.parcels[~found.flat])).statistic
        rows.append({"Compared with": METHOD_WORDS[other.options.method], "Rank correlation": float(same)})
    return pd.DataFrame(rows)


def export_table(found: Attribution, parcellation: Parcellation) -> bytes:
    """Return one row per parcel: share, its spread over references, attention; as CSV."""
    columns = {
        f"share of {found.direction.name} ({found.direction.unit})": found.parcels,
        "sd over references": found.parcels_sd,
        "summary token attention": found.attention,
    }
    return parcel_table(parcellation, columns).to_csv(index=False, float_format="%.6g").encode()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
