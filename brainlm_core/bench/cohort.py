"""Cohorts: import, throughput on one and two workers, memory that does not grow, a place on the map.

All on drawn signals of the shape of ABIDE (214 parcels, 150 to 300 volumes at 2 s), written as a pack.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from brainlm_core.bench import BenchResult

#: What is promised: seconds for 871 recordings, speed of two workers over one, seconds to place a scan.
IMPORT_S, N_IMPORT, SPEED_UP, PLACE_S = 60.0, 871, 1.8, 2.0
#: Peak of the program itself, and of it with all its workers, looked at twenty times a second.
_MEASURE_PEAK = """
import json, sys, threading, time
import psutil

def watch(own, most):
    while True:
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                pass
        most[0] = max(most[0], total)
        time.sleep(0.05)

if __name__ == "__main__":  # workers that are spawned import this file
    from brainlm_core.bench._model_memory import memory_mb
    from brainlm_core.cli import main
    most = [0]
    threading.Thread(target=watch, args=(psutil.Process(), most), daemon=True).start()
    code = main(sys.argv[1:])
    print(json.dumps([memory_mb("VmHWM"), most[0] / 2**20]), file=sys.stderr)
    raise SystemExit(code)
"""


def run(quick: bool = False) -> list[BenchResult]:
    """Measure.

    Parameters
    ----------
    quick : bool
        Fewer recordings; the import is scaled to 871.
    """
    with tempfile.TemporaryDirectory(prefix="brainlm-bench-") as name:
        folder = Path(name)
        n = 60 if quick else N_IMPORT
        return [
            _import(folder, n),
            *_throughput(folder, quick),
            *_memory(folder, (20, 60) if quick else (100, 800)),
            _place(),
        ]


def write_pack(path: Path, n: int, seed: int = 0) -> list[str]:
    """Write a pack of ``n`` drawn recordings; return the arguments that open it."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(150, 301, n)
    noise = rng.standard_normal((int(lengths.sum()) + 3, 214), dtype=np.float32)
    signals = (noise[:-3] + noise[1:-2] + noise[2:-1] + noise[3:]).astype(np.float16)
    np.savez(path, signals=signals, offsets=np.r_[0, np.cumsum(lengths)])
    table = path.with_suffix(".csv")
    xyz = rng.uniform(-60, 60, (214, 3))
    rows = "\n".join(f"{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(xyz))
    table.write_text(f"label,x,y,z\n{rows}\n", encoding="utf-8")
    return ["--coordinates", str(table), "--tr", "2"]


def _store(folder: Path, n: int) -> tuple[Path, float]:
    from brainlm_core.cohort.importing import import_scans
    from brainlm_core.cohort.sources import ImportOptions, find_scans
    from brainlm_core.cohort.store import CohortStore

    pack = folder / f"pack{n}.npz"
    if not pack.is_file():
        write_pack(pack, n)
    path = folder / f"store{n}"
    start = time.perf_counter()
    options = ImportOptions(coordinates=(str(pack.with_suffix(".csv")),), tr_s=2.0)
    import_scans(CohortStore.create(path), find_scans(pack, options))
    return path, time.perf_counter() - start


def _import(folder: Path, n: int) -> BenchResult:
    path, seconds = _store(folder, n)
    scaled = seconds * N_IMPORT / n
    size = sum(p.stat().st_size for p in path.rglob("*.parquet"))
    return BenchResult(
        f"import of {N_IMPORT} recordings into a store",
        f"the promised {IMPORT_S:g} s",
        time_ratio=IMPORT_S / scaled,
        details={"seconds": scaled, "recordings_run": n, "kilobytes_per_recording": size / n / 1e3},
    )


def _throughput(folder: Path, quick: bool) -> list[BenchResult]:
    """Measure recordings per second between the first and the last chunk, so that start-up does not count."""
    from brainlm_core.cohort.embed_run import embed_cohort
    from brainlm_core.cohort.tasks import CohortReference, EmbedSettings

    n = 60 if quick else 400
    path, _ = _store(folder, n) if not (folder / f"store{n}").is_dir() else (folder / f"store{n}", 0.0)
    rates = {}
    for workers in (1, 2):
        seen: list[tuple[float, float]] = []

        def tick(share: float, _: str, seen: list[tuple[float, float]] = seen) -> None:
            seen.append((time.perf_counter(), share))

        output = folder / f"speed{workers}.parquet"
        settings = EmbedSettings(device="cpu", precision="fp32")
        embed_cohort(CohortReference(str(path)), output, settings, workers=workers, progress=tick)
        # The first chunks of each worker load the model: they are start-up.
        first, last = seen[2 * workers], seen[-1]
        rates[workers] = (last[1] - first[1]) * n / (last[0] - first[0])
    return [
        BenchResult(
            "embedding a cohort with two Dask workers",
            "one worker",
            time_ratio=rates[2] / rates[1],
            limit_fraction=rates[2] / rates[1] / 2,
            details={
                "scans_per_s_1": rates[1],
                "scans_per_s_2": rates[2],
                "promised": SPEED_UP,
                "cores": os.cpu_count(),
                "with": "model, random twin, connectivity",
            },
        )
    ]


def _memory(folder: Path, sizes: tuple[int, int]) -> list[BenchResult]:
    """Measure peaks in programs of their own: ``ru_maxrss`` would start at the peak of this one."""
    few, many = sizes
    for n in sizes:
        if not (folder / f"store{n}").is_dir():
            _store(folder, n)

    def embed(n: int, workers: int) -> list[str]:
        output = folder / f"m{n}-{workers}.parquet"
        command = ["embed", str(folder / f"store{n}"), "-o", str(output), "--device", "cpu"]
        return [*command, "--workers", str(workers)]

    def take_in(n: int) -> list[str]:
        coordinates = str(folder / f"pack{n}.csv")
        command = ["cohort", str(folder / f"pack{n}.npz"), "-o", str(folder / f"again{n}")]
        return [*command, "--coordinates", coordinates, "--tr", "2"]

    out = []
    for what, command, whole in (
        ("embedding", lambda n: embed(n, 0), 0),
        ("embedding with two workers, all processes,", lambda n: embed(n, 2), 1),
        ("importing a pack of", take_in, 0),
    ):
        peaks = {n: _peak(folder, command(n))[whole] for n in sizes}
        out.append(
            BenchResult(
                f"peak memory of {what} {many} recordings",
                f"the same with {few}",
                memory_ratio=peaks[many] / peaks[few],
                details={"megabytes_few": peaks[few], "megabytes_many": peaks[many]},
            )
        )
    return out


def _peak(folder: Path, command: list[str]) -> list[float]:
    """Return the peaks in MB of a command alone and with its workers."""
    script = folder / "peak.py"
    script.write_text(_MEASURE_PEAK, encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, str(script), *command],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found: list[float] = json.loads(done.stderr.splitlines()[-1])
    return found


def _place() -> BenchResult:
    from brainlm_core.bench.model import interleave
    from brainlm_core.cohort.features import embed_recording
    from brainlm_core.cohort.reference import reference_cohort
    from brainlm_core.features.embedding.analysis import make_map
    from brainlm_core.inference.engine import Engine
    from brainlm_core.scans.demo import demo_recordings

    engine, recording = Engine.load("default", device="cpu", precision="fp32"), demo_recordings()[0]
    drawn = make_map(reference_cohort(), "umap")
    seconds = interleave({"place": lambda: drawn.place(embed_recording(engine, recording).cls)}, 5)["place"]
    return BenchResult(
        "placing one new scan on a UMAP map, warm",
        f"the promised {PLACE_S:g} s",
        time_ratio=PLACE_S / seconds,
        details={"seconds": seconds, "recordings_on_the_map": len(drawn.ids)},
    )
