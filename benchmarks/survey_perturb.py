"""What would have said the same as the model's responses? One table over a cohort, all seven networks.

Each network is shifted by 2 SD for 28.8 s in the first window of every recording; the responses of the
other parcels are correlated with functional connectivity, distance, the model's attention and the
random-weights twin, beside the same for random matched sets of parcels::

    python benchmarks/survey_perturb.py COHORT.npz --tr 0.72 -o survey/ [--rows 1-3] [--draws 8] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.perturb_survey import survey
from brainlm_core.base.errors import BrainLMError
from brainlm_core.cohort.packs import open_cohort
from brainlm_core.inference.engine import Engine


def main(argv: list[str] | None = None) -> int:
    """Run the survey, save it, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", help="a .npz pack or a folder of scans")
    parser.add_argument("-o", "--output", required=True, metavar="DIR")
    parser.add_argument("--signals", default="signals", metavar="KEY", help="array of the pack")
    parser.add_argument("--tr", type=float, metavar="S", help="repetition time in s")
    parser.add_argument("--coordinates", metavar="CSV", help="x, y, z in mm per column")
    parser.add_argument("--recordings", type=int, metavar="N", help="only the first N")
    parser.add_argument("--draws", type=int, default=8, help="mask draws per response (8)")
    parser.add_argument("--sets", type=int, default=200, help="random matched sets (200)")
    parser.add_argument("--model", default="default")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        cohort = open_cohort(
            args.cohort,
            signals=[args.signals],
            coordinates=None if args.coordinates is None else [args.coordinates],
            tr_s=args.tr,
        )
        if args.recordings:
            cohort = cohort.subset(range(min(args.recordings, len(cohort))))
        # A response is a small difference of two outputs: half precision would round it away.
        engine = Engine.load(args.model, precision="fp32")
        result = survey(
            engine,
            cohort,
            twin=engine.twin(),
            draws=args.draws,
            n_sets=args.sets,
            progress=_tell if sys.stderr.isatty() else None,
        )
        files = result.save(args.output)
    except BrainLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    table = result.table()
    if args.json:
        facts = {
            "model": result.model,
            "recordings": list(result.recordings),
            "notices": list(result.notices),
        }
        rows = json.loads(table.to_json(orient="records", double_precision=4))
        print(json.dumps({**facts, "agreement": rows, "files": [str(f) for f in files]}))
        return 0
    print(f"{result.model}, {len(result.recordings)} recordings")
    print(table.to_string(index=False, float_format="{:+.2f}".format, na_rep="-"))
    return 0


def _tell(share: float, text: str) -> None:
    print(f"\r{share:4.0%} {text:<40}", end="\n" if share >= 1 else "", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
