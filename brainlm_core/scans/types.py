"""What passes between a reader and :func:`brainlm_core.scans.read_scan`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import ColumnMatch, Recording, Step
from brainlm_core.base.slices import Slices
from brainlm_core.scans.source import Progress, ScanSource, no_progress


class MissingTR(ScanError):
    """The repetition time is in neither the file nor the call, or hardly credible; a page can ask for it.

    Parameters
    ----------
    what, fix : str
        As :class:`~brainlm_core.base.errors.BrainLMError`.
    stated_s : float or None
        What the file says, in s, to be confirmed or replaced.
    """

    def __init__(self, what: str, fix: str, stated_s: float | None = None) -> None:
        super().__init__(what, fix)
        self.stated_s = stated_s


class MissingCoordinates(ScanError):
    """The columns are no known parcellation; a page can ask for coordinates."""


class MissingChoice(MissingCoordinates):
    """Several readings of a scan are possible; a page can offer them.

    Parameters
    ----------
    what, fix : str
        As :class:`~brainlm_core.base.errors.BrainLMError`.
    options : tuple of (str, dict)
        Each reading in words, and the argument of :func:`brainlm_core.scans.read_scan` that chooses it.
    previews : tuple of ndarray (parcels, volumes), float32
        A small part of the signals in each reading, z-scored; empty when they do not help.
    """

    def __init__(
        self,
        what: str,
        fix: str,
        options: tuple[tuple[str, dict[str, str]], ...] = (),
        previews: tuple[NDArray[np.float32], ...] = (),
    ) -> None:
        super().__init__(what, fix)
        self.options = options
        self.previews = previews

    def __reduce__(self) -> tuple[object, ...]:
        """Let the question pass between processes."""
        return type(self), (self.what, self.fix, self.options, self.previews)


@dataclass(frozen=True)
class ReadRequest:
    """Everything a reader may need besides the bytes.

    Parameters
    ----------
    source : ScanSource
        The checked files.
    coordinates : Path or None
        CSV with x, y, z in mm per parcel.
    atlas : str or None
        Name of a known parcellation, or path of a label volume or ``.dlabel.nii``.
    labels : Path or None
        Names of the labels of ``atlas``, where that is a label volume.
    confounds : Path or None
        Confounds that the user named; a folder reader may find its own.
    space : str or None
        The template space of an image, by the user; wins over name and header.
    rows_are : {"volumes", "parcels"} or None
        What the rows of a table are, by the user.
    progress : callable
        ``progress(fraction, stage)``.
    first_look : callable or None
        Told the slices of the first volumes, before the rest is read.
    """

    source: ScanSource
    coordinates: Path | None = None
    atlas: str | None = None
    labels: Path | None = None
    confounds: Path | None = None
    space: str | None = None
    rows_are: str | None = None
    progress: Progress = no_progress
    first_look: Callable[[Slices], None] | None = None


@dataclass(frozen=True)
class ParcelSignals:
    """What every reader returns.

    Parameters
    ----------
    signals : ndarray (n_parcels, n_timepoints), float
        Parcel means; a row that is all NaN is a parcel without data.
    parcellation : Parcellation
        Describes the rows.
    tr_s : float or None
        Repetition time in s as the file states it, units already fixed; None when it is silent.
    atlas : str
        The parcellation in words, for the provenance.
    atlas_is_approximation : bool
        True when the built-in approximation of A424 stood in.
    steps : tuple of Step
        What was done, in order.
    tr_notices : tuple of str
        What the user should know about ``tr_s``, unless another repetition time is given.
    notices : tuple of str
        Sentences the user should read.
    coverage : ndarray (n_parcels,), float32, or None
        Share of each parcel's voxels or vertices inside the scan, 0–1; None when unknown.
    n_voxels : ndarray (n_parcels,), int64, or None
        Voxels or vertices averaged per parcel.
    template_overlap : float or None
        Dice overlap with the MNI152 brain; None without a volume.
    reasons : tuple of str
        What speaks against the scan already at this point (space, coverage), for the verdict.
    sha256 : str or None
        Digest, when the reader computed it on the way.
    read_from : ScanSource or None
        The files that were read, when they are not just those that were named.
    columns : ColumnMatch or None
        How the columns of a table found their parcels.
    slices : Slices or None
        The mean image of a volume in three planes.
    """

    signals: NDArray[np.floating]
    parcellation: Parcellation
    tr_s: float | None
    atlas: str
    atlas_is_approximation: bool = False
    steps: tuple[Step, ...] = ()
    notices: tuple[str, ...] = ()
    tr_notices: tuple[str, ...] = ()
    coverage: NDArray[np.float32] | None = None
    n_voxels: NDArray[np.int64] | None = None
    template_overlap: float | None = None
    reasons: tuple[str, ...] = ()
    sha256: str | None = None
    read_from: ScanSource | None = None
    columns: ColumnMatch | None = None
    slices: Slices | None = None


#: A saved recording comes back whole; everything else as signals.
ReadResult = ParcelSignals | Recording
#: Options of :func:`brainlm_core.scans.read_scan` that name a file; a test holds them to its signature.
PATH_OPTIONS = ("confounds", "coordinates", "labels")
