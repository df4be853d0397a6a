"""Attention maps of the person heads: what a parcel reads of the others in this scan, or steadied."""

from __future__ import annotations

import torch
from torch import Tensor

from brainlm_core.model.base import AttentionMaps
from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.inference import Layer, UnrolledInference
from brainlm_core.model.context.statistics import ContextStatistics

#: Visible share at which attention is read: with everything in sight nobody needs another parcel, and
#: where little is seen the network keeps to what the recording shows most surely.
READ_SHARE = 0.1


def signed_attention(
    layer: Layer,
    statistics: ContextStatistics,
    share: Tensor,
    group: GroupBasis | None = None,
    steadied: float = 0.0,
) -> Tensor:
    """Return the kernel ``U diag(g) U'`` of each person head, (B, heads, P, P), signed.

    Parameters
    ----------
    layer : Layer
    statistics : ContextStatistics
    share : Tensor (B,)
        Visible share at which the gains are taken.
    group : GroupBasis or None
        Needed where ``steadied`` is above 0.
    steadied : float
        The recording's second moments are mixed with this share of the group's before they are diagonalised.
    """
    if steadied > 0 and group is not None:
        vectors, values = statistics.vectors, statistics.values
        own = (vectors * values[:, None]) @ vectors.transpose(1, 2)
        level = values.mean(1)[:, None, None]
        prior = (group.vectors * (group.values / group.values.sum() * len(group.vectors))) @ group.vectors.T
        mixed = (1 - steadied) * own + steadied * level * prior
        statistics = ContextStatistics.of_moments(mixed, statistics.n_samples, statistics.index)
    gains = layer.person.gains(statistics, share)  # (B, heads, P)
    vectors = statistics.by_window(statistics.vectors)[:, None]
    return (vectors * gains[:, :, None]) @ vectors.transpose(2, 3)


def person_attention(
    inference: UnrolledInference,
    statistics: ContextStatistics,
    visible: Tensor,
    group: GroupBasis | None = None,
    steadied: float = 0.0,
) -> AttentionMaps:
    """Return attention between parcels by layer and head, positive, rows summing to one.

    The network weighs with the kernel as it is, signs included. A map of shares is its softmax over the
    other parcels, in units of the layer's root mean square: logarithms of the map differ as the weights do,
    and a head of little weight is a flat map.

    Parameters
    ----------
    inference : UnrolledInference
    statistics : ContextStatistics
    visible : Tensor (B, P, T)
    group, steadied
        See :func:`signed_attention`.
    """
    n_parcels = visible.shape[1]
    share = torch.full((len(visible),), READ_SHARE, device=visible.device)
    own = torch.eye(n_parcels, dtype=torch.bool, device=visible.device)
    maps = []
    for layer in inference.layers:
        assert isinstance(layer, Layer)
        kernel = signed_attention(layer, statistics, share, group, steadied).masked_fill(own, 0.0)
        size = kernel.sum(1, keepdim=True).square().mean((2, 3), keepdim=True).sqrt().clamp_min(1e-9)
        maps.append(torch.softmax((kernel / size).masked_fill(own, -torch.inf), dim=3))
    stacked = torch.stack(maps, dim=1).float()  # (B, layers, heads, P, P)
    cls = stacked.mean(3)  # how much each parcel is read; sums to one
    return AttentionMaps(stacked, cls, torch.arange(n_parcels, device=visible.device))
