"""How good forecasts are: per step, per parcel, per network, with intervals over start points.

Everything is measured in units of each parcel's standard deviation over the seen part, around its
seen mean, so that no parcel counts more because its signal is larger. R² is pooled over the entries
in question (start points × parcels): one minus squared error over squared deviation from the mean of
those entries. Intervals (95 %) come from drawing blocks of neighbouring start points again, because
forecasts from start points closer than the horizon share their truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError
from brainlm_core.base.methods import best_baseline, methods_of

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

MEASURES = ("r2", "mse", "correlation")
#: Draws for intervals; fewer start points than this give none.
N_DRAWS, MIN_STARTS = 500, 5
#: Start points whose entries are held at once.
_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Backtest:
    """Forecasts from many start points of one recording beside what came.

    Parameters
    ----------
    starts : ndarray (W,), int64
        First forecast volume of each start point, rising.
    tr_s : float
        Sampling interval in s.
    truth : ndarray (W, H, P), float32
        What was measured, in the recording's units; NaN beyond its end.
    forecasts : mapping of str to ndarray (W, H, P), float32
        By method, see :mod:`brainlm_core.base.methods`; the same units.
    centre, spread : ndarray (W, P), float32
        Mean and standard deviation of each parcel over the seen part.
    usable : ndarray (P,), bool
        False for parcels that do not vary in every seen part: they take part in no score.
    """

    starts: NDArray[np.int64]
    tr_s: float
    truth: FloatArray
    forecasts: Mapping[str, FloatArray]
    centre: FloatArray
    spread: FloatArray
    usable: BoolArray

    @property
    def n_starts(self) -> int:
        """Number of start points W."""
        return int(self.truth.shape[0])

    @property
    def n_steps(self) -> int:
        """Number of steps H."""
        return int(self.truth.shape[1])

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that were run, in the order of the table of methods."""
        return tuple(m for m in methods_of("forecast") if m in self.forecasts)

    def in_sd(self, values: FloatArray, starts: slice = slice(None)) -> Array:
        """Return values (W, H, P) of some starts in SD from the seen mean, usable parcels only (w, H, p)."""
        keep = self.usable
        centre, spread = self.centre[starts, None][..., keep], self.spread[starts, None][..., keep]
        return (values[starts][..., keep].astype(np.float64) - centre) / spread


@dataclass(frozen=True, eq=False)
class Sums:
    """What R², mean squared error and correlation are made of.

    Parameters
    ----------
    table : ndarray (6, ...), float64
        Count, Σ truth, Σ truth², Σ forecast, Σ forecast², Σ truth · forecast over the entries.
    """

    table: Array

    def over(self, axis: int | tuple[int, ...]) -> Sums:
        """Return the sums over further axes (counted without the first)."""
        axes = (axis,) if isinstance(axis, int) else axis
        return Sums(self.table.sum(axis=tuple(a + 1 for a in axes)))

    def r2(self) -> Array:
        """Return explained variance; NaN where the truth does not vary."""
        n, y, yy, _, ff, yf = self.table
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(1 - (yy - 2 * yf + ff) / _positive(yy - y * y / n))

    def mse(self) -> Array:
        """Return the mean squared error, in squared SD."""
        n, _, yy, _, ff, yf = self.table
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((yy - 2 * yf + ff) / n)

    def correlation(self) -> Array:
        """Return Pearson's r; NaN where either side does not vary."""
        n, y, yy, f, ff, yf = self.table
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(
                (yf - y * f / n) / np.sqrt(_positive(yy - y * y / n) * _positive(ff - f * f / n))
            )

    def measure(self, name: str) -> Array:
        """Return one of :data:`MEASURES`."""
        return np.asarray(getattr(self, name)())


@dataclass(frozen=True, eq=False)
class Race:
    """Every measure per step and method.

    Parameters
    ----------
    times_s : ndarray (H,), float64
        Time of each step after the last seen volume, in s.
    values : mapping of measure to mapping of method to ndarray (H,)
    intervals : mapping of measure to mapping of method to ndarray (H, 2)
        95 % over start points; NaN with fewer than five.
    ahead : ndarray (H, 2), float64
        95 % interval of R²(model) − R²(best baseline) over start points; NaN with fewer than five.
    best_baseline : tuple of str, length H
        Baseline with the highest R² at each step, the twin not counted.
    n_starts : int
    """

    times_s: Array
    values: Mapping[str, Mapping[str, Array]]
    intervals: Mapping[str, Mapping[str, Array]]
    ahead: Array
    best_baseline: tuple[str, ...]
    n_starts: int


def start_sums(backtest: Backtest, method: str, membership: Array | None = None) -> Sums:
    """Return sums over parcels, (6, W, H), or over groups of parcels, (6, W, H, G).

    Parameters
    ----------
    backtest : Backtest
    method : str
    membership : ndarray (p, G), optional
        1 where a usable parcel belongs to a group.
    """
    parts = [
        entries.sum(axis=-1) if membership is None else entries @ membership
        for entries in _entries(backtest, method, slice(None))
    ]
    return Sums(np.concatenate(parts, axis=1))


def parcel_sums(backtest: Backtest, method: str, steps: slice = slice(None)) -> Sums:
    """Return sums over start points and steps of each usable parcel, (6, p)."""
    return Sums(sum(entries.sum(axis=(1, 2)) for entries in _entries(backtest, method, steps)))


def _entries(backtest: Backtest, method: str, steps: slice) -> Iterator[Array]:
    """Yield the six summands of single entries (6, w, H, p), a few start points at a time."""
    for first in range(0, backtest.n_starts, _CHUNK):
        part = slice(first, first + _CHUNK)
        truth = backtest.in_sd(backtest.truth, part)[:, steps]
        forecast = backtest.in_sd(backtest.forecasts[method], part)[:, steps]
        known = np.isfinite(truth) & np.isfinite(forecast)
        y, f = np.where(known, truth, 0.0), np.where(known, forecast, 0.0)
        yield np.stack([known.astype(np.float64), y, y * y, f, f * f, y * f])


def race(backtest: Backtest, *, seed: int = 0) -> Race:
    """Score every method at every step.

    Parameters
    ----------
    backtest : Backtest
    seed : int
        Of the interval's draws.

    Raises
    ------
    AnalysisError
        If no parcel varies or no truth is known.
    """
    if not backtest.usable.any():
        raise AnalysisError("no parcel varies in the seen part", "check the recording")
    if not np.isfinite(backtest.truth[:, 0][:, backtest.usable]).any():
        raise AnalysisError("nothing was measured after the start point", "choose an earlier start")
    sums = {m: start_sums(backtest, m) for m in backtest.methods}  # (6, W, H)
    draws = _draws(backtest, seed)
    drawn = {m: _redraw(s, draws) for m, s in sums.items()}
    values: dict[str, dict[str, Array]] = {k: {} for k in MEASURES}
    intervals: dict[str, dict[str, Array]] = {k: {} for k in MEASURES}
    for method, total in sums.items():
        for measure in MEASURES:
            values[measure][method] = total.over(0).measure(measure)
            intervals[measure][method] = _interval(drawn[method], measure, backtest.n_steps)
    best = tuple(
        best_baseline({m: float(v[h]) for m, v in values["r2"].items()}, "forecast") or "mean"
        for h in range(backtest.n_steps)
    )
    return Race(
        times_s=np.asarray((np.arange(backtest.n_steps) + 1) * backtest.tr_s, dtype=np.float64),
        values=values,
        intervals=intervals,
        ahead=_ahead(drawn, best, backtest.n_steps),
        best_baseline=best,
        n_starts=backtest.n_starts,
    )


def with_control(result: Race, control: Race) -> Race:
    """Return a race with one more row: the model's scores on the control recording, against its own truth.

    Parameters
    ----------
    result : Race
    control : Race
        Of the model alone, over the same start points of the control recording.
    """

    def added(of: Mapping[str, Mapping[str, Array]], more: Mapping[str, Mapping[str, Array]]) -> Any:
        return {m: {**by, "no_scan": more[m]["model"]} for m, by in of.items()}

    return replace(
        result,
        values=added(result.values, control.values),
        intervals=added(result.intervals, control.intervals),
    )


def parcel_scores(backtest: Backtest, method: str, steps: slice = slice(None), measure: str = "r2") -> Array:
    """Return a measure per parcel over start points and steps, (P,); NaN for unusable parcels."""
    out = np.full(len(backtest.usable), np.nan)
    out[backtest.usable] = parcel_sums(backtest, method, steps).measure(measure)
    return out


def skill_map(backtest: Backtest, steps: slice = slice(None)) -> tuple[Array, str]:
    """Return R²(model) − R²(best baseline) per parcel and which baseline that is.

    The best baseline is the one with the highest pooled R² over these steps: one for the whole
    brain, since choosing the best of four for each parcel would flatter the baselines by chance.

    Returns
    -------
    difference : ndarray (P,)
        NaN for unusable parcels.
    baseline : str
    """
    rivals = [m for m in methods_of("forecast", "baseline") if m in backtest.forecasts]

    def pooled(method: str) -> float:
        return float(parcel_sums(backtest, method, steps).over(0).r2())

    best = max(rivals, key=pooled)
    return parcel_scores(backtest, "model", steps) - parcel_scores(backtest, best, steps), best


def network_scores(
    backtest: Backtest, groups: tuple[str, ...], measure: str = "r2"
) -> dict[str, dict[str, Array]]:
    """Return a measure per network, method and step: ``{network: {method: (H,)}}``.

    Parameters
    ----------
    backtest : Backtest
    groups : tuple of str, length P
        Network (or structure) of each parcel; networks without a usable parcel are left out.
    """
    kept = np.array(groups)[backtest.usable]
    out: dict[str, dict[str, Array]] = {g: {} for g in dict.fromkeys(groups) if (kept == g).any()}
    membership = np.stack([kept == group for group in out], axis=1).astype(np.float64)  # (p, G)
    for method in backtest.methods:
        scores = start_sums(backtest, method, membership).over(0).measure(measure)  # (H, G)
        for column, group in enumerate(out):
            out[group][method] = scores[:, column]
    return out


def race_to_dict(result: Race) -> dict[str, Any]:
    """Return ``{measure: {method: list over steps}}`` with ``…_ci95`` beside, and the times in s."""
    out: dict[str, Any] = {"times_s": result.times_s.tolist(), "n_starts": result.n_starts}
    for measure in MEASURES:
        out[measure] = {m: v.tolist() for m, v in result.values[measure].items()}
        out[f"{measure}_ci95"] = {m: v.tolist() for m, v in result.intervals[measure].items()}
    out["best_baseline"] = list(result.best_baseline)
    out["r2_ahead_of_best_baseline_ci95"] = result.ahead.tolist()
    return out


def _positive(values: Array) -> Array:
    return np.where(values > 1e-12, values, np.nan)


def _draws(backtest: Backtest, seed: int) -> NDArray[np.int64] | None:
    """Return start points drawn in blocks, (N_DRAWS, W), or None when there are too few."""
    n = backtest.n_starts
    if n < MIN_STARTS:
        return None
    gap = max(1.0, float(np.median(np.diff(backtest.starts))))
    length = int(np.clip(np.ceil(backtest.n_steps / gap), 1, max(1, n // MIN_STARTS)))
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n, (N_DRAWS, -(-n // length)))
    return ((first[:, :, None] + np.arange(length)).reshape(N_DRAWS, -1)[:, :n]) % n


def _redraw(sums: Sums, draws: NDArray[np.int64] | None) -> Sums | None:
    """Return the sums over each draw, (6, N_DRAWS, H)."""
    if draws is None:
        return None
    n = sums.table.shape[1]
    weight = np.zeros((len(draws), n))
    np.add.at(weight, (np.arange(len(draws))[:, None], draws), 1.0)
    return Sums(np.einsum("dw,swh->sdh", weight, sums.table))


def _interval(drawn: Sums | None, measure: str, n_steps: int) -> Array:
    if drawn is None:
        return np.full((n_steps, 2), np.nan)
    return _percentiles(drawn.measure(measure))


def _ahead(drawn: Mapping[str, Sums | None], best: tuple[str, ...], n_steps: int) -> Array:
    model = drawn.get("model")
    if model is None:
        return np.full((n_steps, 2), np.nan)
    gap = np.empty_like(model.r2())
    for h, method in enumerate(best):
        other = drawn[method]
        assert other is not None  # all methods are drawn alike
        gap[:, h] = model.r2()[:, h] - other.r2()[:, h]
    return _percentiles(gap)


def _percentiles(values: Array) -> Array:
    """(draws, H) → (H, 2); NaN where a step is never known."""
    out = np.full((values.shape[1], 2), np.nan)
    known = np.isfinite(values).all(axis=0)
    if known.any():
        out[known] = np.percentile(values[:, known], [2.5, 97.5], axis=0).T
    return out
