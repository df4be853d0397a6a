"""Scan intake: files in, recordings out.

>>> from brainlm_core.scans import read_scan
>>> recording = read_scan("sub-01_bold.nii.gz", tr_s=2.0)  # doctest: +SKIP
"""

from __future__ import annotations

from brainlm_core.scans.cleaning import CleaningOptions
from brainlm_core.scans.intake import read_scan
from brainlm_core.scans.readers import READERS, Reader
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.types import MissingChoice, MissingCoordinates, MissingTR

__all__ = [
    "READERS",
    "CleaningOptions",
    "MissingChoice",
    "MissingCoordinates",
    "MissingTR",
    "Reader",
    "ScanSource",
    "read_scan",
]
