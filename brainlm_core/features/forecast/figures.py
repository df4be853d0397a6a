"""The race of forecasts as rows of the baseline strip."""

from __future__ import annotations

import numpy as np

from brainlm_core.base.methods import methods_of, title_of
from brainlm_core.features.forecast.metrics import Race
from brainlm_core.viz.strip import Row


def strip_rows(race: Race | None, *, everything: bool = False) -> list[Row]:
    """Return R² one volume ahead by method for the baseline strip; None while unknown.

    The last value is left out unless ``everything`` is asked for: it would press all others together.
    """
    wanted = [m for m in methods_of("forecast") if race is None or m in race.values["r2"]]
    wanted = [m for m in wanted if everything or m != "last_value"]
    rows = []
    for method in wanted:
        known = race is not None and method in race.values["r2"]
        value = round(float(race.values["r2"][method][0]), 2) + 0.0 if race is not None and known else None
        interval = None
        if race is not None and known and np.isfinite(race.intervals["r2"][method][0]).all():
            low, high = race.intervals["r2"][method][0]
            interval = (float(low), float(high))
        rows.append(Row(method, value, interval, title_of(method, "forecast")))
    return rows
