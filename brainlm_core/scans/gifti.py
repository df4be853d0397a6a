"""GIFTI functional data: one or both hemispheres on fsaverage5 or fs_LR 32k."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.atlas import N_VERTICES, a424
from brainlm_core.errors import ScanError
from brainlm_core.grayordinates import N_FS_LR, load_grayordinates
from brainlm_core.recording import Step
from brainlm_core.scans.columns import average_columns
from brainlm_core.scans.gifti_xml import read_gifti_file
from brainlm_core.scans.limits import check_length
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.timing import RepetitionTime, from_header
from brainlm_core.scans.types import ParcelSignals, ReadRequest

_SURFACES = {N_VERTICES: "fsaverage5", N_FS_LR: "fs_LR 32k"}
#: How file names tell the hemisphere, and what the other one is called.
_SIDE_MARKS = (
    ("hemi-L", "hemi-R"),
    (".L.", ".R."),
    ("_L_", "_R_"),
    ("_L.", "_R."),
    ("lh.", "rh."),
    ("_lh", "_rh"),
    ("-lh", "-rh"),
    ("left", "right"),
    ("Left", "Right"),
)


@dataclass(frozen=True, eq=False)
class Hemisphere:
    """One hemisphere's time series.

    Parameters
    ----------
    side : {"L", "R"}
        Which one.
    values : ndarray (n_timepoints, n_vertices), float32
        BOLD per vertex.
    tr : RepetitionTime
        From the file's ``TimeStep``.
    """

    side: str
    values: NDArray[np.float32]
    tr: RepetitionTime


def read_gifti(request: ReadRequest) -> ParcelSignals:
    """Read one or both hemispheres of a run.

    One file alone finds its partner beside it by name (hemi-L/hemi-R, lh/rh, .L./.R.). Without a
    partner the one hemisphere is used, with a notice: its 180 cortical parcels get signals, all
    others none.

    Raises
    ------
    ScanError
        If a file is damaged, on another surface, or the two files do not belong together.
    """
    source = with_partner(request.source)
    request.progress(0.05, "reading the surfaces")
    hemispheres = [read_hemisphere(p, n) for p, n in zip(source.paths, source.names, strict=True)]
    sides = [h.side for h in hemispheres]
    if len(set(sides)) != len(sides):
        raise ScanError(
            f"both files show the {_word(sides[0])} hemisphere", "give the left and the right one"
        )
    lengths = {h.values.shape[0] for h in hemispheres}
    if len(lengths) > 1:
        raise ScanError(
            f"the hemispheres have {' and '.join(map(str, sorted(lengths)))} volumes",
            "give the two hemispheres of one run",
        )
    atlas = load_grayordinates(deep=False)
    labels = np.concatenate([atlas.surfaces[f"{h.side}{h.values.shape[1]}"] for h in hemispheres])
    edges = np.cumsum([0, *(h.values.shape[1] for h in hemispheres)])
    blocks = ((np.arange(a, b), h.values) for a, b, h in zip(edges[:-1], edges[1:], hemispheres, strict=True))
    request.progress(0.4, "averaging the parcels")
    result = average_columns(blocks, labels, 424, lengths.pop())
    surface = _SURFACES[hemispheres[0].values.shape[1]]
    notices = ["Surface files hold the cortex only; the 64 deep parcels have no signal."]
    if len(hemispheres) == 1:
        notices.append(
            f"Only the {_word(sides[0])} hemisphere was given; add the other one for a whole cortex."
        )
    tr = hemispheres[0].tr
    title = f"A424 ({surface} vertex labels)"
    return ParcelSignals(
        signals=result.means,
        parcellation=a424(),
        tr_s=tr.tr_s,
        atlas=title,
        steps=(Step("average parcels", {"atlas": title, "hemispheres": sides}),),
        notices=tuple(notices),
        tr_notices=tr.notices,
        coverage=result.coverage,
        n_voxels=result.n_valid,
        read_from=source,
    )


def _word(side: str) -> str:
    return "left" if side == "L" else "right"


def with_partner(source: ScanSource) -> ScanSource:
    """Add the other hemisphere's file when it lies beside a single one."""
    if len(source.paths) != 1 or source.uploaded:
        return source
    path = source.path
    for left, right in _SIDE_MARKS:
        for here, there in ((left, right), (right, left)):
            if here in path.name:
                other = path.with_name(path.name.replace(here, there))
                if other.is_file() and source.may_open(other):
                    pair = (path, other) if here == left else (other, path)
                    return ScanSource(pair, tuple(p.name for p in pair), roots=source.roots)
    return source


def read_hemisphere(path: Path, name: str) -> Hemisphere:
    """Read one ``.func.gii``.

    Raises
    ------
    ScanError
        If it is unsafe, damaged, no time series, or on an unknown surface.
    """
    data = read_gifti_file(path, name)
    steps = [data.meta.get("TimeStep"), data.first_meta.get("TimeStep")]
    structure = "".join(m.get("AnatomicalStructurePrimary", "") for m in (data.meta, data.first_meta))
    values = _stack(data.arrays, name)
    if values.shape[1] not in _SURFACES:
        raise ScanError(
            f"{name} has {values.shape[1]:,} vertices, neither the 10,242 of fsaverage5 "
            "nor the 32,492 of fs_LR 32k",
            "resample it to one of the two",
        )
    check_length(values.shape[0], name)
    return Hemisphere(_side(structure, name), values, _time_step(steps))


def _stack(arrays: list[NDArray[np.generic]], name: str) -> NDArray[np.float32]:
    if not arrays or any(a.size == 0 or a.dtype.kind not in "iuf" for a in arrays):
        raise ScanError(f"{name} holds no functional data", "give a .func.gii time series")
    if len(arrays) == 1 and arrays[0].ndim == 2:
        matrix = arrays[0]
        return np.asarray(matrix if matrix.shape[1] in _SURFACES else matrix.T, dtype=np.float32)
    if any(a.ndim != 1 or a.shape != arrays[0].shape for a in arrays):
        raise ScanError(f"{name} holds a surface or maps of different sizes", "give a .func.gii time series")
    values = np.empty((len(arrays), len(arrays[0])), np.float32)
    for k in range(len(arrays)):
        values[k] = arrays[k]
        arrays[k] = arrays[k][:0]  # let go of it: a run need not be held twice
    return values


def _side(structure: str, name: str) -> str:
    text = structure.lower()
    if "left" in text or "right" in text:
        return "L" if "left" in text else "R"
    for left, right in _SIDE_MARKS:
        if left in name or right in name:
            return "L" if left in name else "R"
    raise ScanError(
        f"{name} does not say which hemisphere it shows", "put hemi-L or hemi-R (or lh, rh) into its name"
    )


def _time_step(steps: list[str | None]) -> RepetitionTime:
    for step in steps:
        try:
            value = float(step) if step else 0.0
        except ValueError:
            continue
        if value > 0:
            return from_header(value, "unknown")
    return RepetitionTime(None)
