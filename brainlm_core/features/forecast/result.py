"""What a forecast is, and what it leaves on disk: dataclasses, tables for people, arrays for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.methods import methods_of
from brainlm_core.base.recording import Provenance
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.base.shown import Shown
from brainlm_core.features.forecast.intervals import Coverage
from brainlm_core.features.forecast.metrics import (
    MEASURES,
    Backtest,
    Race,
    network_scores,
    parcel_scores,
    race_to_dict,
    skill_map,
)
from brainlm_core.features.forecast.plan import ForecastOptions
from brainlm_core.features.forecast.verdict import Verdict
from brainlm_core.features.forecast.windows import Grid

if TYPE_CHECKING:
    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.inference.engine import EngineInfo

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
#: Steps over which the skill map is taken: where there is something to win.
SKILL_STEPS = 5


@dataclass(frozen=True, eq=False)
class Forecast:
    """The forecast from one start point.

    Parameters
    ----------
    start : int
        First volume that is not seen, counted from 0.
    tr_s : float
        Sampling interval in s.
    seen : ndarray (C, P), float32
        The context, in the recording's units.
    truth : ndarray (H, P), float32
        What came; NaN beyond the recording's end.
    forecasts : mapping of str to ndarray (H, P), float32
        By method (see :mod:`brainlm_core.base.methods`), in the recording's units.
    lower, upper : ndarray (H, P), float32
        Nominal 90 % predictive interval of the model; NaN where too little came before.
    member_sd : ndarray (H, P), float32
        Spread of the ensemble's members; 0 for a single one.
    centre, spread : ndarray (P,), float32
        Mean and standard deviation over the seen part.
    usable : ndarray (P,), bool
        False for parcels that do not vary in the seen part.
    """

    start: int
    tr_s: float
    seen: FloatArray
    truth: FloatArray
    forecasts: dict[str, FloatArray]
    lower: FloatArray
    upper: FloatArray
    member_sd: FloatArray
    centre: FloatArray
    spread: FloatArray
    usable: BoolArray

    @property
    def n_steps(self) -> int:
        """Horizon H in volumes."""
        return int(self.truth.shape[0])

    @property
    def n_known(self) -> int:
        """Steps whose truth was measured."""
        return int(np.isfinite(self.truth).all(axis=1).sum())

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Return the time of each step from the start of the recording, (H,) in s."""
        return np.asarray((self.start + np.arange(self.n_steps)) * self.tr_s)

    @property
    def seen_times_s(self) -> NDArray[np.float64]:
        """Return the time of each seen volume from the start of the recording, (C,) in s."""
        return np.asarray((self.start - len(self.seen) + np.arange(len(self.seen))) * self.tr_s)

    def in_sd(self, values: FloatArray) -> FloatArray:
        """Return values (..., P) in SD from the seen mean; NaN for unusable parcels."""
        spread = np.where(self.usable, self.spread, np.nan)
        return np.asarray((values - self.centre) / spread, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Tested:
    """Back-test of a forecast and what it says.

    Parameters
    ----------
    backtest : Backtest or None
        None when the recording holds no start point with a known truth.
    member_sd : ndarray (W, H, P), float32, or None
        Spread of the ensemble's members, in the recording's units.
    race : Race or None
    coverage : Coverage
        Of the nominal 90 % interval.
    verdict : Verdict
    """

    backtest: Backtest | None
    member_sd: FloatArray | None
    race: Race | None
    coverage: Coverage
    verdict: Verdict


@dataclass(frozen=True, eq=False, repr=False)
class ForecastResult(Saved, Shown):
    """A forecast, the back-test that says how far to trust it, and both in one sentence.

    Parameters
    ----------
    forecast : Forecast
    backtest : Backtest or None
        None when no start point has a known truth.
    race : Race or None
    coverage : Coverage
        Of the nominal 90 % interval over the back-test.
    verdict : Verdict
        Who wins, and until when.
    options : ForecastOptions
    grid : Grid
    parcellation : Parcellation
    model : EngineInfo
    notices : tuple of str
        What a reader must know.
    provenance : Provenance
    """

    forecast: Forecast
    backtest: Backtest | None
    race: Race | None
    coverage: Coverage
    verdict: Verdict
    options: ForecastOptions
    grid: Grid
    parcellation: Parcellation
    model: EngineInfo
    notices: tuple[str, ...]
    provenance: Provenance = field(repr=False)

    first_figure: ClassVar[str] = "forecast"

    def in_words(self) -> str:
        """Return who forecasts best, one line."""
        return self.verdict.sentence

    def to_dict(self) -> dict[str, Any]:
        """Return the figures: R² and squared error by method over steps, coverage, the sentence."""
        scores: dict[str, Any] = {} if self.race is None else race_to_dict(self.race)
        for measure in ("r2", "mse"):
            scores.setdefault(measure, dict.fromkeys(methods_of("forecast")))
        return {
            **scores,
            "coverage_90": self.coverage.share,
            "coverage_90_per_step": list(self.coverage.per_step),
            "coverage_90_n_starts": self.coverage.n_starts,
            "sentence": self.verdict.sentence,
            "winner_per_step": list(self.verdict.winners),
            "skill_until_s": self.verdict.skill_until_s,
            "model_ahead_until_s": self.verdict.ahead_until_s,
            "error_unit": "standard deviations of each parcel over the seen part",
            "start_volume": self.forecast.start,
            "start_s": self.forecast.start * self.forecast.tr_s,
            "n_steps": self.forecast.n_steps,
            "n_steps_with_truth": self.forecast.n_known,
            "context_volumes": self.grid.context,
            "tr_s": self.forecast.tr_s,
            "model_tr_s": self.grid.model_tr_s,
            "n_parcels": len(self.forecast.usable),
            "n_parcels_scored": int(self.forecast.usable.sum()),
            "model": self.model.to_dict(),
            "options": self.options.to_dict(),
            "notices": list(self.notices),
            "provenance": self.provenance.to_dict(),
        }

    def files(self) -> ResultFiles:
        """Return one JSON, four tables and the arrays."""
        return ResultFiles(
            {"forecast.json": self.to_dict()},
            tables={
                "forecast.csv": forecast_table(self.forecast, self.parcellation.names),
                "race.csv": race_table(self),
                "parcels.csv": parcel_table(self),
                "networks.csv": network_table(self),
            },
            arrays={"forecast.npz": arrays(self)},
        )


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
