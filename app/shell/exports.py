"""What a visitor can take home: tables, archives, surface maps and pictures, as bytes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, Parcellation
from brainlm_core.base.recording import Recording
from brainlm_core.base.result_files import Saved
from brainlm_core.base.scratch import scratch
from brainlm_core.base.tables import table_bytes


def recording_npz(recording: Recording) -> bytes:
    """Return the saved recording: signals, parcellation, provenance, quality."""
    with scratch() as folder:
        path = folder / "recording.npz"
        recording.save(path)
        return path.read_bytes()


def recording_csv(recording: Recording) -> bytes:
    """Return signals as a table, one row per volume, first column time in s."""
    table = pd.DataFrame(recording.signals.T, columns=_unique(recording.parcellation.names))
    table.insert(0, "time_s", np.arange(recording.n_timepoints) * recording.tr_s)
    return table_bytes(table)


def provenance_json(recording: Recording) -> bytes:
    """Return source and processing as JSON."""
    return json.dumps(recording.provenance.to_dict(), indent=2).encode()


def parcel_table(parcellation: Parcellation, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """Return one row per parcel: what it is, then the given columns."""
    base = {
        "parcel": np.arange(1, parcellation.n_parcels + 1),
        "name": list(parcellation.names),
        "network": list(parcellation.yeo7),
        "structure": list(parcellation.structure),
        "hemisphere": list(parcellation.hemisphere),
        "x_mm": parcellation.xyz[:, 0],
        "y_mm": parcellation.xyz[:, 1],
        "z_mm": parcellation.xyz[:, 2],
    }
    return pd.DataFrame({**base, **columns})


def matrix_csv(values: NDArray[np.float32], names: Sequence[str]) -> bytes:
    """Return a parcel × parcel matrix with names, query by row."""
    columns = _unique(names)
    table = pd.DataFrame(values, index=pd.Index(columns, name="query"), columns=columns)
    return table_bytes(table, index=True)


def cifti_map(values: NDArray[np.float32], parcellation: Parcellation, map_names: Sequence[str]) -> bytes:
    """Return a CIFTI ``.dscalar.nii`` on fsaverage5.

    Parameters
    ----------
    values : ndarray (n_maps, n_parcels), float32
        One map per row.
    parcellation : Parcellation
        Gives the parcel of every vertex; vertices without one are left out.
    map_names : sequence of str, length n_maps
        Shown by viewers.
    """
    import nibabel as nib
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis

    labels = parcellation.vertex_labels
    left, right = labels[:N_VERTICES], labels[N_VERTICES:]
    axis = BrainModelAxis.from_mask(left >= 0, "CORTEX_LEFT") + BrainModelAxis.from_mask(
        right >= 0, "CORTEX_RIGHT"
    )
    rows = np.concatenate([left[left >= 0], right[right >= 0]])
    data = np.asarray(values, dtype=np.float32)[:, rows]  # (n_maps, n_vertices)
    image = Cifti2Image(data, (ScalarAxis(list(map_names)), axis))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    with scratch() as folder:
        path = folder / "map.dscalar.nii"
        nib.save(image, path)
        return path.read_bytes()


def gifti_maps(values: NDArray[np.float32], parcellation: Parcellation, map_names: Sequence[str]) -> bytes:
    """Return a zip with one ``.func.gii`` per hemisphere on fsaverage5; arguments as in :func:`cifti_map`."""
    from nibabel.gifti import GiftiDataArray, GiftiImage

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for side, offset, structure in (("lh", 0, "CortexLeft"), ("rh", N_VERTICES, "CortexRight")):
            rows = parcellation.vertex_labels[offset : offset + N_VERTICES]
            image = GiftiImage()
            image.meta["AnatomicalStructurePrimary"] = structure
            for row, name in zip(np.asarray(values, dtype=np.float32), map_names, strict=True):
                vertex = np.where(rows >= 0, row[np.maximum(rows, 0)], np.float32(0))
                image.add_gifti_data_array(
                    GiftiDataArray(vertex.astype(np.float32), intent="NIFTI_INTENT_NONE", meta={"Name": name})
                )
            archive.writestr(f"{side}.fsaverage5.func.gii", image.to_bytes())
    return buffer.getvalue()


def saved(result: Saved) -> bytes:
    """Return what ``result.save(folder)`` writes, as one zip."""
    buffer = io.BytesIO()
    with scratch() as folder, zipfile.ZipFile(buffer, "w") as archive:
        result.save(folder)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def safe_stem(name: str) -> str:
    """Return a file-name stem of plain characters."""
    stem = name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)[:60] or "recording"


def _unique(names: Sequence[str]) -> list[str]:
    """Return names with repeated ones numbered, so that no column of a table hides another."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out
