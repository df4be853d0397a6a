"""Plan of a dataset run: which runs, in which order, with which settings, and where their files go."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brainlm_core import __version__
from brainlm_core.base.errors import ConfigError, ScanError
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.cohort.embed_run import model_stamp
from brainlm_core.cohort.store import source_key
from brainlm_core.scans.bids import DatasetRun, as_label, index_dataset, runs_of
from brainlm_core.scans.cleaning import CleaningOptions
from brainlm_core.scans.fmriprep import find_runs, unclear

#: What can be done with every run, in the order in which it is done.
STEPS = ("parcellate", "networks", "embed", "forecast")
#: Folder of an output dataset that remembers what is done.
STATE = ".brainlm"


@dataclass(frozen=True)
class Selection:
    """Which runs are taken; an empty tuple takes all. Labels without ``sub-``, ``ses-`` … ."""

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    derivatives: str | None = None

    def takes(self, run: DatasetRun) -> bool:
        """Whether a run is wanted."""
        wanted = (
            ("sub", self.participants),
            ("ses", self.sessions),
            ("task", self.tasks),
            ("run", self.runs),
        )
        return all(
            not labels or _plain(run.entities.get(e, "")) in map(_plain, labels) for e, labels in wanted
        )


@dataclass(frozen=True)
class DatasetSettings:
    """How every run is read and what is made of it.

    Parameters
    ----------
    steps : tuple of str
        Of :data:`STEPS`.
    model, device, precision, context : str
        As :func:`brainlm_core.inference.engine.get_engine`.
    recipe : InputRecipe
        How recordings are scaled for the model.
    accept_licence : bool
    tr_s : float or None
    atlas : str or None
    cleaning : CleaningOptions
    isolated : bool
        Whether runs are read in a process of their own, for files from strangers.
    """

    steps: tuple[str, ...] = ("parcellate", "networks", "embed")
    model: str = "default"
    device: str = "auto"
    precision: str = "auto"
    context: str = "recording"
    recipe: InputRecipe = DEFAULT_RECIPE
    accept_licence: bool = False
    tr_s: float | None = None
    atlas: str | None = None
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    isolated: bool = field(default=False, repr=False)  # no part of a job's key: nothing reads differently

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in STEPS:
                raise ConfigError(f"there is no step {step!r}", f"choose from {', '.join(STEPS)}")


@dataclass(frozen=True)
class Job:
    """One run to work on; plain values, so that it travels to a worker.

    Parameters
    ----------
    label : str
        ``sub-01_ses-2_task-rest``.
    entities : mapping
    source : str
        Absolute path of what is read; empty when nothing can be.
    shown : str
        That path below the dataset.
    confounds : str
        Absolute path, empty without.
    problem : str
        Why the run cannot be worked on; empty when it can.
    key : str
        Changes with the source's size and date, the settings, the model and the version.
    output : str
        Absolute path of the output dataset.
    """

    label: str
    entities: Mapping[str, str]
    source: str
    shown: str
    confounds: str
    problem: str
    key: str
    output: str


def plan_jobs(
    folder: str | Path, output: str | Path, selection: Selection, settings: DatasetSettings
) -> tuple[Job, ...]:
    """Index a dataset and plan its runs.

    Raises
    ------
    ConfigError
        If the folder is not there or no run is selected.
    ScanError
        If the dataset holds no run.
    """
    folder, output = Path(folder), Path(output)
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder.name}", "give a dataset or its derivatives")
    inside = output.resolve()
    index = index_dataset(folder)
    files = tuple(f for f in index.files if not f.path.resolve().is_relative_to(inside))
    runs = [r for r in runs_of(replace(index, files=files)) if r.label and (r.source or r.unfit)]
    if not runs:
        find_runs(folder, folder.name, 20_000_000)  # says what is there instead
        raise ScanError(f"the folder {folder.name} holds no run of a person", "give a BIDS derivative")
    chosen = [_narrowed(run, selection) for run in runs if selection.takes(run)]
    if not chosen:
        some = ", ".join(run.label for run in runs[:3])
        raise ConfigError(
            f"none of the {len(runs)} runs in {folder.name} is selected (there are {some} …)",
            "check --participant-label, --session-label, --task and --run",
        )
    stamp = source_key(__version__, repr(settings), model_stamp(settings.model))
    return tuple(_job(run, folder, output, stamp, selection) for run in chosen)


def _narrowed(run: DatasetRun, selection: Selection) -> DatasetRun:
    """Leave the images in the wanted spaces and derivative."""
    images, tables = run.images, run.tables
    if selection.spaces:
        wanted = set(selection.spaces)
        images = tuple(f for f in images if f.name.get("space") in wanted)
        tables = tuple(f for f in tables if f.name.get("space") in wanted)
    if selection.derivatives is not None:
        images = tuple(f for f in images if f.derivative == selection.derivatives)
        tables = tuple(f for f in tables if f.derivative == selection.derivatives)
    return replace(run, images=images, tables=tables)


def _job(run: DatasetRun, folder: Path, output: Path, stamp: str, selection: Selection) -> Job:
    problem, source = "", run.source
    if source is None:
        where = f"in {' or '.join(selection.spaces)}" if selection.spaces else "in a template space"
        problem = f"it has no image {where}; run fMRIPrep with --output-spaces MNI152NLin6Asym"
    elif not source.exists:
        problem = f"{source.path.name} is a link to nothing; fetch it (datalad get)"
    elif (why := unclear(run, folder.name)) is not None:
        problem = str(why)
    confounds = None if source is None else run.confounds_table()
    stamps = [_stamp(p) for p in (None if source is None else source.path, confounds) if p is not None]
    return Job(
        run.label,
        {entity: as_label(label) for entity, label in run.entities.items()},
        "" if source is None else str(source.path.absolute()),
        "" if source is None else source.path.relative_to(folder).as_posix(),
        "" if confounds is None else str(confounds.absolute()),
        problem,
        source_key(stamp, *stamps),
        str(output.resolve()),
    )


def _stamp(path: Path) -> str:
    try:
        about = path.stat()
    except OSError:
        return f"{path.name} missing"
    return f"{path.name} {about.st_size} {about.st_mtime_ns}"


def link_between(output: Path, folder: Path) -> str:
    """Return the way from the output dataset to its source, as BIDS's ``DatasetLinks`` has it."""
    return Path(os.path.relpath(folder.resolve(), output.resolve())).as_posix()


def labels_of(values: Sequence[str] | None, entity: str) -> tuple[str, ...]:
    """Return labels as they were typed, without the entity in front; commas and spaces divide them."""
    parts = [p for value in values or () for p in re.split(r"[,\s]+", value) if p]
    return tuple(p.removeprefix(f"{entity}-") for p in parts)


def _plain(label: str) -> str:
    return label.lstrip("0") or "0" if label.isdigit() else label
