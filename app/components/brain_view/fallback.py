"""The same picture without WebGL: a flat Plotly figure of both hemispheres and the deep parcels."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.shell.theme import DARK, LIGHT
from brainlm_core.base.atlas import Parcellation
from brainlm_core.viz.colour_maps import NO_DATA, lookup_table, map_values, rgb
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.raster import BrainRaster, brain_raster

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

_WIDTH = 640  # px of the picture


def fallback_figure(
    panel: BrainPanel, parcellation: Parcellation, frame: int = 0, *, theme: str = "light"
) -> Figure:
    """Return a panel as a flat figure with names and values on hover and a colour bar.

    Plotly's own 3-D charts need WebGL too, so this is a picture with points to hover over. With
    ``st.plotly_chart(…, on_select="rerun")`` the ``customdata`` of a selected point is its parcel.

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
    raster = brain_raster(parcellation, _WIDTH)
    background = rgb((LIGHT if theme == "light" else DARK).background)
    picture = raster.frame(_colours(panel, values, theme), background, theme)
    figure = go.Figure(go.Image(source=_png(picture), hoverinfo="skip"))
    figure.add_trace(_hover_points(panel, parcellation, values, raster))
    axes = {"visible": False, "fixedrange": True}
    figure.update_layout(
        title={"text": panel.title, "font": {"size": 16}},
        xaxis=axes,
        yaxis={**axes, "scaleanchor": "x"},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        height=raster.size[1] + 40,
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
        mark = {"color": [low], "cmin": low, "cmax": high, "colorscale": stops, "colorbar": bar}
        mark["showscale"] = True
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=mark, hoverinfo="skip")
    return figure


def _colours(panel: BrainPanel, values: NDArray[np.float32], theme: str) -> NDArray[np.uint8]:
    """Return sRGB (n_parcels, 3); NaN is the grey of "no data"."""
    if panel.scale != "categories":
        return map_values(values, panel.scale, panel.limits or (0.0, 1.0), theme)
    table = np.array([*(rgb(c.colour) for c in panel.categories), rgb(NO_DATA[theme])], dtype=np.uint8)
    return table[np.where(np.isnan(values), len(table) - 1, np.nan_to_num(values)).astype(int)]


def _png(picture: NDArray[np.uint8]) -> str:
    from PIL import Image  # comes with Streamlit

    stream = BytesIO()
    Image.fromarray(picture).save(stream, format="png")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _hover_points(
    panel: BrainPanel, parcellation: Parcellation, values: NDArray[np.float32], raster: BrainRaster
) -> Scatter:
    """Return one invisible point per parcel and view: names on hover, parcel number on selection."""
    import plotly.graph_objects as go

    width, height = raster.size
    shown = raster.weights.tocoo()
    pixel, parcel = shown.row[shown.data > 0.2], shown.col[shown.data > 0.2]
    on_parcel = parcel < parcellation.n_parcels
    pixel, parcel = pixel[on_parcel], parcel[on_parcel]
    x, y = pixel % width, pixel // width
    view = (2 * x // width) + 2 * (3 * y // height)  # a parcel may show in several views
    spot, index, n = np.unique(
        view * parcellation.n_parcels + parcel, return_inverse=True, return_counts=True
    )
    which = spot % parcellation.n_parcels
    return go.Scatter(
        x=np.bincount(index, x) / n,
        y=np.bincount(index, y) / n,
        mode="markers",
        marker={"size": 14, "opacity": 0},
        customdata=which,
        text=[_words(panel, parcellation, i, float(values[i])) for i in which],
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
