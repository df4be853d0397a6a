"""The learned half of the kernel family: softmax attention on the adapted kernel, and gates that use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainlm_core.model.kernel_prior import Posterior

#: Added to the visible share of the attention before dividing by it: nothing is made of one faint neighbour.
_MASS_FLOOR = 0.05
#: Descriptions of an entry beside the attention masses, see :func:`describe`.
N_DESCRIPTIONS = 5


def attention_logits(loadings: Tensor, sharpness: tuple[float, ...]) -> Tensor:
    """Return the correlation of the adapted kernel with its eigenvalues raised to each exponent.

    Parameters
    ----------
    loadings : Tensor (P, K)
        Adapted loadings of one window.
    sharpness : tuple of float
        One exponent per head; 1 is the kernel itself, smaller ones weigh weak components up.

    Returns
    -------
    Tensor (heads, P, P)
        Symmetric, between -1 and 1.
    """
    values, vectors = torch.linalg.eigh(loadings @ loadings.T)
    values = values.clamp_min(1e-6 * float(values[-1]))
    out = []
    for exponent in sharpness:
        kernel = (vectors * values**exponent) @ vectors.T
        scale = kernel.diagonal().clamp_min(1e-8).rsqrt()
        out.append(kernel * scale[:, None] * scale)
    return torch.stack(out)


def distance_to_visible(visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return samples since the last, and until the next, visible sample of the same parcel, each (P, T)."""
    n = visible.shape[1]
    index = torch.arange(n, device=visible.device)
    seen = visible > 0
    last = torch.where(seen, index, -n).cummax(1).values
    following = torch.where(seen, index, 2 * n).flip(1).cummin(1).values.flip(1)
    return (index - last).clamp(max=n).float(), (following - index).clamp(max=n).float()


def describe(visible: Tensor) -> Tensor:
    """Return what a gate may know of an entry: how far from, and how much, is visible, (P, T, 5).

    In order: exp(-samples since / until the last / next visible sample of the parcel / 5), the same
    over 40 samples for the nearer one, visible share of the time point, visible share of the window.
    """
    before, after = distance_to_visible(visible)
    moment = visible.mean(0, keepdim=True).expand_as(visible)
    return torch.stack(
        [
            torch.exp(-before / 5),
            torch.exp(-after / 5),
            torch.exp(-torch.minimum(before, after) / 40),
            moment,
            visible.mean().expand_as(visible),
        ],
        dim=-1,
    )


class AttentionGates(nn.Module):
    """Softmax attention over parcels and the gates that add what it gathers to the prior's answer.

    Head h of parcel p gathers the residuals (visible minus posterior mean) of the parcels that it
    attends to, at each time point; a small network decides from the visible surroundings how much
    of each head to add and how far to trust the prior. The gates start at zero: the adapted prior alone.

    Parameters
    ----------
    n_heads : int
    hidden : int
        Hidden units of the gates.
    """

    def __init__(self, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.full((n_heads,), -2.0))
        self.sink = nn.Parameter(torch.zeros(n_heads))
        self.inner = nn.Linear(n_heads + N_DESCRIPTIONS, hidden)
        self.outer = nn.Linear(hidden, n_heads + 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def attention(self, logits: Tensor) -> Tensor:
        """Return softmax attention (heads, P, P); rows sum to one minus what the summary token takes."""
        scaled = logits * torch.exp(-self.log_temperature)[:, None, None]
        sink = self.sink[:, None, None].expand(-1, logits.shape[1], 1)
        return torch.softmax(torch.cat([sink, scaled], dim=-1), dim=-1)[..., 1:]

    def summary_attention(self, communality: Tensor) -> Tensor:
        """Return the summary token's attention (heads, P), by the parcels' explained variance (P,)."""
        return torch.softmax(communality * torch.exp(-self.log_temperature)[:, None], dim=-1)

    def forward(self, values: Tensor, visible: Tensor, posterior: Posterior, logits: Tensor) -> Tensor:
        """Return the corrected prediction (P, T)."""
        weight = self.attention(logits)  # (heads, P, P)
        residual = (values - posterior.mean) * visible
        mass = weight @ visible  # (heads, P, T)
        gathered = (weight @ residual) / (mass + _MASS_FLOOR)
        known = torch.cat([mass.permute(1, 2, 0), describe(visible)], dim=-1)  # (P, T, heads + 5)
        gate = self.outer(torch.nn.functional.gelu(self.inner(known)))  # (P, T, heads + 1)
        added = (gate[..., :-1] * gathered.permute(1, 2, 0)).sum(-1)
        return posterior.mean * (1 + gate[..., -1]) + added
