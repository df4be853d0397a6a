"""The parcellations of the field: their names, the names and order of their parcels, where these lie.

>>> from brainlm_core.scans.atlases import atlas_table, known_atlas
>>> table = atlas_table(known_atlas("Schaefer2018_400Parcels_7Networks").key)
>>> table.names[0], table.hemisphere[0], table.network[0]
('7Networks_LH_Vis_1', 'L', 'Vis')
"""

from __future__ import annotations

from brainlm_core.scans.atlases.catalogue import (
    AtlasTable,
    KnownAtlas,
    PositionsNotHere,
    atlases_in_file_name,
    find_atlases,
    known_atlas,
    known_atlases,
)
from brainlm_core.scans.atlases.match import NameMatch, UnknownNames, match_names
from brainlm_core.scans.atlases.tables import (
    atlas_parcellation,
    atlas_table,
    column_rows,
    is_here,
)

__all__ = [
    "AtlasTable",
    "KnownAtlas",
    "NameMatch",
    "PositionsNotHere",
    "UnknownNames",
    "atlas_parcellation",
    "atlas_table",
    "atlases_in_file_name",
    "column_rows",
    "find_atlases",
    "is_here",
    "known_atlas",
    "known_atlases",
    "match_names",
]
