"""The overview of the brain as pixels, drawn with NumPy alone: no display, no browser, no WebGL.

What lies under a pixel depends on the parcellation only, so it is computed once; after that a
frame costs one look-up per pixel. Steps: project the surface from each side; sample every
triangle densely and keep the nearest sample of each pixel; remember its parcel and its light.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.brain_view.colour import NO_DATA, NO_PARCEL, map_values, rgb
from app.brain_view.panels import BrainPanel
from app.brain_view.transport import INFLATED_SCALE
from app.theme import DARK, LIGHT
from brainlm_core.atlas import N_VERTICES, Parcellation
from brainlm_core.paths import assets_dir

#: Pixels that show no brain, and brain without a parcel.
OUTSIDE, BARE = -1, -2
PX_PER_MM = 1.6
_SUPER = 2  # samples per pixel side, averaged at the end
_INFLATION = 0.55
_SIDE, _DEEP = (190.0, 136.0), (150.0, 192.0)  # mm of a tile: hemisphere from the side, brain from above
_SIZES = (0, 3, 5, 7, 9, 12, 16, 24, 10_000)  # px; triangles are sampled by their longest side
_LIGHT = np.array([-0.25, 0.55, 0.80]) / np.linalg.norm([-0.25, 0.55, 0.80])


@dataclass(frozen=True, eq=False)
class PixelMap:
    """What each sample of the overview shows.

    Parameters
    ----------
    parcel : ndarray (height, width), int16
        Parcel (0-based), :data:`OUTSIDE` or :data:`BARE`.
    light : ndarray (height, width), float32
        Factor on the colour, about 0.5–1.1.
    veil : ndarray (height, width), float32
        How much of the text colour lies over the picture (the glass brain), 0–1.
    """

    parcel: NDArray[np.int16]
    light: NDArray[np.float32]
    veil: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Hemisphere:
    folded: NDArray[np.float32]  # (n, 3) mm, MNI
    blend: NDArray[np.float32]  # (n, 3) mm, partly inflated, around its own middle
    faces: NDArray[np.intp]  # (m, 3)
    sulc: NDArray[np.float32]  # (n,)


_MAPS: WeakKeyDictionary[Parcellation, PixelMap] = WeakKeyDictionary()


def still_image(
    panel: BrainPanel, parcellation: Parcellation, frame: int = 0, *, theme: str = "light"
) -> NDArray[np.uint8]:
    """Draw one frame of a panel: each hemisphere from outside and inside, deep parcels between.

    Parameters
    ----------
    panel : BrainPanel
        Values and colour scale.
    parcellation : Parcellation
        Vertex map and positions.
    frame : int
        Which frame.
    theme : {"light", "dark"}
        Background and greys.

    Returns
    -------
    ndarray (height, width, 3), uint8
        sRGB.
    """
    pixels = pixel_map(parcellation)
    values = panel.values[frame if panel.n_frames > 1 else 0]
    if panel.scale == "categories":
        palette = np.array([rgb(c.colour) for c in panel.categories], dtype=np.uint8)
        colours = np.array([rgb(NO_DATA[theme]) if np.isnan(v) else palette[int(v)] for v in values])
    else:
        colours = map_values(values, panel.scale, panel.limits or (0, 1), theme)
    look = LIGHT if theme == "light" else DARK
    table = np.concatenate([colours, [rgb(NO_PARCEL[theme])], [rgb(look.background)]]).astype(np.float32)
    index = pixels.parcel.astype(np.intp)  # -1 and -2 reach the two entries behind the parcels
    picture = table[index] * pixels.light[..., None]
    veil = pixels.veil[..., None]
    picture = picture * (1 - veil) + np.array(rgb(look.text), dtype=np.float32) * veil
    height, width = (n // _SUPER for n in pixels.parcel.shape)
    picture = picture.reshape(height, _SUPER, width, _SUPER, 3).mean(axis=(1, 3))
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def pixel_map(parcellation: Parcellation) -> PixelMap:
    """Return what each sample of the overview shows for a parcellation."""
    if parcellation in _MAPS:
        return _MAPS[parcellation]
    side = _shape(_SIDE)
    deep = _shape(_DEEP)
    height = max(2 * side[0], deep[0])
    width = 2 * side[1] + deep[1]
    result = PixelMap(
        np.full((height, width), OUTSIDE, dtype=np.int16),
        np.ones((height, width), dtype=np.float32),
        np.zeros((height, width), dtype=np.float32),
    )
    columns = {0: 0, 1: side[1] + deep[1]}
    for h in (0, 1):
        labels = parcellation.vertex_labels[h * N_VERTICES : (h + 1) * N_VERTICES]
        outside = 90.0 if h else -90.0
        for row, yaw in ((0, outside), (1, -outside)):
            y, x = row * side[0], columns[h]
            window = (slice(y, y + side[0]), slice(x, x + side[1]))
            _draw_side(result, window, _surfaces()[h], labels, yaw)
    top = (height - deep[0]) // 2
    _draw_deep(result, (slice(top, top + deep[0]), slice(side[1], side[1] + deep[1])), parcellation)
    _MAPS[parcellation] = result
    return result


def _shape(size_mm: tuple[float, float]) -> tuple[int, int]:
    width, height = (round(mm * PX_PER_MM) * _SUPER for mm in size_mm)
    return height, width


@cache
def _surfaces() -> tuple[_Hemisphere, _Hemisphere]:
    out = []
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        for side in ("left", "right"):
            pial = store[f"pial_{side}"].astype(np.float32)
            inflated = store[f"inflated_{side}"].astype(np.float32) * INFLATED_SCALE
            blend = (1 - _INFLATION) * _centred(pial) + _INFLATION * _centred(inflated)
            faces = store[f"faces_{side}"].astype(np.intp)
            out.append(_Hemisphere(pial, blend, faces, store[f"sulc_{side}"].astype(np.float32)))
    return out[0], out[1]


def _centred(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return points - (points.max(axis=0) + points.min(axis=0)) / 2


def view_matrix(yaw: float, pitch: float) -> NDArray[np.float64]:
    """Return rows screen right, screen up, towards the viewer; yaw 0 is from behind, degrees."""
    a, b = np.deg2rad([yaw, pitch])
    return np.array(
        [
            [np.cos(a), np.sin(a), 0],
            [-np.sin(a) * np.sin(b), np.cos(a) * np.sin(b), np.cos(b)],
            [np.sin(a) * np.cos(b), -np.cos(a) * np.cos(b), np.sin(b)],
        ]
    )


def _normals(points: NDArray[np.float64], faces: NDArray[np.intp]) -> NDArray[np.float64]:
    a, b, c = (points[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(faces[:, k], cross[:, i], len(points)) for k in range(3)) for i in range(3)], axis=1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)


@cache
def _lattice(n: int) -> NDArray[np.float32]:
    """Return barycentric points that fill a triangle, (n (n + 1) / 2, 3)."""
    points = [(i, j, n - 1 - i - j) for i in range(n) for j in range(n - i)]
    return np.array(points, dtype=np.float32) / (n - 1)


def _sample(
    points: NDArray[np.float64], faces: NDArray[np.intp], shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return, for every covered pixel, its flat index, the nearest face, the place on the face.

    ``points`` are in view space, mm. Back faces are left out.
    """
    px = points[:, :2] * [1, -1] * PX_PER_MM * _SUPER + [shape[1] / 2, shape[0] / 2]
    a, b, c = (px[faces[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    longest = np.max([np.abs(p - q).max(axis=1) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    corners = np.concatenate([px, points[:, 2:]], axis=1).astype(np.float32)[faces]  # (m, 3 corners, 3)
    spots, owners, places = [], [], []
    for low, high in pairwise(_SIZES):  # few samples for small triangles
        some = np.flatnonzero(
            (area < 0) & (longest > low) & (longest <= high)
        )  # y points down on the picture
        weights = _lattice(min(high, 64) + 2)  # (s, 3)
        spots.append(np.einsum("sk,fkd->fsd", weights, corners[some]).reshape(-1, 3))  # (f * s, 3)
        owners.append(np.repeat(some, len(weights)))
        places.append(np.tile(weights, (len(some), 1)))
    spot, owner, place = np.concatenate(spots), np.concatenate(owners), np.concatenate(places)
    pixel = np.floor(spot[:, 1]).astype(np.intp) * shape[1] + np.floor(spot[:, 0]).astype(np.intp)
    inside = (spot[:, :2] >= 0).all(axis=1) & (spot[:, 0] < shape[1]) & (spot[:, 1] < shape[0])
    order = np.flatnonzero(inside)
    order = order[np.argsort(spot[order, 2])]  # nearest last, so that it stays
    nearest = np.full(shape[0] * shape[1], -1, dtype=np.intp)
    nearest[pixel[order]] = order
    covered = np.flatnonzero(nearest >= 0)
    return covered, owner[nearest[covered]], place[nearest[covered]]


def _draw_side(
    out: PixelMap,
    window: tuple[slice, slice],
    hemisphere: _Hemisphere,
    labels: NDArray[np.int16],
    yaw: float,
) -> None:
    points = hemisphere.blend @ view_matrix(yaw, 0).T
    shape = out.parcel[window].shape
    at, face, weight = _sample(points, hemisphere.faces, (shape[0], shape[1]))
    corners = hemisphere.faces[face]  # (p, 3)
    three = labels[corners]  # (p, 3)
    # Corners of one parcel add up: a border is the line on which two parcels weigh the same.
    total = np.stack([(weight * (three == three[:, [k]])).sum(axis=1) for k in range(3)], axis=1)
    label = np.take_along_axis(three, total.argmax(axis=1)[:, None], axis=1)[:, 0]
    normal = np.einsum("pk,pkd->pd", weight, _normals(points, hemisphere.faces)[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    depth = np.clip(((weight * hemisphere.sulc[corners]).sum(axis=1) / 1.5 + 0.25) / 1.15, 0, 1)
    parcel, light = np.full(shape, OUTSIDE, dtype=np.int16), np.ones(shape, dtype=np.float32)
    parcel.flat[at] = np.where(label < 0, BARE, label)
    light.flat[at] = _lit(normal) * (1 - 0.28 * depth * depth * (3 - 2 * depth))
    edge = np.zeros(shape, dtype=bool)
    edge[:, 1:] |= parcel[:, 1:] != parcel[:, :-1]
    edge[1:] |= parcel[1:] != parcel[:-1]
    light[edge & (parcel != OUTSIDE)] *= 0.72
    out.parcel[window], out.light[window] = parcel, light


def _lit(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    key = np.clip((normal @ _LIGHT + 0.35) / 1.35, 0, 1)
    facing = np.clip(normal[:, 2] / 0.85, 0, 1)
    return 0.56 + 0.30 * key * key * (3 - 2 * key) + 0.20 * facing * facing * (3 - 2 * facing)


def _draw_deep(out: PixelMap, window: tuple[slice, slice], parcellation: Parcellation) -> None:
    """Draw parcels without a vertex as spheres inside a glass brain, from above, front up."""
    labels = parcellation.vertex_labels
    deep = np.setdiff1d(np.arange(parcellation.n_parcels), labels[labels >= 0])
    if deep.size == 0:
        return
    parcel, light, veil = out.parcel[window], out.light[window], out.veil[window]  # views into out
    shape = (parcel.shape[0], parcel.shape[1])
    view = view_matrix(0, 90)
    middle = np.array([0, -18, 10])
    for hemisphere in _surfaces():
        points = (hemisphere.folded - middle) @ view.T
        at, face, weight = _sample(points, hemisphere.faces, shape)
        corners = hemisphere.faces[face]
        normal = np.einsum("pk,pkd->pd", weight, _normals(points, hemisphere.faces)[corners])
        rim = np.clip(1 - normal[:, 2], 0, 1)
        veil.flat[at] = 0.035 + 0.34 * rim**2.5
    place = (parcellation.position[deep] - middle) @ view.T
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    per_mm = PX_PER_MM * _SUPER
    for k in np.argsort(place[:, 2]):  # nearest last
        radius = (5.0 if parcellation.structure[deep[k]] == "cerebellum" else 4.0) * per_mm
        centre_x, centre_y = shape[1] / 2 + place[k, 0] * per_mm, shape[0] / 2 - place[k, 1] * per_mm
        box = tuple(slice(max(0, int(v - radius)), int(v + radius) + 2) for v in (centre_y, centre_x))
        x = (columns[box] + 0.5 - centre_x) / radius
        y = (centre_y - rows[box] - 0.5) / radius
        disc = x * x + y * y <= 1
        normal = np.stack([x[disc], y[disc], np.sqrt(1 - x[disc] ** 2 - y[disc] ** 2)], axis=1)
        parcel[box][disc] = deep[k]
        light[box][disc] = _lit(normal) * np.where(normal[:, 2] < 0.4, 0.8, 1.0)
