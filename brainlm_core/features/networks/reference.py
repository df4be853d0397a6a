"""What an average over many people already knows about the networks, without this recording.

Trained weights can carry the average connectivity of the people they were trained on. A model that
only did that would score as that average does, whatever it is shown: so the average stands beside it.
"""

from __future__ import annotations

from pathlib import Path

from brainlm_core.base.atlas import Parcellation
from brainlm_core.features.networks.features import Array
from brainlm_core.features.shared.group_statistics import group_covariance


def group_connectivity(parcellation: Parcellation, folder: Path | None = None) -> Array | None:
    """Return the correlation between parcels averaged over the default model's training recordings.

    Parameters
    ----------
    parcellation : Parcellation
        Other parcels than the stored ones take their figures from the nearest of those.
    folder : Path, optional
        Of the weights.

    Returns
    -------
    ndarray (n_parcels, n_parcels), float64, or None
        None when there are no statistics for this part of the brain.
    """
    group = group_covariance(parcellation.xyz, folder)
    return None if group is None else group.correlation()
