"""Input recipe: how the signals of a recording become numbers of the size that a model was trained on.

One recipe belongs to an engine, and every window that the engine cuts follows it, so that all analyses and
commands see the same input. The published weights saw ``cohort`` scaling: the temporal mean of each parcel
removed, then median and interquartile range pooled over all recordings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.paths import assets_dir

#: Kinds of scaling, in words.
KINDS = {
    "recording": "median and interquartile range of this recording",
    "cohort": "median and interquartile range pooled over a cohort",
    "ukb1000": "median and interquartile range of 1,000 UK Biobank recordings",
    "none": "as it is",
    "zscore": "mean and standard deviation of this recording",
}
#: What is subtracted from each parcel.
CENTRES = ("own", "median", "mean", "zero")
#: Largest file of statistics that is read, in bytes: 424 parcels take 20 kB.
_MAX_BYTES = 5_000_000


@dataclass(frozen=True)
class ScalingStatistics:
    """Statistics of each parcel, pooled over the recordings of a cohort.

    Parameters
    ----------
    parcellation : str
        Name of the parcels.
    names : tuple of str (P,)
        Of the parcels, in order.
    median, iqr : tuple of float (P,)
        Of the signals after the temporal mean of each recording was removed, in the recordings' units.
    n_recordings : int
    n_samples : int
        Samples per parcel that were pooled.
    source : str
        The cohort in words.
    """

    parcellation: str
    names: tuple[str, ...]
    median: tuple[float, ...]
    iqr: tuple[float, ...]
    n_recordings: int
    n_samples: int
    source: str

    def __post_init__(self) -> None:
        n = len(self.names)
        if not n or len(self.median) != n or len(self.iqr) != n:
            raise ConfigError(
                "statistics of a cohort need one name, median and iqr for each parcel",
                "make them with `brainlm cohort --scaling-statistics`",
            )
        values = np.array([self.median, self.iqr])
        if not np.isfinite(values).all() or (values[1] < 0).any():
            raise ConfigError(
                "statistics of a cohort have a median or iqr that is no number, or an iqr below 0",
                "make them again from the cohort",
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the numbers, first 16 hex digits."""
        return hashlib.sha256(np.array([self.median, self.iqr]).tobytes()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "format": "brainlm scaling statistics 1",
            "steps": "temporal mean of each recording removed; median and IQR per parcel, pooled",
            "parcellation": self.parcellation,
            "n_recordings": self.n_recordings,
            "n_samples": self.n_samples,
            "source": self.source,
            "names": list(self.names),
            "median": list(self.median),
            "iqr": list(self.iqr),
        }

    @classmethod
    def read(cls, path: str | Path) -> ScalingStatistics:
        """Read a file of ``brainlm cohort --scaling-statistics``.

        Raises
        ------
        ConfigError
            If it is none.
        """
        path = Path(path).expanduser()
        try:
            content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        except OSError as error:
            raise ConfigError(f"{path.name} cannot be read", "check the path of the statistics") from error
        return cls.from_json(content, path.name)

    @classmethod
    def from_json(cls, content: bytes, name: str) -> ScalingStatistics:
        """Read the content of such a file; ``name`` is for messages.

        Raises
        ------
        ConfigError
            If it is none.
        """
        try:
            if len(content) > _MAX_BYTES:
                raise ValueError("too large")
            data = json.loads(content)
            return cls(
                str(data["parcellation"]),
                tuple(str(parcel) for parcel in data["names"]),
                tuple(float(v) for v in data["median"]),
                tuple(float(v) for v in data["iqr"]),
                int(data["n_recordings"]),
                int(data["n_samples"]),
                str(data["source"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise ConfigError(
                f"{name} is no file of scaling statistics",
                "make one with `brainlm cohort SCANS -o STORE --scaling-statistics FILE`",
            ) from error


@dataclass(frozen=True)
class InputRecipe:
    """How each parcel is centred and scaled before a model sees it.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    centre : {"own", "median", "mean", "zero"}
        What is subtracted; ``own``: what belongs to the kind (and to the model, for the seen part of a
        forecast).
    gain : float
        Multiplies the scaled values.
    statistics : ScalingStatistics or None
        For ``cohort``, which needs them.
    chosen_by : str
        ``default``, ``hand`` or ``doctor``.

    Raises
    ------
    ConfigError
        If a value is out of range, or ``cohort`` has no statistics.
    """

    kind: str = "recording"
    centre: str = "own"
    gain: float = 1.0
    statistics: ScalingStatistics | None = None
    chosen_by: str = "default"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"there is no scaling named {self.kind!r}", f"choose one of {', '.join(KINDS)}")
        if self.centre not in CENTRES:
            raise ConfigError(f"there is no centre {self.centre!r}", f"choose one of {', '.join(CENTRES)}")
        if not (np.isfinite(self.gain) and self.gain > 0):
            raise ConfigError(f"a gain of {self.gain} is impossible", "give a positive number")
        if self.kind == "cohort" and self.statistics is None:
            raise ConfigError(
                "cohort scaling needs the statistics of a cohort",
                "make them with `brainlm cohort SCANS -o STORE --scaling-statistics FILE` and give that file",
            )

    @property
    def is_default(self) -> bool:
        """Whether the input is what it is without a choice."""
        return (self.kind, self.centre, self.gain) == ("recording", "own", 1.0)

    @property
    def source(self) -> str:
        """Where the statistics are from, in words."""
        if self.kind == "cohort" and self.statistics is not None:
            return f"{self.statistics.source}, {self.statistics.n_recordings} recordings"
        return {"ukb1000": "1,000 recordings of UK Biobank", "none": "none"}.get(self.kind, "this recording")

    def in_words(self) -> str:
        """Return the recipe in a few words, for a chip."""
        names = {
            "recording": "each recording",
            "cohort": "cohort",
            "ukb1000": "UK Biobank",
            "none": "unscaled",
        }
        words = f"Scaling: {names.get(self.kind, self.kind)}"
        if self.centre != "own":
            words += f", centre {self.centre}"
        return words if self.gain == 1 else f"{words} × {self.gain:g}"

    def scaled_by(self, kind: str | None, gain: float) -> InputRecipe:
        """Return the recipe with another kind where one is named, and a further gain."""
        return (
            self
            if kind is None and gain == 1
            else replace(self, kind=kind or self.kind, gain=self.gain * gain)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary; the statistics by source and digest."""
        out: dict[str, Any] = {
            "kind": self.kind,
            "centre": self.centre,
            "gain": self.gain,
            "source": self.source,
            "chosen_by": self.chosen_by,
        }
        if self.kind == "cohort" and self.statistics is not None:
            out["statistics"] = self.statistics.digest
        return out


#: Each recording by its own median and interquartile range.
DEFAULT_RECIPE = InputRecipe()


@cache
def ukb_statistics() -> NDArray[np.float64]:
    """Return median, interquartile range, 1st and 99th scaled percentile per parcel, (424, 4).

    Raises
    ------
    ConfigError
        If the bundled table is missing.
    """
    path = assets_dir() / "ukb1000_norm_stats.csv"
    if not path.is_file():
        raise ConfigError(f"the bundled table {path.name} is missing", "reinstall BrainLM Explorer")
    table = np.genfromtxt(path, delimiter=",", names=True)
    return np.column_stack([table[k] for k in ("median", "iqr", "p01_robust", "p99_robust")])
