"""Datasets: an index of entities over the folders that the programs of the field write."""

from __future__ import annotations

from brainlm_core.scans.bids.entities import FileName, as_label, build_name, is_valid_name, parse_name
from brainlm_core.scans.bids.index import DatasetFile, DatasetIndex, index_dataset
from brainlm_core.scans.bids.runs import RUN_ENTITIES, DatasetRun, is_smoothed, runs_of

__all__ = [
    "RUN_ENTITIES",
    "DatasetFile",
    "DatasetIndex",
    "DatasetRun",
    "FileName",
    "as_label",
    "build_name",
    "index_dataset",
    "is_smoothed",
    "is_valid_name",
    "parse_name",
    "runs_of",
]
