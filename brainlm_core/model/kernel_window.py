"""What a window says of itself, beside the group's kernel: its own regression and its own dynamics.

The Gaussian process of :mod:`kernel_prior` trusts the group for weak components, where a window's
own covariance is worth something all the same. Two plain estimators that lean on the window are
therefore averaged with it:

- hidden entries beside visible parcels: regression on the parcels that are visible at the same
  time, with a covariance that expectation-maximisation moves from the group's towards the window's;
- the future: autoregressions of the group's components, fitted to the window with the group's
  autocorrelation as prior, and a vector autoregression on the window's own components.

How much each counts was fixed on training subjects by cross-validation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: Rounds, penalty in units of the mean variance, and the window's weight, of the window's regression.
REGRESSION_ROUNDS, REGRESSION_PENALTY, REGRESSION_WEIGHT = 2, 0.15, 0.25
#: Order of autoregressions; components of the group's and of the window's own that are followed.
ORDER, GROUP_COMPONENTS, OWN_COMPONENTS = 10, 50, 30
#: Weight of the group's autocorrelation against the window's; of a block's mean against a component's own.
GROUP_WEIGHT, BLOCK_WEIGHT = 1.0, 0.7
#: Weight of the parcels' mean autocorrelation against a parcel's own, in what components leave.
REST_WEIGHT = 0.3
#: Order of its autoregression.
REST_ORDER = 2
#: Ridge penalties of the vector autoregression, in units of a component's mean energy.
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
VALIDATION_SHARE = 0.2
#: Fewest seen samples that dynamics are fitted on.
MIN_SEEN = 60
#: Forecasters that are averaged: the Gaussian process, the group's components, the window's own components.
N_FORECASTERS = 3


def window_regression(values: Tensor, visible: Tensor, covariance: Tensor) -> Tensor:
    """Predict hidden entries from the parcels visible at the same time.

    Parameters
    ----------
    values : Tensor (P, T)
        0 where hidden.
    visible : Tensor (P, T), float
        1 where visible.
    covariance : Tensor (P, P)
        The group's, noise included.

    Returns
    -------
    Tensor (P, T)
        ``values`` where visible; 0 where nothing is visible at that time.
    """
    group = _with_penalty(covariance.double())
    values, current = values.double(), group
    patterns, member = torch.unique((visible > 0).T, dim=0, return_inverse=True)
    moments = [torch.nonzero(member == k).squeeze(1) for k in range(len(patterns))]
    for step in range(REGRESSION_ROUNDS + 1):
        filled, unsure = _fill(values, patterns, moments, current)
        if step == REGRESSION_ROUNDS:
            break
        own = _with_penalty((filled @ filled.T + unsure) / values.shape[1])
        current = (1 - REGRESSION_WEIGHT) * group + REGRESSION_WEIGHT * own
    return filled.float()


def _with_penalty(covariance: Tensor) -> Tensor:
    size = len(covariance)
    eye = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
    return covariance + REGRESSION_PENALTY * covariance.trace() / size * eye


def _fill(
    values: Tensor, patterns: Tensor, moments: Sequence[Tensor], covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the conditional mean (P, T), and the conditional covariance summed over time (P, P)."""
    filled, unsure = values.clone(), torch.zeros_like(covariance)
    for pattern, times in zip(patterns, moments, strict=True):
        seen, gone = torch.nonzero(pattern).squeeze(1), torch.nonzero(~pattern).squeeze(1)
        if not len(gone):
            continue
        across = covariance[seen][:, gone]  # (seen, gone)
        weights = torch.linalg.solve(covariance[seen][:, seen], across)
        filled[gone[:, None], times] = weights.T @ values[seen][:, times]
        rest = covariance[gone][:, gone] - across.T @ weights
        unsure[gone[:, None], gone] += rest * len(times)
    return filled, unsure


def window_forecasts(
    seen: Tensor, steps: int, loadings: Tensor, group: Tensor, bounds: Sequence[tuple[int, int]]
) -> Tensor:
    """Forecast a window by its own dynamics, in two ways.

    Parameters
    ----------
    seen : Tensor (P, n)
        At least :data:`MIN_SEEN` samples, newest last, scaled so that 0 is each parcel's level: signals
        return to it. The window's own mean is a worse guess of what comes than that level.
    steps : int
    loadings : Tensor (P, K)
        The group's, columns orthogonal, strongest first.
    group : Tensor (K, ORDER + 1)
        Autocorrelation of each component by lag, noise included.
    bounds : sequence of (int, int)
        Blocks of components.

    Returns
    -------
    Tensor (2, P, steps)
        By the group's components; by the window's own.
    """
    values = seen.double()
    spread = values.square().mean(1, keepdim=True).sqrt()
    values = values / spread.clamp_min(1e-6)
    kept = min(GROUP_COMPONENTS, loadings.shape[1], len(values) - 1)
    basis = loadings[:, :kept].double()
    basis = basis / basis.norm(dim=0).clamp_min(1e-12)
    by_group = _component_forecast(values, steps, basis, group[:kept].double(), bounds)
    return (torch.stack([by_group, _own_forecast(values, steps)]) * spread).float()


def _component_forecast(
    values: Tensor, steps: int, basis: Tensor, group: Tensor, bounds: Sequence[tuple[int, int]]
) -> Tensor:
    """Autoregression of each of the group's components, of each parcel for the rest."""
    scores = basis.T @ values  # (K, n)
    own = _autocovariance(scores)
    own = own / own[:, :1].clamp_min(1e-12)
    pooled = own.clone()
    for first, last in bounds:
        if first < len(own):
            pooled[first:last] = own[first:last].mean(0)
    own = (1 - BLOCK_WEIGHT) * own + BLOCK_WEIGHT * pooled
    moments = (own + GROUP_WEIGHT * group) / (1 + GROUP_WEIGHT)
    rest = values - basis @ scores
    return basis @ _iterate(scores, _yule_walker(moments), steps) + _rest_forecast(rest, steps)


def _own_forecast(values: Tensor, steps: int) -> Tensor:
    """Vector autoregression of order 1 on the window's main components, of each parcel for the rest."""
    n = values.shape[1]
    kept = min(OWN_COMPONENTS, n // 3, len(values))
    sizes, vectors = torch.linalg.eigh(values.T @ values)
    sizes, vectors = sizes[-kept:], vectors[:, -kept:]
    strong = sizes > 1e-9 * sizes[-1].clamp_min(1e-30)
    scores = (vectors * sizes.clamp_min(0).sqrt())[:, strong]  # (n, k)
    loadings = values @ (vectors[:, strong] / sizes[strong].sqrt())  # (P, k)
    before, after = scores[:-1], scores[1:]
    cut = int(len(before) * (1 - VALIDATION_SHARE))
    misses = [
        float((after[cut:] - before[cut:] @ _ridge(before[:cut], after[:cut], p)).square().sum())
        for p in PENALTIES
    ]
    weights = _ridge(before, after, PENALTIES[misses.index(min(misses))])
    state, out = scores[-1], []
    for _ in range(steps):
        state = state @ weights
        out.append(state)
    return loadings @ torch.stack(out, dim=1) + _rest_forecast(values - loadings @ scores.T, steps)


def _rest_forecast(values: Tensor, steps: int) -> Tensor:
    """Autoregression of each signal (P, n), its autocorrelation averaged with the mean one."""
    moments = _autocovariance(values)[:, : REST_ORDER + 1]
    power = moments[:, :1]
    own = torch.where(power > 1e-12, moments / power.clamp_min(1e-12), 0.0)
    own[:, 0] = 1.0
    common = moments.mean(0) / power.mean().clamp_min(1e-12)
    common[0] = 1.0
    return _iterate(values, _yule_walker((1 - REST_WEIGHT) * own + REST_WEIGHT * common), steps)


def _ridge(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    gram = x.T @ x
    size = gram.diagonal().mean().clamp_min(1e-12)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + penalty * size * eye, x.T @ y)


def _autocovariance(values: Tensor) -> Tensor:
    """Return the biased autocovariance (…, ORDER + 1) of rows with zero mean: its model is stationary."""
    n = values.shape[-1]
    return torch.stack(
        [(values[..., lag:] * values[..., : n - lag]).sum(-1) / n for lag in range(ORDER + 1)], dim=-1
    )


def _yule_walker(moments: Tensor) -> Tensor:
    """Return autoregressive weights (…, p) from autocovariances (…, p + 1)."""
    order = moments.shape[-1] - 1
    lag = torch.arange(order, device=moments.device)
    toeplitz = moments[..., (lag[:, None] - lag).abs()]
    ridge = 1e-9 * moments[..., :1, None].clamp_min(1e-12)
    eye = torch.eye(order, dtype=moments.dtype, device=moments.device)
    return torch.linalg.solve(toeplitz + ridge * eye, moments[..., 1:])


def _iterate(values: Tensor, weights: Tensor, steps: int) -> Tensor:
    """Iterate autoregressions (R, p) of rows (R, n) into the future, (R, steps)."""
    past = values[:, -weights.shape[1] :].flip(1)  # newest first
    out = []
    for _ in range(steps):
        out.append((past * weights).sum(1))
        past = torch.cat([out[-1][:, None], past[:, :-1]], dim=1)
    return torch.stack(out, dim=1)
