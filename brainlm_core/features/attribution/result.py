"""What an attribution is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.features.attribution.direction import Direction

FloatArray = NDArray[np.float32]

METHODS = ("integrated_gradients", "occlusion")
REFERENCES = ("surrogate", "zero")
CAVEAT = (
    "An attribution says what this read-out of this model hangs on, for this scan. It does not say what in "
    "the brain causes anything, and it is worth no more than the read-out itself."
)


@dataclass(frozen=True)
class AttributeOptions:
    """How to attribute.

    Parameters
    ----------
    method : {"integrated_gradients", "occlusion"}
    reference : {"surrogate", "zero"}
        What the window is compared with.
    n_steps : int
        Points on the path of integrated gradients (Gauss–Legendre).
    n_references : int
        Surrogates that are averaged; 1 for zero.
    max_windows : int
        Windows that are looked at, evenly spread over the recording.
    seed : int
    """

    method: str = "integrated_gradients"
    reference: str = "surrogate"
    n_steps: int = 16
    n_references: int = 3
    max_windows: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("method", METHODS), ("reference", REFERENCES)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"there is no {name} {getattr(self, name)!r}", f"choose one of {', '.join(known)}"
                )
        if min(self.n_steps, self.n_references, self.max_windows) < 1:
            raise ConfigError("steps, references and windows are counted from 1", "give larger numbers")


@dataclass(frozen=True, eq=False)
class GroupShares:
    """Shares summed over groups of parcels and stretches of time.

    Parameters
    ----------
    names : tuple of str
        Groups, sorted.
    times_s : ndarray (S,), float32
        Middle of each stretch of all windows, from the start of the recording.
    sums : ndarray (groups, S), float32
        Divided by the number of windows, so that all of it sums to the read-out's difference.
    """

    names: tuple[str, ...]
    times_s: FloatArray
    sums: FloatArray


@dataclass(frozen=True, eq=False)
class Attribution(Saved):
    """Shares of parcels and moments in a read-out.

    Parameters
    ----------
    direction : Direction
    options : AttributeOptions
    values : ndarray (W, P, T), float32
        Share of each sample in the read-out's difference from its reference, in the read-out's unit; the sum
        over a window, averaged over windows, is the recording's difference.
    parcels : ndarray (P,), float32
        Sum over time, mean over windows.
    parcels_sd : ndarray (P,), float32
        Standard deviation of ``parcels`` over references; NaN with one.
    flat : ndarray (P,), bool
        Parcels that do not vary and have no share.
    starts_s : ndarray (W,)
        In s from the start of the recording.
    tr_s : float
        Of the windows' samples.
    resolution : str
        What one share stands for, in words.
    value, reference : float
        Read-out of the recording's windows, and of their references.
    completeness_error : float
        What the shares leave of the difference, as a share of its size: 0 when they add up.
    attention : ndarray (P,), float32
        The summary token's attention, for comparison.
    agreement : mapping of str to float
        Spearman correlation over parcels of ``|parcels|`` with ``attention``, with ``connectivity`` (mean
        absolute correlation with the others), and with ``random_twin`` (the same read-out of random weights)
        where a twin was given.
    notices : tuple of str
    provenance : mapping
        Scan and model.
    """

    direction: Direction
    options: AttributeOptions
    values: FloatArray
    parcels: FloatArray
    parcels_sd: FloatArray
    flat: NDArray[np.bool_]
    starts_s: NDArray[np.float64]
    tr_s: float
    resolution: str
    value: float
    reference: float
    completeness_error: float
    attention: FloatArray
    agreement: Mapping[str, float]
    notices: tuple[str, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tells_when(self) -> bool:
        """Whether shares differ over a window; occluding a parcel for all of it says nothing of when."""
        return bool((np.ptp(self.values, axis=2) > 0).any())

    def course(self) -> FloatArray:
        """Return the sum over parcels at each sample, (W, T)."""
        return np.asarray(self.values.sum(axis=1), dtype=np.float32)

    def by_group(self, groups: Sequence[str], n_samples: int) -> GroupShares:
        """Return sums over groups of parcels and stretches of time.

        Parameters
        ----------
        groups : sequence of str, length P
            For example :attr:`Parcellation.group`.
        n_samples : int
            Length of a stretch; a shorter rest at a window's end is a stretch of its own.
        """
        names = tuple(sorted(set(groups)))
        which = np.array([names.index(g) for g in groups])
        edges = np.arange(0, self.values.shape[2], n_samples)
        blocks = np.add.reduceat(self.values, edges, axis=2)  # (W, P, blocks)
        sums = np.stack([blocks[:, which == g].sum(axis=1) for g in range(len(names))])  # (groups, W, blocks)
        ends = np.minimum(edges + n_samples, self.values.shape[2])
        times = self.starts_s[:, None] + (edges + ends)[None] / 2 * self.tr_s
        flat = sums.reshape(len(names), -1) / len(self.values)
        return GroupShares(names, times.ravel().astype(np.float32), flat.astype(np.float32))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "of": self.direction.name,
            "unit": self.direction.unit,
            "layer": self.direction.layer,
            "method": self.options.method,
            "compared_with": self.options.reference,
            "n_steps": self.options.n_steps,
            "n_references": self.options.n_references,
            "seed": self.options.seed,
            "resolution": self.resolution,
            "n_windows": len(self.values),
            "starts_s": [float(s) for s in self.starts_s],
            "tr_s": self.tr_s,
            "value": self.value,
            "reference": self.reference,
            # Occlusion does not promise that its shares add up: a figure would read as an error.
            "completeness_error": None if self.options.method == "occlusion" else self.completeness_error,
            "agreement": dict(self.agreement),
            "notices": list(self.notices),
            "caveat": CAVEAT,
            **self.provenance,
        }

    def files(self) -> ResultFiles:
        """Return ``attribution.json`` and ``attribution.npz``."""
        arrays = {
            "values": self.values,
            "parcels": self.parcels,
            "parcels_sd": self.parcels_sd,
            "attention": self.attention,
            "flat": self.flat,
            "starts_s": self.starts_s,
        }
        return ResultFiles({"attribution.json": self.to_dict()}, arrays={"attribution.npz": arrays})
