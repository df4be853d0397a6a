"""Weights of the forecasters of the kernel family, fixed by cross-validation over training people.

Steps, in order:

1. people of the cortical cohort are dealt to folds; for each fold the group covariance and the
   spectra are fitted on the other people;
2. windows of the fold's people are forecast by each forecaster from their seen part, scaled by it alone;
3. per step, non-negative weights of least squared error over all folds, shrunk towards equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from brainlm_core.model.kernel_forecast import forecast_windows
from brainlm_core.model.kernel_model import N_BLEND_STEPS, KernelModel
from brainlm_core.model.kernel_window import N_FORECASTERS, window_forecasts

Array = NDArray[np.float64]
FloatArray = NDArray[np.float32]

N_FOLDS = 3
#: Windows per recording.
N_WINDOWS = 16
#: Pull towards equal weights, in units of the forecasters' mean energy.
SHRINKAGE = 0.3
#: Largest sum of the weights: where there is next to no skill the fit asks for more, on thin grounds.
MOST = 1.15


def fold_of(subjects: Sequence[str]) -> NDArray[np.int64]:
    """Return the fold of each recording; recordings of one person share it."""
    _, member = np.unique(np.array(subjects), return_inverse=True)
    return np.asarray(member % N_FOLDS, dtype=np.int64)


def fit_blend(
    recordings: Sequence[FloatArray],
    subjects: Sequence[str],
    xyz: torch.Tensor,
    without: Callable[[NDArray[np.bool_]], KernelModel],
) -> Array:
    """Return the weights (forecasters, steps) for recordings at the model's own interval.

    Parameters
    ----------
    recordings : sequence of ndarray (P, T)
        Scaled.
    subjects : sequence of str
        Who was scanned.
    xyz : Tensor (P, 3)
        mm.
    without : callable
        Takes (n,) bool and returns a model that was fitted on these recordings only.
    """
    folds = fold_of(subjects)
    gram = np.zeros((N_BLEND_STEPS, N_FORECASTERS, N_FORECASTERS))
    moment = np.zeros((N_BLEND_STEPS, N_FORECASTERS))
    for fold in np.unique(folds):
        others = folds != fold
        if not others.any():
            continue
        model = without(others)
        for recording in (r for r, f in zip(recordings, folds, strict=True) if f == fold):
            guesses, truth = _forecasts(model, recording, xyz)  # (3, W, P, H), (W, P, H)
            gram += np.einsum("iwph,jwph->hij", guesses, guesses, optimize=True)
            moment += np.einsum("iwph,wph->hi", guesses, truth, optimize=True)
    if not gram.any():  # one person alone
        return np.eye(N_FORECASTERS, N_BLEND_STEPS)[:, :1].repeat(N_BLEND_STEPS, axis=1)
    return np.stack([blend_weights(g, m) for g, m in zip(gram, moment, strict=True)], axis=1)


def blend_weights(gram: Array, moment: Array) -> Array:
    """Return non-negative weights (k,) that minimise ``w'Gw - 2w'm`` plus the pull towards 1/k.

    Parameters
    ----------
    gram : ndarray (k, k)
        Products of forecasts.
    moment : ndarray (k,)
        Products of forecasts and truth.
    """
    from scipy.optimize import nnls

    k = len(gram)
    pull = SHRINKAGE * np.trace(gram) / k
    root = np.linalg.cholesky(gram + (pull + 1e-12) * np.eye(k))
    weights, _ = nnls(root.T, np.linalg.solve(root, moment + pull / k))
    return np.asarray(weights / max(1.0, weights.sum() / MOST))


def _forecasts(model: KernelModel, recording: FloatArray, xyz: torch.Tensor) -> tuple[Array, Array]:
    """Return forecasts (forecasters, W, P, steps) of a recording's windows and what came (W, P, steps)."""
    length, config = model.config.n_timepoints, model.config
    context = length - N_BLEND_STEPS
    starts = np.unique(np.linspace(0, recording.shape[1] - length, N_WINDOWS).round().astype(int))
    windows = torch.stack([_by_seen(recording, int(s), context, length) for s in starts])
    seen = torch.arange(length) < context
    guesses = []
    with torch.no_grad():
        values = windows * seen
        visible = seen.float().expand(windows.shape[1:])
        for window in values:
            prior = model.group_prior(window, visible, xyz)
            process = forecast_windows(
                window[None],
                (window[:, :context].std(1) > 1e-6)[None],
                seen,
                prior.loadings,
                prior.noise,
                prior.kernels,
                model.gates,
                iterations=config.iterations * 4,
                tolerance=config.tolerance * 0.1,
            )[0, :, context:]
            own = window_forecasts(
                window[:, :context],
                N_BLEND_STEPS,
                prior.loadings,
                prior.autocorrelation(),
                prior.kernels.bounds,
            )
            guesses.append(torch.cat([process[None], own]))
    return torch.stack(guesses, dim=1).double().numpy(), windows[:, :, context:].double().numpy()


def _by_seen(recording: FloatArray, start: int, context: int, length: int) -> torch.Tensor:
    """Cut a window (P, length) and scale it by its seen part: by all of it would tell of the future."""
    window = recording[:, start : start + length]
    low, centre, high = np.percentile(window[:, :context], (25, 50, 75), axis=1)
    whole = np.subtract(*np.percentile(recording, (75, 25), axis=1))
    spread = high - low
    scale = np.where(spread > 1e-6, whole / np.maximum(spread, 1e-6), 0.0)
    return torch.from_numpy(((window - centre[:, None]) * scale[:, None]).astype(np.float32))
