"""The closed-form half of the kernel family: Gaussian-process inference from the visible entries of a window.

The model of a window is ``x = F z + e``: components ``z_k`` (unit variance, stationary, all of one
block with the same autocorrelation), loadings ``F`` (parcels × components), white noise ``e`` with
one variance per parcel. Everything here is a function of tensors; parameters live in
:mod:`brainlm_core.model.kernel_model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Distance in mm below which a parcel counts as lying on an anchor.
_EPSILON_MM = 0.5


def block_bounds(n_components: int, n_blocks: int, full: int = 360) -> list[tuple[int, int]]:
    """Return (start, stop) of each block of components: geometric in rank, the last takes the rest."""
    edges = torch.logspace(0, 1, n_blocks + 1, base=full + 1, dtype=torch.float64).round().long() - 1
    inner = sorted({int(e) for e in edges[:-1] if e < n_components})
    return list(zip(inner, [*inner[1:], n_components], strict=True))


def interpolation_weights(xyz: Tensor, anchors: Tensor) -> Tensor:
    """Return how much each anchor contributes to each parcel.

    Inverse fourth power of the distance (Shepard interpolation), so that a parcel that lies on
    an anchor takes that anchor's row. An anchor may have several positions; the nearest counts.

    Parameters
    ----------
    xyz : Tensor (P, 3)
        mm.
    anchors : Tensor (positions, A, 3)
        mm.

    Returns
    -------
    Tensor (P, A)
        Rows sum to one.
    """
    distance = (xyz[:, None, None] - anchors[None]).square().sum(-1).amin(dim=1)  # (P, A)
    weight = (distance + _EPSILON_MM**2).reciprocal().square()
    return weight / weight.sum(1, keepdim=True)


def nearest_distance(xyz: Tensor, anchors: Tensor) -> Tensor:
    """Return the mean over parcels of the distance in mm to the nearest anchor position."""
    return torch.cdist(xyz, anchors.reshape(-1, 3)).amin(1).mean()


@dataclass(frozen=True, eq=False)
class Kernels:
    """Autocorrelation of each block over a window, diagonalised.

    Parameters
    ----------
    values : Tensor (blocks, T)
        Eigenvalues of the T × T autocorrelation matrices, non-negative.
    vectors : Tensor (blocks, T, T)
        Their eigenvectors in columns.
    bounds : list of (int, int)
        Components of each block.
    """

    values: Tensor
    vectors: Tensor
    bounds: list[tuple[int, int]]

    @classmethod
    def from_spectra(cls, spectra: Tensor, n_timepoints: int, bounds: list[tuple[int, int]]) -> Kernels:
        """Build from power spectra (blocks, F) on the frequencies of a circle of 2 (F - 1) samples."""
        lags = torch.fft.irfft(spectra.double(), n=2 * (spectra.shape[1] - 1))[:, :n_timepoints]
        lags = lags / lags[:, :1]
        index = torch.arange(n_timepoints, device=spectra.device)
        matrix = lags[:, (index[:, None] - index[None]).abs()]  # (blocks, T, T)
        values, vectors = torch.linalg.eigh(matrix)
        return cls(values.clamp_min(1e-6).float(), vectors.float(), bounds)

    def apply(self, factor: Tensor, z: Tensor) -> Tensor:
        """Multiply each block of z (K, T) by the matrix with eigenvalues ``factor`` (blocks, T)."""
        out = torch.empty_like(z)
        for k, (a, b) in enumerate(self.bounds):
            vectors = self.vectors[k]
            matrix = (vectors * factor[k]) @ vectors.T
            out[a:b] = z[a:b] @ matrix
        return out

    def matrices(self, factor: Tensor) -> list[Tensor]:
        """Return the T × T matrices of each block with eigenvalues ``factor`` (blocks, T)."""
        return [(v * f) @ v.T for v, f in zip(self.vectors, factor, strict=True)][: len(self.bounds)]


def posterior_mean(
    values: Tensor,
    visible: Tensor,
    loadings: Tensor,
    noise: Tensor,
    kernels: Kernels,
    *,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """Return the posterior mean of the components given the visible entries of a window.

    Preconditioned conjugate gradients on ``(C^-1 + F' W F) z = F' W x`` with W the visible
    precision; the preconditioner treats the visible entries as evenly spread over the window and
    all components as equally well informed. Weak components then converge last, so that stopping
    early regularises them: on validation subjects 14 steps reconstruct better than convergence.

    Parameters
    ----------
    values : Tensor (P, T)
    visible : Tensor (P, T), float
        1 where visible, else 0.
    loadings : Tensor (P, K)
    noise : Tensor (P,)
        Variance.
    kernels : Kernels
    iterations : int
    tolerance : float
        Relative residual.

    Returns
    -------
    Tensor (K, T)
    """
    weight = visible / noise[:, None]  # (P, T)
    information = (loadings.square() * weight.mean(1, keepdim=True)).sum(0)  # (K,)
    seen = visible.any(1)
    if not bool(seen.all()):  # a parcel that is hidden throughout adds nothing to the sums over parcels
        weight, values, loadings = weight[seen], values[seen], loadings[seen]
    eigenvalues = kernels.values[: len(kernels.bounds)]
    spread = 1 + information.mean() * eigenvalues
    sizes = torch.tensor([b - a for a, b in kernels.bounds], device=values.device)
    # Components are kept along the eigenvectors of their block, where the preconditioner is diagonal.
    inner = spread.reciprocal().repeat_interleave(sizes, dim=0)  # (K, T)
    outer = [v * f for v, f in zip(kernels.vectors, (eigenvalues / spread).sqrt(), strict=False)]
    back = [m.T.contiguous() for m in outer]

    def mix(matrices: list[Tensor], z: Tensor) -> Tensor:
        return torch.cat([z[a:b] @ m for m, (a, b) in zip(matrices, kernels.bounds, strict=True)])

    def system(u: Tensor) -> Tensor:
        answer = weight * (loadings @ mix(back, u))  # (seen parcels, T)
        return inner * u + mix(outer, loadings.T @ answer)

    residual = mix(outer, loadings.T @ (weight * values))  # (K, T)
    solution, direction = torch.zeros_like(residual), residual.clone()
    energy = residual.square().sum()
    limit = tolerance**2 * energy
    for _ in range(iterations):
        if energy <= limit:
            break
        moved = system(direction)
        step = energy / (direction * moved).sum()
        solution = solution + step * direction
        residual = residual - step * moved
        previous, energy = energy, residual.square().sum()
        direction = residual + energy / previous * direction
    return mix(back, solution)


def posterior_variance(visible: Tensor, loadings: Tensor, noise: Tensor, kernels: Kernels) -> Tensor:
    """Return the mean posterior variance of each component (K,), visible entries taken as evenly spread."""
    information = (loadings.square() * (visible.mean(1) / noise)[:, None]).sum(0)
    parts = []
    for eigenvalues, (a, b) in zip(kernels.values, kernels.bounds, strict=False):
        parts.append((eigenvalues / (1 + information[a:b, None] * eigenvalues)).mean(1))
    return torch.cat(parts)


def symmetric_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix (n, n)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(1e-4).sqrt()) @ vectors.T


@dataclass(frozen=True, eq=False)
class Posterior:
    """What a window says once the kernel has been adapted to it.

    Parameters
    ----------
    mean : Tensor (P, T)
        Posterior mean of the noise-free signals.
    loadings : Tensor (P, K)
        Adapted loadings; ``loadings @ loadings.T`` is the window's kernel between parcels.
    noise : Tensor (P,)
        Adapted noise variance.
    """

    mean: Tensor
    loadings: Tensor
    noise: Tensor


def adapt(
    values: Tensor,
    visible: Tensor,
    loadings: Tensor,
    noise: Tensor,
    kernels: Kernels,
    weights: Tensor,
    *,
    rounds: int,
    noise_exponent: float,
    iterations: int,
    tolerance: float,
    final_mean: bool = True,
) -> Posterior:
    """Infer the window and adapt the kernel to it by shrunken expectation-maximisation.

    Each round: posterior mean and variance of the components under the current kernel; their
    second moment in the group's coordinates; group and window mixed with ``weights``; new
    loadings; noise of each parcel from what its visible entries leave unexplained.

    Parameters
    ----------
    values, visible, loadings, noise, kernels, iterations, tolerance
        As for :func:`posterior_mean`; ``loadings`` and ``noise`` are the group's.
    weights : Tensor (K,)
        Weight of the window per component.
    rounds : int
    noise_exponent : float
        0 keeps the group's noise.
    final_mean : bool
        False skips the last inference where only the kernel is wanted (mean is then of the round before).

    Returns
    -------
    Posterior
    """
    n_components, n_timepoints = loadings.shape[1], values.shape[1]
    eye = torch.eye(n_components, device=values.device)
    pair_weight = (weights[:, None] * weights[None]).sqrt()
    root, current, current_noise = eye, loadings, noise
    count = visible.sum(1)
    mean = torch.zeros_like(values)
    for step in range(rounds + 1):
        if step == rounds and not final_mean and rounds > 0:
            break
        z = posterior_mean(
            values, visible, current, current_noise, kernels, iterations=iterations, tolerance=tolerance
        )
        mean = current @ z
        if step == rounds:
            break
        variance = posterior_variance(visible, current, current_noise, kernels)
        moment = z @ z.T / n_timepoints + torch.diag(variance)
        moment = root @ moment @ root.T
        left = ((values - mean).square() * visible).sum(1)
        unexplained = (left + 5 * noise) / (count + 5) + (current.square() @ variance) * visible.mean(1)
        root = symmetric_root(eye + pair_weight * (moment - eye))
        current = loadings @ root
        current_noise = noise * (unexplained / unexplained.mean()).clamp(0.2, 5.0) ** noise_exponent
    return Posterior(mean, current, current_noise)


def autocorrelation(values: Tensor, visible: Tensor, n_lags: int) -> Tensor:
    """Return the mean autocorrelation over parcels at lags 1..n (n,), from visible pairs only."""
    seen = values * visible
    power = seen.square().sum() / visible.sum().clamp_min(1)
    out = []
    for lag in range(1, n_lags + 1):
        pairs = (visible[:, lag:] * visible[:, :-lag]).sum().clamp_min(1)
        out.append((seen[:, lag:] * seen[:, :-lag]).sum() / pairs / power.clamp_min(1e-8))
    return torch.stack(out)
