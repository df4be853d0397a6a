"""Signals over time: frames for the brain, the carpet, and traces of single parcels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from app.components.parcel_order import by_network, label
from app.shell.theme import colour_stops, palette, plotly_layout
from brainlm_core.base.recording import FloatArray, Recording
from brainlm_core.viz.signals import LIMIT_SD, standardised

#: More columns than this are averaged in blocks before they are sent to the browser.
MAX_COLUMNS = 600


def carpet(recording: Recording, picked: Sequence[int] = ()) -> tuple[go.Figure, int]:
    """Draw the carpet plot, with DVARS (and displacement, when known) above it.

    Parameters
    ----------
    recording : Recording
        With or without quality figures.
    picked : sequence of int
        Parcels to mark on the margin.

    Returns
    -------
    figure : Figure
        Time in s against parcels, ordered by network.
    block : int
        How many volumes were averaged per column (1: none).
    """
    colours = palette()
    order, bands = by_network(recording.parcellation)
    values = standardised(recording)[order]
    values, block = _thin(values)
    times = (np.arange(values.shape[1]) * block + (block - 1) / 2) * recording.tr_s
    quality = recording.quality
    with_fd = quality is not None and quality.fd_mm is not None
    figure = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.03,
        row_heights=[0.2, 0.8],
        specs=[[{"secondary_y": with_fd}], [{}]],
    )
    if quality is not None:
        seconds = np.arange(recording.n_timepoints) * recording.tr_s
        figure.add_scatter(
            x=seconds,
            y=quality.dvars,
            mode="lines",
            name="DVARS",
            row=1,
            col=1,
            line={"color": colours.accent, "width": 1.2},
            hovertemplate="%{x:.1f} s: %{y:.2f} SD<extra>DVARS</extra>",
        )
        spikes = np.flatnonzero(quality.spikes)
        figure.add_scatter(
            x=seconds[spikes],
            y=quality.dvars[spikes],
            mode="markers",
            name="Spike",
            row=1,
            col=1,
            marker={"color": colours.bad, "symbol": "triangle-down", "size": 8},
            hovertemplate="%{x:.1f} s: %{y:.2f} SD<extra>Spike</extra>",
        )
        if quality.fd_mm is not None:
            figure.add_scatter(
                x=seconds,
                y=quality.fd_mm,
                mode="lines",
                name="Displacement",
                row=1,
                col=1,
                secondary_y=True,
                line={"color": colours.muted, "width": 1, "dash": "dot"},
                hovertemplate="%{x:.1f} s: %{y:.2f} mm<extra>Displacement</extra>",
            )
    figure.add_heatmap(
        z=values.astype(np.float32),
        x=times.astype(np.float32),
        zmin=-LIMIT_SD,
        zmax=LIMIT_SD,
        zsmooth=False,
        colorscale=colour_stops("diverging"),
        row=2,
        col=1,
        text=None,
        customdata=None,
        hovertemplate="%{x:.1f} s: %{z:.2f} SD<extra></extra>",
        colorbar={
            "title": {"text": "SD", "side": "top", "font": {"size": 12}},
            "tickfont": {"size": 12},
            "thickness": 10,
            "outlinewidth": 0,
            "len": 0.78,
            "y": 0,
            "yanchor": "bottom",
            "tickvals": [-2, -1, 0, 1, 2],
            "ticktext": ["−2", "−1", "0", "+1", "+2"],
        },
    )
    rows = "y3" if with_fd else "y2"  # the second axis of the upper plot takes a number too
    for band in bands:
        figure.add_shape(
            type="rect",
            xref="x2 domain",
            yref=rows,
            x0=-0.012,
            x1=-0.003,
            y0=band.start - 0.5,
            y1=band.stop - 0.5,
            fillcolor=band.colour,
            line={"width": 0},
        )
        if band.start:
            figure.add_hline(
                y=band.start - 0.5, line={"color": colours.background, "width": 1.5}, row=2, col=1
            )
    position = np.argsort(order)
    for parcel in picked:
        figure.add_annotation(
            x=1.0,
            xref="x2 domain",
            y=float(position[parcel]),
            yref=rows,
            text="◂",
            showarrow=False,
            xanchor="left",
            font={"color": colours.accent, "size": 16},
        )
    ticks = [(b.start + b.stop - 1) / 2 for b in bands if b.stop - b.start > 0.02 * len(order)]
    words = [b.name for b in bands if b.stop - b.start > 0.02 * len(order)]
    base = plotly_layout(height=520)
    figure.update_layout(**{k: v for k, v in base.items() if k not in ("xaxis", "yaxis")})
    figure.update_xaxes(**base["xaxis"])
    figure.update_yaxes(**base["yaxis"])
    figure.update_xaxes(title_text="Time (s)", showgrid=False, row=2, col=1)
    figure.update_xaxes(showgrid=False, row=1, col=1)
    figure.update_yaxes(title_text="DVARS (SD)", nticks=3, row=1, col=1)
    if with_fd:
        figure.update_yaxes(title_text="FD (mm)", nticks=3, showgrid=False, row=1, col=1, secondary_y=True)
    figure.update_yaxes(
        autorange="reversed",
        tickvals=ticks,
        ticktext=words,
        showgrid=False,
        ticklabelstandoff=12,
        row=2,
        col=1,
    )
    return figure, block


def traces(recording: Recording, parcels: Sequence[int]) -> go.Figure:
    """Draw the signals of some parcels, in SD from each one's mean, one under the other.

    Parameters
    ----------
    recording : Recording
        The signals.
    parcels : sequence of int
        0-based, drawn in this order.
    """
    colours = palette()
    values = standardised(recording)
    seconds = np.arange(recording.n_timepoints) * recording.tr_s
    gap = 8.0  # SD between two traces: room for ±3 and a name
    figure = go.Figure()
    for row, parcel in enumerate(parcels):
        words = label(recording.parcellation, parcel)
        figure.add_scatter(
            x=seconds,
            y=values[parcel] - gap * row,
            customdata=values[parcel],
            mode="lines",
            name=words,
            line={"width": 1.4, "color": colours.accent if row == 0 else colours.text},
            hovertemplate="%{x:.1f} s: %{customdata:.2f} SD<extra>" + words + "</extra>",
        )
        figure.add_annotation(
            x=0,
            xref="paper",
            y=-gap * row + 2.9,
            text=words,
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            font={"size": 13, "color": colours.accent if row == 0 else colours.text},
        )
        figure.add_hline(y=-gap * row, line={"color": colours.line, "width": 1})
    figure.update_layout(**plotly_layout(height=96 + 104 * len(parcels), hovermode="closest"))
    figure.update_xaxes(title_text="Time (s)", showgrid=False)
    figure.update_yaxes(
        range=[-gap * (len(parcels) - 1) - 4, 5],
        tickvals=[v for row in range(len(parcels)) for v in (-gap * row - 2, -gap * row + 2)],
        ticktext=["−2", "+2"] * len(parcels),
        title_text="SD",
        showgrid=False,
        zeroline=False,
    )
    return figure


def _thin(values: FloatArray) -> tuple[NDArray[np.float32], int]:
    """Average blocks of columns until at most :data:`MAX_COLUMNS` are left."""
    block = -(-values.shape[1] // MAX_COLUMNS)
    if block == 1:
        return values, 1
    columns = values.shape[1] // block
    return values[:, : columns * block].reshape(len(values), columns, block).mean(axis=2), block
