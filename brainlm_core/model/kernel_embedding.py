"""Embeddings of the kernel family: a window's connectivity between fixed landmarks, on its main axes.

The mean over all pairs is taken off each window's connectivity first: it follows motion, arousal and the
scanner more than the person, and without it people are told apart better on sites left out. So does
leaving out autocorrelation, which tells sampling intervals apart.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Width in mm of the Gaussian that averages parcels into a landmark.
LANDMARK_WIDTH_MM = 8.0
#: A landmark farther than this from every parcel is left out.
MAX_LANDMARK_DISTANCE_MM = 25.0
#: Lags in samples of the autocorrelations in each parcel's embedding.
N_TOKEN_LAGS = 20


def _unit(values: Tensor) -> Tensor:
    values = values - values.mean(-1, keepdim=True)
    return values / values.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def lagged(unit: Tensor, lags: tuple[int, ...]) -> Tensor:
    """Return autocorrelations (n, lags) of rows that have zero mean and length one (n, T)."""
    return torch.stack([(unit[:, lag:] * unit[:, :-lag]).sum(1) for lag in lags], dim=1)


def landmark_signals(values: Tensor, xyz: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Average parcels around each landmark.

    Parameters
    ----------
    values : Tensor (P, T)
    xyz : Tensor (P, 3)
        mm.
    landmarks : Tensor (L, 3)
        mm.

    Returns
    -------
    Tensor (L, T)
        Zero mean, length one; zero where nothing is near.
    Tensor (L,), bool
        Landmarks that are covered.
    """
    distance = torch.cdist(landmarks, xyz)  # (L, P)
    alive = values.std(1) > 1e-6
    distance = torch.where(alive[None], distance, torch.full_like(distance, 1e4))
    covered = distance.amin(1) <= MAX_LANDMARK_DISTANCE_MM
    weight = torch.softmax(-distance.square() / (2 * LANDMARK_WIDTH_MM**2), dim=1)
    return _unit(weight @ values) * covered[:, None], covered


class LandmarkEmbedding(nn.Module):
    """Linear axes of landmark connectivity, fitted by principal components.

    Parameters
    ----------
    n_landmarks, width : int
        As in the configuration.
    """

    def __init__(self, n_landmarks: int, width: int) -> None:
        super().__init__()
        pairs = n_landmarks * (n_landmarks - 1) // 2
        self.n_landmarks, self.width = n_landmarks, width
        self.landmarks = nn.Parameter(torch.zeros(n_landmarks, 3), requires_grad=False)
        self.centre = nn.Parameter(torch.zeros(pairs), requires_grad=False)
        self.axes = nn.Parameter(torch.zeros(pairs, width), requires_grad=False)

    def features(self, values: Tensor, xyz: Tensor) -> tuple[Tensor, Tensor]:
        """Return connectivity (pairs,) and the landmark signals (L, T).

        Fisher-z correlations less their mean; where a landmark is not covered, the fitted mean stands in.
        """
        signals, covered = landmark_signals(values, xyz, self.landmarks)
        row, column = torch.triu_indices(self.n_landmarks, self.n_landmarks, 1, device=values.device)
        correlation = torch.atanh((signals @ signals.T).clamp(-0.99, 0.99))[row, column]
        known = covered[row] & covered[column]
        mean = (correlation * known).sum() / known.sum().clamp_min(1)
        return torch.where(known, correlation - mean, self.centre), signals

    def summary(self, values: Tensor, xyz: Tensor) -> Tensor:
        """Return the embedding (width,) of a window (P, T)."""
        return (self.features(values, xyz)[0] - self.centre) @ self.axes

    def parcels(self, values: Tensor, xyz: Tensor, loadings: Tensor) -> Tensor:
        """Return one embedding (P, width) per parcel.

        Correlation with each landmark, own autocorrelation at lags 1–20, then the parcel's group loadings.
        """
        _, signals = self.features(values, xyz)
        unit = _unit(values)
        lags = lagged(unit, tuple(range(1, N_TOKEN_LAGS + 1)))
        rest = self.width - self.n_landmarks - N_TOKEN_LAGS
        group = torch.nn.functional.pad(loadings, (0, max(0, rest - loadings.shape[1])))[:, : max(0, rest)]
        return torch.cat([unit @ signals.T, lags, group], dim=1)[:, : self.width]
