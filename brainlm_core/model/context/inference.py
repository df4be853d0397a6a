"""Layers of unrolled inference: each adds what the heads make of what the answer so far leaves unexplained.

A layer: ``v = M (X - Y) + share Y + o r``; ``Y <- (1 - h) Y + h [group(v) + window(v) + person(v)]``, with
``M`` 1 where visible, ``r`` what the layer before had left, ``Y`` 0 at the start. With the group head alone
and ``h = 1`` the layers converge to ridge regression on the group covariance.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.config import ContextConfig
from brainlm_core.model.context.gains import N_CONDITIONS, conditions
from brainlm_core.model.context.heads import GroupHead, PersonHeads, WindowHead
from brainlm_core.model.context.statistics import ContextStatistics

#: Weight of the person heads against the group's before training.
PERSON_START = 0.35


class Layer(nn.Module):
    """One step of unrolled inference.

    Parameters
    ----------
    config : ContextConfig
    first : bool
        The first layer has no window head: nothing is filled in yet.
    """

    def __init__(self, config: ContextConfig, first: bool) -> None:
        super().__init__()
        self.group = GroupHead(
            config.filter_widths, config.filter_reach, config.n_knots, config.ridge, PERSON_START
        )
        self.window = None if first else WindowHead(config.n_knots)
        self.person = PersonHeads(config.n_person_heads, PERSON_START)
        self.step = nn.Parameter(torch.zeros(N_CONDITIONS))
        self.momentum = nn.Parameter(torch.zeros(N_CONDITIONS))

    def forward(
        self,
        x: Tensor,
        visible: Tensor,
        answer: Tensor,
        residual: Tensor,
        basis: GroupBasis,
        statistics: ContextStatistics | None,
        case: Tensor,
        share: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the new answer and what the old one left, both (B, P, T)."""
        left = visible * (x - answer)
        believed = share[:, None, None] * answer
        found = left + (case @ self.momentum)[:, None, None] * residual
        components = basis.vectors.T @ (found + believed)  # (B, K, T)
        trust, noise = self.group.trust(basis, case, share)
        out = self.group(components, trust, case)
        if self.window is not None:
            filled = basis.vectors.T @ (answer + left)
            out = out + self.window(components, filled, basis, noise, case, share)
        proposal = basis.vectors @ out
        if statistics is not None:
            proposal = proposal + self.person(found, believed, statistics, share)
        step = torch.exp(case @ self.step)[:, None, None]
        return answer + step * (proposal - answer), left


class UnrolledInference(nn.Module):
    """All layers; see the module.

    Parameters
    ----------
    config : ContextConfig
    """

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, first=k == 0) for k in range(config.n_layers))

    def reset(self) -> None:
        """Put all trained numbers back to their start."""
        for module in self.modules():
            back: Any = getattr(module, "reset", None)
            if back is not None and module is not self:
                back()
            if isinstance(module, Layer):
                with torch.no_grad():
                    module.step.zero_()
                    module.momentum.zero_()

    def forward(
        self, x: Tensor, visible: Tensor, basis: GroupBasis, statistics: ContextStatistics | None = None
    ) -> Tensor:
        """Fill windows in.

        Parameters
        ----------
        x : Tensor (B, P, T)
            Scaled; 0 where hidden.
        visible : Tensor (B, P, T)
            1 where visible, else 0.
        basis : GroupBasis
        statistics : ContextStatistics or None
            Of the recordings outside the windows; None without context.

        Returns
        -------
        Tensor (B, P, T)
            The answer at every entry.
        """
        share = visible.mean((1, 2)).clamp_min(1e-3)
        n = torch.zeros_like(share) if statistics is None else statistics.window_samples
        case = conditions(share, n)
        # A window of another amplitude is the same question: the group's is taken for all.
        power = x.square().sum((1, 2)) / visible.sum((1, 2)).clamp_min(1)
        level = basis.values.sum() / len(basis.vectors)
        scale = torch.where(power > 0, (power / level).sqrt(), torch.ones_like(power))[:, None, None]
        x = x / scale
        answer, residual = torch.zeros_like(x), torch.zeros_like(x)
        for layer in self.layers:
            answer, residual = layer(x, visible, answer, residual, basis, statistics, case, share)
        return answer * scale
