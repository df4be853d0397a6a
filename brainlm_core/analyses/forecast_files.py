"""What a forecast leaves on disk: tables for people, arrays for programs, one JSON with the provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brainlm_core.analyses.forecast_metrics import MEASURES, network_scores, parcel_scores, skill_map
from brainlm_core.analyses.result_files import plain
from brainlm_core.tables import write_table
from brainlm_core.writing import whole_files

if TYPE_CHECKING:
    from brainlm_core.analyses.forecast_result import Forecast, ForecastResult

#: Steps over which the skill map is taken: where there is something to win.
SKILL_STEPS = 5


def forecast_table(forecast: Forecast, names: tuple[str, ...]) -> pd.DataFrame:
    """Return one row per step and parcel: truth, every method, the interval, in the recording's units."""
    steps, parcels = forecast.truth.shape
    columns: dict[str, Any] = {
        "time_s": np.repeat(forecast.times_s, parcels),
        "step": np.repeat(np.arange(1, steps + 1), parcels),
        "parcel": np.tile(np.arange(1, parcels + 1), steps),
        "name": np.tile(np.array(names, dtype=object), steps),
        "observed": forecast.truth.ravel(),
    }
    columns |= {name: values.ravel() for name, values in forecast.forecasts.items()}
    return pd.DataFrame({**columns, "lower_90": forecast.lower.ravel(), "upper_90": forecast.upper.ravel()})


def race_table(result: ForecastResult) -> pd.DataFrame:
    """Return one row per step and method: every measure with its 95 % interval over start points."""
    race = result.race
    if race is None:
        return pd.DataFrame(columns=["time_s", "step", "method", *MEASURES])
    frames = []
    for method in race.values["r2"]:
        columns: dict[str, Any] = {
            "time_s": race.times_s,
            "step": np.arange(1, len(race.times_s) + 1),
            "method": method,
        }
        for measure in MEASURES:
            low, high = race.intervals[measure][method].T
            columns[measure] = race.values[measure][method]
            columns |= {f"{measure}_low": low, f"{measure}_high": high}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def parcel_table(result: ForecastResult) -> pd.DataFrame:
    """Return one row per parcel: what it is and R² of every method over the first steps."""
    place = result.parcellation
    table: dict[str, Any] = {
        "parcel": np.arange(1, place.n_parcels + 1),
        "name": list(place.names),
        "network": list(place.group),
        "scored": result.forecast.usable,
    }
    if result.backtest is not None:
        steps = slice(0, SKILL_STEPS)
        for method in result.backtest.methods:
            table[f"r2_{method}"] = parcel_scores(result.backtest, method, steps)
        table["skill"], best = skill_map(result.backtest, steps)
        table["skill_against"] = best
        table["scored"] = result.backtest.usable
    return pd.DataFrame(table)


def network_table(result: ForecastResult) -> pd.DataFrame:
    """Return one row per network, method and step with R²."""
    rows = []
    if result.backtest is not None:
        for network, methods in network_scores(result.backtest, result.parcellation.group).items():
            for method, values in methods.items():
                rows += [(network, method, step + 1, value) for step, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["network", "method", "step", "r2"])


def arrays(result: ForecastResult) -> dict[str, Any]:
    """Return everything as arrays: the forecast (H, P), the back-test (W, H, P), times in s."""
    own = result.forecast
    out: dict[str, Any] = {
        "times_s": own.times_s,
        "seen_times_s": own.seen_times_s,
        "seen": own.seen,
        "observed": own.truth,
        "lower_90": own.lower,
        "upper_90": own.upper,
        "member_sd": own.member_sd,
        "seen_mean": own.centre,
        "seen_sd": own.spread,
        "scored": own.usable,
        **{f"forecast_{name}": values for name, values in own.forecasts.items()},
    }
    if result.backtest is not None:
        test = result.backtest
        out |= {
            "backtest_starts": test.starts,
            "backtest_observed": test.truth,
            "backtest_seen_mean": test.centre,
            "backtest_seen_sd": test.spread,
            **{f"backtest_{name}": values for name, values in test.forecasts.items()},
        }
    return out | result.parcellation.to_arrays()


def save_result(result: ForecastResult, folder: Path) -> tuple[Path, ...]:
    """Write one JSON, four tables and one ``.npz`` into ``folder``; return their paths.

    Raises
    ------
    ConfigError
        If the folder cannot be written.
    """
    tables: Mapping[str, pd.DataFrame] = {
        "forecast.csv": forecast_table(result.forecast, result.parcellation.names),
        "race.csv": race_table(result),
        "parcels.csv": parcel_table(result),
        "networks.csv": network_table(result),
    }
    with whole_files(folder) as part:
        for name, table in tables.items():
            write_table(part / name, table)
        with (part / "forecast.npz").open("wb") as stream:
            np.savez_compressed(stream, **arrays(result))
        (part / "forecast.json").write_text(
            json.dumps(plain(result.to_dict()), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )
    return tuple(folder / name for name in ("forecast.json", *tables, "forecast.npz"))
