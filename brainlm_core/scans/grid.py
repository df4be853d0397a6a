"""A table of numbers as a file gives it, before anyone knows which axis is time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Step


@dataclass(frozen=True)
class Grid:
    """Numbers with the names that stood beside them.

    Parameters
    ----------
    values : ndarray (n_rows, n_columns), float64
        NaN where the file says so.
    column_names : tuple of str or None
        Header row, one name per column.
    row_names : tuple of str or None
        First column, when it holds words.
    tr_s : float or None
        Repetition time when the file holds one (time column, ``tr_s`` entry).
    parcels_axis : int or None
        0 or 1 when the file's format fixes which axis holds the parcels.
    atlas : str or None
        Key of the parcellation, when the file's format fixes it (packs of this project's own).
    column_xyz : ndarray (n_columns, 3), float64, or None
        Position of each column's parcel in mm (MNI), where the file states it.
    steps, notices : tuple
        What was done and what the user should read.
    """

    values: NDArray[np.float64]
    column_names: tuple[str, ...] | None = None
    row_names: tuple[str, ...] | None = None
    tr_s: float | None = None
    parcels_axis: int | None = None
    atlas: str | None = None
    column_xyz: NDArray[np.float64] | None = None
    steps: tuple[Step, ...] = field(default=())
    notices: tuple[str, ...] = field(default=())
