"""Predictive intervals from the model's own earlier misses, and how often they hold.

For each step the interval's half-width is the 90 % quantile of the absolute error, in SD of the
seen part, over earlier forecasts of the same recording whose truth was already seen at the start
point (split-conformal prediction, Vovk et al. 2005, with all parcels pooled), widened by the spread
of the ensemble. Nothing after the start point enters. Coverage is then counted, not assumed:
earlier forecasts of a recording are not exchangeable with later ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.features.forecast.metrics import Backtest

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]

#: Share of truths that the interval is meant to hold.
LEVEL = 0.9
#: Fewest earlier forecasts that an interval is built on, and the most that are looked at.
MIN_EARLIER, MAX_EARLIER = 3, 40
#: Half-width of a 90 % interval of a normal distribution, in SD.
_NORMAL_90 = 1.6448536


@dataclass(frozen=True)
class Coverage:
    """How often intervals held.

    Parameters
    ----------
    share : float or None
        Share of truths inside the nominal 90 % interval; None when no interval could be built.
    per_step : tuple of float
        The same by step; NaN where none.
    n_starts : int
        Start points that had an interval.
    """

    share: float | None
    per_step: tuple[float, ...]
    n_starts: int


def quantiles_at(start: int, earlier: Backtest) -> Array:
    """Return the 90 % error quantile per step (H,), in SD; NaN with fewer than three usable forecasts.

    Parameters
    ----------
    start : int
        First volume that is not seen.
    earlier : Backtest
        With a ``model`` forecast; start points after ``start`` are ignored, and so is every step
        whose truth was not seen yet.
    """
    return _quantiles(start, earlier.starts, _errors(earlier))


def half_widths(quantiles: Array, spread: FloatArray, member_sd: FloatArray) -> FloatArray:
    """Return the half-width of the interval, in the units of ``spread``.

    Parameters
    ----------
    quantiles : ndarray (H,)
        From :func:`quantiles_at`.
    spread : ndarray (P,)
        SD over the seen part.
    member_sd : ndarray (H, P)
        Spread of the ensemble's members.
    """
    base = quantiles[:, None] * spread[None]
    return np.asarray(np.sqrt(base**2 + (_NORMAL_90 * member_sd) ** 2), dtype=np.float32)


def coverage(backtest: Backtest, member_sd: FloatArray) -> Coverage:
    """Count how often the truth fell into the interval that was known at each start point.

    Parameters
    ----------
    backtest : Backtest
        With a ``model`` forecast.
    member_sd : ndarray (W, H, P)
        Spread of the ensemble's members.
    """
    errors = _errors(backtest)  # (W, H, p)
    inside = np.full(errors.shape[:2], np.nan)
    for i, start in enumerate(backtest.starts):
        quantile = _quantiles(int(start), backtest.starts[:i], errors[:i])
        spread = np.ones(errors.shape[2], dtype=np.float32)
        members = (member_sd[i] / np.where(backtest.spread[i] > 0, backtest.spread[i], 1.0))[
            :, backtest.usable
        ]
        held = np.abs(errors[i]) <= half_widths(quantile, spread, members.astype(np.float32))
        known = np.isfinite(errors[i]) & np.isfinite(quantile)[:, None]
        with np.errstate(invalid="ignore"):
            inside[i] = np.where(known.any(axis=1), (held & known).sum(axis=1) / known.sum(axis=1), np.nan)
    counted = np.isfinite(inside)
    per_step = tuple(
        float(inside[counted[:, h], h].mean()) if counted[:, h].any() else float("nan")
        for h in range(backtest.n_steps)
    )
    share = float(inside[counted].mean()) if counted.any() else None
    return Coverage(share, per_step, int(counted.any(axis=1).sum()))


def _errors(backtest: Backtest) -> FloatArray:
    """Return the model's errors in SD, (W, H, p) float32."""
    truth, forecast = backtest.in_sd(backtest.truth), backtest.in_sd(backtest.forecasts["model"])
    return np.asarray(forecast - truth, dtype=np.float32)


def _quantiles(start: int, starts: NDArray[np.int64], errors: FloatArray) -> Array:
    n_steps = errors.shape[1]
    out = np.full(n_steps, np.nan)
    for step in range(n_steps):
        usable = np.flatnonzero(starts + step < start)[-MAX_EARLIER:]
        if len(usable) < MIN_EARLIER:
            continue
        misses = np.abs(errors[usable, step])
        misses = misses[np.isfinite(misses)]
        if misses.size:
            out[step] = np.quantile(misses, LEVEL)
    return out
