"""The kernel family: a coordinate-conditioned Gaussian process that adapts to each window, with attention.

A window passes four stages:

1. *Prior.* Parcels take their loadings from the anchors of the nearest reference parcellation
   (a bank); the window's own autocorrelation picks the temporal regime. Fitted in closed form.
2. *Adaptation.* Shrunken expectation-maximisation turns the group's kernel into the window's
   (:func:`brainlm_core.model.kernel_prior.adapt`).
3. *Attention.* Softmax attention over parcels on the adapted kernel gathers what the prior left
   unexplained; trained gates add it (:class:`brainlm_core.model.kernel_gates.AttentionGates`).
4. *The window's own word.* The answer is averaged with regression and dynamics that lean on the window
   (:mod:`brainlm_core.model.kernel_window`), with weights fixed on training subjects.

Masks act on single entries; nothing is rounded up to tokens.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from brainlm_core.model.base import AttentionMaps, Encoding, InputSpec, MaskedModel, Reconstruction
from brainlm_core.model.kernel_config import KernelConfig
from brainlm_core.model.kernel_embedding import LandmarkEmbedding
from brainlm_core.model.kernel_forecast import forecast_windows
from brainlm_core.model.kernel_gates import AttentionGates, attention_logits
from brainlm_core.model.kernel_prior import (
    Kernels,
    Posterior,
    adapt,
    autocorrelation,
    block_bounds,
    interpolation_weights,
    nearest_distance,
)
from brainlm_core.model.kernel_window import (
    MIN_SEEN,
    N_FORECASTERS,
    ORDER,
    window_forecasts,
    window_regression,
)

#: Lags in samples that tell temporal regimes apart.
N_SIGNATURE_LAGS = 3
#: Smallest share of a component's variance that is kept as signal.
_MIN_SIGNAL = 0.02
#: Bounds of a parcel's noise against the mean parcel's.
_NOISE_RANGE = (0.2, 4.0)
#: Steps into the future with weights of their own; later ones take the last.
N_BLEND_STEPS = 20
#: Parcellations whose basis is kept.
_MAX_REMEMBERED = 8
#: Passes may run beside each other.
_REMEMBERING = threading.Lock()


class Bank(nn.Module):
    """Group prior on one reference parcellation.

    ``positions`` (2, A, 3) in mm: published coordinate and centre of mass of each anchor;
    ``loadings`` (A, A): eigenvectors of the group covariance times the roots of the eigenvalues.
    """

    def __init__(self, n_anchors: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(2, n_anchors, 3), requires_grad=False)
        self.loadings = nn.Parameter(torch.zeros(n_anchors, n_anchors), requires_grad=False)


@dataclass(frozen=True, eq=False)
class GroupPrior:
    """The prior of one parcellation in one temporal regime.

    Parameters
    ----------
    loadings : Tensor (P, K)
        Signal part only.
    noise : Tensor (P,)
        Variance.
    weights : Tensor (K,)
        Weight of the window in the adaptation.
    kernels : Kernels
    regime : int
    """

    loadings: Tensor
    noise: Tensor
    weights: Tensor
    kernels: Kernels
    regime: int

    def autocorrelation(self) -> Tensor:
        """Return the autocorrelation (K, ORDER + 1) of each component by lag, noise included."""
        rows = torch.stack([m[0, : ORDER + 1] for m in self.kernels.matrices(self.kernels.values)])
        sizes = torch.tensor([b - a for a, b in self.kernels.bounds], device=rows.device)
        lags = self.loadings.square().sum(0)[:, None] * rows.repeat_interleave(sizes, dim=0)
        lags[:, 0] += self.noise.mean()
        return lags / lags[:, :1]


class KernelModel(MaskedModel):
    """See the module.

    Parameters
    ----------
    config : KernelConfig
    """

    family: ClassVar[str] = "kernel"
    low_precision: ClassVar[bool] = False
    hidden_only_batch: ClassVar[int] = 8
    small_steps: ClassVar[bool] = True

    def __init__(self, config: KernelConfig) -> None:
        super().__init__()
        self.config = config
        self.spec = InputSpec(None, config.n_timepoints, config.patch_length, config.tr_s, seen_by_mean=True)
        self.banks = nn.ModuleList(Bank(n) for n in config.bank_sizes)
        bins = config.n_timepoints + 1  # of a circle of twice the window
        self.spectra = nn.Parameter(torch.ones(config.n_regimes, config.n_blocks, bins), requires_grad=False)
        self.noise = nn.Parameter(torch.full((config.n_regimes,), 0.2), requires_grad=False)
        self.signatures = nn.Parameter(torch.zeros(config.n_regimes, N_SIGNATURE_LAGS), requires_grad=False)
        #: Weight by regime, forecaster (see kernel_window) and step.
        alone = torch.zeros(config.n_regimes, N_FORECASTERS, N_BLEND_STEPS)
        alone[:, 0] = 1.0
        self.blend = nn.Parameter(alone, requires_grad=False)
        self.embedding = LandmarkEmbedding(config.n_landmarks, config.width)
        self.gates = AttentionGates(len(config.sharpness), config.gate_width)
        self._kernels: dict[tuple[int, int, int, torch.device], tuple[Kernels, Tensor]] = {}
        self._bases: dict[tuple[int, bytes, torch.device], tuple[Tensor, Tensor]] = {}

    def bank_list(self) -> list[Bank]:
        """Return the banks with their type."""
        return [bank for bank in self.banks if isinstance(bank, Bank)]

    def n_parameters(self) -> int:
        """Return the number of fitted and trained numbers, the closed-form prior included."""
        return sum(p.numel() for p in self.parameters())

    def initialise(self, generator: torch.Generator) -> None:
        """Fill everything with random numbers, the prior included."""
        with torch.no_grad():
            for bank in self.bank_list():
                bank.positions.normal_(0.0, 40.0, generator=generator)
                size = bank.loadings.shape[0]
                bank.loadings.normal_(0.0, (0.5 / size) ** 0.5, generator=generator)
            self.spectra.exponential_(1.0, generator=generator)
            self.noise.fill_(0.2)
            self.signatures.uniform_(0.0, 1.0, generator=generator)
            self.blend.zero_()
            self.blend[:, 0] = 1.0
            self.embedding.landmarks.normal_(0.0, 40.0, generator=generator)
            for name in ("centre", "axes"):
                getattr(self.embedding, name).normal_(0.0, 0.02, generator=generator)
            for layer in (self.gates.inner, self.gates.outer):
                layer.weight.normal_(0.0, 0.02, generator=generator)
                layer.bias.zero_()
            self.gates.log_temperature.fill_(-2.0)
            self.gates.sink.zero_()
        self._kernels.clear()
        self._bases.clear()

    def reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """See :meth:`MaskedModel.reconstruct`."""
        predicted = torch.stack(
            [self._reconstruct_one(x, xyz, h)[0] for x, h in zip(signal, hidden, strict=True)]
        )
        return Reconstruction(predicted, hidden)

    def reconstruct_hidden(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """See :meth:`MaskedModel.reconstruct_hidden`: pure forecasts of a batch are solved together."""
        parts = [self.visible_entries(x, h) for x, h in zip(signal.float(), hidden, strict=True)]
        predicted = torch.empty_like(signal, dtype=torch.float32)
        groups: dict[tuple[bytes, Kernels], tuple[GroupPrior, list[int]]] = {}
        for index, (values, visible) in enumerate(parts):
            seen = visible.any(0)
            # A parcel hidden throughout must be answered at the seen moments too; the short way does not.
            whole = bool((hidden[index].any(0) == hidden[index].all(0)).all())
            if whole and is_forecast(visible) and bool(seen.any()):
                prior = self.group_prior(values, visible, xyz)
                key = (seen.cpu().numpy().tobytes(), prior.kernels)
                groups.setdefault(key, (prior, []))[1].append(index)
            else:
                predicted[index] = self._reconstruct_one(signal[index], xyz, hidden[index])[0]
        for prior, rows in groups.values():
            answers = forecast_windows(
                torch.stack([parts[i][0] for i in rows]),
                torch.stack([parts[i][1].any(1) for i in rows]),
                parts[rows[0]][1].any(0),
                prior.loadings,
                prior.noise,
                prior.kernels,
                self.gates,
                iterations=self.config.iterations * 4,
                tolerance=self.config.tolerance * 0.1,
            )
            for answer, i in zip(answers, rows, strict=True):
                predicted[i] = self._blend_future(answer, parts[i][0], parts[i][1].any(0), prior)
        return Reconstruction(predicted, hidden)

    def prior_reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Reconstruct with the closed-form prior alone: no adaptation to the window, no attention."""
        out = []
        for values, hide in zip(signal.float(), hidden, strict=True):
            values, visible = self.visible_entries(values, hide)
            prior = self.group_prior(values, visible, xyz)
            out.append(self._infer(values, visible, prior, rounds=0).mean)
        return Reconstruction(torch.stack(out), hidden)

    def encode(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> Encoding:
        """See :meth:`MaskedModel.encode`; hidden entries are filled with the model's own reconstruction."""
        cls, tokens = [], []
        xyz = xyz.float()
        for index, values in enumerate(signal.float()):
            if hidden is not None and bool(hidden[index].any()):
                filled, _ = self._reconstruct_one(values, xyz, hidden[index])
                values = torch.where(hidden[index], filled, values)
            cls.append(self.embedding.summary(values, xyz))
            tokens.append(self.embedding.parcels(values, xyz, self._basis(xyz)[0]))
        return Encoding(torch.stack(cls), torch.stack(tokens))

    def attention(self, signal: Tensor, xyz: Tensor, hidden: Tensor | None = None) -> AttentionMaps:
        """See :meth:`MaskedModel.attention`; one layer, one head per exponent of ``config.sharpness``."""
        maps, cls = [], []
        for index, values in enumerate(signal.float()):
            hide = torch.zeros_like(values, dtype=torch.bool) if hidden is None else hidden[index]
            values, visible = self.visible_entries(values, hide)
            prior = self.group_prior(values, visible, xyz)
            posterior = self._infer(values, visible, prior, final_mean=False)
            maps.append(self.gates.attention(attention_logits(posterior.loadings, self.config.sharpness)))
            explained = posterior.loadings.square().sum(1)
            cls.append(self.gates.summary_attention(explained / (explained + posterior.noise)))
        group = torch.arange(signal.shape[1], device=signal.device)
        # (B, 1, heads, P, P) and (B, 1, heads, P): one layer
        return AttentionMaps(torch.stack(maps)[:, None].float(), torch.stack(cls)[:, None].float(), group)

    def _reconstruct_one(self, values: Tensor, xyz: Tensor, hidden: Tensor) -> tuple[Tensor, Posterior]:
        values, visible = self.visible_entries(values.float(), hidden)
        with torch.no_grad():
            # Adapting to the window helps space, not time: a pure forecast is better from the group's kernel.
            rounds = 0 if is_forecast(visible) else self.config.rounds
            prior = self.group_prior(values, visible, xyz)
            posterior = self._infer(values, visible, prior, rounds=rounds)
            logits = attention_logits(posterior.loadings, self.config.sharpness)
        answer = self.gates(values, visible, posterior, logits)
        if is_forecast(visible):
            return self._blend_future(answer, values, visible.any(0), prior), posterior
        return self._blend_regression(answer, values, visible, prior), posterior

    @torch.no_grad()
    def _own_regression(self, values: Tensor, visible: Tensor, prior: GroupPrior) -> Tensor:
        covariance = prior.loadings @ prior.loadings.T
        level = prior.noise.mean() * torch.eye(len(covariance), device=values.device)
        return window_regression(values, visible, covariance + level)

    def _blend_regression(self, answer: Tensor, values: Tensor, visible: Tensor, prior: GroupPrior) -> Tensor:
        """Average the answer (P, T) with the window's own regression, at moments that are seen."""
        config, share = self.config, float(visible.mean())
        if config.own_regression == 0 or share in (0.0, 1.0):
            return answer
        weight = config.own_regression * share**config.own_exponent * visible.any(0)  # (T,)
        return answer + weight * (self._own_regression(values, visible, prior) - answer)

    def _blend_future(self, answer: Tensor, values: Tensor, seen: Tensor, prior: GroupPrior) -> Tensor:
        """Average the forecast (P, T) with the window's own dynamics behind the last seen moment.

        Only where the seen moments (T,) hang together and are :data:`MIN_SEEN` or more.
        """
        index = torch.nonzero(seen).squeeze(1)
        if len(index) < MIN_SEEN:
            return answer
        first, last = int(index[0]), int(index[-1]) + 1
        steps, weights = len(seen) - last, self.blend[prior.regime]  # (3, N_BLEND_STEPS)
        if not steps or last - first != len(index) or not bool(weights[1:].any()):
            return answer
        own = window_forecasts(
            values[:, first:last], steps, prior.loadings, prior.autocorrelation(), prior.kernels.bounds
        )
        by_step = weights[:, torch.arange(steps, device=seen.device).clamp(max=N_BLEND_STEPS - 1)]
        ahead = (torch.cat([answer[None, :, last:], own]) * by_step[:, None]).sum(0)
        return torch.cat([answer[:, :last], ahead], dim=1)

    @staticmethod
    def visible_entries(values: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return values (P, T) with hidden ones at 0, and 1 where visible; flat parcels count as hidden."""
        visible = (~hidden).float()
        values = torch.where(hidden, torch.zeros_like(values), values)
        count = visible.sum(1)
        mean = values.sum(1) / count.clamp_min(1)
        spread = ((values - mean[:, None]).square() * visible).sum(1)
        visible = visible * (spread > 1e-8)[:, None]
        return values * visible, visible

    def _infer(
        self,
        values: Tensor,
        visible: Tensor,
        prior: GroupPrior,
        *,
        rounds: int | None = None,
        final_mean: bool = True,
    ) -> Posterior:
        config = self.config
        if not bool(visible.any()):  # nothing seen: the prior's mean
            return Posterior(torch.zeros_like(values), prior.loadings, prior.noise)
        # What comes after the last visible moment hangs on few components: solve that to the end.
        extrapolates = bool((visible.sum(0) == 0).any())
        return adapt(
            values,
            visible,
            prior.loadings,
            prior.noise,
            prior.kernels,
            prior.weights,
            rounds=config.rounds if rounds is None else rounds,
            noise_exponent=config.noise_exponent,
            iterations=config.iterations * (4 if extrapolates else 1),
            tolerance=config.tolerance * (0.1 if extrapolates else 1),
            final_mean=final_mean,
        )

    def group_prior(self, values: Tensor, visible: Tensor, xyz: Tensor) -> GroupPrior:
        """Return the prior for these parcels in the temporal regime of this window."""
        regime = self.regime_of(autocorrelation(values, visible, N_SIGNATURE_LAGS))
        total, lost = self._basis(xyz.float())
        kernels, share = self._kernels_of(regime, total.shape[1])
        loadings = total * share.sqrt()
        noise = self.noise[regime] + lost
        if regime == 0:
            signal = loadings.square().sum(1)
            unexplained = (signal.mean() - signal) / self.noise[regime]
            profile = torch.exp(self.config.noise_profile * unexplained).clamp(*_NOISE_RANGE)
            noise = self.noise[regime] * profile + lost
        if regime > 0 and is_forecast(visible):
            noise = noise.clamp_min(self.config.forecast_noise)
        rank = torch.arange(1, total.shape[1] + 1, device=total.device, dtype=torch.float32)
        first, last = (torch.tensor(v).log() for v in (self.config.adapt_first, self.config.adapt_last))
        slope = rank.log() / max(float(rank[-1].log()), 1e-6)
        weights = torch.exp(first + (last - first) * slope)
        return GroupPrior(loadings, noise, weights, kernels, regime)

    def regime_of(self, signature: Tensor) -> int:
        """Return the temporal regime whose autocorrelation at the first lags is nearest to this (lags,)."""
        return int((self.signatures - signature).square().sum(1).argmin())

    def group_loadings(self, xyz: Tensor) -> Tensor:
        """Return the group's orthogonal loadings (P, K), noise included, for parcels at xyz (P, 3) in mm."""
        return self._basis(xyz.float())[0]

    def _basis(self, xyz: Tensor) -> tuple[Tensor, Tensor]:
        """Return orthogonal loadings (P, K) of these parcels, strongest first, and lost variance (P,).

        Loadings interpolated from the anchors are turned to the principal axes of the covariance that
        they imply, so that components mean the same (a rank) on every parcellation. Between anchors
        loadings lose variance; what a parcel has beyond them counts as noise. The last few
        parcellations are remembered.
        """
        key = (self.spectra.data_ptr(), xyz.cpu().numpy().tobytes(), xyz.device)
        known = self._bases.get(key)
        if known is None:
            bank = self.bank_list()[self._choose_bank(xyz)]
            mixing = interpolation_weights(xyz, bank.positions)  # (P, A)
            raw = mixing @ bank.loadings  # (P, A)
            values, vectors = torch.linalg.eigh((raw @ raw.T).double())
            kept = min(raw.shape)
            values, vectors = values.flip(0)[:kept].clamp_min(1e-6), vectors.flip(1)[:, :kept]
            lost = mixing @ bank.loadings.square().sum(1) - raw.square().sum(1)
            known = ((vectors * values.sqrt()).float(), lost.clamp_min(0))
            with _REMEMBERING:
                while len(self._bases) >= _MAX_REMEMBERED:
                    self._bases.pop(next(iter(self._bases)))
                self._bases[key] = known
        return known

    def _choose_bank(self, xyz: Tensor) -> int:
        if len(self.banks) == 1:
            return 0
        gap = torch.stack([nearest_distance(xyz, bank.positions) for bank in self.bank_list()])
        return int(gap.argmin())

    def _kernels_of(self, regime: int, n_components: int) -> tuple[Kernels, Tensor]:
        """Return the kernels of a regime and the signal's share (K,) of each component's variance."""
        key = (self.spectra.data_ptr(), regime, n_components, self.spectra.device)
        if key not in self._kernels:
            bounds = block_bounds(n_components, self.config.n_blocks)
            spectra = self.spectra[regime, : len(bounds)]
            kernels = Kernels.from_spectra(spectra, self.config.n_timepoints, bounds)
            size = 2 * (spectra.shape[1] - 1)
            blocks = torch.fft.irfft(spectra, n=size)[:, 0].clamp(_MIN_SIGNAL, 1.0)  # (blocks,)
            sizes = torch.tensor([b - a for a, b in bounds], device=spectra.device)
            self._kernels[key] = (kernels, blocks.repeat_interleave(sizes))
        return self._kernels[key]


def is_forecast(visible: Tensor) -> bool:
    """Whether moments are seen whole or not at all, with at least one not seen."""
    share = visible.sum(0)  # (T,)
    return bool(((share == 0) | (share == share.max())).all()) and bool((share == 0).any())
