"""The bytes that travel to the browser: one container for the surface, the parcels, the frames.

Layout, little-endian: uint32 length of the header, the header (JSON, UTF-8, padded with spaces
so that what follows starts at a multiple of 4), then the arrays one after the other, each padded
to a multiple of 4. The header lists them under ``arrays`` as ``[name, dtype, offset, count]``, the
offset counted from the end of the header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, Parcellation
from brainlm_core.base.paths import assets_dir
from brainlm_core.viz.colour_maps import NO_DATA, NO_PARCEL, lookup_table
from brainlm_core.viz.palette import GROUP_WORDS

#: Steps of a quantised coordinate per mm; int16 then reaches ±128 mm.
STEPS_PER_MM = 256
#: The inflated surface is larger than the folded one; shrunk so that both fill the same frame.
INFLATED_SCALE = 0.86


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return header and arrays as one container (see the module)."""
    listing, body, offset = [], [], 0
    for name, array in arrays.items():
        raw = np.ascontiguousarray(array).tobytes()
        listing.append([name, array.dtype.name, offset, int(array.size)])
        padding = -len(raw) % 4
        body.append(raw + b"\0" * padding)
        offset += len(raw) + padding
    text = json.dumps({**header, "arrays": listing}, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 4) % 4)
    return struct.pack("<I", len(text)) + text + b"".join(body)


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what :func:`pack` was given; arrays come back flat."""
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    arrays = {
        name: np.frombuffer(data, dtype=dtype, count=count, offset=4 + length + offset)
        for name, dtype, offset, count in header.pop("arrays")
    }
    return header, arrays


@cache
def surface_bytes() -> bytes:
    """Return both hemispheres, folded and inflated, and the colour tables: sent once per tab.

    Each hemisphere is centred at its own origin; ``centre`` says where the folded one lies in
    MNI space, in mm.
    """
    arrays: dict[str, NDArray[Any]] = {}
    centres, half_widths = [], []
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        for side in ("left", "right"):
            pial, inflated = store[f"pial_{side}"], store[f"inflated_{side}"]
            centre = (pial.max(axis=0) + pial.min(axis=0)) / 2
            middle = (inflated.max(axis=0) + inflated.min(axis=0)) / 2
            inflated = (inflated - middle) * INFLATED_SCALE
            arrays[f"pial_{side}"] = np.round((pial - centre) * STEPS_PER_MM).astype(np.int16)
            arrays[f"inflated_{side}"] = np.round(inflated * STEPS_PER_MM).astype(np.int16)
            arrays[f"faces_{side}"] = store[f"faces_{side}"].astype(np.uint16)
            sulc = store[f"sulc_{side}"].astype(np.float32)
            arrays[f"sulc_{side}"] = np.clip(np.round(sulc / 1.5 * 127), -127, 127).astype(np.int8)
            centres.append([float(v) for v in centre])
            half_widths.append(float(np.abs(inflated[:, 0]).max()))
    arrays["diverging"] = lookup_table("diverging")
    arrays["sequential"] = lookup_table("sequential")
    header = {
        "n_vertices": N_VERTICES,
        "steps_per_mm": STEPS_PER_MM,
        "centre": centres,
        "inflated_half_width": half_widths,
        "no_data": dict(NO_DATA),
        "no_parcel": dict(NO_PARCEL),
    }
    return pack(header, arrays)


_PACKED: WeakKeyDictionary[Parcellation, bytes] = WeakKeyDictionary()  # a visitor's own one dies with it


def parcellation_bytes(parcellation: Parcellation) -> bytes:
    """Return names, groups and places of the parcels: sent once per parcellation and tab.

    Parcels that own no vertex (subcortex, cerebellum, or cortex lost on the surface) are marked
    ``deep``: they are drawn as spheres.
    """
    if parcellation in _PACKED:
        return _PACKED[parcellation]
    labels = parcellation.vertex_labels
    deep = np.ones(parcellation.n_parcels, dtype=np.uint8)
    deep[labels[labels >= 0]] = 0
    header: dict[str, Any] = {
        "name": parcellation.name,
        "names": list(parcellation.names),
        "groups": [GROUP_WORDS.get(g, g) for g in parcellation.group],
        "hemisphere": list(parcellation.hemisphere),
        "structure": list(parcellation.structure),
    }
    arrays: dict[str, NDArray[Any]] = {
        "labels": labels.astype(np.int16),
        "position": parcellation.position.astype(np.float32),
        "deep": deep,
    }
    _PACKED[parcellation] = pack(header, arrays)
    return _PACKED[parcellation]
