"""Tables and brain maps that a networks result leaves on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.features.networks.maps import (
    write_label_cifti,
    write_label_gifti,
    write_value_cifti,
    write_value_gifti,
)
from brainlm_core.features.networks.scores import Clustering, MethodScores
from brainlm_core.features.networks.views import AttentionView

#: Names of the two maps of values.
MAP_NAMES = ("attention of the summary token", "mean attention received from other parcels")


def attention_received(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean attention that each parcel gets from the others, (n_parcels,)."""
    n = len(attention)
    total = attention.sum(axis=0) - np.diag(attention)
    return np.asarray(total / max(n - 1, 1), dtype=np.float32)


def parcel_table(
    view: AttentionView, clustering: Clustering, cls: NDArray[np.float32], received: NDArray[np.float32]
) -> pd.DataFrame:
    """Return one row per parcel: what and where it is (mm, MNI152), its network, its attention."""
    place = view.parcellation
    labels = clustering.labels
    return pd.DataFrame(
        {
            "parcel": np.arange(1, place.n_parcels + 1),
            "name": list(place.names),
            **{f"{axis}_mm": place.xyz[:, i] for i, axis in enumerate("xyz")},
            "hemisphere": list(place.hemisphere),
            "structure": list(place.structure),
            "yeo7": list(place.yeo7),
            "network": [clustering.names[label] if label >= 0 else "" for label in labels],
            "cls_attention": cls,
            "attention_received": received,
            "has_signal": view.usable.astype(int),
        }
    )


def scores_table(scores: Sequence[MethodScores]) -> pd.DataFrame:
    """Return one row per method and score, with its 95 % interval and why it has none."""
    rows = []
    for row in scores:
        kinds = (("knn_accuracy", row.knn), ("knn_accuracy_homologues", row.knn_homologues), ("ari", row.ari))
        for name, score in kinds:
            if score is None:
                continue
            figures = (score.value, *(score.ci95 or (None, None)))
            cells = ["" if x is None else f"{x:.6f}" for x in figures]
            rows.append([row.method, name, *cells, score.reason])
    return pd.DataFrame(rows, columns=["method", "score", "value", "ci95_low", "ci95_high", "reason"])


def write_maps(
    folder: Path,
    parcellation: Parcellation,
    clustering: Clustering,
    cls: NDArray[np.float32],
    received: NDArray[np.float32],
) -> tuple[Path, ...]:
    """Write the networks and the two maps of attention for other brain viewers.

    ``networks_{left,right}.label.gii``, ``attention_{left,right}.func.gii``, ``networks.dlabel.nii`` where a
    parcel lies on the cortex, ``attention.pscalar.nii``.
    """
    labels, names, values = clustering.labels, clustering.names, np.stack([cls, received])
    out = [
        *write_label_gifti(folder, "networks", labels, names, parcellation),
        *write_value_gifti(folder, "attention", values, MAP_NAMES, parcellation),
    ]
    if (parcellation.vertex_labels >= 0).any():
        out.append(write_label_cifti(folder / "networks.dlabel.nii", labels, names, parcellation))
    out.append(write_value_cifti(folder / "attention.pscalar.nii", values, MAP_NAMES, parcellation))
    return tuple(out)
