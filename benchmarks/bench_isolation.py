"""What reading in a child costs: ``python benchmarks/bench_isolation.py`` reads 490 volumes both ways.

Pairs in turn, in one process with both ways warm, and which of the two comes first alternates; the figure is
the median over the pairs of child's seconds by one's own; beside it stands that of processor time, which a
busy machine changes less. Memory is that of the program and all its children,
in runs of their own. Exit code 1 when the child takes more than a tenth longer, or more memory than 300 MB
above reading here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from benchmarks.memory_of_tree import peak_of_tree, settle
from brainlm_core.base.recording import Recording
from brainlm_core.bench.parcellation import paint_scan
from brainlm_core.scans import read_scan
from brainlm_core.scans.isolation import read_isolated, warm_up

MAX_RATIO, MAX_MORE_MB = 1.10, 300.0


def timed(work: Callable[[], Recording]) -> tuple[float, float]:
    """Return the seconds that something takes, and of processors, the children's included."""
    start, used = time.perf_counter(), processors_s()
    work()
    return time.perf_counter() - start, processors_s() - used


def processors_s() -> float:
    """Return the processor time of this process, its children, and theirs that have ended."""
    processes = (psutil.Process(), *psutil.Process().children(recursive=True))
    return sum(sum(p.cpu_times()[:4]) for p in processes)


def measure(n_volumes: int, pairs: int) -> dict[str, Any]:
    """Read one scan both ways in turn; return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "sub-1_space-MNI152NLin6Asym_bold.nii.gz"
        paint_scan(scan, n_volumes)
        ways = {"here": lambda: read_scan(scan), "child": lambda: read_isolated(scan)}
        warm_up()
        same = all((ways["here"]().signals == ways["child"]().signals).ravel())
        seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for k in range(pairs):
            for way in sorted(ways, reverse=bool(k % 2)):
                seconds[way].append(timed(ways[way]))
        memory = {}
        for way, work in ways.items():
            settle()
            with peak_of_tree() as peak:
                work()
            memory[way] = round(peak.above_mb)
        size_mb = scan.stat().st_size / 1e6
    paired = list(zip(seconds["child"], seconds["here"], strict=True))
    ratios, used = ([c[k] / h[k] for c, h in paired] for k in (0, 1))
    return {
        "n_volumes": n_volumes,
        "file_mb": round(size_mb),
        "pairs": pairs,
        "same_signals": same,
        "seconds": {way: round(statistics.median(t for t, _ in s), 2) for way, s in seconds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(r, 3) for r in sorted(ratios)],
        "processor_ratio": round(statistics.median(used), 3),
        "peak_mb": memory,
        "load_average": round(os.getloadavg()[0], 1),
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--volumes", type=int, default=490)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    found = measure(args.volumes, args.pairs)
    print(json.dumps(found))
    more_mb = found["peak_mb"]["child"] - found["peak_mb"]["here"]
    return 0 if found["same_signals"] and found["ratio"] <= MAX_RATIO and more_mb <= MAX_MORE_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
