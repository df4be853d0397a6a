"""Forecasts that need no trained model, fitted on the seen part alone, for many start points at once.

All functions take ``seen`` (n_starts, n_parcels, n_seen), the last sample being the newest, and
return the next ``steps`` samples, (n_starts, steps, n_parcels), in the units of the input. Parcels
that do not vary in the seen part are forecast as their own value.

- mean: the mean of the seen part;
- last value: the newest sample, forever (persistence);
- ar: an autoregressive model per parcel, Yule–Walker coefficients by the Levinson–Durbin recursion,
  order by the Bayesian information criterion (Brockwell & Davis 1991, sections 8.1–8.2, 9.3);
- ridge: a vector autoregression on the leading principal components of all parcels, ridge penalty
  chosen on the newest fifth of the seen part, and the parcel's own AR for what the components leave;
- linear mix: the mean of three forecasts that err apart: one autoregression for all parcels, the vector
  autoregression on 30 components, and an autoregression for each of 50 components.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]

#: Largest autoregressive order that is tried.
MAX_ORDER = 10
#: Principal components of the vector autoregression, at most; and at most this share of the seen samples.
#: 20 to 50 differ by less than .02 in R² on resting scans; 30 with one lag was best.
MAX_COMPONENTS, COMPONENT_SHARE = 30, 0.33
#: Principal components that get an autoregression each in the linear mix, at most.
MIX_COMPONENTS = 50
#: Ridge penalties that are tried, in units of the mean variance of a component times the samples.
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
#: Share of the seen part, its newest end, on which the penalty is chosen.
VALIDATION_SHARE = 0.2
#: Fewest seen samples that anything is fitted on.
MIN_SEEN = 20
#: Spread below this share of the largest magnitude counts as none.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Autoregression:
    """Autoregressive models of many signals.

    Parameters
    ----------
    coefficients : ndarray (..., MAX_ORDER), float64
        Weight of the value 1, 2, … samples ago; 0 beyond the order.
    order : ndarray (...,), int64
    noise : ndarray (...,), float64
        Variance of the one-step error.
    """

    coefficients: Array
    order: NDArray[np.int64]
    noise: Array

    def forecast(self, newest: Array, steps: int) -> Array:
        """Iterate the model.

        Parameters
        ----------
        newest : ndarray (..., n >= MAX_ORDER)
            Centred signals, newest last.
        steps : int

        Returns
        -------
        ndarray (..., steps)
        """
        lags = self.coefficients.shape[-1]
        past = newest[..., : -lags - 1 : -1].copy()  # (..., lags), newest first
        out = np.empty((*newest.shape[:-1], steps))
        for k in range(steps):
            out[..., k] = (past * self.coefficients).sum(axis=-1)
            past = np.concatenate([out[..., k : k + 1], past[..., :-1]], axis=-1)
        return out


def autocovariance(centred: Array, n_lags: int) -> Array:
    """Return the biased autocovariance at lags 0 … ``n_lags``, (..., n_lags + 1).

    Biased (divided by n at every lag), so that the Yule–Walker model is always stationary.
    """
    n = centred.shape[-1]
    return np.stack(
        [
            np.einsum("...t,...t->...", centred[..., lag:], centred[..., : n - lag]) / n
            for lag in range(n_lags + 1)
        ],
        axis=-1,
    )


def fit_ar(centred: Array, max_order: int = MAX_ORDER) -> Autoregression:
    """Fit an autoregression to each signal.

    Parameters
    ----------
    centred : ndarray (..., n)
        Signals without their mean.
    max_order : int
        Orders 0 … ``max_order`` are compared by ``n log(noise) + order log(n)``.

    Returns
    -------
    Autoregression
        Equal to ``statsmodels.regression.linear_model.yule_walker(x, p, method="mle")`` at the
        chosen order p.
    """
    n = centred.shape[-1]
    max_order = min(max_order, n - 1)
    covariance = autocovariance(centred, max_order)
    shape = covariance.shape[:-1]
    variance = covariance[..., 0]
    safe = variance > 0
    phi = np.zeros((*shape, max_order))
    noise = np.where(safe, variance, 1.0)
    best = phi.copy()
    order = np.zeros(shape, dtype=np.int64)
    best_noise = noise.copy()
    score = n * np.log(noise)
    for p in range(1, max_order + 1):
        known = (phi[..., : p - 1] * covariance[..., p - 1 : 0 : -1]).sum(axis=-1)
        reflection = np.where(safe, (covariance[..., p] - known) / noise, 0.0)
        previous = phi[..., : p - 1].copy()
        phi[..., : p - 1] = previous - reflection[..., None] * previous[..., ::-1]
        phi[..., p - 1] = reflection
        noise = noise * np.clip(1 - reflection**2, 1e-12, None)
        criterion = n * np.log(noise) + p * np.log(n)
        better = criterion < score
        score = np.where(better, criterion, score)
        order = np.where(better, p, order)
        best = np.where(better[..., None], phi, best)
        best_noise = np.where(better, noise, best_noise)
    return Autoregression(best, order, np.where(safe, best_noise, 0.0))


def fit_pooled_ar(centred: Array, max_order: int = MAX_ORDER) -> Autoregression:
    """Fit one autoregression to all signals (P, N) together, order by BIC over all of their samples."""
    n_signals, n = centred.shape
    max_order = min(max_order, n - 1)
    covariance = autocovariance(centred, max_order).mean(axis=0)
    phi, best = np.zeros(max_order), np.zeros(max_order)
    noise = best_noise = float(covariance[0])
    order, score = 0, np.inf
    if noise > 0:
        size = n * n_signals
        score = size * np.log(noise)
        for p in range(1, max_order + 1):
            known = phi[: p - 1] @ covariance[p - 1 : 0 : -1]
            reflection = float((covariance[p] - known) / noise)
            previous = phi[: p - 1].copy()
            phi[: p - 1] = previous - reflection * previous[::-1]
            phi[p - 1] = reflection
            noise *= max(1 - reflection**2, 1e-12)
            criterion = size * np.log(noise) + p * np.log(size)
            if criterion < score:
                score, order, best, best_noise = criterion, p, phi.copy(), noise
    every = (n_signals,)
    return Autoregression(
        np.broadcast_to(best, (n_signals, max_order)), np.full(every, order), np.full(every, best_noise)
    )


def mean_forecast(seen: FloatArray, steps: int) -> FloatArray:
    """Return the mean of the seen part; see the module for shapes."""
    return _repeat(seen.mean(axis=2, dtype=np.float64), steps)


def last_value_forecast(seen: FloatArray, steps: int) -> FloatArray:
    """Return the newest sample; see the module for shapes."""
    return _repeat(seen[:, :, -1], steps)


def ar_forecast(seen: FloatArray, steps: int) -> FloatArray:
    """Return each parcel's own autoregression; see the module for shapes."""
    centred, mean, spread = _standardised(seen)
    out = fit_ar(centred).forecast(centred, steps)  # (W, P, steps)
    return _in_source_units(out, mean, spread)


def ridge_forecast(seen: FloatArray, steps: int) -> FloatArray:
    """Return the vector autoregression on components with own AR residuals; see the module for shapes."""
    centred, mean, spread = _standardised(seen)
    out = np.stack([_ridge_one(window, steps) for window in centred])  # (W, P, steps)
    return _in_source_units(out, mean, spread)


def linear_mix_forecast(seen: FloatArray, steps: int) -> FloatArray:
    """Return the mean of pooled AR, VAR on components and AR by component; see the module for shapes."""
    centred, mean, spread = _standardised(seen)
    out = np.stack([_mix_one(window, steps) for window in centred])  # (W, P, steps)
    return _in_source_units(out, mean, spread)


#: Baselines by the key of the results, in the order in which they are listed.
BASELINES: Mapping[str, Callable[[FloatArray, int], FloatArray]] = {
    "mean": mean_forecast,
    "last_value": last_value_forecast,
    "ar": ar_forecast,
    "ridge": ridge_forecast,
    "linear_mix": linear_mix_forecast,
}


def baseline_forecasts(seen: FloatArray, steps: int) -> dict[str, FloatArray]:
    """Return every baseline's forecast by key.

    Parameters
    ----------
    seen : ndarray (n_starts, n_parcels, n_seen), float32
        Nothing but the seen part.
    steps : int

    Returns
    -------
    dict of str to ndarray (n_starts, steps, n_parcels), float32

    Raises
    ------
    AnalysisError
        With fewer than 20 seen samples.
    """
    if seen.ndim != 3 or seen.shape[2] < MIN_SEEN:
        raise AnalysisError(
            f"{seen.shape[-1]} seen volumes are too few to fit a forecast on", f"show at least {MIN_SEEN}"
        )
    return {name: forecast(seen, steps) for name, forecast in BASELINES.items()}


def _standardised(seen: FloatArray) -> tuple[Array, Array, Array]:
    """Return centred unit-variance signals (W, P, N), means and spreads (W, P); flat parcels are 0."""
    values = seen.astype(np.float64)
    mean = values.mean(axis=2)
    values -= mean[:, :, None]
    spread = np.sqrt((values**2).mean(axis=2))
    flat = spread <= _FLAT * np.maximum(np.abs(seen).max(axis=2), np.finfo(np.float32).tiny)
    spread = np.where(flat, 0.0, spread)
    values = np.where(flat[:, :, None], 0.0, values / np.where(flat, 1.0, spread)[:, :, None])
    return values, mean, spread


def _in_source_units(out: Array, mean: Array, spread: Array) -> FloatArray:
    """Undo :func:`_standardised` for forecasts (W, P, steps) → (W, steps, P)."""
    return (out * spread[:, :, None] + mean[:, :, None]).transpose(0, 2, 1).astype(np.float32)


def _repeat(values: NDArray[np.floating], steps: int) -> FloatArray:
    """(W, P) → (W, steps, P)."""
    return np.repeat(values[:, None].astype(np.float32), steps, axis=1)


def _ridge_one(centred: Array, steps: int) -> Array:
    """Forecast one standardised window (P, N) → (P, steps)."""
    scores, loadings = _components(centred, MAX_COMPONENTS)
    component_part = _var(scores, steps)  # (k, steps)
    rest = centred - loadings @ scores.T
    own = fit_ar(rest).forecast(rest, steps)
    return np.asarray(loadings @ component_part + own)


def _components(centred: Array, most: int) -> tuple[Array, Array]:
    """Return scores (N, k) and orthonormal loadings (P, k) of the leading components, weakest first."""
    from scipy.linalg import eigh

    n = centred.shape[1]
    k = int(min(most, COMPONENT_SHARE * n, centred.shape[0]))
    # Through the samples, N × N: cheaper than an SVD for N < P, and only the leading k are wanted.
    values, vectors = eigh(centred.T @ centred, subset_by_index=(n - k, n - 1))
    kept = values > 1e-9 * max(values[-1], 1e-300)
    size, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * size, centred @ vectors / size


def _mix_one(centred: Array, steps: int) -> Array:
    """Forecast one standardised window (P, N) by the three linear ways → (P, steps)."""
    pooled = fit_pooled_ar(centred).forecast(centred, steps)
    scores, loadings = _components(centred, MIX_COMPONENTS)
    each = np.ascontiguousarray(scores.T)
    apart = loadings @ fit_ar(each).forecast(each, steps)
    few = scores.shape[1] - min(MAX_COMPONENTS, scores.shape[1])
    together = loadings[:, few:] @ _var(scores[:, few:], steps)
    return np.asarray((pooled + together + apart) / 3)


def _var(scores: Array, steps: int) -> Array:
    """Forecast components (N, k) by a ridge VAR(1) → (k, steps)."""
    if not scores.shape[1]:
        return np.zeros((0, steps))
    before, after = scores[:-1], scores[1:]
    cut = int(len(before) * (1 - VALIDATION_SHARE))
    errors = [
        ((after[cut:] - before[cut:] @ _ridge(before[:cut], after[:cut], penalty)) ** 2).sum()
        for penalty in PENALTIES
    ]
    weights = _ridge(before, after, PENALTIES[int(np.argmin(errors))])
    out = np.empty((steps, scores.shape[1]))
    state = scores[-1]
    for step in range(steps):
        state = out[step] = state @ weights
    return out.T


def _ridge(x: Array, y: Array, penalty: float) -> Array:
    """Return the ridge weights (k, k) of y on x; the penalty is in units of x's mean energy."""
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += penalty * np.trace(gram) / len(gram)
    return np.asarray(np.linalg.solve(gram, x.T @ y))
