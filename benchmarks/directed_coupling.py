"""Do responses tell which parcel drives which? On simulated networks in which that is known.

Forty parcels follow a first-order autoregression with sparse directed coupling. Each parcel is pushed by
3 SD; the area under the curve says how well the size of the responses tells coupled ordered pairs from the
rest (chance .50), for every read-out, over several simulated networks, and how often the larger response of a
pair points the right way. Beside it: the random-weights twin, and what the same window says without a model::

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

from brainlm_core.base.atlas import a424_cortex  # noqa: E402
from brainlm_core.features.perturb.scenario import READOUTS  # noqa: E402
from brainlm_core.inference.engine import Engine  # noqa: E402
from tests.perturb.test_directed_coupling import SIZES, coupled, recoveries, window_baselines  # noqa: E402


def main() -> None:
    """Print one row per read-out and measure of size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=5, help="simulated networks (5)")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = Engine.load(args.model, precision="fp32")
    twin = engine.twin()
    parcels = a424_cortex().subset(np.r_[np.arange(0, 180, 9), np.arange(180, 360, 9)], "forty parcels")
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(args.networks):
        recording, truth = coupled(parcels, seed=seed)
        for readout in READOUTS:
            for name, asked in (("model", engine), ("random twin", twin)):
                figures = recoveries(asked, recording, truth, readout)
                for size, (words, _) in SIZES.items():
                    row = (f"{name}, {readout}", words)
                    found.setdefault(row, []).append((figures[size], figures[f"{size}-way"]))
        for name, pair in window_baselines(engine, recording, truth).items():
            found.setdefault((name, "of the same window, no model"), []).append(pair)
    rows = [
        {
            "what": what,
            "size": size,
            "auc": float(np.mean(v, axis=0)[0]),
            "auc_sd": float(np.std(v, axis=0, ddof=1)[0]) if len(v) > 1 else None,
            "right_way": float(np.mean(v, axis=0)[1]),
            "n": len(v),
        }
        for (what, size), v in found.items()
    ]
    if args.json:
        print(json.dumps({"model": args.model, "chance": 0.5, "rows": rows}))
        return
    print(f"{args.model}: area under the curve for directed edges and share of right ways, chance 0.50")
    for row in rows:
        spread = "" if row["auc_sd"] is None else f" (SD {row['auc_sd']:.3f})"
        print(f"{row['what']:22} {row['size']:40} {row['auc']:.3f}{spread}  {row['right_way']:.2f}")


if __name__ == "__main__":
    main()
