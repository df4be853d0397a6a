"""Runs of a dataset: which image of a run is read, with which mask and confounds.

Of the images of one run the best is read: unsmoothed and denoised before preprocessed, the combination of
echoes before one echo, MNI152NLin6Asym before other MNI152 spaces, volumes before grayordinates before
surfaces, 2 mm before other grids. Tables of parcels are read where a run has no image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brainlm_core.scans.bids import index as ix
from brainlm_core.scans.bids.index import DatasetFile, DatasetIndex
from brainlm_core.scans.templates import NLIN6, judge_space

#: Entities that tell one run from another.
RUN_ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "split")
_DENOISED = re.compile(r"denoised|residual|clean|funimg\w*c", re.IGNORECASE)
_SMOOTHED = re.compile(r"smooth|^s\d", re.IGNORECASE)
_SURFACES = re.compile(r"fsaverage[56]?|fsLR", re.IGNORECASE)


@dataclass(frozen=True)
class DatasetRun:
    """One run and everything that lies in the dataset for it.

    Parameters
    ----------
    entities : mapping
        Of :data:`RUN_ENTITIES`, those it has.
    images : tuple of DatasetFile
        Those that can be read, the best first; a surface stands for both hemispheres.
    tables : tuple of DatasetFile
        Parcel signals, the nearest to 424 parcels first.
    masks, confounds, sidecars : tuple of DatasetFile
    unfit : tuple of DatasetFile
        Images that cannot be read: native space, another brain's template.
    """

    entities: Mapping[str, str]
    images: tuple[DatasetFile, ...] = ()
    tables: tuple[DatasetFile, ...] = ()
    masks: tuple[DatasetFile, ...] = ()
    confounds: tuple[DatasetFile, ...] = ()
    sidecars: tuple[DatasetFile, ...] = field(default=(), repr=False)
    unfit: tuple[DatasetFile, ...] = ()

    @property
    def label(self) -> str:
        """Name of the run: ``sub-01_ses-2_task-rest_run-1``."""
        return "_".join(f"{e}-{self.entities[e]}" for e in RUN_ENTITIES if e in self.entities)

    @property
    def source(self) -> DatasetFile | None:
        """What is read; None when nothing of the run can be."""
        return next(iter((*self.images, *self.tables)), None)

    @property
    def derivatives(self) -> tuple[str, ...]:
        """Names of the derivative folders that hold something of the run that can be read."""
        return tuple(sorted({f.derivative for f in (*self.images, *self.tables)}))

    def single_echoes(self) -> int:
        """Return how many echoes there are when nothing but single echoes is there, else 0."""
        echoes = {f.name.get("echo") for f in self.images}
        return len(echoes) if len(echoes) > 1 and "" not in echoes else 0

    def mask_of(self, image: DatasetFile) -> Path | None:
        """Return the brain mask on the grid of an image."""
        wanted = _grid(image)
        return next((m.path for m in self.masks if m.exists and _grid(m) == wanted), None)

    def confounds_table(self) -> Path | None:
        """Return the confounds or motion table; fMRIPrep's own name before others."""
        return next((c.path for c in sorted(self.confounds, key=_confounds_order) if c.exists), None)


def runs_of(index: DatasetIndex) -> tuple[DatasetRun, ...]:
    """Group the files of an index into runs, in the order of their labels.

    A file belongs to every run whose entities it does not contradict (BIDS inheritance): masks of a session,
    one confounds table of all runs of HCP's folder.
    """
    groups: dict[tuple[str, ...], list[DatasetFile]] = {}
    general: list[DatasetFile] = []
    for file in index.files:
        if file.role in (ix.IMAGE, ix.TABLE):
            groups.setdefault(_key(file), []).append(file)
        else:
            general.append(file)
    beside: dict[tuple[str, ...], list[DatasetFile]] = {}
    for file in general:
        beside.setdefault(_key(file), []).append(file)
    runs = []
    for key, files in groups.items():
        entities = {e: label for e, label in zip(RUN_ENTITIES, key, strict=True) if label}
        runs.append(_run(entities, files, beside.get(key, [])))
    return tuple(sorted(_conn_whole(runs), key=lambda run: run.label))


def _key(file: DatasetFile) -> tuple[str, ...]:
    return tuple(file.name.get(entity) for entity in RUN_ENTITIES)


def _run(entities: dict[str, str], files: Iterable[DatasetFile], others: list[DatasetFile]) -> DatasetRun:
    ranked: list[tuple[tuple[object, ...], DatasetFile]] = []
    unfit, tables = [], []
    for file in files:
        if file.role == ix.TABLE:
            tables.append(file)
            continue
        rank = image_rank(file)
        if rank is None:
            unfit.append(file)
        elif file.name.get("hemi") != "R":  # the left one finds its partner
            ranked.append(((*rank, str(file.path)), file))
    ranked.sort(key=lambda pair: pair[0])
    return DatasetRun(
        entities,
        tuple(file for _, file in ranked),
        tuple(sorted(tables, key=_table_order)),
        tuple(f for f in others if f.role == ix.MASK),
        tuple(f for f in others if f.role == ix.CONFOUNDS),
        tuple(f for f in others if f.role == ix.SIDECAR),
        tuple(unfit),
    )


def image_rank(file: DatasetFile) -> tuple[int, ...] | None:
    """Return how good an image is, the best lowest; None when its space is none that can be read."""
    space = _space_rank(file)
    if space is None:
        return None
    desc, process = file.name.get("desc"), file.name.get("proc")
    if _SMOOTHED.search(desc) or _SMOOTHED.search(file.name.suffix):
        kind = 4
    elif _DENOISED.search(desc) or file.name.get("reg"):
        kind = 0
    else:
        kind = 1 if desc in ("preproc", "") else 2
    extras = int("global" in process) + int("sym" in process)
    resolution = {"2": 0, "02": 0, "": 1}.get(file.name.get("res"), 2)
    # with all else equal: more steps of DPABI, HCP's MSMAll before MSMSulc
    steps = -len(process) if file.program == "DPABI" else int(process == "MSMSulc")
    return (kind, int(bool(file.name.get("echo"))), space, extras, resolution, steps)


def is_smoothed(file: DatasetFile) -> bool:
    """Whether an image's name says that it was smoothed in space."""
    return bool(_SMOOTHED.search(file.name.get("desc")))


def _space_rank(file: DatasetFile) -> int | None:
    extension, name = file.name.folded_extension, file.name.get("space")
    if extension == ".dtseries.nii":
        return 4
    if extension.endswith(".gii"):
        return 5 if _SURFACES.fullmatch(name) else None
    if not name:
        return None
    space = judge_space(name)
    if space.kind == "mni":
        return 0 if space.name == NLIN6 else 1 if "2009" in space.name else 2
    return 3 if space.kind == "unknown" else None


def _table_order(file: DatasetFile) -> tuple[object, ...]:
    """A424 first, then the table that is nearest to 424 parcels by its atlas's own number, then by name."""
    atlas = (file.name.get("seg") or file.name.get("atlas")).lower()
    number = re.search(r"(?<!\d)(\d{2,4})", atlas.removeprefix("4s"))
    distance = abs(int(number[1]) - 424) if number else 1000
    text_first = file.name.folded_extension == ".mat"
    return (atlas != "a424", distance, text_first, str(file.path))


def _grid(file: DatasetFile) -> tuple[str, ...]:
    return tuple(file.name.get(e) for e in ("space", "cohort", "res"))


def _confounds_order(file: DatasetFile) -> tuple[int, str]:
    order = {"timeseries": 0, "regressors": 1}.get(file.name.suffix, 2)
    return order + int(file.name.get("desc") == "filtered"), str(file.path)


def _conn_whole(runs: list[DatasetRun]) -> list[DatasetRun]:
    """Keep CONN's condition 0, all volumes of a person, where it is there beside parts of them."""
    whole = {run.entities["sub"] for run in runs if _conn_condition(run) == 0}
    return [run for run in runs if not (_conn_condition(run) and run.entities["sub"] in whole)]


def _conn_condition(run: DatasetRun) -> int | None:
    """Return the number of CONN's condition, None for runs of other programs."""
    source = run.source
    if source is None or source.program != "CONN":
        return None
    return int(run.entities["task"].removeprefix("condition"))
