"""The same picture without WebGL: a flat Plotly figure of the overview."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.brain_view.colour import lookup_table
from app.brain_view.panels import BrainPanel
from app.brain_view.still import pixel_map, still_image
from brainlm_core.atlas import Parcellation

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter


def fallback_figure(
    panel: BrainPanel, parcellation: Parcellation, frame: int = 0, *, theme: str = "light"
) -> Figure:
    """Return a panel as a flat figure with names and values on hover and a colour bar.

    Plotly's own 3-D charts need WebGL too, so this is a picture with a hover map.

    Parameters
    ----------
    panel : BrainPanel
        What to show.
    parcellation : Parcellation
        Its parcels.
    frame : int
        Which frame of the panel.
    theme : {"light", "dark"}
        Theme of the page.
    """
    import plotly.graph_objects as go

    values = panel.values[frame if panel.n_frames > 1 else 0]
    picture = still_image(panel, parcellation, frame, theme=theme)
    figure = go.Figure(go.Image(source=_png(picture), hoverinfo="skip"))
    figure.add_trace(_hover_points(panel, parcellation, values, picture.shape[:2]))
    axes = {"visible": False, "fixedrange": True}
    figure.update_layout(
        title={"text": panel.title, "font": {"size": 16}},
        xaxis=axes,
        yaxis={**axes, "scaleanchor": "x"},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=panel.scale == "categories",
    )
    if panel.scale == "categories":
        for category in panel.categories:
            mark = {"color": category.colour, "size": 10, "symbol": "square"}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, name=category.name)
    else:
        low, high = panel.limits or (0.0, 1.0)
        table = lookup_table(panel.scale)
        stops = [[k / 16, "rgb({},{},{})".format(*table[round(k / 16 * 255)])] for k in range(17)]
        bar = {"title": {"text": panel.unit}, "thickness": 12, "len": 0.7}
        mark = {
            "color": [low],
            "cmin": low,
            "cmax": high,
            "colorscale": stops,
            "showscale": True,
            "colorbar": bar,
        }
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, hoverinfo="skip")
    return figure


def _png(picture: NDArray[np.uint8]) -> str:
    from PIL import Image  # comes with Streamlit

    stream = BytesIO()
    Image.fromarray(picture).save(stream, format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _hover_points(
    panel: BrainPanel, parcellation: Parcellation, values: NDArray[np.float32], shape: tuple[int, ...]
) -> Scatter:
    """Return one invisible point per parcel and tile: names on hover, parcel number on selection."""
    import plotly.graph_objects as go

    under = pixel_map(parcellation).parcel
    step = under.shape[0] // shape[0]
    rows, columns = np.nonzero(under >= 0)
    parcel = under[rows, columns].astype(np.intp)
    tile = (columns * 3 // under.shape[1]) * 2 + rows * 2 // under.shape[0]  # where a parcel may show again
    spot, index, n = np.unique(
        tile * parcellation.n_parcels + parcel, return_inverse=True, return_counts=True
    )
    shown = spot % parcellation.n_parcels
    return go.Scatter(
        x=np.bincount(index, columns) / n / step,
        y=np.bincount(index, rows) / n / step,
        mode="markers",
        marker={"size": 14, "opacity": 0},
        customdata=shown,
        text=[_words(panel, parcellation, i, float(values[i])) for i in shown],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _words(panel: BrainPanel, parcellation: Parcellation, parcel: int, value: float) -> str:
    if np.isnan(value):
        said = "no data"
    elif panel.scale == "categories":
        said = panel.categories[int(value)].name
    else:
        said = f"{value:.3g} {panel.unit}".strip()
    return f"{parcellation.names[parcel]}<br>{said}"
