"""Figures of an attribution: the brain, networks in time, and the sentence that says what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from app.components.parcel_order import groups_present
from app.shell.exports import parcel_table
from app.shell.theme import colour_stops, group_words, palette, plotly_layout
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.tables import table_bytes
from brainlm_core.features.attribution.figures import AGREE_WORDS
from brainlm_core.features.attribution.result import Attribution

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

#: Length of a column of the picture over time, in s.
STRETCH_S = 10.0
#: How shares are computed, by key.
METHOD_WORDS = {"integrated_gradients": "Integrated gradients", "occlusion": "Occlusion"}


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


def agreement_table(found: Attribution, other: Attribution | None = None) -> pd.DataFrame:
    """Return the rank correlation of the shares' size with what stands beside them.

    ``other`` is the same question answered by the other method, where that is known.
    """
    rows = [
        {"Compared with": _capital(AGREE_WORDS[name]), "Rank correlation": value}
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
    return table_bytes(parcel_table(parcellation, columns))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
