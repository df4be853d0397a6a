"""Parcel averaging against nilearn's NiftiLabelsMasker and against decompression alone."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from brainlm_core.bench import BenchResult

#: The scan of the full benchmark: one HCP-like run at 2 mm.
N_VOLUMES = 490
_TR_S = 0.72


def paint_scan(path: Path, n_volumes: int, *, seed: int = 0) -> Path:
    """Write a synthetic MNI 2 mm BOLD series, int16, and return the label volume beside it.

    Every parcel of the built-in approximation gets a random walk, every brain voxel its own
    noise, so that the file compresses about as a real scan does.

    Parameters
    ----------
    path : Path
        Ends with ``.nii.gz``.
    n_volumes : int
        Length.
    seed : int
        Of the random signals.

    Returns
    -------
    Path
        Label volume (``labels.nii.gz``) that the scan was painted with.
    """
    import nibabel as nib
    from zlib_ng import gzip_ng

    from brainlm_core.scans.atlas_approximation import approximate_a424
    from brainlm_core.scans.space import brain_mask, sample_nearest

    labels, affine = approximate_a424()
    rng = np.random.default_rng(seed)
    template, template_affine = brain_mask()
    brain = sample_nearest(template, template_affine, labels.shape, affine).astype(bool) | (labels > 0)
    level = np.where(brain, rng.uniform(7000, 13000, labels.shape), 0)
    signal = np.cumsum(rng.normal(size=(n_volumes, labels.max() + 1)), axis=0)
    signal = 60 * (signal - signal.mean(0)) / signal.std(0)
    header = nib.Nifti1Header()
    header.set_data_shape((*labels.shape, n_volumes))
    header.set_data_dtype(np.int16)
    header.set_sform(affine, code=4)
    header.set_zooms((2, 2, 2, _TR_S))
    header.set_xyzt_units("mm", "sec")
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    with gzip_ng.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.binaryblock + b"\0\0\0\0")
        for t in range(n_volumes):
            noise = rng.normal(0, 40, labels.shape).astype(np.float32)
            volume = np.where(brain, level + signal[t][labels] + noise, 0)
            stream.write(volume.astype("<i2").tobytes(order="F"))
    label_path = path.with_name("labels.nii.gz")
    nib.save(nib.Nifti1Image(labels, affine), label_path)
    return label_path


def measure(what: str, scan: Path, labels: Path) -> dict[str, Any]:
    """Run one way in a process of its own; return seconds, CPU seconds, peak MB and a sample."""
    command = [sys.executable, "-m", "brainlm_core.bench.parcellation", what, str(scan), str(labels)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BRAINLM_OFFLINE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _ours(scan: Path, labels: Path) -> np.ndarray:
    from brainlm_core.scans import read_scan

    return read_scan(scan, atlas=str(labels)).signals


def _masker(scan: Path, labels: Path) -> np.ndarray:
    import warnings

    from nilearn.maskers import NiftiLabelsMasker

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(NiftiLabelsMasker(str(labels), standardize=None).fit_transform(str(scan))).T


def _decompress(scan: Path, labels: Path) -> np.ndarray:
    """Only unpack, into one buffer, on one thread: what no reader can do without."""
    from zlib_ng import gzip_ng

    buffer = bytearray(1 << 20)
    with gzip_ng.open(scan, "rb") as stream:
        while stream.readinto(buffer):
            pass
    return np.zeros(1)


_WAYS = {"ours": _ours, "masker": _masker, "decompress": _decompress}


def run(quick: bool) -> list[BenchResult]:
    """Compare: same file, same labels, one process each, best of five (quick: of two) in turn.

    ``limit_fraction`` is the time of pure decompression over ours. ``details`` has the largest
    difference of the signals, relative to each parcel's mean.
    """
    rounds = 2 if quick else 5
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.nii.gz"
        labels = paint_scan(scan, 60 if quick else N_VOLUMES)
        runs = {what: [measure(what, scan, labels)] for what in _WAYS}
        for _ in range(rounds - 1):
            for what in _WAYS:
                runs[what].append(measure(what, scan, labels))
        best = {what: min(r, key=lambda one: one["seconds"]) for what, r in runs.items()}
        size_mb = scan.stat().st_size / 1e6
    ours, masker = best["ours"], best["masker"]
    a, b = np.array(ours["sample"]), np.array(masker["sample"])
    return [
        BenchResult(
            name="parcel averaging, 91×109×91 int16 .nii.gz",
            peer="nilearn NiftiLabelsMasker",
            time_ratio=masker["seconds"] / ours["seconds"],
            memory_ratio=ours["peak_mb"] / masker["peak_mb"],
            limit_fraction=best["decompress"]["seconds"] / ours["seconds"],
            details={
                "n_volumes": 60 if quick else N_VOLUMES,
                "file_mb": round(size_mb, 1),
                "seconds": {k: round(v["seconds"], 3) for k, v in best.items()},
                "cpu_seconds": {k: round(v["cpu_seconds"], 3) for k, v in best.items()},
                "peak_mb": {k: round(v["peak_mb"]) for k, v in best.items()},
                "max_relative_difference": float(np.abs(a - b).max() / np.abs(b).mean()),
            },
        )
    ]


def _peak_mb() -> float:
    """Return this process' peak memory in MB; ``ru_maxrss`` would also show the parent's on Linux."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=sorted(_WAYS))
    parser.add_argument("scan", type=Path)
    parser.add_argument("labels", type=Path)
    args = parser.parse_args()
    work = _WAYS[args.what]
    # Imports are not what is measured, on either side.
    peer = args.what == "masker"
    for module in (
        ("nilearn.maskers",) if peer else ("brainlm_core.scans.volumes", "nibabel", "scipy.ndimage")
    ):
        importlib.import_module(module)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = work(args.scan, args.labels)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    peak = _peak_mb()
    sample = result[::40, ::10].tolist() if result.ndim == 2 else []
    figures = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak, "sample": sample}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    _main()
