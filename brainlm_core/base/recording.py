"""The words that every floor above speaks: a recording, where it came from, how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import DAMAGED_ARRAYS, BrainLMError, ScanError
from brainlm_core.base.library_warnings import quiet_old_headers
from brainlm_core.base.shown import Shown
from brainlm_core.base.slices import Slices
from brainlm_core.base.writing import whole_file

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float32]

#: Version of the ``.npz`` layout written by :meth:`Recording.save`.
#: Name of the step that says how many degrees of freedom cleaning left.
FREEDOM = "count degrees of freedom"
FORMAT_VERSION = 1
VERDICTS = ("good", "usable", "poor")


@dataclass(frozen=True)
class Step:
    """One processing step, in the order in which it was applied.

    Parameters
    ----------
    name : str
        Short imperative name, e.g. ``"resample"``.
    parameters : mapping
        JSON-serialisable parameters with units in their names (``tr_s``, ``high_pass_hz``).
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))


@dataclass(frozen=True)
class Provenance:
    """Where the signals came from and everything that was done to them.

    Parameters
    ----------
    source_name : str
        File name without directories; never a path, never a header text (both can hold names).
    sha256 : str or None
        Digest of the source bytes.
    steps : tuple of Step
        Processing in order.
    simulated : bool
        True when no brain was scanned; every picture then says so.
    atlas : str
        The atlas that the parcels were averaged with, in words.
    atlas_is_approximation : bool
        True for the built-in Gaussian approximation of A424.
    """

    source_name: str
    sha256: str | None = None
    steps: tuple[Step, ...] = ()
    simulated: bool = False
    atlas: str = ""
    atlas_is_approximation: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "source_name": self.source_name,
            "sha256": self.sha256,
            "simulated": self.simulated,
            "atlas": self.atlas,
            "atlas_is_approximation": self.atlas_is_approximation,
            "steps": [{"name": s.name, "parameters": dict(s.parameters)} for s in self.steps],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Provenance:
        """Rebuild from :meth:`to_dict`."""
        return cls(
            source_name=str(data["source_name"]),
            sha256=data.get("sha256"),
            steps=tuple(Step(s["name"], s["parameters"]) for s in data.get("steps", ())),
            simulated=bool(data.get("simulated", False)),
            atlas=str(data.get("atlas", "")),
            atlas_is_approximation=bool(data.get("atlas_is_approximation", False)),
        )


@dataclass(frozen=True)
class Quality:
    """What can be said about a recording before any model sees it.

    Parameters
    ----------
    verdict : {"good", "usable", "poor"}
        The one word; ``reasons`` says why.
    reasons : tuple of str
        Sentences, most important first. Empty for a good recording.
    coverage : ndarray (n_parcels,), float32
        Share of a parcel's voxels (vertices) found inside the scan, 0–1; NaN when unknown.
    n_voxels : ndarray (n_parcels,), int64
        Voxels (or vertices) averaged per parcel; 0 when unknown.
    tsnr : ndarray (n_parcels,), float32
        Temporal signal-to-noise ratio, mean / standard deviation, dimensionless;
        NaN where the mean has been removed from the data.
    dvars : ndarray (n_timepoints,), float32
        Root mean square over parcels of the backward difference of the signals in units of
        each parcel's standard deviation; first value 0 (Power et al. 2012).
    fd_mm : ndarray (n_timepoints,), float32, or None
        Framewise displacement in mm (Power et al. 2012) when confounds came with the scan.
    flat : ndarray (n_parcels,), bool
        Parcels that do not vary or are not finite; they take part in no score.
    spikes : ndarray (n_timepoints,), bool
        Volumes whose DVARS is an outlier.
    template_overlap : float or None
        Dice overlap of the scan's brain with the MNI152 brain; None when there is no volume.

    Raises
    ------
    ScanError
        If the verdict is no such word, or the arrays differ in length or kind.
    """

    verdict: str
    reasons: tuple[str, ...]
    coverage: FloatArray
    n_voxels: NDArray[np.int64]
    tsnr: FloatArray
    dvars: FloatArray
    fd_mm: FloatArray | None
    flat: NDArray[np.bool_]
    spikes: NDArray[np.bool_]
    template_overlap: float | None = None

    def __post_init__(self) -> None:
        overlap = self.template_overlap
        per_parcel = (self.coverage, self.n_voxels, self.tsnr, self.flat)
        per_volume = (self.dvars, self.spikes, *(() if self.fd_mm is None else (self.fd_mm,)))
        if (
            self.verdict not in VERDICTS
            or not all(isinstance(r, str) for r in self.reasons)
            or not (overlap is None or isinstance(overlap, int | float))
            or any(
                a.ndim != 1 or a.shape != group[0].shape for group in (per_parcel, per_volume) for a in group
            )
            or any(a.dtype.kind not in "biuf" for a in (*per_parcel, *per_volume))
            or any(a.dtype.kind != "b" for a in (self.flat, self.spikes))
        ):
            raise ScanError("the quality figures are damaged", "make the recording again from the scan")

    def fits(self, n_parcels: int, n_timepoints: int) -> bool:
        """Whether the figures belong to signals of this shape."""
        return self.flat.shape == (n_parcels,) and self.spikes.shape == (n_timepoints,)


@dataclass(frozen=True)
class ColumnMatch:
    """How the columns of a table found their parcels.

    Parameters
    ----------
    by : {"names", "numbers", "order"}
        What decided.
    atlas : str
        The parcellation in words.
    names : tuple of str
        As they stand in the file, one per parcel of the recording that was read, ``""`` where it had no
        column; empty when the file has no names.
    lost : tuple of str
        Parcels without a column.
    left_out : tuple of str
        Columns that are no parcels.
    older_names : bool
        Whether the names are those of an earlier release of the parcellation.
    """

    by: str
    atlas: str
    names: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    older_names: bool = False

    def summary(self) -> dict[str, Any]:
        """Return what there is to say of it, JSON-serialisable and short."""
        return {
            "by": self.by,
            "atlas": self.atlas,
            "n_matched": sum(map(bool, self.names)) if self.by == "names" else 0,
            "n_lost": len(self.lost),
            "lost": list(self.lost[:10]),
            "left_out": list(self.left_out[:10]),
            "older_names": self.older_names,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, JSON-serialisable."""
        return {**asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ColumnMatch:
        """Rebuild from :meth:`to_dict`."""
        return cls(
            by=str(data["by"]),
            atlas=str(data["atlas"]),
            names=tuple(map(str, data["names"])),
            lost=tuple(map(str, data["lost"])),
            left_out=tuple(map(str, data["left_out"])),
            older_names=bool(data["older_names"]),
        )


@dataclass(frozen=True, repr=False)
class Recording(Shown):
    """Parcel signals of one run. Immutable: each step returns a new one.

    Parameters
    ----------
    signals : ndarray (n_parcels, n_timepoints), float32
        Parcel means in the units of the source (unscaled; see :mod:`brainlm_core.inference.windows`).
        Parcels without data are all zero and marked in ``quality.flat``.
    tr_s : float
        Repetition time in s.
    parcellation : Parcellation
        Describes the rows of ``signals``.
    provenance : Provenance
        Source and processing.
    quality : Quality or None
        Filled by :func:`brainlm_core.scans.quality.assess`.
    notices : tuple of str
        Sentences a user should read (resampled, padded, approximated, …).
    columns : ColumnMatch or None
        How the columns of the table that was read found their parcels; None for images.
    slices : Slices or None
        The mean image in three planes with the parcels on it; None where there was no volume.

    Raises
    ------
    ScanError
        If shapes disagree, values are not finite, or ``tr_s`` is not positive.
    """

    signals: FloatArray
    tr_s: float
    parcellation: Parcellation
    provenance: Provenance
    quality: Quality | None = None
    notices: tuple[str, ...] = ()
    columns: ColumnMatch | None = None
    slices: Slices | None = None

    def __post_init__(self) -> None:
        signals = np.array(self.signals, dtype=np.float32)  # own copy, so that freezing is ours
        if signals.ndim != 2 or signals.shape[0] != self.parcellation.n_parcels:
            raise ScanError(
                f"signals of shape {signals.shape} do not fit {self.parcellation.n_parcels} parcels",
                "give one row per parcel",
            )
        if not np.isfinite(signals).all():
            raise ScanError("the signals hold NaN or infinite values", "clean the recording first")
        if not (np.isfinite(self.tr_s) and self.tr_s > 0):
            raise ScanError(f"a repetition time of {self.tr_s} s is impossible", "give TR in seconds")
        if self.quality is not None and not self.quality.fits(*signals.shape):
            raise ScanError(
                "the quality figures do not belong to the signals", "make the recording again from the scan"
            )
        signals.setflags(write=False)
        object.__setattr__(self, "signals", signals)
        object.__setattr__(self, "tr_s", float(self.tr_s))

    first_figure: ClassVar[str] = "signal"

    @classmethod
    def from_array(cls, values: ArrayLike, *, tr_s: float, **details: Any) -> Recording:
        """Make a recording of parcel signals in memory; see :func:`brainlm_core.scans.arrays.from_array`.

        Parameters
        ----------
        values : array_like (n_parcels, n_timepoints) or (n_timepoints, n_parcels)
        tr_s : float
            Repetition time in s.
        **details
            ``atlas``, ``names``, ``rows_are``.

        Raises
        ------
        ScanError, AtlasError
            If the array is no table of numbers, or its parcels are not certain.
        """
        # By name: intake lies above this module, and only this convenience looks up.
        made = import_module("brainlm_core.scans.arrays").from_array(values, tr_s=tr_s, **details)
        assert isinstance(made, cls)
        return made

    def in_words(self) -> str:
        """Return size, length and verdict, one line; never the name of the file, which may name a person."""
        kind = "simulated, " if self.provenance.simulated else ""
        verdict = "" if self.quality is None else f", quality {self.quality.verdict}"
        size = f"{self.n_parcels} parcels ({self.parcellation.name}) × {self.n_timepoints} volumes"
        return f"{kind}{size}, TR {self.tr_s:g} s{verdict}"

    def to_frame(self) -> pd.DataFrame:
        """Return the signals as a table: one row per volume, indexed by time in s, one column per parcel."""
        import pandas as pd

        index = pd.Index(np.arange(self.n_timepoints) * self.tr_s, name="time_s")
        return pd.DataFrame(self.signals.T, index=index, columns=list(self.parcellation.names))

    @property
    def n_parcels(self) -> int:
        """Number of parcels (rows)."""
        return int(self.signals.shape[0])

    @property
    def n_timepoints(self) -> int:
        """Number of volumes (columns)."""
        return int(self.signals.shape[1])

    @property
    def freedom_left(self) -> tuple[int, int] | None:
        """Degrees of freedom that cleaning left, and the volumes before it; None when not cleaned."""
        told = [s.parameters for s in self.provenance.steps if s.name == FREEDOM]
        return (int(told[-1]["left"]), int(told[-1]["of"])) if told else None

    @property
    def duration_s(self) -> float:
        """Length in s."""
        return self.n_timepoints * self.tr_s

    def with_step(self, step: Step, *, notice: str | None = None, **changes: Any) -> Recording:
        """Return a copy with ``changes`` applied and ``step`` appended to the provenance."""
        provenance = replace(self.provenance, steps=(*self.provenance.steps, step))
        notices = self.notices if notice is None else (*self.notices, notice)
        return replace(self, provenance=provenance, notices=notices, **changes)

    def save(self, path: str | Path, *, packed: bool = True) -> None:
        """Write one ``.npz`` without pickles: signals, parcellation, provenance, quality.

        Parameters
        ----------
        path : path
        packed : bool
            Whether to compress; a file that is read at once and thrown away need not be small.

        Raises
        ------
        ConfigError
            If the disk is full or the place cannot be written; a file that was there stays as it was.
        """
        arrays: dict[str, Any] = {"signals": self.signals, **self.parcellation.to_arrays()}
        meta: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "tr_s": self.tr_s,
            "provenance": self.provenance.to_dict(),
            "notices": list(self.notices),
        }
        if self.slices is not None:
            arrays |= self.slices.to_arrays()
        if self.columns is not None:
            meta["columns"] = self.columns.to_dict()
        if self.quality is not None:
            q = self.quality
            meta["quality"] = {
                "verdict": q.verdict,
                "reasons": list(q.reasons),
                "template_overlap": q.template_overlap,
            }
            for name in ("coverage", "n_voxels", "tsnr", "dvars", "flat", "spikes", "fd_mm"):
                value = getattr(q, name)
                if value is not None:
                    arrays[f"quality_{name}"] = value
        with whole_file(path) as part, part.open("wb") as stream:
            write = np.savez_compressed if packed else np.savez
            write(stream, meta=np.array(json.dumps(meta)), **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ScanError
            If the file is not such a recording, or was written by a newer version.
        """
        shown = Path(path).name
        try:
            with quiet_old_headers(), np.load(path, allow_pickle=False) as store:
                meta = json.loads(str(store["meta"]))
                json.dumps(meta, allow_nan=False, ensure_ascii=False).encode()  # kept, so writable again
                arrays = {k: store[k] for k in store.files if k != "meta"}
            if int(meta.get("format_version", 0)) > FORMAT_VERSION:
                raise ScanError(
                    f"{shown} was written by a newer version (format {meta['format_version']})",
                    "update BrainLM Explorer",
                )
            return cls._rebuild(meta, arrays)
        except BrainLMError:
            raise
        except DAMAGED_ARRAYS as error:
            raise ScanError(
                f"{shown} is not a recording saved by BrainLM Explorer",
                "make one with `brainlm parcellate SCAN -o rec.npz`",
            ) from error

    @classmethod
    def _rebuild(cls, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> Recording:
        quality = None
        if "quality" in meta:
            q = {k.removeprefix("quality_"): v for k, v in arrays.items() if k.startswith("quality_")}
            quality = Quality(
                verdict=meta["quality"]["verdict"],
                reasons=tuple(meta["quality"]["reasons"]),
                template_overlap=meta["quality"]["template_overlap"],
                fd_mm=q.pop("fd_mm", None),
                **q,
            )
        return cls(
            signals=arrays["signals"],
            tr_s=float(meta["tr_s"]),
            parcellation=Parcellation.from_arrays(arrays),
            provenance=Provenance.from_dict(meta["provenance"]),
            quality=quality,
            notices=tuple(map(str, meta.get("notices", ()))),
            columns=ColumnMatch.from_dict(meta["columns"]) if "columns" in meta else None,
            slices=Slices.from_arrays(arrays),
        )
