"""The order in which parcels are plotted: by network, left before right, back to front."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.components.matrix_view import Band
from app.shell.theme import GROUP_ORDER, GROUP_SHORT, NETWORK_COLOURS
from brainlm_core.base.atlas import Parcellation
from brainlm_core.viz.words import groups_present, label

__all__ = ["by_network", "groups_present", "label"]


def by_network(parcellation: Parcellation) -> tuple[NDArray[np.intp], tuple[Band, ...]]:
    """Return display order and network bands.

    Parameters
    ----------
    parcellation : Parcellation
        Rows to order.

    Returns
    -------
    order : ndarray (n_parcels,), int
        Row to show at each position: groups in the house order, in each left before right,
        then from posterior to anterior.
    bands : tuple of Band
        One per group that occurs.
    """
    groups = np.array(parcellation.group)
    rank = {name: i for i, name in enumerate(GROUP_ORDER)}
    group_rank = np.array([rank.get(g, len(rank)) for g in groups])
    side = np.array([{"L": 0, "midline": 1}.get(h, 2) for h in parcellation.hemisphere])
    order = np.lexsort((parcellation.position[:, 1], side, group_rank))
    sorted_groups = groups[order]
    starts = [0, *(np.flatnonzero(sorted_groups[1:] != sorted_groups[:-1]) + 1), len(order)]
    bands = tuple(
        Band(GROUP_SHORT.get(g, g), NETWORK_COLOURS.get(g, NETWORK_COLOURS["unknown"]), int(a), int(b))
        for a, b in pairwise(starts)
        for g in [str(sorted_groups[a])]
    )
    return order, bands
