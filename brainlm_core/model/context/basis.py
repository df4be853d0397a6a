"""The group that a window is read against: components of the group covariance of its parcels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GroupBasis:
    """Principal axes of a group covariance.

    Parameters
    ----------
    vectors : Tensor (P, K)
        Orthonormal, strongest first.
    values : Tensor (K,)
        Variance along each.
    """

    vectors: Tensor
    values: Tensor

    @classmethod
    def of_covariance(cls, covariance: Tensor) -> GroupBasis:
        """Diagonalise a covariance (P, P)."""
        values, vectors = torch.linalg.eigh(covariance.double())
        return cls(vectors.flip(1).float().contiguous(), values.flip(0).clamp_min(1e-6).float())

    @classmethod
    def of_loadings(cls, loadings: Tensor) -> GroupBasis:
        """Take over orthogonal loadings (P, K): eigenvectors times roots of the eigenvalues."""
        values = loadings.square().sum(0).clamp_min(1e-6)
        return cls(loadings / values.sqrt(), values)
