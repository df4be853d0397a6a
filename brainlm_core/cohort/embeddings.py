"""What a model makes of a cohort: one row per recording, with everything a fair comparison needs.

Beside the model's embeddings stand those of its random-weights twin and the plain features that any claim
must beat: functional connectivity, lag-1 autocorrelation, amplitude, and how the scan was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.input_recipe import InputRecipe
from brainlm_core.cohort.phenotypes import Matching, match_phenotypes

FloatArray = NDArray[np.float32]

#: Columns of :attr:`Embeddings.acquisition`, in order: how a scan was made, no brain in it.
ACQUISITION = ("tr_s", "n_volumes", "duration_s", "n_windows", "mean_fd_mm")


@dataclass(frozen=True)
class EmbeddingProvenance:
    """Which weights made the embeddings, from what.

    Parameters
    ----------
    cohort : str
        Name of the store, pack or folder, without directories.
    model : mapping
        :meth:`brainlm_core.inference.engine.EngineInfo.to_dict`; has at least ``model_name``, ``licence``,
        ``source``.
    simulated : bool
        True when no brain was scanned; every picture then says so.
    settings : mapping
        JSON-serialisable settings of the run.
    notices : tuple of str
        Sentences that a reader of the numbers should know.
    """

    cohort: str
    model: Mapping[str, Any]
    simulated: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def fits_input(self, recipe: InputRecipe) -> bool:
        """Whether a recording scaled by ``recipe`` may stand beside these; files of old have the default."""
        mine = self.model.get("input") or InputRecipe().to_dict()
        keys = ("kind", "centre", "gain", "statistics")
        return all(mine.get(key) == recipe.to_dict().get(key) for key in keys)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "cohort": self.cohort,
            "model": dict(self.model),
            "simulated": self.simulated,
            "settings": dict(self.settings),
            "notices": list(self.notices),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EmbeddingProvenance:
        """Rebuild from :meth:`to_dict`."""
        return cls(
            str(data["cohort"]),
            dict(data["model"]),
            bool(data.get("simulated", False)),
            dict(data.get("settings", {})),
            tuple(map(str, data.get("notices", ()))),
        )


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of ``n`` recordings and what they must be compared with. Rows are in one order throughout.

    Parameters
    ----------
    ids : tuple of str, length n
        One per recording, unique.
    subjects : tuple of str, length n
        Who was scanned; recordings of one person share it.
    sites : tuple of str, length n
        Where; ``""`` when unknown.
    phenotypes : pandas.DataFrame (n rows)
        What is known of the people; never the columns of ``acquisition``. May have no column.
    acquisition : pandas.DataFrame (n rows)
        Columns :data:`ACQUISITION`: repetition time in s, volumes, duration in s, windows averaged, mean
        framewise displacement in mm (NaN when unknown).
    cls, mean : ndarray (n, d), float32
        Summary token, and mean over all tokens, both averaged over windows.
    provenance : EmbeddingProvenance
    twin_cls, twin_mean : ndarray (n, d), float32, or None
        The same from the model with random weights.
    parcels : ndarray (n, P, d), float32, or None
        Mean over each parcel's tokens and windows; only when it was asked for.
    parcellation : Parcellation or None
        Of the P parcels; None when the recordings do not share one. Then the next three are None, too.
    autocorrelation : ndarray (n, P), float32, or None
        Lag-1 autocorrelation of each parcel's signal at its own sampling interval.
    amplitude : ndarray (n, P), float32, or None
        Standard deviation of each parcel's signal in the units of the scan (1 throughout when it was scaled).
    connectivity : ndarray (n, P (P - 1) / 2), float32, or None
        Fisher z of the correlations of the upper triangle, row by row (``numpy.triu_indices(P, 1)``); None
        when it was not read or not kept.
    """

    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    sites: tuple[str, ...]
    phenotypes: pd.DataFrame
    acquisition: pd.DataFrame
    cls: FloatArray
    mean: FloatArray
    provenance: EmbeddingProvenance
    twin_cls: FloatArray | None = None
    twin_mean: FloatArray | None = None
    parcels: FloatArray | None = None
    parcellation: Parcellation | None = None
    autocorrelation: FloatArray | None = None
    amplitude: FloatArray | None = None
    connectivity: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns = (self.subjects, self.sites, self.phenotypes, self.acquisition, self.cls, self.mean)
        if any(len(c) != n for c in columns) or any(len(a) != n for a in self._optional().values()):
            raise ConfigError("the columns of the embeddings differ in length", "embed the cohort again")
        if len(set(self.ids)) != n:
            twice = next(i for i in self.ids if self.ids.count(i) > 1)
            raise ConfigError(f"the recording {twice} is there twice", "keep one row per recording")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """Numbers per embedding, d."""
        return int(self.cls.shape[1])

    def vectors(self, kind: str = "cls") -> FloatArray:
        """Return one kind of embedding, (n, d).

        Parameters
        ----------
        kind : {"cls", "mean", "twin_cls", "twin_mean"}

        Raises
        ------
        ConfigError
            If there is no such kind, or the file does not hold it.
        """
        value = getattr(self, kind) if kind in ("cls", "mean", "twin_cls", "twin_mean") else None
        if value is None:
            raise ConfigError(f"these embeddings have no {kind!r}", "choose cls or mean, or embed again")
        return np.asarray(value)

    @cached_property
    def amplitude_varies(self) -> bool:
        """Whether recordings differ in amplitude; those that were scaled to one differ by rounding only."""
        if self.amplitude is None or not self.amplitude.size:
            return False
        spread = self.amplitude.std(axis=0, dtype=np.float64)
        return bool((spread > 1e-3 * np.abs(self.amplitude).mean(axis=0, dtype=np.float64)).any())

    def table(self) -> pd.DataFrame:
        """Return every column that a picture can be coloured by, one row per recording.

        In order: ``recording_id``, ``subject_id``, ``site``, phenotypes, acquisition, mean lag-1
        autocorrelation and, where recordings differ in it, mean amplitude over the parcels that vary.
        """
        front = pd.DataFrame({"recording_id": self.ids, "subject_id": self.subjects, "site": self.sites})
        parts = [front, self.phenotypes.reset_index(drop=True), self.acquisition.reset_index(drop=True)]
        return pd.concat([*parts, pd.DataFrame(self._means)], axis=1)

    @cached_property
    def _means(self) -> dict[str, NDArray[np.float64]]:
        """Means over the parcels that vary; kept, since pages ask for the table many times."""
        out = {}
        for name, values in (
            ("mean_autocorrelation", self.autocorrelation),
            ("mean_amplitude", self.amplitude if self.amplitude_varies else None),
        ):
            if values is not None:
                varies = np.ones_like(values, dtype=bool) if self.amplitude is None else self.amplitude > 0
                total = np.where(varies, values, 0).sum(axis=1, dtype=np.float64)
                out[name] = total / np.maximum(varies.sum(axis=1), 1)
        return out

    def subset(self, rows: Sequence[int] | NDArray[np.integer]) -> Embeddings:
        """Return some recordings, in the given order."""
        index = np.asarray(rows, dtype=np.intp)
        arrays: dict[str, Any] = {name: value[index] for name, value in self._optional().items()}
        return replace(
            self,
            ids=tuple(self.ids[i] for i in index),
            subjects=tuple(self.subjects[i] for i in index),
            sites=tuple(self.sites[i] for i in index),
            phenotypes=self.phenotypes.iloc[index].reset_index(drop=True),
            acquisition=self.acquisition.iloc[index].reset_index(drop=True),
            cls=self.cls[index],
            mean=self.mean[index],
            **arrays,
        )

    def with_phenotypes(
        self, table: pd.DataFrame, name: str = "the phenotypes"
    ) -> tuple[Embeddings, Matching]:
        """Join another table; its columns replace those of the same name.

        Parameters
        ----------
        table : pandas.DataFrame
            With a column of recording or subject identifiers.
        name : str
            File name for sentences.

        Returns
        -------
        Embeddings
            Recordings without a row get missing values.
        Matching
            How many matched, and which did not.

        Raises
        ------
        ConfigError
            As :func:`brainlm_core.cohort.phenotypes.match_phenotypes`.
        """
        matching = match_phenotypes(table, self.ids, self.subjects, name)
        new = matching.table.drop(columns=[c for c in ACQUISITION if c in matching.table])
        sites = self.sites
        if "site" in new:
            column = new.pop("site")
            sites = tuple(own if pd.isna(v) else str(v) for own, v in zip(self.sites, column, strict=True))
        old = self.phenotypes.drop(columns=[c for c in new if c in self.phenotypes])
        joined = pd.concat([old.reset_index(drop=True), new.reset_index(drop=True)], axis=1)
        return replace(self, phenotypes=joined, sites=sites), matching

    def _optional(self) -> dict[str, NDArray[Any]]:
        names = ("twin_cls", "twin_mean", "parcels", "autocorrelation", "amplitude", "connectivity")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
