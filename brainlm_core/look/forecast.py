"""The race of forecasts as rows of the baseline strip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brainlm_core.analyses.forecast_metrics import Race
from brainlm_core.look.strip import Row


def strip_rows(race: Race | None, wanted: Sequence[str]) -> list[Row]:
    """Return R² one volume ahead by method for the baseline strip; None while unknown."""
    rows = []
    for method in wanted:
        known = race is not None and method in race.values["r2"]
        value = round(float(race.values["r2"][method][0]), 2) + 0.0 if race is not None and known else None
        interval = None
        if race is not None and known and np.isfinite(race.intervals["r2"][method][0]).all():
            low, high = race.intervals["r2"][method][0]
            interval = (float(low), float(high))
        rows.append(Row(method, value, interval))
    return rows
