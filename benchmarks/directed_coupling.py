"""Do responses tell which parcel drives which? On simulated networks in which that is known.

Forty parcels follow a first-order autoregression with sparse directed coupling. Each parcel is pushed by
3 SD; the area under the curve says how well the size of the responses tells coupled ordered pairs from the
rest (chance .50), for every read-out, over several simulated networks::

    python benchmarks/directed_coupling.py [--networks 5] [--model default] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from brainlm_core.analyses.scenario import READOUTS  # noqa: E402
from brainlm_core.atlas import a424_cortex  # noqa: E402
from brainlm_core.engine import Engine  # noqa: E402
from tests.perturb.test_directed_coupling import SIZES, coupled, recoveries  # noqa: E402


def main() -> None:
    """Print one row per read-out and measure of size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=5, help="simulated networks (5)")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = Engine.load(args.model, precision="fp32")
    parcels = a424_cortex().subset(np.r_[np.arange(0, 180, 9), np.arange(180, 360, 9)], "forty parcels")
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(args.networks):
        recording, truth = coupled(parcels, seed=seed)
        for readout in READOUTS:
            for size, value in recoveries(engine, recording, truth, readout).items():
                found.setdefault((readout, size), []).append(value)
    rows = [
        {
            "readout": readout,
            "size": size,
            "auc": float(np.mean(v)),
            "sd": float(np.std(v, ddof=1)),
            "n": len(v),
        }
        for (readout, size), v in found.items()
    ]
    if args.json:
        print(json.dumps({"model": args.model, "chance": 0.5, "rows": rows}))
        return
    print(f"{args.model}: area under the curve for directed edges, chance 0.50")
    for row in rows:
        spread = "" if row["sd"] is None else f" (SD {row['sd']:.3f})"
        print(f"{row['readout']:8} {SIZES[row['size']][0]:40} {row['auc']:.3f}{spread}")


if __name__ == "__main__":
    main()
