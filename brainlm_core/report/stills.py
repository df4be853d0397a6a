"""Still pictures of brain figures: for print, and for browsers without WebGL 2."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from brainlm_core.report.figure import Figure
from brainlm_core.viz.colour_maps import NO_DATA, map_values, rgb
from brainlm_core.viz.palette import LIGHT
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.raster import brain_raster

#: Of one brain, px.
_WIDTH, _HEAD, _FOOT = 300, 30, 26


def still_png(figure: Figure) -> bytes:
    """Return the figure's first moment as PNG: titles above, ends of the scale and unit below.

    Names and colours of categories are in the figure's words; the picture only shows the colours.
    """
    from PIL import Image, ImageDraw, ImageFont

    background = rgb(LIGHT.background)
    assert figure.parcellation is not None  # whatever has brains has parcels
    raster = brain_raster(figure.parcellation, _WIDTH)
    width, height = raster.size
    size = (width * len(figure.panels), _HEAD + height + _FOOT)
    picture = Image.new("RGB", size, background)
    draw = ImageDraw.Draw(picture)
    for column, panel in enumerate(figure.panels):
        values = panel.values[min(figure.start_frame, panel.n_frames - 1)]
        brain = raster.frame(_colours(panel, values), background)
        picture.paste(Image.fromarray(brain), (column * width, _HEAD))
        middle = column * width + width // 2
        ink = rgb(LIGHT.text)
        draw.text((middle, _HEAD // 2), panel.title, ink, ImageFont.load_default(13), anchor="mm")
        if panel.scale != "categories" and panel.limits is not None:
            words = f"{panel.limits[0]:.2g} to {panel.limits[1]:.2g} {panel.unit}"
            place = (middle, _HEAD + height + _FOOT // 2)
            draw.text(place, words, ink, ImageFont.load_default(12), anchor="mm")
    stream = io.BytesIO()
    picture.quantize(128).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _colours(panel: BrainPanel, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return sRGB (n_parcels, 3); NaN is the grey of "no data"."""
    if panel.scale != "categories":
        return map_values(values, panel.scale, panel.limits or (0.0, 1.0))
    table = np.array([*(rgb(c.colour) for c in panel.categories), rgb(NO_DATA["light"])], dtype=np.uint8)
    return table[np.where(np.isnan(values), len(table) - 1, np.nan_to_num(values)).astype(int)]
