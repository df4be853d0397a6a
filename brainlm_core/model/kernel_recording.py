"""An option of the kernel family: a window reconstructed with what its recording shows at other times.

A window of 144 s does not hold enough of a person's covariance; a recording has more of it. Here the
group's kernel is moved towards the covariance of all moments outside the window, and the usual two stages
(adaptation to the window, regression on the visible parcels) start from there. No attention correction: it
was trained on windows alone. This answers an easier question than :meth:`KernelModel.reconstruct`, and
figures of the two do not belong in one row.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from brainlm_core.model.kernel_model import GroupPrior, KernelModel
from brainlm_core.model.kernel_prior import symmetric_root
from brainlm_core.model.kernel_window import window_regression

#: Rounds of expectation-maximisation on the other moments.
ROUNDS = 3
#: Weight of the recording against the group in the process and in the regression, fixed on training subjects.
PROCESS_WEIGHT, REGRESSION_WEIGHT = 0.5, 0.4
#: Bounds of a parcel's noise against the mean parcel's, and how far noise follows the recording.
NOISE_RANGE, NOISE_EXPONENT = (0.2, 5.0), 0.5


def towards_recording(prior: GroupPrior, moments: Tensor) -> GroupPrior:
    """Return the prior with loadings and noise moved towards the covariance of moments that are all visible.

    Parameters
    ----------
    prior : GroupPrior
        The group's.
    moments : Tensor (P, P)
        Mean outer product of the scaled signals outside the window.
    """
    loadings, noise = prior.loadings, prior.noise
    eye = torch.eye(loadings.shape[1], device=loadings.device)
    root = eye
    for _ in range(ROUNDS):
        inverse = torch.linalg.solve(loadings @ loadings.T + torch.diag(noise), loadings).T  # (K, P)
        rest = eye - inverse @ loadings  # posterior covariance of the components
        second = inverse @ moments @ inverse.T
        left = moments - 2 * loadings @ (inverse @ moments) + loadings @ (second + rest) @ loadings.T
        unexplained = left.diagonal()
        root = symmetric_root((1 - PROCESS_WEIGHT) * eye + PROCESS_WEIGHT * (root @ (second + rest) @ root.T))
        loadings = prior.loadings @ root
        noise = prior.noise * (unexplained / unexplained.mean()).clamp(*NOISE_RANGE) ** NOISE_EXPONENT
    return replace(prior, loadings=loadings, noise=noise)


@torch.no_grad()
def reconstruct_in_recording(
    model: KernelModel, signal: Tensor, xyz: Tensor, hidden: Tensor, moments: Tensor
) -> Tensor:
    """Predict a window from its visible part and from the rest of its recording.

    Parameters
    ----------
    model : KernelModel
    signal : Tensor (P, T)
        Scaled; values under ``hidden`` are never read.
    xyz : Tensor (P, 3)
        mm.
    hidden : Tensor (P, T), bool
    moments : Tensor (P, P)
        Mean outer product of the scaled signals outside the window.

    Returns
    -------
    Tensor (P, T)
    """
    config = model.config
    values, visible = model.visible_entries(signal.float(), hidden)
    prior = model.group_prior(values, visible, xyz)
    answer = model._infer(values, visible, towards_recording(prior, moments)).mean
    share = float(visible.mean())
    if config.own_regression == 0 or share in (0.0, 1.0):
        return answer
    eye = torch.eye(len(moments), device=moments.device)
    group = prior.loadings @ prior.loadings.T + prior.noise.mean() * eye
    own = window_regression(values, visible, (1 - REGRESSION_WEIGHT) * group + REGRESSION_WEIGHT * moments)
    weight = config.own_regression * share**config.own_exponent * visible.any(0)  # (T,)
    return answer + weight * (own - answer)
