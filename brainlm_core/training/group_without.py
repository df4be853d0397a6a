"""Group covariance of a training cohort without some of its people.

In training, a group that knows the person in the batch is trusted too much: the network then leans on it
instead of on the recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from brainlm_core.base.atlas import a424, a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.networks.metrics import homologue_pairs
from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.training.group_prior import Array, Moments, cortical_covariance
from brainlm_core.training.samples import Series


class GroupWithout:
    """Group components that leave people out; each set of people is diagonalised once.

    Parameters
    ----------
    recordings : sequence of Series
        All of one parcellation.
    subjects : sequence of str
        Who was scanned, one a recording.
    carried : ndarray (P, P) or None
        Correlation carried over from another cohort, for the cortical A424 parcels.

    Raises
    ------
    ConfigError
        If there are fewer than three people: a batch may hold two.
    """

    def __init__(
        self, recordings: Sequence[Series], subjects: Sequence[str], carried: Array | None = None
    ) -> None:
        people = sorted(set(subjects))
        if len(people) < 3:
            raise ConfigError(
                f"there are recordings of {len(people)} people, and training leaves up to two out",
                "give recordings of three people or more",
            )
        parcellation = recordings[0].parcellation
        self._cortical = parcellation.n_parcels == 360 and np.allclose(
            parcellation.xyz, a424_cortex().xyz, atol=1.0
        )
        self._carried = carried
        size = parcellation.n_parcels
        self._sums = {s: Moments(size) for s in people}
        for recording, subject in zip(recordings, subjects, strict=True):
            self._sums[subject].add(recording.values)
        self._known: dict[frozenset[str], GroupBasis] = {}

    def basis(self, left_out: frozenset[str] = frozenset()) -> GroupBasis:
        """Return the components of everybody else."""
        known = self._known.get(left_out)
        if known is None:
            covariance = self._covariance(left_out)
            known = self._known[left_out] = GroupBasis.of_covariance(torch.from_numpy(covariance))
        return known

    def _covariance(self, left_out: frozenset[str]) -> Array:
        kept = [m for s, m in self._sums.items() if s not in left_out]
        total = Moments(len(kept[0].products))
        total.products = sum((m.products for m in kept), np.zeros_like(total.products))
        total.counts = sum((m.counts for m in kept), np.zeros_like(total.counts))
        plain = total.covariance()
        if not self._cortical:
            return plain
        pairs = homologue_pairs(a424_cortex())
        homologue = np.array(
            [next((j for j in np.flatnonzero(pairs == p) if j != i), i) for i, p in enumerate(pairs)]
        )
        centres = a424().position.astype(np.float64)[:360]
        return cortical_covariance(plain, centres, homologue, self._carried)
