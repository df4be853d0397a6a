"""Attention as pictures, as the Networks page draws and exports it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.shell.exports import parcel_table
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.tables import table_bytes
from brainlm_core.features.networks.figures import (
    EVEN,
    LIMIT_R,
    PUBLISHED_WORDS,
    added_by_scan,
    attention_row,
    attention_words,
    cluster_categories,
    connectivity_row,
    dependence_words,
    export_maps,
    found_networks,
    known_networks,
    limits,
    relative,
    strip_rows,
    strongest_groups,
    summary_map,
    thumbnail_scale,
    who_wins,
)

__all__ = [
    "EVEN",
    "LIMIT_R",
    "PUBLISHED_WORDS",
    "added_by_scan",
    "attention_row",
    "attention_words",
    "cluster_categories",
    "connectivity_row",
    "dependence_words",
    "export_maps",
    "export_table",
    "found_networks",
    "known_networks",
    "limits",
    "relative",
    "strip_rows",
    "strongest_groups",
    "summary_map",
    "thumbnail_scale",
    "who_wins",
]


def export_table(maps: NDArray[np.float32], names: Sequence[str], parcellation: Parcellation) -> bytes:
    """Return one row per parcel with the maps of the page, as CSV."""
    table = parcel_table(parcellation, dict(zip(names, maps, strict=True)))
    return table_bytes(table)
