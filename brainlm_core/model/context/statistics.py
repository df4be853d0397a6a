"""What a network reads of a recording: second moments of all samples outside the window, diagonalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

#: Penalty of the regression that residual variances come from, in units of the mean variance.
RESIDUAL_RIDGE = 0.15
#: Bounds of a parcel's residual variance against the mean parcel's.
RESIDUAL_RANGE = (0.2, 5.0)


@dataclass(frozen=True, eq=False)
class ContextStatistics:
    """Recordings, as far as windows may read them.

    Parameters
    ----------
    vectors : Tensor (D, P, P)
        Eigenvectors of the mean outer product of the scaled signals, in columns, strongest first.
    values : Tensor (D, P)
        Eigenvalues, 0 or more.
    residual : Tensor (D, P)
        Variance of each parcel that the other parcels do not explain, against the mean parcel's.
    n_samples : Tensor (D,)
        Samples that the moments are of; 0 where there was nothing to read.
    index : Tensor (B,), int64
        Which of the D each window of a batch reads.
    """

    vectors: Tensor
    values: Tensor
    residual: Tensor
    n_samples: Tensor
    index: Tensor

    @classmethod
    def of_moments(cls, moments: Tensor, n_samples: Tensor, index: Tensor | None = None) -> ContextStatistics:
        """Diagonalise second moments.

        Parameters
        ----------
        moments : Tensor (D, P, P)
            Mean outer product of the scaled signals outside the window.
        n_samples : Tensor (D,)
            Samples that they are the mean over.
        index : Tensor (B,) or None
            See the class; None when there is one of each for every window.
        """
        moments = (moments + moments.transpose(1, 2)) / 2
        values, vectors = torch.linalg.eigh(moments)
        values, vectors = values.flip(1).clamp_min(0), vectors.flip(2)
        penalty = RESIDUAL_RIDGE * values.mean(1, keepdim=True).clamp_min(1e-6)  # (D, 1)
        precision = (vectors.square() / (values + penalty)[:, None]).sum(2)  # (D, P)
        residual = (precision.reciprocal() - penalty).clamp_min(1e-6)
        residual = (residual / residual.mean(1, keepdim=True)).clamp(*RESIDUAL_RANGE)
        if index is None:
            index = torch.arange(len(moments), device=moments.device)
        return cls(vectors, values, residual, n_samples.to(moments.dtype), index)

    @classmethod
    def joined(cls, parts: Sequence[ContextStatistics], index: Tensor) -> ContextStatistics:
        """Put several together; ``index`` (B,) says which of them each window reads."""
        if len(parts) == 1:
            return replace(parts[0], index=index)
        names = ("vectors", "values", "residual", "n_samples")
        tensors = {name: torch.cat([getattr(p, name) for p in parts]) for name in names}
        return cls(**tensors, index=index)

    @property
    def window_samples(self) -> Tensor:
        """Samples of context of each window of the batch, (B,)."""
        return self.n_samples[self.index]

    def by_window(self, array: Tensor) -> Tensor:
        """Return ``array`` (D, …) for each window of the batch, (B, …), without a copy where all read one."""
        if len(array) == 1:
            return array.expand(len(self.index), *array.shape[1:])
        return array[self.index]

    def of(self, part: Tensor) -> ContextStatistics:
        """Return the statistics for some windows of the batch (b,), int64."""
        return replace(self, index=self.index[part])


def second_moments(series: Tensor) -> Tensor:
    """Return the mean outer product (P, P) of scaled signals (P, N), which may hold no sample at all."""
    return series @ series.T / max(series.shape[1], 1)
