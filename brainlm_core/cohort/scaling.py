"""Cohort scaling: median and interquartile range of each parcel, pooled over the recordings of a cohort."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.input_recipe import ScalingStatistics
from brainlm_core.base.writing import whole_file
from brainlm_core.cohort.recordings import Cohort

#: Numbers that are kept for pooling, 400 MB of them; a larger cohort is thinned evenly in time.
MAX_VALUES = 100_000_000


def pooled_statistics(
    cohort: Cohort, *, progress: Callable[[float, str], None] | None = None, max_values: int = MAX_VALUES
) -> ScalingStatistics:
    """Pool median and interquartile range of each parcel over a cohort, as the paper scales its data.

    Steps: subtract each parcel's mean over its recording; take every k-th sample, k = 1 unless the cohort
    holds more than ``max_values`` numbers; leave a parcel that is constant in a recording out of that
    recording; pool.

    Parameters
    ----------
    cohort : Cohort
    progress : callable or None
    max_values : int

    Returns
    -------
    ScalingStatistics
        In the recordings' units.

    Raises
    ------
    ConfigError
        If recordings have different parcels, or a parcel varies in none of them.
    """
    first = cohort.recording(0)
    names, title = first.parcellation.names, first.parcellation.name
    step = max(1, -(-len(cohort) * first.signals.size // max_values))
    parts: list[np.ndarray] = []
    for i in range(len(cohort)):
        if progress is not None:
            progress(i / len(cohort), f"Reading recording {i + 1} of {len(cohort)}")
        recording = first if i == 0 else cohort.recording(i)
        if recording.parcellation.names != names:
            raise ConfigError(
                f"recording {cohort.ids[i]} has {recording.n_parcels} parcels of "
                f"{recording.parcellation.name}, the first one {len(names)} of {title}",
                "make a cohort of one parcellation",
            )
        centred = recording.signals - recording.signals.mean(axis=1, keepdims=True, dtype=np.float64)
        constant = np.ptp(recording.signals, axis=1) == 0
        parts.append(np.where(constant[:, None], np.nan, centred)[:, ::step].astype(np.float32))
    pooled = np.concatenate(parts, axis=1)  # (P, samples)
    missing = np.isnan(pooled).all(axis=1)
    if missing.any():
        raise ConfigError(
            f"{int(missing.sum())} parcels vary in no recording of the cohort, such as "
            f"{names[missing.argmax()]}",
            "leave recordings without signal there out, or scale each recording by itself",
        )
    low, median, high = np.nanpercentile(pooled, (25, 50, 75), axis=1)
    return ScalingStatistics(
        title,
        names,
        tuple(float(v) for v in median),
        tuple(float(v) for v in high - low),
        len(cohort),
        pooled.shape[1],
        cohort.name,
    )


def save_statistics(statistics: ScalingStatistics, path: str | Path) -> Path:
    """Write statistics for ``--scaling-statistics``; return the path.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    path = Path(path)
    with whole_file(path) as part:
        part.write_text(json.dumps(statistics.to_dict(), indent=1) + "\n", encoding="utf-8")
    return path
