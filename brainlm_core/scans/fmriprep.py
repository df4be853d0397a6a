"""Folders of runs: which image, which mask and which confounds are read, whichever program wrote them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording, Step
from brainlm_core.scans.bids import DatasetFile, DatasetIndex, DatasetRun, index_dataset, is_smoothed, runs_of
from brainlm_core.scans.bids.index import describe
from brainlm_core.scans.containers import by_number
from brainlm_core.scans.limits import MIN_TIMEPOINTS
from brainlm_core.scans.run_files import MAX_ENTRIES, Run, companions
from brainlm_core.scans.source import Probe, ScanSource, make_source, probe
from brainlm_core.scans.templates import NLIN6, NLIN2009C, judge_space
from brainlm_core.scans.types import ParcelSignals, ReadRequest, ReadResult

#: Images that are no series, in folders of other programs.
_NO_SERIES = re.compile(
    r"mask|anat|t1|t2|^mean|_mean|seg|brain\.nii|^m?w?r?c[123]|atlas|template|sbref", re.IGNORECASE
)


def find_dataset_runs(
    folder: Path,
    name: str,
    max_entries: int = MAX_ENTRIES,
    may_open: Callable[[Path], bool] = lambda _: True,
) -> tuple[DatasetRun, ...]:
    """Find every run below a folder that can be read; what may not be opened is not there.

    Raises
    ------
    ScanError
        If there is none, a run is there as single echoes only, or in two derivatives.
    """
    index = index_dataset(folder, name, max_entries=max_entries, may_open=may_open)
    runs = runs_of(index)
    usable = tuple(run for run in runs if run.source is not None)
    if not usable:
        unfit = [file for run in runs for file in run.unfit]
        raise _no_template(unfit, name) if unfit else _no_run(index, name)
    for run in usable:
        if why := unclear(run, name):
            raise why
    return usable


def runs_with_problems(folder: Path, name: str, max_entries: int) -> dict[str, tuple[Path, ScanError | None]]:
    """Find every run below a folder: what is read of it, or one of its images and why none can be.

    Returns
    -------
    dict
        Name of the run to its file and its problem; empty when no name in the folder is a run's, or every
        image lies in a space that cannot be read.
    """
    runs = runs_of(index_dataset(folder, name, max_entries=max_entries))
    if not any(run.source for run in runs):
        return {}
    found: dict[str, tuple[Path, ScanError | None]] = {}
    for run in runs:
        if run.source is not None:
            found[run.label] = run.source.path, unclear(run, name)
        elif run.unfit:
            found[run.label] = run.unfit[0].path, _no_template(list(run.unfit), name)
    return found


def unclear(run: DatasetRun, name: str) -> ScanError | None:
    """Return why it is not clear what of a run is to be read; None when it is."""
    if run.single_echoes():
        return ScanError(
            f"the run {run.label} in {name} comes as {run.single_echoes()} single echoes without their "
            "combination",
            "combine them (fMRIPrep, tedana), or name one echo's file",
        )
    if len(run.derivatives) > 1:
        places = " and ".join(d or "the dataset itself" for d in run.derivatives)
        return ScanError(
            f"the run {run.label} in {name} lies in several derivatives: {places}",
            f"give the folder of one of them, for example derivatives/{run.derivatives[-1]}",
        )
    return None


def find_runs(
    folder: Path,
    name: str,
    max_entries: int = MAX_ENTRIES,
    may_open: Callable[[Path], bool] = lambda _: True,
) -> dict[str, Path]:
    """Find what is read of every run below a folder, as :func:`find_dataset_runs`.

    Returns
    -------
    dict
        Name of the run (``sub-01_task-rest``) to its best image or table, in order.

    Raises
    ------
    ScanError
        If there is none.
    """
    try:
        runs = find_dataset_runs(folder, name, max_entries, may_open)
    except _NoRun as nothing:
        return _other_image(nothing.others, name, nothing)
    return {run.label: run.source.path for run in runs if run.source is not None}


class _NoRun(ScanError):
    """No name in a folder is a run's."""

    others: tuple[Path, ...] = ()


def _no_run(index: DatasetIndex, name: str) -> _NoRun:
    images = [p for p in index.others if not _NO_SERIES.search(p.name)]
    shown = ", ".join(p.name for p in images[:4])
    held = f" by the names of fMRIPrep, but {len(images)} other images: {shown}" if images else ""
    error = _NoRun(
        f"the folder {name} holds no BOLD run (…_desc-preproc_bold.nii.gz){held}",
        "name one of these files" if images else "give the folder of one run, or a scan file",
    )
    error.others = tuple(images)
    return error


def _other_image(images: tuple[Path, ...], name: str, error: ScanError) -> dict[str, Path]:
    """Return the one image of a folder that names nothing as BIDS does; refuse when there are several."""
    if len(images) != 1:
        raise error
    return {images[0].name.split(".")[0]: images[0]}


def _no_template(images: list[DatasetFile], name: str) -> ScanError:
    """Say truly in which spaces the images of a folder lie."""
    spaces = [judge_space(f.name.get("space")) for f in images if f.name.get("space")]
    others = sorted({f"{s.name}, {s.words}" for s in spaces if s.kind == "other"})
    if others:
        return ScanError(
            f"the {len(images)} BOLD images in {name} lie on another brain's template ({'; '.join(others)}), "
            "not on MNI152",
            f"give the run registered to {NLIN2009C} or {NLIN6}",
        )
    return ScanError(
        f"the {len(images)} BOLD images in {name} are in native space or name no template",
        "run fMRIPrep with --output-spaces MNI152NLin2009cAsym or MNI152NLin6Asym, or name one image's file "
        "if it is in MNI152",
    )


def find_run(folder: Path, name: str, may_open: Callable[[Path], bool] = lambda _: True) -> Run:
    """Find the one run of a folder; ``may_open`` as in :func:`companions`.

    Raises
    ------
    ScanError
        If there is none in a template space, or several and none chosen.
    """
    best = list(find_runs(folder, name, may_open=may_open).values())
    if len(best) > 1:
        more = f" and {len(best) - 6} more" if len(best) > 6 else ""
        raise ScanError(
            f"the folder {name} holds {len(best)} runs: {', '.join(p.name for p in best[:6])}{more}",
            "name one of these files",
        )
    return companions(best[0], may_open)


def _single_volumes(source: ScanSource) -> tuple[Path, ...]:
    """Return the files of a folder that holds nothing but one series of 3D volumes; empty otherwise."""
    images: list[Path] = []
    try:
        for count, path in enumerate(source.path.rglob("*")):
            if count > MAX_ENTRIES or "_bold" in path.name:
                return ()
            is_image = path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")
            if is_image and not _NO_SERIES.search(path.name) and source.may_open(path) and path.is_file():
                images.append(path)
    except OSError:
        return ()
    numbered = {re.sub(r"\d+", "#", p.name) for p in images}
    if len(images) < MIN_TIMEPOINTS or len(numbered) != 1 or len({p.parent for p in images}) != 1:
        return ()
    return tuple(sorted(images, key=lambda p: by_number(p.name)))


def read_folder(
    request: ReadRequest, read: Callable[[Probe, ReadRequest], ReadResult]
) -> ParcelSignals | Recording:
    """Read the one run of a folder.

    Parameters
    ----------
    request : ReadRequest
    read : callable
        Reads one file in whatever format it is.

    Raises
    ------
    ScanError
        As :func:`find_run` and the reader of the image.
    """
    single = _single_volumes(request.source)
    if single:
        source = ScanSource(single, tuple(p.name for p in single), roots=request.source.roots)
        series = read(probe(source), replace(request, source=source))
        return series if isinstance(series, Recording) else replace(series, read_from=source)
    run = find_run(request.source.path, request.source.name, request.source.may_open)
    source = make_source(ScanSource((run.bold,), (run.bold.name,), roots=request.source.roots))
    inner = replace(request, source=source)
    result = read(probe(source), inner)
    if isinstance(result, Recording):
        return result
    step = Step("choose run", {"bold": run.bold.name, "mask": run.mask.name if run.mask else None})
    notices = result.notices
    file = describe(run.bold)
    if file is not None and is_smoothed(file):
        note = "Only a smoothed image of the run was found: its parcels hold signal of their neighbours."
        notices = (*notices, note)
    return replace(result, steps=(step, *result.steps), notices=notices, read_from=result.read_from or source)
