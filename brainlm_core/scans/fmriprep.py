"""Run folders of fMRIPrep derivatives: which image, which mask, which confounds, which TR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from brainlm_core.errors import ScanError
from brainlm_core.recording import Recording, Step
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.types import ParcelSignals, ReadRequest

#: A folder with more entries than this is not a run folder.
_MAX_ENTRIES = 20_000
_ENTITY = re.compile(r"_(space|res|den|desc|hemi)-[A-Za-z0-9]+")
_BOLD = re.compile(r"_bold(\.nii|\.nii\.gz|\.dtseries\.nii|\.func\.gii)$")
#: What is read when one run comes in several spaces, best first.
_PREFERENCE = (
    re.compile(r"space-MNI152NLin6Asym.*_bold\.nii(\.gz)?$"),
    re.compile(r"space-MNI152NLin2009cAsym.*_bold\.nii(\.gz)?$"),
    re.compile(r"space-MNI.*_bold\.nii(\.gz)?$"),
    re.compile(r"(space-fsLR_den-91k|den-91k).*_bold\.dtseries\.nii$"),
    re.compile(r"space-(fsaverage5|fsLR).*_bold\.func\.gii$"),
)


@dataclass(frozen=True)
class Run:
    """One run and what lies beside it.

    Parameters
    ----------
    bold : Path
        The image to read.
    mask : Path or None
        Brain mask of the same space.
    confounds : Path or None
        Confounds table of the run.
    """

    bold: Path
    mask: Path | None
    confounds: Path | None


def companions(bold: Path, may_open: Callable[[Path], bool] = lambda _: True) -> Run:
    """Find the mask and the confounds table that fMRIPrep wrote beside an image.

    Parameters
    ----------
    bold : Path
        The image.
    may_open : callable
        Tells whether a file that was found may be opened; see :meth:`ScanSource.may_open`.
    """
    stem = _BOLD.sub("", bold.name)
    run = _ENTITY.sub("", stem)
    mask = bold.with_name(re.sub(r"_desc-[A-Za-z0-9]+$", "", stem) + "_desc-brain_mask.nii.gz")
    confounds = next(
        (
            path
            for ending in (
                "desc-confounds_timeseries.tsv",
                "desc-confounds_regressors.tsv",
                "bold_confounds.tsv",
            )
            if (path := bold.with_name(f"{run}_{ending}")).is_file() and may_open(path)
        ),
        None,
    )
    return Run(bold, mask if mask.is_file() and may_open(mask) else None, confounds)


def find_runs(
    folder: Path,
    name: str,
    max_entries: int = _MAX_ENTRIES,
    may_open: Callable[[Path], bool] = lambda _: True,
) -> dict[str, Path]:
    """Find every run below a folder that comes in a template space; what may not be opened is not there.

    Returns
    -------
    dict
        Name of the run (``sub-01_task-rest``) to its best image, in order.

    Raises
    ------
    ScanError
        If there is none.
    """
    images = sorted(p for p in _walk(folder, name, max_entries) if _BOLD.search(p.name) and may_open(p))
    usable: dict[str, list[tuple[int, Path]]] = {}
    for path in images:
        rank = next((i for i, pattern in enumerate(_PREFERENCE) if pattern.search(path.name)), None)
        if rank is not None:
            run = _ENTITY.sub("", _BOLD.sub("", path.name))
            usable.setdefault(run, []).append((rank, path))
    if not images:
        raise ScanError(
            f"the folder {name} holds no fMRIPrep BOLD run (…_desc-preproc_bold.nii.gz)",
            "give the folder of one run, or a scan file",
        )
    if not usable:
        raise ScanError(
            f"the {len(images)} BOLD images in {name} are in native space",
            "run fMRIPrep with --output-spaces MNI152NLin2009cAsym or MNI152NLin6Asym",
        )
    return {run: min(paths)[1] for run, paths in usable.items()}


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


def _walk(folder: Path, name: str, max_entries: int) -> Iterator[Path]:
    try:
        for count, path in enumerate(folder.rglob("*")):
            if count > max_entries:
                raise ScanError(
                    f"the folder {name} holds more than {max_entries} files", "name one run's file"
                )
            if not path.name.startswith("."):
                yield path
    except PermissionError as error:
        raise ScanError(f"the folder {name} may not be read", "change its permissions") from error


def read_folder(request: ReadRequest) -> ParcelSignals | Recording:
    """Read the one run of a folder.

    Raises
    ------
    ScanError
        As :func:`find_run` and the reader of the image.
    """
    from brainlm_core.scans.readers import find_reader
    from brainlm_core.scans.source import make_source, probe

    run = find_run(request.source.path, request.source.name, request.source.may_open)
    source = make_source(ScanSource((run.bold,), (run.bold.name,), roots=request.source.roots))
    inner = replace(request, source=source)
    result = find_reader(probe(source), source.name).read(inner)
    if isinstance(result, Recording):
        return result
    step = Step("choose run", {"bold": run.bold.name, "mask": run.mask.name if run.mask else None})
    return replace(result, steps=(step, *result.steps), read_from=result.read_from or source)
