"""The kernel family's way into the future: when the end of a window is hidden from every parcel.

Nothing is seen at those times, so they can be left out while components are inferred from the
seen times, and filled in afterwards by the temporal kernel alone: ``E[z_future | z_past]``. What
remains is dense in time, the parcels' weights do not change over it, and a diagonal
preconditioner in the eigenbasis of each block's autocorrelation comes close to the exact solution.
The attention correction gathers residuals of the same moment; where nothing is seen there is
nothing to gather, so only its gate on the prior is evaluated. All windows of a batch are solved together.

The numbers are those of :meth:`KernelModel.reconstruct` at the hidden entries, up to the tolerance of
its solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from brainlm_core.model.kernel_gates import AttentionGates, describe
from brainlm_core.model.kernel_prior import Kernels


@dataclass(frozen=True, eq=False)
class PastKernels:
    """Autocorrelation of each block on the seen times, diagonalised, and the step into the hidden ones.

    Parameters
    ----------
    roots : Tensor (blocks, n)
        Square roots of the eigenvalues on the n seen times.
    vectors : Tensor (blocks, n, n)
        Eigenvectors in columns.
    ahead : Tensor (blocks, n, h)
        From components at the seen times to their expectation at the h hidden ones.
    bounds : list of (int, int)
        Components of each block.
    """

    roots: Tensor
    vectors: Tensor
    ahead: Tensor
    bounds: list[tuple[int, int]]


_KEPT: WeakKeyDictionary[Kernels, dict[bytes, PastKernels]] = WeakKeyDictionary()


def past_kernels(kernels: Kernels, seen: Tensor) -> PastKernels:
    """Return the kernels on the seen times (T,) bool; kept for the next window with the same mask."""
    kept = _KEPT.setdefault(kernels, {})
    key = seen.cpu().numpy().tobytes()
    if key not in kept:
        vectors = kernels.vectors[: len(kernels.bounds)].double()
        values = kernels.values[: len(kernels.bounds)].double()
        whole = vectors * values[:, None] @ vectors.transpose(1, 2)  # (blocks, T, T)
        inside = whole[:, seen][:, :, seen]
        eigenvalues, basis = torch.linalg.eigh(inside)
        eigenvalues = eigenvalues.clamp_min(1e-6)
        inverse = basis / eigenvalues[:, None] @ basis.transpose(1, 2)
        ahead = inverse @ whole[:, seen][:, :, ~seen]
        kept[key] = PastKernels(eigenvalues.sqrt().float(), basis.float(), ahead.float(), kernels.bounds)
    return kept[key]


def past_mean(
    values: Tensor, weight: Tensor, loadings: Tensor, past: PastKernels, *, iterations: int, tolerance: float
) -> Tensor:
    """Return the posterior mean of the components at the seen times.

    Conjugate gradients on ``(I + C^½ G C^½) u = C^½ F' W x``, ``G = F' W F``, in the eigenbasis of
    each block's autocorrelation, preconditioned by the diagonal.

    Parameters
    ----------
    values : Tensor (B, P, n)
        Seen times only.
    weight : Tensor (B, P)
        Precision of each parcel; 0 for one that is not used.
    loadings : Tensor (B, P, K)
    past : PastKernels
    iterations : int
    tolerance : float
        Relative residual, of the worst window.

    Returns
    -------
    Tensor (B, K, n)
    """
    turned = loadings.transpose(1, 2)  # (B, K, P)
    gram = turned @ (weight[:, :, None] * loadings)  # (B, K, K)

    def into(z: Tensor) -> Tensor:
        return torch.cat(
            [z[:, a:b] @ v * r for v, r, (a, b) in zip(past.vectors, past.roots, past.bounds, strict=True)],
            dim=1,
        )

    def out_of(u: Tensor) -> Tensor:
        return torch.cat(
            [
                (u[:, a:b] * r) @ v.T
                for v, r, (a, b) in zip(past.vectors, past.roots, past.bounds, strict=True)
            ],
            dim=1,
        )

    squares = torch.cat(
        [r.square().expand(b - a, -1) for r, (a, b) in zip(past.roots, past.bounds, strict=True)]
    )  # (K, n)
    diagonal = 1 + gram.diagonal(dim1=1, dim2=2)[:, :, None] * squares  # (B, K, n)
    residual = into(turned @ (weight[:, :, None] * values))  # (B, K, n)
    limit = tolerance**2 * residual.square().sum(dim=(1, 2), keepdim=True)
    solution = torch.zeros_like(residual)
    better = residual / diagonal
    direction = better.clone()
    energy = (residual * better).sum(dim=(1, 2), keepdim=True)
    for _ in range(iterations):
        if bool((residual.square().sum(dim=(1, 2), keepdim=True) <= limit).all()):
            break
        moved = direction + into(gram @ out_of(direction))
        step = energy / (direction * moved).sum(dim=(1, 2), keepdim=True).clamp_min(1e-30)
        solution = solution + step * direction
        residual = residual - step * moved
        better = residual / diagonal
        previous, energy = energy, (residual * better).sum(dim=(1, 2), keepdim=True)
        direction = better + energy / previous.clamp_min(1e-30) * direction
    return out_of(solution)


def step_ahead(z: Tensor, past: PastKernels) -> Tensor:
    """Return the expectation of components (B, K, n) at the hidden times, (B, K, h)."""
    return torch.cat(
        [z[:, a:b] @ ahead for ahead, (a, b) in zip(past.ahead, past.bounds, strict=True)], dim=1
    )


def forecast_windows(
    values: Tensor,
    alive: Tensor,
    seen: Tensor,
    loadings: Tensor,
    noise: Tensor,
    kernels: Kernels,
    gates: AttentionGates,
    *,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """Forecast windows that share mask and prior.

    Parameters
    ----------
    values : Tensor (B, P, T)
        0 where hidden.
    alive : Tensor (B, P), bool
        Parcels that vary.
    seen : Tensor (T,), bool
        Moments that are seen by all parcels; nothing is seen of the others.
    loadings : Tensor (P, K)
    noise : Tensor (P,)
        Variance.
    kernels : Kernels
    gates : AttentionGates
    iterations, tolerance
        As for :func:`past_mean`.

    Returns
    -------
    Tensor (B, P, T)
        The forecast where nothing is seen; elsewhere ``values``.
    """
    past = past_kernels(kernels, seen)
    weight = alive.float() / noise  # (B, P)
    if bool((alive == alive[:1]).all()):
        weight = weight[:1]  # one Gram matrix serves all windows
    z = past_mean(
        values[:, :, seen], weight, loadings[None], past, iterations=iterations, tolerance=tolerance
    )
    mean = loadings @ step_ahead(z, past)  # (B, P, h)
    out = values.clone()
    if len(weight) == 1:
        trust = _trust(gates, alive[0], seen)[None]
    else:
        trust = torch.stack([_trust(gates, one, seen) for one in alive])
    out[:, :, ~seen] = mean * (1 + trust)
    return out


def _trust(gates: AttentionGates, alive: Tensor, seen: Tensor) -> Tensor:
    """Return the gate on the prior at the hidden moments (P, h), where no attention finds anything."""
    visible = (alive[:, None] & seen).float()  # (P, T)
    described = describe(visible)[:, ~seen]  # (P, h, 5)
    nothing = described.new_zeros(*described.shape[:2], len(gates.sink))
    known = torch.cat([nothing, described], dim=-1)
    return gates.outer(torch.nn.functional.gelu(gates.inner(known)))[..., -1]
