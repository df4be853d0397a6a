"""The one door: any supported file becomes a :class:`Recording`, or an error in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Provenance, Recording, Step
from brainlm_core.base.slices import Slices
from brainlm_core.scans.cleaning import CleaningOptions, clean
from brainlm_core.scans.confounds import ConfoundTable, read_confounds
from brainlm_core.scans.isolation.guard import reads_here
from brainlm_core.scans.limits import MAX_SIGNAL, check_length
from brainlm_core.scans.quality import assess, judge
from brainlm_core.scans.readers import find_reader
from brainlm_core.scans.run_files import companions
from brainlm_core.scans.source import Progress, ScanSource, make_source, no_progress, probe, sha256
from brainlm_core.scans.timing import RepetitionTime, from_user, resolve
from brainlm_core.scans.types import MissingChoice, MissingTR, ParcelSignals, ReadRequest


def read_scan(
    path: str | os.PathLike[str] | ScanSource | Sequence[str | os.PathLike[str]],
    *,
    tr_s: float | None = None,
    confounds: str | os.PathLike[str] | None = None,
    coordinates: str | os.PathLike[str] | None = None,
    atlas: str | None = None,
    labels: str | os.PathLike[str] | None = None,
    space: str | None = None,
    rows_are: str | None = None,
    cleaning: CleaningOptions | None = None,
    progress: Progress | None = None,
    name: str | Sequence[str] | None = None,
    first_look: Callable[[Slices], None] | None = None,
) -> Recording:
    """Read a scan.

    Steps, in order: check the file; recognise its format by content; read it into parcel
    signals; settle the repetition time; set parcels without data to zero; read confounds; judge
    the quality; clean, if asked to.

    Parameters
    ----------
    path : path, ScanSource, or several paths
        Volumes (NIfTI, FreeSurfer, AFNI; one file, a pair, or single volumes), CIFTI, GIFTI (one
        hemisphere finds its partner beside it, or give both), a table, a saved recording, or a
        folder of fMRIPrep derivatives.
    tr_s : float, optional
        Repetition time in s; wins over the file's.
    confounds : path, optional
        fMRIPrep confounds table of the same run.
    coordinates : path, optional
        CSV with x, y, z in mm (MNI) per parcel, for tables on another parcellation.
    atlas : str, optional
        Name of a known parcellation (see :func:`brainlm_core.scans.atlases.known_atlases`; for images also
        ``a424-approximation``), or path of a label volume or ``.dlabel.nii``.
    labels : str, optional
        Lookup table of that label volume: the name of each number; see
        :func:`brainlm_core.scans.lookup.read_lookup`.
    space : str, optional
        The template that an image was registered to, where name and header are wrong or silent:
        ``MNI152NLin6Asym`` or ``MNI152NLin2009cAsym``.
    rows_are : {"volumes", "parcels"}, optional
        What the rows of a table are, where both could be.
    cleaning : CleaningOptions, optional
        Nothing is cleaned by default.
    progress : callable, optional
        ``progress(fraction, stage)``.
    name : str or sequence of str, optional
        Display name of an upload whose path is a temporary file.
    first_look : callable, optional
        Told the mean image of a volume's first moments, in slices, while the rest is still to be read.

    Returns
    -------
    Recording
        With ``quality`` filled.

    Raises
    ------
    ScanError
        If the scan cannot be read or used; :class:`MissingTR` and :class:`MissingCoordinates`
        say that one more answer would do.
    AtlasError
        If the parcellation cannot be had or does not fit.
    """
    report = progress or no_progress
    report(0.0, "checking the file")
    source = make_source(path, name)
    looked = probe(source)
    reader = find_reader(looked, source.name)
    _check_together(source, reader.key)
    if reader.may_abort and not reads_here():
        from brainlm_core.scans.isolation.read import read_isolated

        return read_isolated(
            source,
            tr_s=tr_s,
            confounds=confounds,
            coordinates=coordinates,
            atlas=atlas,
            labels=labels,
            space=space,
            rows_are=rows_are,
            cleaning=cleaning,
            progress=progress,
        )
    request = ReadRequest(
        source=source,
        coordinates=None if coordinates is None else _existing(coordinates, "the coordinates file"),
        atlas=atlas,
        labels=None if labels is None else _existing(labels, "the lookup table"),
        space=space,
        rows_are=rows_are,
        confounds=None if confounds is None else _existing(confounds, "the confounds table"),
        progress=report,
        first_look=first_look,
    )
    result = reader.read(request)
    options = cleaning or CleaningOptions()
    if isinstance(result, Recording):
        recording, table = _with_options(result, tr_s, request)
    else:
        report(0.9, "judging the quality")
        recording, table = _to_recording(result, request, tr_s)
    if options.is_active:
        report(0.95, "cleaning")
        if (options.high_pass_hz or options.low_pass_hz) and is_doubtful(recording):
            raise MissingTR(
                f"a filter needs the true repetition time, and {source.name} states exactly 1 s, which some "
                "programs write when they do not know it",
                "give TR in seconds (--tr)",
                recording.tr_s,
            )
        recording = clean(recording, options, table, bold=_fmriprep_image(request, result))
    elif confounds is not None:
        note = "The confounds were read for head motion only; name a strategy to regress them out."
        recording = replace(recording, notices=(*recording.notices, note))
    report(1.0, "done")
    return recording


def scan_reader(isolated: bool) -> Callable[..., Recording]:
    """Return what reads scans: :func:`read_isolated` or :func:`read_scan`, which take the same options."""
    from brainlm_core.scans.isolation.read import read_isolated

    return read_isolated if isolated else read_scan


def _check_together(source: ScanSource, key: str) -> None:
    """Refuse several files that are no one scan: hemispheres, a header and its numbers, single volumes."""
    n = len(source.paths)
    if n == 1 or key == "nifti" or (key == "gifti" and n == 2):
        return
    if n > 2:
        raise ScanError(
            f"{n} scans were given", "give one, the two hemispheres of one run, or its single volumes"
        )
    raise ScanError(
        f"{source.name} are no pair of GIFTI hemispheres", "give one scan, or the left and right .func.gii"
    )


def is_doubtful(recording: Recording) -> bool:
    """Whether the repetition time of a recording is what some programs write when they do not know it."""
    told = [s for s in recording.provenance.steps if s.name in ("read", "set repetition time")]
    return bool(told and told[-1].parameters.get("tr_doubtful"))


def _existing(path: str | os.PathLike[str], what: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise ScanError(f"{what} {file.name} does not exist", "check the path and its spelling")
    return file


def _fmriprep_image(request: ReadRequest, result: ParcelSignals | Recording) -> Path | None:
    """Return the image for nilearn's own confound search: only when the confounds were found beside it."""
    if isinstance(result, Recording) or request.confounds is not None or request.source.uploaded:
        return None
    if request.source.roots:  # nilearn follows every link; the table that was found is taken as it is
        return None
    image = (result.read_from or request.source).path
    return image if companions(image).confounds is not None else None


def _with_options(
    recording: Recording, tr_s: float | None, request: ReadRequest
) -> tuple[Recording, ConfoundTable | None]:
    """Apply options to a recording that was saved before."""
    if tr_s is not None:
        given, notices = from_user(tr_s)
        if abs(given - recording.tr_s) > 1e-6:
            step = Step("set repetition time", {"tr_s": given, "before_s": recording.tr_s})
            recording = recording.with_step(step, tr_s=given)
            recording = replace(recording, notices=(*recording.notices, *notices))
    table = None
    if request.confounds is not None:
        table = read_confounds(request.confounds, recording.n_timepoints)
        if recording.quality is not None:
            recording = replace(recording, quality=replace(recording.quality, fd_mm=table.fd_mm))
    if recording.quality is None:
        recording = assess(recording)
    return recording, table


def _to_recording(
    result: ParcelSignals, request: ReadRequest, tr_s: float | None
) -> tuple[Recording, ConfoundTable | None]:
    source = result.read_from or request.source
    check_length(result.signals.shape[1], source.name)
    beside = None if source.uploaded else source.path
    stated = RepetitionTime(result.tr_s, result.tr_notices)
    time = resolve(tr_s, stated, beside, source.name, source.may_open)
    seconds, notices = time.tr_s, time.notices
    signals, gaps = fill_missing(result.signals, source.name)
    table, told = _confounds(request, source, signals.shape[1])
    notices = (*notices, *told)
    quality = judge(
        signals,
        seconds,
        coverage=result.coverage,
        n_voxels=result.n_voxels,
        fd_mm=None if table is None else table.fd_mm,
        template_overlap=result.template_overlap,
        reasons=result.reasons,
    )
    if quality.flat.all():
        raise ScanError(f"the signals in {source.name} never change", "give a scan that holds a time series")
    asked = {"tr_doubtful": True} if time.doubtful else {}
    steps = [Step("read", {"tr_s": seconds, "tr_from": time.origin, **asked}), *result.steps]
    if table is not None:
        steps.append(Step("read confounds", {"file": table.name, "for": "head motion"}))
    provenance = Provenance(
        source_name=source.name,
        sha256=result.sha256 or sha256(source),
        steps=tuple(steps),
        atlas=result.atlas,
        atlas_is_approximation=result.atlas_is_approximation,
    )
    recording = Recording(
        signals=signals,
        tr_s=seconds,
        parcellation=result.parcellation,
        provenance=provenance,
        quality=quality,
        notices=(*result.notices, *notices, *gaps),
        columns=result.columns,
        slices=result.slices,
    )
    return recording, table


def _confounds(
    request: ReadRequest, source: ScanSource, n_timepoints: int
) -> tuple[ConfoundTable | None, tuple[str, ...]]:
    """Read the table that the user named, else the one beside the scan when it belongs to it."""
    if request.confounds is not None:
        try:
            table = read_confounds(request.confounds, n_timepoints)
        except ScanError as error:
            without = (("Read the scan without this table", {"confounds": ""}),)
            raise MissingChoice(error.what, error.fix, without) from error
        return table, table.notices
    found = None if source.uploaded else companions(source.path, source.may_open).confounds
    if found is None:
        return None, ()
    try:
        table = read_confounds(found, n_timepoints)
    except ScanError as error:
        return None, (f"The confounds table beside the scan was left out: {error.what}.",)
    return table, table.notices


def fill_missing(signals: NDArray[np.floating], name: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Set parcels without any value to zero; refuse gaps inside a parcel's signal.

    Returns
    -------
    signals : ndarray (n_parcels, n_timepoints), float32
    notices : tuple of str

    Raises
    ------
    ScanError
        If single values are NaN or infinite, or no parcel has data, or values exceed float32.
    """
    bad = ~np.isfinite(signals)
    empty = bad.all(axis=1)
    if empty.all():
        raise ScanError(f"{name} holds no finite value", "check how the signals were exported")
    partial = bad & ~empty[:, None]
    if partial.any():
        parcel, volume = np.argwhere(partial)[0]
        raise ScanError(
            f"{int(partial.sum())} values in {name} are missing, NaN or infinite "
            f"(first: parcel {parcel + 1}, volume {volume + 1})",
            "repair or remove these volumes, or blank whole parcels",
        )
    filled = np.where(empty[:, None], 0.0, signals)
    if np.abs(filled).max() > MAX_SIGNAL:
        raise ScanError(f"{name} holds values beyond {MAX_SIGNAL:g}", "check how the signals were exported")
    notices: tuple[str, ...] = ()
    if empty.any():
        notices = (f"{int(empty.sum())} of {len(empty)} parcels hold no data and were set to zero.",)
    return filled.astype(np.float32), notices
