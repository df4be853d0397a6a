"""What one brain picture shows: values, no drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.errors import ConfigError

Scale = Literal["diverging", "sequential", "categories"]
_SCALES = ("diverging", "sequential", "categories")


@dataclass(frozen=True)
class Category:
    """One entry of a legend.

    Parameters
    ----------
    name : str
        In words.
    colour : str
        ``"#rrggbb"``.
    """

    name: str
    colour: str


@dataclass(frozen=True, eq=False)
class BrainPanel:
    """One brain: a value per parcel, for one or more moments.

    Parameters
    ----------
    title : str
        Shown above the brain.
    frames : array_like (n_frames, n_parcels) or (n_parcels,)
        Values in ``unit``, kept as float32. NaN is drawn grey and named "no data". With
        ``scale="categories"`` whole numbers that index ``categories``.
    unit : str
        Printed beside the colour bar and in the tooltip; empty for plain numbers.
    scale : {"diverging", "sequential", "categories"}
        Signed values around zero, magnitudes, or named groups.
    limits : (float, float) or None
        Ends of the colour bar; values beyond are drawn in the end colours and the bar says so.
        None takes the range of the data (symmetric for ``"diverging"``).
    categories : sequence of Category
        Legend of a ``"categories"`` panel, in order.
    alt : str
        One sentence for those who cannot see the picture; the title when empty.

    Raises
    ------
    ConfigError
        If shape, scale, limits or categories contradict each other.
    """

    title: str
    frames: ArrayLike
    unit: str = ""
    scale: Scale = "diverging"
    limits: tuple[float, float] | None = None
    categories: Sequence[Category] = ()
    alt: str = ""

    def __post_init__(self) -> None:
        frames = np.array(self.frames, dtype=np.float32)
        if frames.ndim == 1:
            frames = frames[None]
        if frames.ndim != 2 or 0 in frames.shape:
            raise ConfigError(
                f"a brain panel of shape {frames.shape} has no value per parcel",
                "give frames as (n_frames, n_parcels)",
            )
        frames[~np.isfinite(frames)] = np.nan
        frames.setflags(write=False)
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "categories", tuple(self.categories))
        if self.scale not in _SCALES:
            raise ConfigError(f"there is no colour scale {self.scale!r}", f"use one of {', '.join(_SCALES)}")
        if self.scale == "categories":
            self._check_categories(frames)
        object.__setattr__(self, "limits", self._resolved_limits(frames))

    @property
    def values(self) -> NDArray[np.float32]:
        """Return the frames, (n_frames, n_parcels) float32, read-only."""
        return np.asarray(self.frames, dtype=np.float32)

    @property
    def n_frames(self) -> int:
        """Number of moments."""
        return int(self.values.shape[0])

    @property
    def n_parcels(self) -> int:
        """Number of parcels."""
        return int(self.values.shape[1])

    def _check_categories(self, frames: NDArray[np.float32]) -> None:
        known = frames[np.isfinite(frames)]
        if not self.categories or (known != np.round(known)).any():
            raise ConfigError(
                f"the panel {self.title!r} has categories without names or with broken numbers",
                "give whole numbers and one Category for each",
            )
        if known.size and (known.min() < 0 or known.max() >= len(self.categories)):
            raise ConfigError(
                f"the panel {self.title!r} uses a category that its legend does not have",
                f"number the {len(self.categories)} categories from 0",
            )

    def _resolved_limits(self, frames: NDArray[np.float32]) -> tuple[float, float]:
        if self.scale == "categories":
            return (0.0, float(max(len(self.categories) - 1, 1)))
        if self.limits is not None:
            low, high = (float(v) for v in self.limits)
            if not (np.isfinite([low, high]).all() and low < high):
                raise ConfigError(
                    f"colour limits {self.limits} are not a range", "give (low, high), low < high"
                )
            if self.scale == "diverging" and not np.isclose(low, -high):
                raise ConfigError(
                    f"colour limits {self.limits} are not symmetric, so zero would not be neutral",
                    "give (-x, x), or use the sequential scale",
                )
            return (low, high)
        known = frames[np.isfinite(frames)]
        if self.scale == "diverging":
            top = float(np.abs(known).max(initial=0.0)) or 1.0
            return (-top, top)
        low = float(known.min()) if known.size else 0.0
        high = float(known.max()) if known.size else 1.0
        if low >= 0 and low < 0.5 * high:
            low = 0.0  # magnitudes start at nothing unless that would hide all differences
        return (low, high) if high > low else (low, low + 1.0)
