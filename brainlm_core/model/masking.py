"""Which tokens a model sees, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Visible:
    """Kept tokens of a batch in which every item keeps the same number.

    Parameters
    ----------
    kept : Tensor (B, K), int64
        Kept token indices in the order in which the model gets them.
    ids_restore : Tensor (B, S), int64
        Position of each token in [kept, hidden]; gathers tokens back into natural order.
    mask : Tensor (B, S), float32
        1 for hidden.
    """

    kept: Tensor
    ids_restore: Tensor
    mask: Tensor


def keep_visible(noise: Tensor, n_keep: int) -> Visible:
    """Keep the tokens with the smallest noise, in the order of their noise (SPEC 2.1.4).

    Parameters
    ----------
    noise : Tensor (B, S)
    n_keep : int
    """
    shuffle = torch.argsort(noise, dim=1, stable=True)  # (B, S)
    restore = torch.argsort(shuffle, dim=1, stable=True)
    return Visible(shuffle[:, :n_keep], restore, (restore >= n_keep).float())


def visible_from_hidden(hidden: Tensor, *, same_mask: bool = False) -> Iterator[tuple[Tensor, Visible]]:
    """Split a batch into parts that can run together, kept tokens in natural order.

    Parameters
    ----------
    hidden : Tensor (B, S), bool
    same_mask : bool
        Demand identical masks within a part, not just equally many hidden tokens.

    Yields
    ------
    rows : Tensor (b,), int64
        Batch items of this part.
    visible : Visible
        Their tokens.
    """
    counts = hidden.sum(dim=1)
    if same_mask:
        _, part = torch.unique(hidden, dim=0, return_inverse=True)
    else:
        _, part = torch.unique(counts, return_inverse=True)
    for number in range(int(part.max()) + 1 if len(part) else 0):
        rows = torch.nonzero(part == number).squeeze(1)
        n_keep = hidden.shape[1] - int(counts[rows[0]])
        yield rows, keep_visible(hidden[rows].float(), n_keep)
