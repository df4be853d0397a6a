"""The context family: kernel attention over parcels, unrolled, reading the recording beside the window.

A window passes these stages:

1. *Group.* Parcels take the components of the group covariance from the process that the network starts
   from (:class:`brainlm_core.model.kernel_model.KernelModel`); the window's autocorrelation picks the
   temporal regime.
2. *Recording.* Second moments of all samples outside the window are diagonalised
   (:class:`~brainlm_core.model.context.statistics.ContextStatistics`), once for all
   questions about a window.
3. *Layers.* Unrolled inference (:mod:`~brainlm_core.model.context.inference`): heads of the group, the
   window and the person.

Forecasts (whole moments hidden) are the process's: they read the window alone. So are windows of a temporal
regime that the network was not trained for. Masks act on single entries; nothing is rounded up to tokens.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from brainlm_core.model.base import AttentionMaps, Encoding, InputSpec, MaskedModel, Reconstruction
from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.config import ContextConfig
from brainlm_core.model.context.inference import UnrolledInference
from brainlm_core.model.context.readout import person_attention
from brainlm_core.model.context.statistics import ContextStatistics, second_moments
from brainlm_core.model.kernel_model import KernelModel, is_forecast
from brainlm_core.model.kernel_prior import autocorrelation


class ContextModel(MaskedModel):
    """See the module.

    Parameters
    ----------
    config : ContextConfig
    """

    family: ClassVar[str] = "context"
    low_precision: ClassVar[bool] = False
    hidden_only_batch: ClassVar[int] = 8
    reads_recording: ClassVar[bool] = True

    def __init__(self, config: ContextConfig) -> None:
        super().__init__()
        self.config = config
        own = config.process
        self.spec = InputSpec(
            None, own.n_timepoints, own.patch_length, own.tr_s, seen_by_mean=True, context="recording"
        )
        self.process = KernelModel(own).requires_grad_(False)
        self.inferences = nn.ModuleList(UnrolledInference(config) for _ in range(config.n_inferences))

    def n_parameters(self) -> int:
        """Return the number of fitted and trained numbers, the process included."""
        return sum(p.numel() for p in self.parameters())

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the process with random numbers; shake the trained gains about their start.

        The window heads are turned down: about a group that fits nothing their first order does not hold.
        """
        self.process.initialise(generator)
        self.unlearn(generator)
        with torch.no_grad():
            for name, parameter in self.inferences.named_parameters():
                if ".window." in name:
                    parameter.mul_(0.1)

    def unlearn(self, generator: torch.Generator) -> None:
        """Put the trained gains back to their start and shake them; keep the group's statistics."""
        for inference in self.inferences:
            assert isinstance(inference, UnrolledInference)
            inference.reset()
        with torch.no_grad():
            for parameter in self.inferences.parameters():
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))

    def reconstruct(
        self, signal: Tensor, xyz: Tensor, hidden: Tensor, context: ContextStatistics | None = None
    ) -> Reconstruction:
        """See :meth:`MaskedModel.reconstruct`; ``context`` is what the recording holds outside windows."""
        return self._answer(signal, xyz, hidden, context, self.process.reconstruct)

    def reconstruct_hidden(
        self, signal: Tensor, xyz: Tensor, hidden: Tensor, context: ContextStatistics | None = None
    ) -> Reconstruction:
        """See :meth:`MaskedModel.reconstruct_hidden`."""
        return self._answer(signal, xyz, hidden, context, self.process.reconstruct_hidden)

    def prior_reconstruct(self, signal: Tensor, xyz: Tensor, hidden: Tensor) -> Reconstruction:
        """Reconstruct with the closed-form prior of the process alone."""
        return self.process.prior_reconstruct(signal, xyz, hidden)

    def encode(
        self,
        signal: Tensor,
        xyz: Tensor,
        hidden: Tensor | None = None,
        context: ContextStatistics | None = None,
    ) -> Encoding:
        """See :meth:`MaskedModel.encode`; hidden entries are filled with the model's own reconstruction."""
        if hidden is not None and bool(hidden.any()):
            filled = self.reconstruct(signal, xyz, hidden, context).predicted
            signal = torch.where(hidden, filled, signal.float())
        return self.process.encode(signal, xyz)

    def attention(
        self,
        signal: Tensor,
        xyz: Tensor,
        hidden: Tensor | None = None,
        context: ContextStatistics | None = None,
        steadied: float = 0.0,
    ) -> AttentionMaps:
        """See :meth:`MaskedModel.attention`: the person heads, without any group quantity.

        A window without context is read from itself, filled in once.

        Parameters
        ----------
        signal, xyz, hidden, context
            As in :meth:`reconstruct`.
        steadied : float
            Share of the group's kernel that is mixed in, 0 to 1; 0 is the scan alone.
        """
        values, visible = self.visible(signal, hidden)
        context = self._own_context(values, visible, xyz, context)
        inference = self.inferences[0]
        assert isinstance(inference, UnrolledInference)
        group = self.basis(xyz) if steadied > 0 else None
        return person_attention(inference, context, visible, group, steadied)

    def context_of(
        self, moments: Tensor, n_samples: Tensor, index: Tensor | None = None
    ) -> ContextStatistics:
        """Diagonalise what a recording shows outside its windows; see :class:`ContextStatistics`."""
        return ContextStatistics.of_moments(moments.float(), n_samples, index)

    def basis(self, xyz: Tensor) -> GroupBasis:
        """Return the group's components for parcels at ``xyz`` (P, 3) in mm."""
        return GroupBasis.of_loadings(self.process.group_loadings(xyz))

    @staticmethod
    def visible(signal: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return values (B, P, T), 0 where hidden, and 1 where visible; flat parcels count as hidden."""
        hide = torch.zeros_like(signal, dtype=torch.bool) if hidden is None else hidden
        parts = [KernelModel.visible_entries(x, h) for x, h in zip(signal.float(), hide, strict=True)]
        values, visible = zip(*parts, strict=True)
        return torch.stack(values), torch.stack(visible)

    def _own_context(
        self, values: Tensor, visible: Tensor, xyz: Tensor, context: ContextStatistics | None
    ) -> ContextStatistics:
        """Return the context; where there is none, that of each window filled in once."""
        known = None if context is None else context.window_samples > 0
        if context is not None and known is not None and bool(known.all()):
            return context
        filled = values
        if bool((visible == 0).any()):
            answer = self._answer(values, xyz, visible == 0, None, self.process.reconstruct).predicted
            filled = torch.where(visible > 0, values, answer)
        alive = visible.any(2)[:, :, None]
        moments = torch.stack([second_moments(x) for x in filled * alive])
        own = self.context_of(moments, visible.sum((1, 2)) / alive.sum((1, 2)).clamp_min(1))
        if context is None or known is None or not bool(known.any()):
            return own
        # Windows with a recording read it, the others themselves.
        index = torch.where(known, context.index + len(own.values), own.index)
        return ContextStatistics.joined([own, context], index)

    def _answer(
        self,
        signal: Tensor,
        xyz: Tensor,
        hidden: Tensor,
        context: ContextStatistics | None,
        process: Any,
    ) -> Reconstruction:
        values, visible = self.visible(signal, hidden)
        predicted = torch.zeros_like(values)
        which = [self._inference_for(x, v) for x, v in zip(values, visible, strict=True)]
        basis = self.basis(xyz)
        for number in sorted(set(which)):
            part = torch.tensor([i for i, w in enumerate(which) if w == number], device=values.device)
            if number < 0:
                predicted[part] = process(signal[part], xyz, hidden[part]).predicted
                continue
            known = None if context is None else context.of(part)
            inference = self.inferences[number]
            predicted[part] = inference(values[part], visible[part], basis, known)
        return Reconstruction(predicted, hidden)

    def _inference_for(self, values: Tensor, visible: Tensor) -> int:
        """Return the set of gains that answers a window (P, T); -1 for the process."""
        if not bool(visible.any()) or is_forecast(visible):
            return -1
        signature = autocorrelation(values, visible, self.process.signatures.shape[1])
        return self.config.inference_of_regime[self.process.regime_of(signature)]
