"""What a training step sees: windows and masks drawn from a counter, so that any step can be drawn again.

Sample ``i`` of a run depends on the seed and on ``i`` alone, not on how many processes share the
work or where a run was resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.shared.masked_baselines import draw_mask
from brainlm_core.inference.windows import make_windows, resample
from brainlm_core.model.base import InputSpec
from brainlm_core.training.config import DataConfig, PretrainConfig

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Series:
    """A whole scaled recording.

    Parameters
    ----------
    values : ndarray (P, N), float32
        At the model's interval, scaled over the whole recording; flat parcels 0.
    parcellation : Parcellation
    xyz : Tensor (P, 3)
    """

    values: FloatArray
    parcellation: Parcellation
    xyz: Tensor


@dataclass(frozen=True, eq=False)
class Sample:
    """One training example.

    Parameters
    ----------
    signal : Tensor (P, T)
    hidden : Tensor (P, T), bool
    xyz : Tensor (P, 3)
    """

    signal: Tensor
    hidden: Tensor
    xyz: Tensor


def open_data(data: DataConfig) -> tuple[Cohort, NDArray[np.intp], NDArray[np.intp]]:
    """Open a cohort; return it with its training rows and its validation rows."""
    cohort = open_cohort(
        data.path,
        signals=data.signals,
        coordinates=data.coordinates,
        tr_s=data.tr_s,
        phenotypes=data.phenotypes,
    )
    held = np.zeros(len(cohort), dtype=bool)
    for row in data.validation_rows:
        if not 1 <= row <= len(cohort):
            raise ConfigError(f"validation row {row} is beyond 1 to {len(cohort)}", "count from 1")
        held[row - 1] = True
    if data.validation_where:
        column, _, values = data.validation_where.partition("=")
        if cohort.phenotypes is None or column not in cohort.phenotypes:
            raise ConfigError(f"the phenotypes of {cohort.name} have no column {column!r}", "correct it")
        held |= cohort.phenotypes[column].astype(str).isin(values.split(",")).to_numpy()
    people = {s for s, h in zip(cohort.subjects, held, strict=True) if h}
    held = np.array([s in people for s in cohort.subjects])  # a person is on one side only
    if held.all():
        raise ConfigError(f"nothing of {cohort.name} is left to train on", "hold fewer recordings back")
    return cohort, np.flatnonzero(~held), np.flatnonzero(held)


def networks_of(parcellation: Parcellation) -> list[str]:
    """Return the Yeo-7 networks that a parcellation has parcels of, by name."""
    return sorted({n for n in parcellation.yeo7 if n})


def check_sides(column: str, opened: Sequence[tuple[Cohort, NDArray[np.intp], NDArray[np.intp]]]) -> None:
    """Refuse a split that has people, or sites, on both sides: a site is easier to learn than a disease.

    Parameters
    ----------
    column : str
        Of the phenotypes; empty, or missing in them, where there are no sites.
    opened : sequence of (Cohort, training rows, held-back rows)
        As :func:`open_data` returns them. Only what the phenotypes name counts: a recording's number in
        one pack says nothing about another's.
    """
    for name in ("subject_id", column):
        sides: tuple[set[str], set[str]] = set(), set()
        for cohort, *rows in opened:
            table = cohort.phenotypes
            if (
                not name
                or table is None
                or name not in table
                or (name == column and table[name].nunique() < 2)
            ):
                continue
            for side, chosen in zip(sides, rows, strict=True):
                side |= set(table[name].iloc[chosen].dropna().astype(str))
        both = sorted(sides[0] & sides[1])
        if both and name == column:
            raise ConfigError(
                f"people of {column} {both[0]} are on both sides of the split",
                f"hold whole sites back with validation_where: {column}=…, or set site: '' knowingly",
            )
        if both:
            raise ConfigError(
                f"subject {both[0]} is trained on in one cohort and held back in another",
                "hold all recordings of a person back",
            )


def load_series(cohort: Cohort, rows: NDArray[np.intp], spec: InputSpec) -> list[Series]:
    """Resample and scale recordings; those shorter than a window are left out.

    Raises
    ------
    ScanError
        If a recording holds NaN: before any training starts.
    """
    out = []
    for _, recording in cohort.take(rows.tolist()):
        even = resample(recording, spec.tr_s)
        if even.n_timepoints < spec.n_timepoints:
            continue
        try:
            windows = make_windows(even, spec)
        except BrainLMError as error:
            raise ConfigError(f"{cohort.name} does not fit the model ({error.what})", error.fix) from error
        values = (even.signals - windows.centre[:, None]) / windows.scale[:, None]
        values = np.where(windows.flat[:, None], 0.0, values).astype(np.float32)
        out.append(Series(values, even.parcellation, torch.from_numpy(windows.xyz.copy())))
    return out


class Sampler:
    """Draws samples by their number.

    Parameters
    ----------
    groups : list of (list of Series, float)
        Recordings of each cohort and the cohort's weight.
    config : PretrainConfig
    spec : InputSpec
    stream : int
        0 for training, 1 for validation.
    """

    def __init__(
        self,
        groups: list[tuple[list[Series], float]],
        config: PretrainConfig,
        spec: InputSpec,
        stream: int = 0,
    ) -> None:
        self._groups = [g for g, _ in groups if g]
        weights = np.array([w for g, w in groups if g], dtype=np.float64)
        if not self._groups or weights.sum() <= 0:
            raise ConfigError(
                f"no recording is as long as a window of {spec.n_timepoints} samples", "use longer recordings"
            )
        self._weights = weights / weights.sum()
        kinds = {k: v for k, v in config.masks.items() if v > 0}
        self._kinds = list(kinds)
        self._kind_weights = np.array(list(kinds.values())) / sum(kinds.values())
        self._spec, self._seed, self._stream = spec, config.seed, stream

    def __getitem__(self, number: int) -> Sample:
        """Return sample ``number``."""
        rng = np.random.default_rng([self._seed, self._stream, number])
        group = self._groups[int(rng.choice(len(self._groups), p=self._weights))]
        series = group[int(rng.integers(len(group)))]
        length = self._spec.n_timepoints
        start = int(rng.integers(series.values.shape[1] - length + 1))
        values = series.values[:, start : start + length]
        kind = self._kinds[int(rng.choice(len(self._kinds), p=self._kind_weights))]
        hidden = self._mask(kind, series, rng)
        return Sample(torch.from_numpy(values.copy()), torch.from_numpy(hidden), series.xyz)

    def _mask(self, kind: str, series: Series, rng: np.random.Generator) -> NDArray[np.bool_]:
        shape = (1, len(series.values), self._spec.n_timepoints)
        networks = networks_of(series.parcellation)
        if kind != "network" or len(networks) < 2:
            kind = "parcel" if kind == "network" else kind
            return draw_mask(kind, shape, self._spec.patch_length, rng)[0]
        chosen = networks[int(rng.integers(len(networks)))]
        rows = np.array([n == chosen for n in series.parcellation.yeo7])
        return np.broadcast_to(rows[:, None], shape[1:]).copy()
