"""Gains per component: piecewise linear in the logarithm of the rank, linear in what is known of the case."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

#: Conditions that a gain depends on: constant, hidden share, context, and context times hidden share.
N_CONDITIONS = 4
#: Samples of context at which a recording counts half.
HALF_CONTEXT = 300.0
#: Ranks that the knots span.
LAST_RANK = 424


def conditions(share: Tensor, n_context: Tensor) -> Tensor:
    """Describe a case.

    Parameters
    ----------
    share : Tensor (B,)
        Visible share of the window.
    n_context : Tensor (B,)
        Samples of the recording outside the window; 0 without context.

    Returns
    -------
    Tensor (B, N_CONDITIONS)
    """
    hidden = 1 - share
    context = n_context / (n_context + HALF_CONTEXT)
    return torch.stack([torch.ones_like(share), hidden, context, context * hidden], dim=1)


@lru_cache(maxsize=32)
def knot_weights(n_components: int, n_knots: int) -> Tensor:
    """Return how much each knot counts at each rank, (knots, K); columns sum to one."""
    knots = torch.logspace(0, torch.log10(torch.tensor(float(LAST_RANK))).item(), n_knots).log()
    ranks = torch.arange(1, n_components + 1, dtype=torch.float32).log().clamp(max=float(knots[-1]))
    right = torch.searchsorted(knots, ranks.contiguous()).clamp(1, n_knots - 1)
    low, high = knots[right - 1], knots[right]
    part = ((ranks - low) / (high - low)).clamp(0, 1)
    weights = torch.zeros(n_knots, n_components)
    columns = torch.arange(n_components)
    weights[right - 1, columns] = 1 - part
    weights[right, columns] += part
    return weights


class RankGains(nn.Module):
    """Trained gains of components.

    Parameters
    ----------
    start : sequence of (float, …)
        One row a gain: its value at all ranks before training, by condition.
    n_knots : int
    """

    def __init__(self, start: list[tuple[float, float, float, float]], n_knots: int) -> None:
        super().__init__()
        rows = torch.tensor(start, dtype=torch.float32)  # (gains, conditions)
        self._start = [list(row) for row in start]
        self.values = nn.Parameter(rows[:, :, None].repeat(1, 1, n_knots))

    def reset(self) -> None:
        """Put the gains back to their start."""
        start = torch.tensor(self._start, dtype=torch.float32, device=self.values.device)
        with torch.no_grad():
            self.values.copy_(start[:, :, None].expand_as(self.values))

    def forward(self, case: Tensor, n_components: int) -> Tensor:
        """Return gains (B, gains, K) for cases (B, N_CONDITIONS)."""
        at_knots = torch.einsum("bc,gcn->bgn", case, self.values)
        return at_knots @ knot_weights(n_components, self.values.shape[-1]).to(case.device)
