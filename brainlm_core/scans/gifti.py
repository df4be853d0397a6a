"""GIFTI functional data: one or both hemispheres on fsaverage5 or fs_LR 32k."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, a424
from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Step
from brainlm_core.scans.columns import average_columns
from brainlm_core.scans.gifti_xml import read_gifti_file
from brainlm_core.scans.grayordinates import N_FS_LR, load_grayordinates
from brainlm_core.scans.limits import check_length, check_values
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.timing import RepetitionTime, from_header
from brainlm_core.scans.types import ParcelSignals, ReadRequest

_SURFACES = {N_VERTICES: "fsaverage5", N_FS_LR: "fs_LR 32k"}
#: Finer meshes whose first 10,242 vertices are those of fsaverage5 (FreeSurfer's subdivided icosahedra).
FINER = {40_962: "fsaverage6", 163_842: "fsaverage"}
#: Another mesh of the same size as fsaverage: fs_LR at 164k.
_FS_LR_NAME = re.compile(r"fs_?LR|164k", re.IGNORECASE)
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
    return _average(request, read_hemisphere)


def read_surface_nifti(request: ReadRequest) -> ParcelSignals:
    """Read one value per vertex along the first axis of a volume file, as FreeSurfer writes it.

    Raises
    ------
    ScanError
        As :func:`read_gifti`.
    """

    def read(path: Path, name: str) -> Hemisphere:
        from brainlm_core.scans.other_headers import mgh_time
        from brainlm_core.scans.volume_files import open_volumes
        from brainlm_core.scans.volume_stream import stream_first

        source = ScanSource((path,), (name,), uploaded=request.source.uploaded, roots=request.source.roots)
        scan = open_volumes(source)
        n = n_vertices(scan.header.shape)
        keep = N_VERTICES if n in FINER and not _FS_LR_NAME.search(name) else n
        check_values(keep * scan.header.shape[3], path.stat().st_size, name)
        values, tail = stream_first(scan.parts, scan.header, keep, name)
        time = mgh_time(tail) if scan.time_is_behind else scan.header.tr
        return Hemisphere(_side("", name), on_known_surface(values, name), time)

    return _average(request, read)


def n_vertices(shape: tuple[int, ...]) -> int:
    """Return the vertices of a surface that was stored in a volume file, 0 when it is a volume.

    FreeSurfer breaks an axis longer than 32,767 into three of which the middle one is 1.
    """
    n = shape[0] * shape[1] * shape[2]
    return n if shape[1] == 1 and n in {*_SURFACES, *FINER, 59_292} else 0


def _average(request: ReadRequest, read: Callable[[Path, str], Hemisphere]) -> ParcelSignals:
    """Average the parcels of one or two hemispheres."""
    source = with_partner(request.source)
    request.progress(0.05, "reading the surfaces")
    hemispheres = [read(p, n) for p, n in zip(source.paths, source.names, strict=True)]
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
    values = on_known_surface(_stack(data.arrays, name), name)
    check_length(values.shape[0], name)
    return Hemisphere(_side(structure, name), values, _time_step(steps))


def on_known_surface(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return values (n_timepoints, n_vertices) on fsaverage5 or fs_LR 32k.

    Raises
    ------
    ScanError
        If the mesh is another one.
    """
    n = values.shape[1]
    if n in _SURFACES:
        return values
    if n in FINER and not _FS_LR_NAME.search(name):
        return values[:, :N_VERTICES]
    mesh = {59_292: " of fs_LR 59k", 163_842: " of fs_LR 164k"}.get(n, "")
    raise ScanError(
        f"{name} has {n:,} vertices{mesh}, a mesh for which there are no parcel labels here",
        "resample it to fs_LR 32k, fsaverage5, fsaverage6 or fsaverage (wb_command -metric-resample)",
    )


def _stack(arrays: list[NDArray[np.generic]], name: str) -> NDArray[np.float32]:
    if not arrays or any(a.size == 0 or a.dtype.kind not in "iuf" for a in arrays):
        raise ScanError(f"{name} holds no functional data", "give a .func.gii time series")
    if len(arrays) == 1 and arrays[0].ndim == 2:
        matrix = arrays[0]
        return np.asarray(matrix if matrix.shape[1] in {*_SURFACES, *FINER} else matrix.T, dtype=np.float32)
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
