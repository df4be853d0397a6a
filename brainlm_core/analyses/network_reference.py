"""What an average over many people already knows about the networks, without this recording.

Trained weights can carry the average connectivity of the people they were trained on. A model that
only did that would score as that average does, whatever it is shown: so the average stands beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainlm_core.analyses.network_features import Array
from brainlm_core.atlas import Parcellation

#: Positions that differ by more than this describe different parcels, mm.
SAME_PARCEL_MM = 0.5


def group_connectivity(parcellation: Parcellation, folder: Path | None = None) -> Array | None:
    """Return the correlation between parcels averaged over the default model's training recordings.

    Read from ``group_statistics.npz`` beside the default weights: ``positions_k`` (n, 3) in mm and
    ``covariance_k`` (n, n), one pair per parcellation.

    Parameters
    ----------
    parcellation : Parcellation
        Each parcel must lie where one of the stored parcellation lies.
    folder : Path, optional
        Of the weights.

    Returns
    -------
    ndarray (n_parcels, n_parcels), float64, or None
        None when no stored parcellation has these parcels.
    """
    if folder is None:
        from brainlm_core.weights import default_folder  # brings torch, which a page's first paint must not

        folder = default_folder()
    path = folder / "group_statistics.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as store:
        for k in range(len([name for name in store.files if name.startswith("positions_")])):
            positions = store[f"positions_{k}"]
            gap = np.linalg.norm(parcellation.xyz[:, None] - positions[None], axis=-1)
            row = gap.argmin(axis=1)
            if gap.min(axis=1).max() > SAME_PARCEL_MM or len(np.unique(row)) < len(row):
                continue
            covariance = store[f"covariance_{k}"].astype(np.float64)[np.ix_(row, row)]
            sd = np.sqrt(np.diag(covariance))
            return np.asarray(covariance / (sd[:, None] * sd[None]))
    return None
