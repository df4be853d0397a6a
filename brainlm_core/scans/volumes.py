"""4D NIfTI volumes to parcel signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Step
from brainlm_core.base.slices import Slices, cut_slices
from brainlm_core.scans.gifti import n_vertices, read_surface_nifti
from brainlm_core.scans.nifti_header import NiftiHeader
from brainlm_core.scans.other_headers import mgh_time
from brainlm_core.scans.run_files import companions
from brainlm_core.scans.small_nifti import load_small_nifti
from brainlm_core.scans.source import ScanSource
from brainlm_core.scans.space import AtlasOnGrid, atlas_on_grid, check_space, varying_voxels
from brainlm_core.scans.templates import NLIN6, NLIN2009C, ClaimedSpace, claimed_space, which_space
from brainlm_core.scans.types import ParcelSignals, ReadRequest
from brainlm_core.scans.volume_atlas import VolumeAtlas, load_volume_atlas
from brainlm_core.scans.volume_files import is_pair, open_volumes
from brainlm_core.scans.volume_stream import N_FIRST_VOLUMES, N_MEAN_VOLUMES, StreamResult, stream_means

#: More negative voxels than this are data without their mean.
_FEW_NEGATIVE = 0.2


def read_nifti(request: ReadRequest) -> ParcelSignals:
    """Average a 4D series per parcel.

    Steps, in order: judge the header; load the atlas of the scan's template; bring the atlas
    onto the scan's grid; one pass over the data; check that the mean image is a brain in MNI
    space.

    Raises
    ------
    ScanError
        If the file cannot be used.
    AtlasError
        If the atlas that was asked for cannot be.
    """
    source = request.source
    name = source.name
    two = len(source.paths) == 2 and not is_pair(source.names)
    first = replace(source, paths=source.paths[:1], names=source.names[:1]) if two else source
    scan = open_volumes(first)
    header = scan.header
    if n_vertices(header.shape):
        return read_surface_nifti(request)
    if two:
        raise ScanError(f"{name} are two series", "give one scan, or the two hemispheres of one run")
    claim = claimed_space(name, header.space_code, request.space)
    request.progress(0.02, "loading the atlas")
    space = claim.template or grid_template(header)
    atlas = load_volume_atlas(request.atlas, space, request.labels)
    grid = atlas_on_grid(atlas, header.shape[:3], header.affine)
    if len(grid.voxels.index) == 0:
        raise ScanError(
            f"{name} does not touch a single parcel of {atlas.title}", "give an image registered to MNI space"
        )
    request.progress(0.1, "averaging the parcels")
    labels = grid.label_image(header.shape[:3])
    result = stream_means(
        scan.parts,
        header,
        grid.voxels,
        name=name,
        tick=lambda fraction: request.progress(0.1 + 0.75 * fraction, "averaging the parcels"),
        first_look=_first_look(request, header, labels, atlas),
    )
    if scan.time_is_behind:
        header = replace(header, tr=mgh_time(result.tail))
    request.progress(0.86, "checking the space")
    _refuse_empty(result, name)
    place = _judge_space(request, header, result, claim)
    place = replace(place, notices=(*scan.notices, *place.notices))
    slices = _slices(header, labels, atlas, result)
    return replace(_signals(request, header, atlas, grid, result, place, space), slices=slices)


def _first_look(
    request: ReadRequest, header: NiftiHeader, labels: NDArray[np.int16], atlas: VolumeAtlas
) -> Callable[[NDArray[np.float32]], None] | None:
    """Return what takes the mean of the first volumes; demeaned ones show nothing."""
    show = request.first_look
    if show is None:
        return None

    def take(image: NDArray[np.float32]) -> None:
        values = image[image != 0]
        if len(values) and np.mean(values < 0) < _FEW_NEGATIVE:
            n = atlas.parcellation.n_parcels
            show(cut_slices(image, labels, header.affine, n, n_volumes=N_FIRST_VOLUMES))

    return take


def _slices(
    header: NiftiHeader, labels: NDArray[np.int16], atlas: VolumeAtlas, result: StreamResult
) -> Slices:
    demeaned = _demeaned(result)
    return cut_slices(
        result.spread_image if demeaned else result.mean_image,
        labels,
        header.affine,
        atlas.parcellation.n_parcels,
        kind="spread" if demeaned else "mean",
        n_volumes=min(N_MEAN_VOLUMES, header.shape[3]),
    )


@dataclass(frozen=True)
class _Place:
    """Where the scan's brain was found: overlap with the template, and what to say of it."""

    dice: float | None
    reasons: tuple[str, ...]
    notices: tuple[str, ...]


def _judge_space(
    request: ReadRequest, header: NiftiHeader, result: StreamResult, claim: ClaimedSpace
) -> _Place:
    """Hold the scan's brain against the template: its mask, its mean image, else the voxels that vary."""
    source, name = request.source, request.source.name
    mask = None if source.uploaded else _mask(source, header)
    brain, notices = result.mean_image if mask is None else mask, claim.notices
    if mask is None and _demeaned(result):
        varying = varying_voxels(result.spread_image)
        if varying is None and not claim.is_claimed:
            raise which_space(
                f"{name} does not say that it lies in MNI space, and its mean was removed: nothing shows it",
                f"say --space {NLIN6} if it does, or give the run registered to it",
            )
        if varying is None:
            note = "The mean was removed from the data, so the space was not checked against the template."
            return _Place(None, (), (*notices, note))
        brain = varying
        notices = (
            *notices,
            "The mean was removed; the space was judged by the voxels that vary.",
        )
    if not claim.is_claimed and not claim.notices:
        notices = (*notices, "Nothing says that the scan is in MNI space; its brain lies where MNI's does.")
    fix = (
        f"give the run registered to MNI152 (fMRIPrep: space-{NLIN2009C} or -{NLIN6.removeprefix('MNI152')})"
    )
    check, reasons, more = check_space(brain, header, name, is_claimed=claim.is_claimed, fix=fix)
    return _Place(round(check.dice, 3), reasons, (*notices, *more))


def warm_up() -> None:
    """Load what reading a volume needs, so that the first scan of a long-lived process need not wait."""
    import nibabel  # noqa: F401
    import pooch  # noqa: F401
    import scipy.ndimage  # noqa: F401
    from zlib_ng import gzip_ng  # noqa: F401

    from brainlm_core.scans.atlas_approximation import approximate_a424
    from brainlm_core.scans.space import brain_mask

    approximate_a424()
    brain_mask()


def _mask(source: ScanSource, header: NiftiHeader) -> NDArray[np.float32] | None:
    """Return the brain mask that fMRIPrep wrote beside the image, when it fits."""
    found = companions(source.path, source.may_open).mask
    if found is None:
        return None
    try:
        image = load_small_nifti(found, 8 * math.prod(header.shape[:3]) + (1 << 20))
        if image.shape != header.shape[:3] or not np.allclose(image.affine, header.affine, atol=1e-3):
            return None
        return np.asarray(image.dataobj, dtype=np.float32)
    except Exception:  # nibabel passes on errors of zlib and numpy as they are
        return None


def grid_template(header: NiftiHeader) -> str:
    """Tell the MNI template of an image whose name does not say: fMRIPrep's 2009c has a grid of its own."""
    origin = np.abs(header.affine[:3, 3])
    is_2009c = header.shape[:3] in ((97, 115, 97), (193, 229, 193)) and np.allclose(
        origin, [96.5, 132.5, 78.5], atol=0.6
    )
    return NLIN2009C if is_2009c else NLIN6


def _refuse_empty(result: StreamResult, name: str) -> None:
    if result.n_valid.any():
        return
    if not np.any(result.mean_image):
        raise ScanError(f"{name} holds only zeros or no finite values", "export or download the file again")
    raise ScanError(
        f"no voxel of any parcel changes over time in {name}", "give the BOLD series, not a copied volume"
    )


def _demeaned(result: StreamResult) -> bool:
    """Tell whether the temporal mean was removed: then the mean image shows no brain."""
    spread = np.nanstd(result.means[result.n_valid > 0], axis=1)
    level = np.abs(np.nanmean(result.means[result.n_valid > 0], axis=1))
    return bool(np.median(level) < np.median(spread))


def _signals(
    request: ReadRequest,
    header: NiftiHeader,
    atlas: VolumeAtlas,
    grid: AtlasOnGrid,
    result: StreamResult,
    place: _Place,
    space: str,
) -> ParcelSignals:
    coverage = grid.inside * result.n_valid / np.maximum(grid.n_expected, 1)
    notices = [*atlas.notices, *place.notices]
    if grid.n_borrowed:
        several = grid.n_borrowed > 1
        who, it = (f"{grid.n_borrowed} parcels are", "each") if several else ("1 parcel is", "it")
        notices.append(f"{who} smaller than the scan's voxels; {it} took the voxel it lies in.")
    step = Step(
        "average parcels",
        {
            "atlas": atlas.title,
            "template": space,
            "resampled": "atlas to scan, nearest neighbour",
            "grid": list(header.shape[:3]),
            "statistic": "mean over voxels that are finite and vary",
        },
    )
    return ParcelSignals(
        signals=result.means,
        parcellation=atlas.parcellation,
        tr_s=header.tr.tr_s,
        atlas=atlas.title,
        atlas_is_approximation=atlas.is_approximation,
        steps=(step,),
        notices=tuple(notices),
        tr_notices=header.tr.notices,
        coverage=coverage.astype(np.float32),
        n_voxels=result.n_valid,
        template_overlap=place.dice,
        reasons=place.reasons,
        sha256=result.sha256,
    )
