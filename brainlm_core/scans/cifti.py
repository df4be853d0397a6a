"""CIFTI-2: dense (dtseries) and parcellated (ptseries) time series."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, a424, a424_cortex
from brainlm_core.base.errors import AtlasError, ScanError
from brainlm_core.base.library_warnings import quiet_nibabel
from brainlm_core.base.recording import Step
from brainlm_core.scans.cifti_xml import check_cifti
from brainlm_core.scans.columns import average_columns
from brainlm_core.scans.grayordinates import GrayordinateAtlas, load_grayordinates
from brainlm_core.scans.grid import Grid
from brainlm_core.scans.limits import MAX_VALUES, check_length
from brainlm_core.scans.parcel_tables import to_parcels
from brainlm_core.scans.timing import from_header
from brainlm_core.scans.types import ParcelSignals, ReadRequest

#: Values read at once.
_BLOCK_VALUES = 4_000_000
_SIDES = {"CIFTI_STRUCTURE_CORTEX_LEFT": "L", "CIFTI_STRUCTURE_CORTEX_RIGHT": "R"}
_DAMAGED_FIX = "copy or export the file again"


def read_cifti(request: ReadRequest) -> ParcelSignals:
    """Read a dtseries or ptseries.

    Raises
    ------
    ScanError
        If the file holds no time series, is damaged, or lies on a surface without A424 labels.
    """
    name = request.source.name
    image = _load(request.source.path, name)
    axes = _axes(image, name)
    kind = type(axes[1]).__name__
    if type(axes[0]).__name__ != "SeriesAxis" or kind not in ("BrainModelAxis", "ParcelsAxis"):
        raise ScanError(
            f"{name} is a CIFTI file of {_kind(axes)}, not a time series",
            "give the .dtseries.nii or .ptseries.nii",
        )
    series = axes[0]
    if (len(series), len(axes[1])) != image.shape:
        raise ScanError(f"the CIFTI header of {name} describes another matrix than it holds", _DAMAGED_FIX)
    check_length(len(series), name)
    if str(series.unit).upper() != "SECOND":
        raise ScanError(f"the series in {name} counts {series.unit}, not seconds", "give a time series")
    tr = from_header(float(series.step), "sec")
    if kind == "ParcelsAxis":
        out = _parcellated(request, image, axes[1], tr.tr_s)
    else:
        out = _dense(request, image, axes[1], tr.tr_s)
    return replace(out, tr_notices=tr.notices)


def _load(path: Path, name: str) -> Any:
    import nibabel as nib

    quiet_nibabel()
    try:
        with path.open("rb") as stream:
            if stream.read(2) == b"\x1f\x8b":
                raise ScanError(f"{name} is a compressed CIFTI file", "unpack it first (gunzip)")
            stream.seek(0)
            head = nib.Nifti2Header(stream.read(540), check=False)
        if not 540 <= int(head["vox_offset"]) <= min(path.stat().st_size, 500_000_000):
            raise ScanError(f"{name} is cut short inside its header", _DAMAGED_FIX)
        check_cifti(path, name)
        files = nib.Cifti2Image.make_file_map({"image": str(path)})  # takes any file name as it is
        image = nib.Cifti2Image.from_file_map(files)
        n_values = int(np.prod(image.shape, dtype=object))
        needed = n_values * image.get_data_dtype().itemsize
    except ScanError:
        raise
    except Exception as error:  # nibabel passes on errors of expat and numpy as they are
        raise ScanError(f"{name} is a damaged CIFTI file", _DAMAGED_FIX) from error
    if image.ndim != 2 or n_values > MAX_VALUES * 64:
        raise ScanError(f"{name} has the shape {image.shape}, not that of a time series", "give one run")
    if needed + int(head["vox_offset"]) > path.stat().st_size:
        raise ScanError(f"{name} is cut short", _DAMAGED_FIX)
    return image


def _axes(image: Any, name: str) -> tuple[Any, Any]:
    from nibabel.cifti2 import Cifti2HeaderError

    try:
        return image.header.get_axis(0), image.header.get_axis(1)
    except (Cifti2HeaderError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ScanError(f"{name} has a damaged CIFTI header", _DAMAGED_FIX) from error


def _kind(axes: tuple[Any, Any]) -> str:
    names = {
        "LabelAxis": "labels",
        "ScalarAxis": "maps",
        "SeriesAxis": "series",
        "ParcelsAxis": "connectivity",
        "BrainModelAxis": "connectivity",
    }
    return names.get(type(axes[0]).__name__, "another kind")


def _dense(request: ReadRequest, image: Any, models: Any, tr_s: float | None) -> ParcelSignals:
    name = request.source.name
    request.progress(0.02, "loading the atlas")
    atlas = load_grayordinates(request.atlas, deep=bool((~models.surface_mask).any()))
    labels = grayordinate_labels(models, atlas, name)
    if not labels.any():
        raise ScanError(f"{name} has no vertex or voxel of A424", "give grayordinates on fs_LR 32k")
    n_timepoints = image.shape[0]
    result = average_columns(
        _blocks(image, name),
        labels,
        424,
        n_timepoints,
        lambda fraction: request.progress(0.1 + 0.75 * fraction, "averaging the parcels"),
    )
    step = Step(
        "average parcels",
        {
            "atlas": atlas.title,
            "from": "grayordinates",
            "statistic": "mean over those that are finite and vary",
        },
    )
    return ParcelSignals(
        signals=result.means,
        parcellation=a424(),
        tr_s=tr_s,
        atlas=atlas.title,
        atlas_is_approximation=atlas.is_approximation,
        steps=(step,),
        notices=atlas.notices,
        coverage=result.coverage,
        n_voxels=result.n_valid,
    )


def _blocks(image: Any, name: str) -> Iterator[tuple[NDArray[np.intp], NDArray[np.floating]]]:
    """Yield blocks of grayordinates; one grayordinate's series lies together in the file."""
    n_timepoints, n_columns = image.shape
    width = max(1, _BLOCK_VALUES // n_timepoints)
    for start in range(0, n_columns, width):
        columns = np.arange(start, min(start + width, n_columns))
        try:
            values = np.asarray(image.dataobj[:, start : start + len(columns)])
        except (OSError, ValueError, EOFError) as error:
            raise ScanError(f"{name} is cut short or damaged", _DAMAGED_FIX) from error
        yield columns, values


def grayordinate_labels(models: Any, atlas: GrayordinateAtlas, name: str) -> NDArray[np.int16]:
    """Return the A424 number of every grayordinate, 0 for none.

    Parameters
    ----------
    models : nibabel BrainModelAxis
        Describes the grayordinates.
    atlas : GrayordinateAtlas
        Labels.
    name : str
        Display name for errors.

    Raises
    ------
    ScanError
        If a cortex lies on another surface than fs_LR 32k or fsaverage5.
    """
    labels = np.zeros(len(models), np.int16)
    for structure, side in _SIDES.items():
        rows = np.asarray(models.name == structure)
        if not rows.any():
            continue
        size = int(models.nvertices.get(structure) or 0)
        surface = atlas.surfaces.get(f"{side}{size}")
        if surface is None or models.vertex[rows].max() >= size:
            raise ScanError(
                f"the cortex in {name} has {size:,} vertices per hemisphere, not the 32,492 of fs_LR 32k",
                "resample it to fs_LR 32k (wb_command -cifti-resample)",
            )
        labels[rows] = surface[models.vertex[rows]]
    deep = np.asarray(~models.surface_mask)
    if deep.any():
        labels[deep] = atlas.at_voxels(models.voxel[deep], np.asarray(models.affine, dtype=np.float64))
    return labels


def _parcellated(request: ReadRequest, image: Any, parcels: Any, tr_s: float | None) -> ParcelSignals:
    """Match the parcels by name, else by their vertices, else as a table."""
    name = request.source.name
    if int(np.prod(image.shape, dtype=object)) > MAX_VALUES:
        raise ScanError(f"{name} has the shape {image.shape}, not that of a time series", "give one run")
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # any bit pattern may stand in a file
            values = np.asarray(image.dataobj, dtype=np.float64)
    except (OSError, ValueError, EOFError) as error:
        raise ScanError(f"{name} is cut short or damaged", _DAMAGED_FIX) from error
    names = tuple(_plain(str(n)) for n in parcels.name)
    matched = None
    if request.coordinates is None and request.atlas is None:
        matched = _by_names(names) or _by_vertices(parcels)
    if matched is None:
        xyz = parcel_positions(parcels)
        return to_parcels(Grid(values, names, tr_s=tr_s, parcels_axis=1, column_xyz=xyz), request)
    parcellation, order, how = matched
    out = to_parcels(
        Grid(values[:, order], tr_s=tr_s, parcels_axis=1),
        replace(request, atlas="a424" if parcellation.n_parcels == 424 else "a424-cortex"),
    )
    return replace(out, steps=(*out.steps, Step("match parcels", {"by": how})))


def parcel_positions(parcels: Any) -> NDArray[np.float64] | None:
    """Return where the parcels of a CIFTI file lie, (n, 3) in mm, or None where one of them does not say.

    Voxels lie where the file's affine puts them. A vertex is put at the centre of the A424 parcel that it is
    of, so that a parcel lies at the mean of the centres that it covers: near, not exact.

    Parameters
    ----------
    parcels : nibabel ParcelsAxis
    """
    try:
        surfaces = load_grayordinates(deep=False).surfaces
    except (OSError, AtlasError):
        return None
    centres = np.vstack([np.zeros(3), a424().xyz])
    out = np.full((len(parcels.name), 3), np.nan)
    for i, vertices in enumerate(parcels.vertices):
        found = []
        for structure, indices in vertices.items():
            surface = surfaces.get(f"{_SIDES.get(structure, '?')}{int(parcels.nvertices.get(structure, 0))}")
            if (
                surface is not None
                and len(indices)
                and np.min(indices) >= 0
                and np.max(indices) < len(surface)
            ):
                found.append(centres[surface[indices][surface[indices] > 0]])
        voxels = np.asarray(parcels.voxels[i], dtype=np.float64)
        if voxels.size and parcels.affine is not None:
            found.append(voxels @ parcels.affine[:3, :3].T + parcels.affine[:3, 3])
        points = np.concatenate(found) if found else np.empty((0, 3))
        if not len(points):
            return None
        out[i] = points.mean(axis=0)
    return out


def _plain(name: str) -> str:
    return name.strip().removesuffix("_ROI")


def _by_names(names: tuple[str, ...]) -> tuple[Parcellation, NDArray[np.intp], str] | None:
    place = {n: i for i, n in enumerate(names)}
    for parcellation in (a424(), a424_cortex()):
        if len(names) == parcellation.n_parcels and set(names) == set(parcellation.names):
            return parcellation, np.array([place[n] for n in parcellation.names]), "names"
    return None


def _by_vertices(parcels: Any) -> tuple[Parcellation, NDArray[np.intp], str] | None:
    """Match cortical parcels by the vertices they share with A424: one to one, each by its majority."""
    if len(parcels.name) not in (360, 424):
        return None
    try:
        surfaces = load_grayordinates(deep=False).surfaces
    except (OSError, AtlasError):
        return None
    best: dict[int, int] = {}
    for i, vertices in enumerate(parcels.vertices):
        votes = np.zeros(425, np.int64)
        for structure, indices in vertices.items():
            surface = surfaces.get(f"{_SIDES.get(structure, '?')}{int(parcels.nvertices.get(structure, 0))}")
            if surface is not None and len(indices) and np.max(indices) < len(surface):
                votes += np.bincount(surface[indices], minlength=425)
        if votes[1:].sum() and votes.argmax() > 0 and votes.max() > 0.5 * votes.sum():
            best[int(votes.argmax()) - 1] = i
    if set(best) != set(range(360)) or len(parcels.name) != 360:
        return None
    return a424_cortex(), np.array([best[p] for p in range(360)]), "shared vertices"
