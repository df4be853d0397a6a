"""Parcellations: what the rows of a recording are, and where they lie in the brain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AtlasError
from brainlm_core.base.paths import assets_dir

#: The seven cortical networks of Yeo et al. (2011), in the field's order.
YEO7 = (
    "Visual",
    "Somatomotor",
    "Dorsal Attention",
    "Ventral Attention",
    "Limbic",
    "Frontoparietal",
    "Default",
)
#: Vertices per hemisphere of fsaverage5.
N_VERTICES = 10242
#: A vertex farther than this from every parcel of its hemisphere stays blank, in mm.
MAX_VERTEX_DISTANCE_MM = 25.0


@dataclass(frozen=True, eq=False)
class Parcellation:
    """A set of named regions with positions.

    Parameters
    ----------
    name : str
        ``"A424"``, ``"A424 cortex"``, ``"CC200"``, or number and digest of a user's own parcels: scenarios,
        links and reports carry it, so it is never the name of a file.
    names : tuple of str, length n
        One name per parcel.
    xyz : ndarray (n, 3), float32
        Position in mm, MNI152 space, in the order x (left–right), y, z. For A424 the published coordinates,
        which the published weights were trained with.
    hemisphere : tuple of {"L", "R", "midline"}, length n
        Side of each parcel.
    structure : tuple of {"cortex", "subcortex", "cerebellum", "unknown"}, length n
        Coarse anatomy.
    yeo7 : tuple of str, length n
        One of :data:`YEO7`, or ``""`` where no cortical network is known.
    vertex_labels : ndarray (2 * 10242,), int16
        Parcel index (0-based) of every fsaverage5 vertex, left hemisphere first; -1 for none.
    centre : ndarray (n, 3), float32, or None
        Centre of mass in mm where it is known to differ from ``xyz``.

    Raises
    ------
    AtlasError
        If lengths disagree or a coordinate is not finite.
    """

    name: str
    names: tuple[str, ...]
    xyz: NDArray[np.float32]
    hemisphere: tuple[str, ...]
    structure: tuple[str, ...]
    yeo7: tuple[str, ...]
    vertex_labels: NDArray[np.int16]
    centre: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        xyz = np.array(self.xyz, dtype=np.float32)
        if xyz.shape != (n, 3) or not np.isfinite(xyz).all():
            raise AtlasError(
                f"coordinates of shape {xyz.shape} do not describe {n} parcels",
                "give one finite x, y, z in mm (MNI) per parcel",
            )
        if any(len(column) != n for column in (self.hemisphere, self.structure, self.yeo7)):
            raise AtlasError("the columns of the parcellation differ in length", "give one row per parcel")
        labels = np.array(self.vertex_labels, dtype=np.int16)
        if labels.shape != (2 * N_VERTICES,) or not -1 <= labels.min() <= labels.max() < n:
            raise AtlasError("the vertex labels do not fit fsaverage5 or the parcels", "rebuild the assets")
        if self.centre is not None and (
            np.shape(self.centre) != (n, 3) or not np.isfinite(np.asarray(self.centre, np.float32)).all()
        ):
            raise AtlasError("the centres of the parcels are damaged", "give one finite x, y, z per parcel")
        for array in (xyz, labels):
            array.setflags(write=False)
        object.__setattr__(self, "xyz", xyz)
        object.__setattr__(self, "vertex_labels", labels)

    @property
    def n_parcels(self) -> int:
        """Number of parcels."""
        return len(self.names)

    @property
    def position(self) -> NDArray[np.float32]:
        """Return where to draw each parcel, (n, 3) in mm: the centre of mass where known."""
        return self.xyz if self.centre is None else np.asarray(self.centre, dtype=np.float32)

    @property
    def group(self) -> tuple[str, ...]:
        """Return the display group of each parcel: Yeo-7 network, else its structure."""
        return tuple(y or s for y, s in zip(self.yeo7, self.structure, strict=True))

    def to_arrays(self) -> dict[str, Any]:
        """Return plain arrays (no objects) for ``.npz`` files."""
        out: dict[str, Any] = {
            "parcellation_name": np.array(self.name),
            "parcel_names": np.array(self.names, dtype=np.str_),
            "parcel_xyz": self.xyz,
            "parcel_hemisphere": np.array(self.hemisphere, dtype=np.str_),
            "parcel_structure": np.array(self.structure, dtype=np.str_),
            "parcel_yeo7": np.array(self.yeo7, dtype=np.str_),
            "vertex_labels": self.vertex_labels,
        }
        if self.centre is not None:
            out["parcel_centre"] = self.centre
        return out

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Parcellation:
        """Rebuild from :meth:`to_arrays`; raise AtlasError when a column is missing or no text.

        A bundled parcellation comes back as the bundled object: what is drawn of one is kept once for all.
        """
        try:
            made = cls(
                name=str(_text(arrays["parcellation_name"])),
                names=tuple(map(str, _text(arrays["parcel_names"]))),
                xyz=arrays["parcel_xyz"],
                hemisphere=tuple(map(str, _text(arrays["parcel_hemisphere"]))),
                structure=tuple(map(str, _text(arrays["parcel_structure"]))),
                yeo7=tuple(map(str, _text(arrays["parcel_yeo7"]))),
                vertex_labels=arrays["vertex_labels"],
                centre=arrays.get("parcel_centre"),
            )
        except KeyError as error:
            raise AtlasError(
                f"the file lacks the parcellation column {error}", "save the recording again"
            ) from error
        return next((b for b in (a424(), a424_cortex()) if b.name == made.name and b.same_as(made)), made)

    def same_as(self, other: Parcellation) -> bool:
        """Whether every name, position and label agrees with another parcellation's."""
        mine, theirs = self.to_arrays(), other.to_arrays()
        return mine.keys() == theirs.keys() and all(np.array_equal(mine[k], theirs[k]) for k in mine)

    def subset(self, rows: NDArray[np.intp], name: str) -> Parcellation:
        """Return the parcellation of some rows, in their order, with vertex labels renumbered."""
        lookup = np.full(self.n_parcels + 1, -1, dtype=np.int16)  # last entry: "no parcel"
        lookup[rows] = np.arange(len(rows), dtype=np.int16)

        def pick(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[i] for i in rows)

        return Parcellation(
            name=name,
            names=pick(self.names),
            xyz=self.xyz[rows],
            hemisphere=pick(self.hemisphere),
            structure=pick(self.structure),
            yeo7=pick(self.yeo7),
            vertex_labels=lookup[self.vertex_labels],
            centre=None if self.centre is None else self.centre[rows],
        )


def _text(values: NDArray[Any]) -> NDArray[np.str_]:
    """Return an array of text; numpy takes any number for a character, Python and the browser do not."""
    text = np.asarray(values, dtype=np.str_)
    codes = np.ascontiguousarray(text.astype(text.dtype.newbyteorder("="))).reshape(-1).view(np.uint32)
    if (codes > 0x10FFFF).any() or ((codes >= 0xD800) & (codes < 0xE000)).any():
        raise AtlasError("the names of the parcels are no readable text", "save the recording again")
    return text


@cache
def parcel_table(assets: Path | None = None) -> pd.DataFrame:
    """Return the table of the 424 parcels (``assets/a424_parcels.csv``), indexed 1–424."""
    path = (assets or assets_dir()) / "a424_parcels.csv"
    if not path.is_file():
        raise AtlasError(f"the bundled table {path.name} is missing", "reinstall BrainLM Explorer")
    return pd.read_csv(path, index_col="index", keep_default_na=False)


@cache
def a424() -> Parcellation:
    """Return the A424 parcellation (Akiki & Abdallah 2019) from the bundled tables.

    Parcels 1–180 are right cortex, 181–360 left cortex (HCP-MMP names), 361–396 subcortex,
    397–424 cerebellum; ``xyz`` are the coordinates published with BrainLM.
    """
    table = parcel_table()
    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        labels = np.concatenate([store["a424_left"], store["a424_right"]]).astype(np.int16) - 1
    return Parcellation(
        name="A424",
        names=tuple(table["name"]),
        xyz=table[["x", "y", "z"]].to_numpy(np.float32),
        hemisphere=tuple(table["hemisphere"]),
        structure=tuple(table["structure"]),
        yeo7=tuple(_canonical_yeo(table["yeo7"])),
        vertex_labels=labels,
        centre=table[["mean_x", "mean_y", "mean_z"]].to_numpy(np.float32),
    )


@cache
def a424_cortex() -> Parcellation:
    """Return the 360 cortical parcels of A424, in order."""
    return a424().subset(np.arange(360), "A424 cortex")


def _canonical_yeo(values: pd.Series) -> list[str]:
    known = {name.lower(): name for name in YEO7}
    return [known.get(str(v).strip().lower(), "") for v in values]


def from_coordinates(name: str | None, names: tuple[str, ...], xyz: NDArray[Any]) -> Parcellation:
    """Describe an unknown parcellation by its coordinates alone.

    Hemisphere follows the sign of x (|x| < 2 mm counts as midline). Structure and network are
    those of the nearest A424 parcel when it lies within 15 mm, else unknown; the vertex map
    gives each cortical vertex to the nearest parcel of its hemisphere within
    :data:`MAX_VERTEX_DISTANCE_MM`.

    Parameters
    ----------
    name : str or None
        Shown to the user; None for a user's own, which are called by their number and a digest.
    names : tuple of str, length n
        Parcel names.
    xyz : array_like (n, 3)
        Coordinates in mm, MNI152.

    Returns
    -------
    Parcellation

    Raises
    ------
    AtlasError
        If a coordinate is not finite or lies outside the head (|value| > 150 mm).
    """
    xyz = np.asarray(xyz, dtype=np.float32)
    if xyz.ndim != 2 or xyz.shape[1:] != (3,) or not np.isfinite(xyz).all() or np.abs(xyz).max() > 150:
        raise AtlasError(
            "the coordinates are not finite MNI positions in mm",
            "give columns x, y, z between -150 and 150 mm",
        )
    if name is None:
        digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass") + xyz.tobytes()).hexdigest()
        name = f"{len(names)} own parcels ({digest[:8]})"
    reference = a424()
    hemisphere = np.where(np.abs(xyz[:, 0]) < 2, "midline", np.where(xyz[:, 0] < 0, "L", "R"))
    distance = np.linalg.norm(xyz[:, None] - reference.position[None], axis=-1)  # (n, 424)
    nearest = distance.argmin(axis=1)
    close = distance.min(axis=1) <= 15
    structure = tuple(
        reference.structure[j] if ok else "unknown" for j, ok in zip(nearest, close, strict=True)
    )
    yeo7 = tuple(reference.yeo7[j] if ok else "" for j, ok in zip(nearest, close, strict=True))
    return Parcellation(
        name=name,
        names=names,
        xyz=xyz,
        hemisphere=tuple(hemisphere),
        structure=structure,
        yeo7=yeo7,
        vertex_labels=_nearest_parcel_map(xyz, hemisphere, np.array(structure)),
    )


def _nearest_parcel_map(
    xyz: NDArray[np.float32], hemisphere: NDArray[Any], structure: NDArray[Any]
) -> NDArray[np.int16]:
    """Give every cortical vertex to the nearest non-deep parcel of its side, within reach."""
    from scipy.spatial import cKDTree  # heavy, and only a user's own parcels need it

    with np.load(assets_dir() / "fsaverage5.npz", allow_pickle=False) as store:
        vertices = {s: store[f"pial_{w}"].astype(np.float32) for s, w in (("L", "left"), ("R", "right"))}
        cortex = {s: store[f"a424_{w}"] > 0 for s, w in (("L", "left"), ("R", "right"))}
    out = np.full(2 * N_VERTICES, -1, dtype=np.int16)
    for offset, side in ((0, "L"), (N_VERTICES, "R")):
        rows = np.flatnonzero(
            np.isin(hemisphere, [side, "midline"]) & ~np.isin(structure, ["subcortex", "cerebellum"])
        )
        if rows.size == 0:
            continue
        distance, best = cKDTree(xyz[rows]).query(vertices[side])
        reach = (distance <= MAX_VERTEX_DISTANCE_MM) & cortex[side]
        out[offset : offset + N_VERTICES][reach] = rows[best[reach]].astype(np.int16)
    return out
