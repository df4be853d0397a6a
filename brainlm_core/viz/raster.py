"""A brain drawn without a display: fsaverage5 through a z-buffer in numpy, once per parcellation and size.

What is kept per pixel is the parcel and the shading, so that a further frame is one table look-up.
Four views (left and right hemisphere from outside, then from the midline) and, below them, the
parcels that own no vertex (subcortex, cerebellum) as discs seen from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import N_VERTICES, Parcellation
from brainlm_core.base.paths import assets_dir
from brainlm_core.viz.colour_maps import NO_PARCEL, rgb

Float = NDArray[np.float64]

#: Samples along each side of a pixel; averaged for smooth edges.
OVERSAMPLING = 2
#: Share of the inflated surface in the drawn one, and the shrinking that lets both fill one frame.
INFLATION, INFLATED_SCALE = 0.55, 0.86
#: Width and height of one view in mm, of the row of deep parcels, and radius of a disc.
_VIEW_MM, _DEEP_HEIGHT_MM, _DISC_MM = (190.0, 140.0), 100.0, 5.0
#: Where the light comes from, in the viewer's frame (right, up, towards the viewer).
_LIGHT = np.array([-0.25, 0.45, 0.86])


@dataclass(frozen=True, eq=False)
class BrainRaster:
    """How much of each parcel every pixel shows, times its brightness.

    Parameters
    ----------
    weights : sparse matrix (height * width, n_parcels + 2), float32
        The last two columns are the background and cortex without a parcel.
    size : (int, int)
        Width and height in pixels.
    """

    weights: Any
    size: tuple[int, int]

    def frame(
        self, colours: NDArray[np.uint8], background: tuple[int, int, int], theme: str = "light"
    ) -> NDArray[np.uint8]:
        """Return one picture.

        Parameters
        ----------
        colours : ndarray (n_parcels, 3), uint8
            sRGB of each parcel.
        background : tuple of int
            sRGB.
        theme : {"light", "dark"}
            Colour of cortex without a parcel.

        Returns
        -------
        ndarray (height, width, 3), uint8
        """
        table = np.vstack([colours, [background, rgb(NO_PARCEL[theme])]]).astype(np.float32)
        width, height = self.size
        return np.round(self.weights @ table).astype(np.uint8).reshape(height, width, 3)


_KEPT: WeakKeyDictionary[Parcellation, dict[int, BrainRaster]] = WeakKeyDictionary()


def brain_raster(parcellation: Parcellation, width: int = 400) -> BrainRaster:
    """Return the raster of a parcellation, ``width`` pixels wide; computed once for each.

    Parameters
    ----------
    parcellation : Parcellation
    width : int
        In pixels.
    """
    kept = _KEPT.setdefault(parcellation, {})
    if width not in kept:
        kept[width] = _draw(parcellation, width)
    return kept[width]


def _draw(parcellation: Parcellation, width: int) -> BrainRaster:
    scale = width * OVERSAMPLING / (2 * _VIEW_MM[0])  # samples per mm
    labels = parcellation.vertex_labels
    rows = []
    for medial in (False, True):
        views = []
        for side in (0, 1):
            vertex, shade = _view(side, medial, width * OVERSAMPLING // 2, scale)
            own = labels[side * N_VERTICES : (side + 1) * N_VERTICES]
            views.append((np.where(vertex >= 0, own[np.maximum(vertex, 0)], np.int16(-2)), shade))
        rows.append(tuple(np.concatenate(part, axis=1) for part in zip(*views, strict=True)))
    deep = _deep(parcellation, width * OVERSAMPLING, scale)
    if deep is not None:
        rows.append(deep)
    parcel, shade = (np.concatenate(part, axis=0) for part in zip(*rows, strict=True))
    return _pooled(parcel.astype(np.int64), shade, parcellation.n_parcels)


def _pooled(parcel: NDArray[np.int64], shade: NDArray[np.float32], n_parcels: int) -> BrainRaster:
    """Average samples into pixels: -2 is the background, -1 cortex without a parcel."""
    from scipy.sparse import csr_array

    k = OVERSAMPLING
    height, width = parcel.shape[0] // k, parcel.shape[1] // k
    y, x = np.mgrid[0 : height * k, 0 : width * k] // k
    column = np.where(parcel < 0, n_parcels + 2 + parcel, parcel)
    at = ((y * width + x).ravel().astype(np.int32), column.ravel().astype(np.int32))  # half of the memory
    entries = (shade.ravel() / k**2, at)
    weights = csr_array(entries, shape=(height * width, n_parcels + 2), dtype=np.float32)
    return BrainRaster(weights, (width, height))


@lru_cache(maxsize=2)
def _surface(side: int) -> tuple[Float, NDArray[np.int64], Float, Float]:
    """Return vertices (n, 3) in mm around 0, faces, unit normals and a darkening by depth of the fold."""
    name = ("left", "right")[side]
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        pial, inflated = (store[f"{kind}_{name}"].astype(np.float64) for kind in ("pial", "inflated"))
        faces, sulc = store[f"faces_{name}"].astype(np.int64), store[f"sulc_{name}"].astype(np.float64)
    pial, inflated = (v - (v.max(axis=0) + v.min(axis=0)) / 2 for v in (pial, inflated))
    vertices = (1 - INFLATION) * pial + INFLATION * INFLATED_SCALE * inflated
    corner = vertices[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])  # (faces, 3), by area
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], normal)
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    if (total * vertices).sum() < 0:  # normals point outwards, whatever the order of the corners
        total = -total
    return vertices, faces, total, 1 - 0.12 * np.clip(sulc / 1.5, 0, 1)


def _view(side: int, medial: bool, width: int, scale: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Draw one hemisphere: vertex nearest to each sample (-1 for none) and shading."""
    vertices, faces, normals, dimming = _surface(side)
    outward = -1.0 if side == 0 else 1.0
    toward = -outward if medial else outward  # the viewer looks against this direction of x
    height = round(_VIEW_MM[1] * scale)

    def turned(v: Float) -> Float:
        # Right on screen: towards the front of the head when seen from its right, else the back.
        return np.stack([toward * v[:, 1], v[:, 2], toward * v[:, 0]], axis=1)

    place = turned(vertices) * scale
    place[:, 0] += width / 2
    place[:, 1] = height / 2 - place[:, 1]
    light = np.clip(turned(normals) @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
    bright = (0.62 + 0.38 * light) * dimming
    vertex = _z_buffer(place, faces, width, height)
    shade = np.where(vertex >= 0, bright[np.maximum(vertex, 0)], 1.0)
    return vertex, shade.astype(np.float32)


def _z_buffer(place: Float, faces: NDArray[np.int64], width: int, height: int) -> NDArray[np.int64]:
    """Return the vertex nearest to each sample of the frontmost face, (height, width), -1 for none.

    One pass over the offsets inside the largest bounding box, all faces at once.

    Parameters
    ----------
    place : ndarray (n, 3)
        x right, y down, in samples; z towards the viewer.
    faces : ndarray (f, 3)
    width, height : int
        In samples.
    """
    a, b, c = (place[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    keep = np.abs(area) > 1e-9
    a, b, c, area, faces = a[keep], b[keep], c[keep], area[keep], faces[keep]
    low = np.ceil(np.minimum(np.minimum(a, b), c)[:, :2] - 0.5).astype(np.int64)
    high = np.floor(np.maximum(np.maximum(a, b), c)[:, :2] - 0.5).astype(np.int64)
    extent = high - low  # last offset inside the box, per axis
    depth = np.full(width * height, -np.inf)
    out = np.full(width * height, -1, dtype=np.int64)
    for dy in range(int(extent[:, 1].max(initial=-1)) + 1):
        tall = np.flatnonzero(extent[:, 1] >= dy)
        for dx in range(int(extent[tall, 0].max(initial=-1)) + 1):
            i = tall[extent[tall, 0] >= dx]
            x, y = low[i, 0] + dx, low[i, 1] + dy
            px, py = x + 0.5, y + 0.5
            w1 = ((px - a[i, 0]) * (c[i, 1] - a[i, 1]) - (py - a[i, 1]) * (c[i, 0] - a[i, 0])) / area[i]
            w2 = ((b[i, 0] - a[i, 0]) * (py - a[i, 1]) - (b[i, 1] - a[i, 1]) * (px - a[i, 0])) / area[i]
            w0 = 1 - w1 - w2
            inside = (w0 >= 0) & (w1 >= 0) & (w2 >= 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
            i, w = i[inside], np.stack([w0, w1, w2], axis=1)[inside]
            at = y[inside] * width + x[inside]
            z = w[:, 0] * a[i, 2] + w[:, 1] * b[i, 2] + w[:, 2] * c[i, 2]
            np.maximum.at(depth, at, z)
            front = depth[at] == z
            out[at[front]] = faces[i[front], w[front].argmax(axis=1)]
    return out.reshape(height, width)


def _deep(
    parcellation: Parcellation, width: int, scale: float
) -> tuple[NDArray[np.int16], NDArray[np.float32]] | None:
    """Draw parcels without a vertex as discs seen from above, highest last; None when there are none."""
    labels = parcellation.vertex_labels
    has_vertex = np.zeros(parcellation.n_parcels, dtype=bool)
    has_vertex[labels[labels >= 0]] = True
    rows = np.flatnonzero(~has_vertex)
    if rows.size == 0:
        return None
    height = round(_DEEP_HEIGHT_MM * scale) // OVERSAMPLING * OVERSAMPLING
    place = parcellation.position[rows].astype(np.float64)
    middle = (place.max(axis=0) + place.min(axis=0)) / 2
    # Front of the head to the right, left side up: a long row instead of a tall one.
    reach = max(float(np.ptp(place[:, 1])), 1.6 * float(np.ptp(place[:, 0])), 1.0)
    tall = float(np.ptp(place[:, 0])) + 3 * _DISC_MM
    zoom = scale * min(1.6, (2 * _VIEW_MM[0] - 4 * _DISC_MM) / reach, _DEEP_HEIGHT_MM / tall)
    x = width / 2 + (place[:, 1] - middle[1]) * zoom
    y = height / 2 + (place[:, 0] - middle[0]) * zoom
    parcel = np.full((height, width), -2, dtype=np.int16)
    shade = np.ones((height, width), dtype=np.float32)
    radius = _DISC_MM * zoom
    grid_y, grid_x = np.mgrid[0:height, 0:width] + 0.5
    for i in np.argsort(place[:, 2]):
        distance = ((grid_x - x[i]) ** 2 + (grid_y - y[i]) ** 2) / radius**2
        disc = distance <= 1
        parcel[disc] = rows[i]
        shade[disc] = np.where(distance[disc] > 0.78, 0.6, 1.0)  # a rim keeps neighbours apart
    return parcel, shade
