"""Run folders of fMRIPrep derivatives: which image, which mask, which confounds, which TR."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from brainlm_core.errors import ScanError
from brainlm_core.recording import Recording, Step
from brainlm_core.scans.containers import by_number
from brainlm_core.scans.limits import MIN_TIMEPOINTS
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.templates import NLIN6, NLIN2009C, space_of_name
from brainlm_core.scans.types import ParcelSignals, ReadRequest

#: A folder with more entries than this is not a run folder.
_MAX_ENTRIES = 20_000
_ENTITY = re.compile(r"_(space|cohort|res|den|desc|hemi|echo|part)-[A-Za-z0-9]+")
_BOLD = re.compile(r"_bold(\.nii|\.nii\.gz|\.dtseries\.nii|\.func\.gii)$")
#: Images that are no series, in folders of other programs.
_NO_SERIES = re.compile(
    r"mask|anat|t1|t2|^mean|_mean|seg|brain\.nii|^m?w?r?c[123]|atlas|template|sbref", re.IGNORECASE
)
#: fMRIPrep before 1.2 put the suffix before the space.
_OLD_BOLD = re.compile(
    r"_bold_space-(?P<space>[A-Za-z0-9]+)_(variant-[A-Za-z0-9]+_)?preproc(\.nii|\.nii\.gz)$"
)
_DENOISED = re.compile(r"desc-(denoised|residual|clean)", re.IGNORECASE)
_SMOOTHED = re.compile(r"smooth|desc-s\d", re.IGNORECASE)


def _rank(path: Path) -> tuple[int, ...] | None:
    """Return how good an image is, the best lowest; None when its space is none that can be read.

    The unsmoothed denoised image comes before the preprocessed one, anything smoothed comes last; the
    combination of the echoes before a single one; MNI152 before other spaces and surfaces.
    """
    name = path.name
    desc = 3 if _SMOOTHED.search(name) else 0 if _DENOISED.search(name) else 1
    if "desc-" in name and desc == 1 and "desc-preproc" not in name:
        desc = 2
    echo = int("_echo-" in name)
    space = _space_rank(name)
    return None if space is None else (desc, echo, space)


def _space_rank(name: str) -> int | None:
    if name.endswith(".dtseries.nii"):
        return 4
    if name.endswith(".gii"):
        return 5 if re.search(r"space-(fsaverage[56]?|fsLR)(?![a-z0-9])", name, re.IGNORECASE) else None
    space = space_of_name(name)
    if space.kind == "mni":
        return 0 if space.name == NLIN6 else 1 if "2009" in space.name else 2
    return 3 if space.kind == "unknown" else None


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
    stem, run = _stem(bold.name), _run_of(bold.name)
    mask = bold.with_name(re.sub(r"_desc-[A-Za-z0-9]+$", "", stem) + "_desc-brain_mask.nii.gz")
    if _OLD_BOLD.search(bold.name):
        mask = bold.with_name(re.sub(r"_preproc\.nii", "_brainmask.nii", bold.name))
    confounds = next(
        (
            path
            for ending in (
                "desc-confounds_timeseries.tsv",
                "desc-confounds_regressors.tsv",
                "bold_confounds.tsv",
                "motion.tsv",  # XCP-D
                "desc-filtered_motion.tsv",
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
    found = [p for p in _walk(folder, name, max_entries) if may_open(p)]
    images = sorted(p for p in found if _BOLD.search(p.name) or _OLD_BOLD.search(p.name))
    usable: dict[str, list[tuple[tuple[int, ...], Path]]] = {}
    for path in images:
        rank = _rank(path)
        if rank is not None:
            usable.setdefault(_run_of(path.name), []).append((rank, path))
    if not images:
        return _other_image(found, name)
    if not usable:
        raise _no_template(images, name)
    for run, paths in usable.items():
        echoes = {p.name for rank, p in paths if rank[1]}
        if min(paths)[0][1] and len(echoes) > 1:
            raise ScanError(
                f"the run {run} in {name} comes as {len(echoes)} single echoes without their combination",
                "combine them (fMRIPrep, tedana), or name one echo's file",
            )
    return {run: min(paths)[1] for run, paths in usable.items()}


def _stem(name: str) -> str:
    return _OLD_BOLD.sub("", _BOLD.sub("", name))


def _run_of(name: str) -> str:
    return re.sub(r"_smooth(ed)?$", "", _ENTITY.sub("", _stem(name)))


def _other_image(found: list[Path], name: str) -> dict[str, Path]:
    """Return the one image of a folder that names nothing as BIDS does; refuse when there are several."""
    images = sorted(p for p in found if p.name.endswith((".nii", ".nii.gz")) and p.is_file())
    images = [p for p in images if not _NO_SERIES.search(p.name)]
    if len(images) == 1:
        return {images[0].name.split(".")[0]: images[0]}
    shown = ", ".join(p.name for p in images[:4])
    held = f" by the names of fMRIPrep, but {len(images)} other images: {shown}" if images else ""
    raise ScanError(
        f"the folder {name} holds no BOLD run (…_desc-preproc_bold.nii.gz){held}",
        "name one of these files" if images else "give the folder of one run, or a scan file",
    )


def _no_template(images: list[Path], name: str) -> ScanError:
    """Say truly in which spaces the images of a folder lie."""
    spaces = [space_of_name(p.name) for p in images if not p.name.endswith(".gii")]
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


def _single_volumes(source: ScanSource) -> tuple[Path, ...]:
    """Return the files of a folder that holds nothing but one series of 3D volumes; empty otherwise."""
    found = [p for p in _walk(source.path, source.name, _MAX_ENTRIES) if source.may_open(p) and p.is_file()]
    images = [p for p in found if p.name.endswith((".nii", ".nii.gz"))]
    if any(_BOLD.search(p.name) or _OLD_BOLD.search(p.name) for p in images):
        return ()
    images = [p for p in images if not _NO_SERIES.search(p.name)]
    numbered = {re.sub(r"\d+", "#", p.name) for p in images}
    if len(images) < MIN_TIMEPOINTS or len(numbered) != 1 or len({p.parent for p in images}) != 1:
        return ()
    return tuple(sorted(images, key=lambda p: by_number(p.name)))


def read_folder(request: ReadRequest) -> ParcelSignals | Recording:
    """Read the one run of a folder.

    Raises
    ------
    ScanError
        As :func:`find_run` and the reader of the image.
    """
    from brainlm_core.scans.readers import find_reader
    from brainlm_core.scans.source import make_source, probe

    single = _single_volumes(request.source)
    if single:
        source = ScanSource(single, tuple(p.name for p in single), roots=request.source.roots)
        series = find_reader(probe(source), single[0].name).read(replace(request, source=source))
        return series if isinstance(series, Recording) else replace(series, read_from=source)
    run = find_run(request.source.path, request.source.name, request.source.may_open)
    source = make_source(ScanSource((run.bold,), (run.bold.name,), roots=request.source.roots))
    inner = replace(request, source=source)
    result = find_reader(probe(source), source.name).read(inner)
    if isinstance(result, Recording):
        return result
    step = Step("choose run", {"bold": run.bold.name, "mask": run.mask.name if run.mask else None})
    notices = result.notices
    if _SMOOTHED.search(run.bold.name):
        note = "Only a smoothed image of the run was found: its parcels hold signal of their neighbours."
        notices = (*notices, note)
    return replace(result, steps=(step, *result.steps), notices=notices, read_from=result.read_from or source)
