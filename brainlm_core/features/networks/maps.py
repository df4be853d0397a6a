"""Networks and attention as files that other brain viewers and programs read.

Surfaces are fsaverage5 (10,242 vertices a hemisphere), left and right: GIFTI labels and functional
maps, CIFTI dense labels and parcellated scalars. Parcels without vertices (subcortex, cerebellum) are
in the CIFTI parcellated file as the one 2 mm MNI152 voxel nearest to their centre, and in the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, Parcellation
from brainlm_core.base.errors import AnalysisError

#: Colours of the seven networks as the field draws them (Yeo et al. 2011).
NETWORK_COLOURS: dict[str, str] = {
    "Visual": "#781286",
    "Somatomotor": "#4682B4",
    "Dorsal Attention": "#00760E",
    "Ventral Attention": "#C43AFA",
    "Limbic": "#DCF8A4",
    "Frontoparietal": "#E69422",
    "Default": "#CD3E4E",
}
#: Colours of clusters that match no known network, in turn.
UNMATCHED_COLOURS = ("#8C6D46", "#3FB8AF", "#B0B0B0", "#5E5E8E", "#A3C14A", "#D17BA5", "#6B8E9E", "#7A4B3A")
_SIDES = (
    ("left", "CIFTI_STRUCTURE_CORTEX_LEFT", "CortexLeft", 0),
    ("right", "CIFTI_STRUCTURE_CORTEX_RIGHT", "CortexRight", N_VERTICES),
)
#: Grid of the 2 mm MNI152NLin6Asym template.
_VOLUME_SHAPE = (91, 109, 91)
_VOLUME_AFFINE = np.array([[-2, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]], dtype=float)
_NOTE = "fsaverage5, 10242 vertices a hemisphere; vertices without a parcel are 0"


def colours_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return a ``#RRGGBB`` colour per network name, in order."""
    spare = 0
    out: list[str] = []
    for name in names:
        if name not in NETWORK_COLOURS:
            spare += 1
        out.append(NETWORK_COLOURS.get(name, UNMATCHED_COLOURS[(spare - 1) % len(UNMATCHED_COLOURS)]))
    return tuple(out)


def write_label_gifti(
    folder: Path, stem: str, labels: NDArray[np.int64], names: Sequence[str], parcellation: Parcellation
) -> tuple[Path, ...]:
    """Write ``STEM_left.label.gii`` and ``STEM_right.label.gii``.

    Parameters
    ----------
    folder : Path
    stem : str
    labels : ndarray (n_parcels,), int
        Network of each parcel, -1 for none.
    names : sequence of str
        Name of each network; key 0 of the file is "???" (no network), key i + 1 is ``names[i]``.
    parcellation : Parcellation

    Returns
    -------
    tuple of Path
    """
    from nibabel import gifti

    table = gifti.GiftiLabelTable()
    for key, (name, rgba) in _label_table(names).items():
        entry = gifti.GiftiLabel(key, *rgba)
        entry.label = name  # type: ignore[attr-defined]
        table.labels.append(entry)
    keys = _to_vertices(np.asarray(labels, dtype=np.float64)[None] + 1, parcellation)[0].astype(np.int32)
    paths = []
    for side, _, surface, start in _SIDES:
        array = gifti.GiftiDataArray(
            keys[start : start + N_VERTICES],
            intent="NIFTI_INTENT_LABEL",
            datatype="NIFTI_TYPE_INT32",
            meta=gifti.GiftiMetaData({"Name": "networks"}),
        )
        paths.append(_save_gifti([array], folder / f"{stem}_{side}.label.gii", surface, table))
    return tuple(paths)


def write_value_gifti(
    folder: Path, stem: str, values: NDArray[Any], names: Sequence[str], parcellation: Parcellation
) -> tuple[Path, ...]:
    """Write ``STEM_left.func.gii`` and ``STEM_right.func.gii``.

    Parameters
    ----------
    values : ndarray (n_maps, n_parcels)
        NaN becomes 0.
    names : sequence of str
        One per map; other arguments as in :func:`write_label_gifti`.
    """
    from nibabel import gifti

    drawn = _to_vertices(values, parcellation).astype(np.float32)
    paths = []
    for side, _, surface, start in _SIDES:
        arrays = [
            gifti.GiftiDataArray(
                row[start : start + N_VERTICES],
                intent="NIFTI_INTENT_SHAPE",
                datatype="NIFTI_TYPE_FLOAT32",
                meta=gifti.GiftiMetaData({"Name": name}),
            )
            for row, name in zip(drawn, names, strict=True)
        ]
        paths.append(_save_gifti(arrays, folder / f"{stem}_{side}.func.gii", surface))
    return tuple(paths)


def write_label_cifti(
    path: Path, labels: NDArray[np.int64], names: Sequence[str], parcellation: Parcellation
) -> Path:
    """Write a CIFTI dense label file (``.dlabel.nii``) over the fsaverage5 vertices that have a parcel."""
    from nibabel.cifti2 import Cifti2Image, cifti2_axes

    keys = _to_vertices(np.asarray(labels, dtype=np.float64)[None] + 1, parcellation)[0]
    inside = parcellation.vertex_labels >= 0
    parts = []
    for _, structure, _, start in _SIDES:
        vertices = np.flatnonzero(inside[start : start + N_VERTICES])
        if vertices.size:
            parts.append((cifti2_axes.BrainModelAxis.from_surface(vertices, N_VERTICES, structure), start))
    if not parts:
        raise AnalysisError("no parcel lies on the cortex", "use the parcel table instead of a surface map")
    model = parts[0][0] if len(parts) == 1 else parts[0][0] + parts[1][0]
    rgba = {
        key: (name, tuple(float(c) for c in colour)) for key, (name, colour) in _label_table(names).items()
    }
    data = np.concatenate([keys[start + axis.vertex] for axis, start in parts])[None].astype(np.float32)
    image = Cifti2Image(data, (cifti2_axes.LabelAxis(["networks"], [rgba]), model))
    return _save_cifti(image, path, "ConnDenseLabel")


def write_value_cifti(
    path: Path, values: NDArray[Any], names: Sequence[str], parcellation: Parcellation
) -> Path:
    """Write a CIFTI parcellated scalar file (``.pscalar.nii``), all parcels, deep ones included.

    Parameters
    ----------
    values : ndarray (n_maps, n_parcels)
    names : sequence of str
        One per map.
    """
    from nibabel.cifti2 import Cifti2Image, cifti2_axes

    image = Cifti2Image(
        np.nan_to_num(np.asarray(values, dtype=np.float32)),
        (cifti2_axes.ScalarAxis(list(names)), _parcels_axis(parcellation)),
    )
    return _save_cifti(image, path, "ConnParcelScalr")


def _label_table(names: Sequence[str]) -> dict[int, tuple[str, tuple[float, float, float, float]]]:
    table = {0: ("???", (1.0, 1.0, 1.0, 0.0))}
    for i, (name, colour) in enumerate(zip(names, colours_of(names), strict=True)):
        red, green, blue = (int(colour[j : j + 2], 16) / 255 for j in (1, 3, 5))
        table[i + 1] = (name, (red, green, blue, 1.0))
    return table


def _to_vertices(values: NDArray[Any], parcellation: Parcellation) -> NDArray[np.float64]:
    """Paint (n_maps, n_parcels) onto (n_maps, 20484) vertices; 0 where there is no parcel or no value."""
    padded = np.pad(np.nan_to_num(np.asarray(values, dtype=np.float64)), ((0, 0), (0, 1)))
    return np.asarray(padded[:, parcellation.vertex_labels])  # label -1 reads the padding


def _save_gifti(arrays: list[Any], path: Path, surface: str, table: Any = None) -> Path:
    from nibabel import gifti

    meta = gifti.GiftiMetaData({"AnatomicalStructurePrimary": surface, "Description": _NOTE})
    image = gifti.GiftiImage(darrays=arrays, labeltable=table, meta=meta)
    image.to_filename(path)
    return path


def _parcels_axis(parcellation: Parcellation) -> Any:
    from nibabel.cifti2 import cifti2_axes

    to_voxel = np.linalg.inv(_VOLUME_AFFINE)
    centre = np.rint(parcellation.position @ to_voxel[:3, :3].T + to_voxel[:3, 3]).astype(int)
    taken: set[tuple[int, ...]] = set()
    voxels, vertices = [], []
    for i in range(parcellation.n_parcels):
        own = {}
        for _, structure, _, start in _SIDES:
            found = np.flatnonzero(parcellation.vertex_labels[start : start + N_VERTICES] == i)
            if found.size:
                own[structure] = found
        voxel = tuple(int(c) for c in centre[i])
        inside = all(0 <= c < size for c, size in zip(voxel, _VOLUME_SHAPE, strict=True))
        # A voxel may belong to one parcel only; a parcel on the surface needs none.
        place = [voxel] if not own and inside and voxel not in taken else []
        taken.update(place)
        voxels.append(np.array(place, dtype=np.int32).reshape(-1, 3))
        vertices.append(own)
    return cifti2_axes.ParcelsAxis(
        _unique(parcellation.names),
        voxels,
        vertices,
        affine=_VOLUME_AFFINE,
        volume_shape=_VOLUME_SHAPE,
        nvertices={structure: N_VERTICES for _, structure, _, _ in _SIDES},
    )


def _unique(names: Sequence[str]) -> list[str]:
    """CIFTI wants parcel names to differ: number the repeats."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _save_cifti(image: Any, path: Path, intent: str) -> Path:
    image.update_headers()
    image.nifti_header.set_intent(intent)
    image.to_filename(path)
    return path
