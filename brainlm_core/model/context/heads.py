"""Attention heads of one layer: the group's, the window's own and the recording's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.gains import RankGains
from brainlm_core.model.context.statistics import ContextStatistics

#: Largest norm of the window's deviation from the group, in units of what noise of its length gives.
MAX_DEVIATION = 3.0
#: How noise grows with the hidden share in the person heads.
HIDDEN_EXPONENT = 1.3
#: Samples of context to which the person heads' settings refer.
REFERENCE_CONTEXT = 1000.0


def temporal_filters(widths: tuple[float, ...], reach: int) -> Tensor:
    """Return Gaussians without their centre, (filters, 2 reach + 1); each sums to one."""
    lag = torch.arange(-reach, reach + 1, dtype=torch.float32)
    rows = torch.exp(-0.5 * (lag / torch.tensor(widths)[:, None]).square())
    rows[:, reach] = 0
    return rows / rows.sum(1, keepdim=True)


class GroupHead(nn.Module):
    """Ridge on the group covariance, with temporal filters; before training the ridge alone.

    Parameters
    ----------
    widths : tuple of float
        Of the temporal filters, in samples.
    reach : int
    n_knots : int
    ridge : float
        Penalty in units of the mean variance.
    context_weight : float
        How much of the group's word the recording takes over before training.
    """

    def __init__(
        self, widths: tuple[float, ...], reach: int, n_knots: int, ridge: float, context_weight: float
    ) -> None:
        super().__init__()
        start = [(1.0, 0.0, -context_weight, 0.0), *[(0.0, 0.0, 0.0, 0.0)] * len(widths)]
        self.gains = RankGains(start, n_knots)
        self.log_noise = RankGains([(0.0, 0.0, 0.0, 0.0)], n_knots)
        self._widths, self._reach, self._ridge = widths, reach, ridge

    def trust(self, basis: GroupBasis, case: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ridge's gain and the noise of each component, both (B, K)."""
        noise = self._ridge * basis.values.mean() * self.log_noise(case, len(basis.values))[:, 0].exp()
        return basis.values / (share[:, None] * basis.values + noise), noise

    def forward(self, components: Tensor, trust: Tensor, case: Tensor) -> Tensor:
        """Return components (B, K, T) of the answer from components of what was found (B, K, T)."""
        gains = self.gains(case, components.shape[1])  # (B, filters + 1, K)
        if not self._widths:
            return components * (trust * gains[:, 0])[:, :, None]
        length = components.shape[2]
        size = length + self._reach
        filters = temporal_filters(self._widths, self._reach).to(components.device)
        kernel = torch.zeros(len(filters), size, device=components.device)
        kernel[:, : self._reach + 1] = filters[:, self._reach :]
        kernel[:, size - self._reach :] = filters[:, : self._reach]
        response = torch.fft.rfft(kernel).real  # (filters, F): symmetric filters have no phase
        spectrum = gains[:, :1].transpose(1, 2) + gains[:, 1:].transpose(1, 2) @ response  # (B, K, F)
        turned = torch.fft.rfft(components, n=size) * (trust[:, :, None] * spectrum)
        return torch.fft.irfft(turned, n=size)[:, :, :length]


class WindowHead(nn.Module):
    """How the filled window's own second moments deviate from the group's, with a trained gain a component.

    First order of a ridge whose covariance ``L (I + a W a) L`` moves with the window; ``W`` are the second
    moments in the group's whitened coordinates minus the identity.
    """

    def __init__(self, n_knots: int) -> None:
        super().__init__()
        self.gains = RankGains([(0.3, 0.0, 0.0, 0.0)], n_knots)

    def forward(
        self,
        components: Tensor,
        filled: Tensor,
        basis: GroupBasis,
        noise: Tensor,
        case: Tensor,
        share: Tensor,
    ) -> Tensor:
        """Return components (B, K, T); ``filled`` (B, K, T) are those of the window filled so far."""
        white = filled / basis.values.sqrt()[:, None]
        size, length = filled.shape[1], filled.shape[2]
        deviation = white @ white.transpose(1, 2) / length  # (B, K, K)
        deviation = deviation - torch.eye(size, device=filled.device)
        # First order only holds nearby: a window unlike anything in training may not blow the answer up.
        most = MAX_DEVIATION * size / length**0.5
        deviation = deviation * (most / deviation.square().sum((1, 2)).sqrt().clamp_min(most))[:, None, None]
        gain = self.gains(case, components.shape[1])[:, 0]  # (B, K)
        gain = gain * (basis.values * noise).sqrt() / (share[:, None] * basis.values + noise)
        weighted = components * gain[:, :, None]
        return gain[:, :, None] * (deviation @ weighted)


class PersonHeads(nn.Module):
    """Kernel attention in the recording's own coordinates: no group quantity enters.

    Queries and keys are a parcel's coordinates on the eigenvectors of the recording's second moments, the
    attention matrix is ``U diag(g) U'`` with ``g = w e^k / (share e^k + n + t (1 - share)^1.3)``.

    Parameters
    ----------
    n_heads : int
    weight : float
        Sum of ``w`` over heads before training.
    """

    def __init__(self, n_heads: int, weight: float) -> None:
        super().__init__()
        self._weight = weight
        self.weight = nn.Parameter(torch.empty(n_heads))
        self.weight_by_length = nn.Parameter(torch.empty(n_heads))
        self.weight_by_hidden = nn.Parameter(torch.empty(n_heads))
        self.exponent = nn.Parameter(torch.empty(n_heads))
        self.log_noise = nn.Parameter(torch.empty(n_heads))
        self.noise_by_length = nn.Parameter(torch.empty(n_heads))
        self.log_hidden_noise = nn.Parameter(torch.empty(n_heads))
        self.residual_exponent = nn.Parameter(torch.empty(n_heads))
        self.reset()

    def reset(self) -> None:
        """Put the settings back to their start; heads start at different noise."""
        n = len(self.weight)
        spread = torch.linspace(-0.7, 0.7, n) if n > 1 else torch.zeros(1)
        with torch.no_grad():
            self.weight.fill_(self._weight / n)
            self.weight_by_length.fill_(-0.2)
            self.weight_by_hidden.zero_()
            self.exponent.fill_(1.0)
            self.log_noise.copy_(torch.log(torch.tensor(0.15)) + spread)
            self.noise_by_length.fill_(0.2)
            self.log_hidden_noise.fill_(-2.0)
            self.residual_exponent.fill_(0.5)

    def gains(self, statistics: ContextStatistics, share: Tensor) -> Tensor:
        """Return ``g`` (B, heads, P) of each eigenvector; 0 without context.

        Eigenvalues are measured against their mean, so that a scaling of the recording changes nothing.
        """
        values = statistics.by_window(statistics.values)
        values = values / values.mean(1, keepdim=True).clamp_min(1e-6)  # (B, P)
        n = statistics.window_samples
        shorter = torch.log(REFERENCE_CONTEXT / n.clamp_min(1.0))[:, None]  # (B, 1)
        hidden = (1 - share)[:, None]
        weight = self.weight * torch.exp(self.weight_by_length * shorter + self.weight_by_hidden * hidden)
        noise = torch.exp(self.log_noise + self.noise_by_length * shorter)
        noise = noise + torch.exp(self.log_hidden_noise) * hidden**HIDDEN_EXPONENT  # (B, heads)
        # 1e-6: the gradient of a power at 0 is not finite
        power = (values[:, None] + 1e-6) ** self.exponent[:, None]  # (B, heads, P)
        gains = weight[:, :, None] * power / (share[:, None, None] * power + noise[:, :, None])
        return gains * (n > 0)[:, None, None]

    def reliability(self, statistics: ContextStatistics) -> Tensor:
        """Return how much the visible values of each parcel count, (B, heads, P)."""
        residual = statistics.by_window(statistics.residual)
        return residual[:, None] ** -self.residual_exponent[:, None]

    def forward(
        self, found: Tensor, believed: Tensor, statistics: ContextStatistics, share: Tensor
    ) -> Tensor:
        """Return the answer (B, P, T).

        Parameters
        ----------
        found : Tensor (B, P, T)
            What the visible values hold beyond the answer so far.
        believed : Tensor (B, P, T)
            The answer so far, times the visible share.
        statistics : ContextStatistics
        share : Tensor (B,)
        """
        vectors = statistics.by_window(statistics.vectors)  # (B, P, P)
        gains, reliability = self.gains(statistics, share), self.reliability(statistics)
        keys = vectors.transpose(1, 2)
        answer = torch.zeros_like(found)
        for head in range(gains.shape[1]):
            values = reliability[:, head, :, None] * found + believed
            answer = answer + gains[:, head, :, None] * (keys @ values)
        return vectors @ answer
