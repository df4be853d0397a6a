"""The forecast as a moving brain: observed beside forecast beside their difference, on one clock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.methods import words_of
from brainlm_core.base.writing import whole_file
from brainlm_core.viz.render import Film, Panel, Scene, film_bytes, png_bytes

if TYPE_CHECKING:
    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.features.forecast.result import Forecast, ForecastResult

#: Seen volumes that are shown before the forecast.
LEAD_IN = 20
#: Ends of the colour bar for signals, in SD.
LIMIT_SD = 2.5
_UNIT = "SD from the seen mean"


def lead_in(forecast: Forecast) -> int:
    """Return how many seen volumes a film starts with."""
    return min(LEAD_IN, len(forecast.seen))


def frame_times(forecast: Forecast) -> NDArray[np.float64]:
    """Return the time of each frame in s from the start of the recording, (n,)."""
    return np.concatenate([forecast.seen_times_s[-lead_in(forecast) :], forecast.times_s])


def observed_frames(forecast: Forecast) -> NDArray[np.float32]:
    """Return what was measured, (n, P) in SD; NaN where nothing was."""
    before = forecast.seen[-lead_in(forecast) :]
    return forecast.in_sd(np.concatenate([before, forecast.truth]))


def method_frames(forecast: Forecast, method: str) -> NDArray[np.float32]:
    """Return the seen volumes and then a method's forecast, (n, P) in SD."""
    before = forecast.seen[-lead_in(forecast) :]
    return forecast.in_sd(np.concatenate([before, forecast.forecasts[method]]))


def difference_frames(forecast: Forecast, method: str = "model") -> NDArray[np.float32]:
    """Return forecast minus observed, (n, P) in SD; 0 before the start, NaN beyond the end."""
    return method_frames(forecast, method) - observed_frames(forecast)


def scene_of(
    forecast: Forecast,
    parcellation: Parcellation,
    *,
    method: str = "model",
    simulated: bool = False,
    width: int = 280,
    theme: str = "light",
) -> Scene:
    """Return the film of a forecast; without any truth just the forecast.

    Parameters
    ----------
    forecast : Forecast
    parcellation : Parcellation
    method : str
        Whose forecast.
    simulated : bool
        Says so on every frame.
    width : int
        Of one brain in pixels.
    theme : {"light", "dark"}
    """
    limits = (-LIMIT_SD, LIMIT_SD)
    words = words_of(method, "forecast")
    panels = [Panel(f"Forecast by {words}", method_frames(forecast, method), _UNIT, "diverging", limits)]
    if forecast.n_known:
        panels.insert(0, Panel("Observed", observed_frames(forecast), _UNIT, "diverging", limits))
        error = difference_frames(forecast, method)
        panels.append(Panel("Forecast minus observed", error, "SD", "diverging", limits))
    return Scene(
        panels,
        parcellation,
        frame_times(forecast),
        float(forecast.seen_times_s[-1]),
        "Simulated data" if simulated else "",
        width,
        theme,
    )


def save_animation(result: ForecastResult, path: Path) -> Path:
    """Write the film of a result as ``.gif``, ``.mp4`` or, its first forecast frame, ``.png``."""
    scene = scene_of(result.forecast, result.parcellation, simulated=result.provenance.simulated)
    kind: Film = "mp4" if path.suffix == ".mp4" else "gif"
    content = png_bytes(scene, lead_in(result.forecast)) if path.suffix == ".png" else film_bytes(scene, kind)
    with whole_file(path) as part:
        part.write_bytes(content)
    return path
