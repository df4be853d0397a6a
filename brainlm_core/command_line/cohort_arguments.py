"""Arguments of every command that takes a COHORT."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brainlm_core.cohort.tasks import CohortReference


def add_cohort_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add COHORT and how it is opened; return the group of the options."""
    parser.add_argument("cohort", metavar="COHORT", help="a .npz pack, a folder of scans, or a cohort store")
    group = parser.add_argument_group("cohort")
    group.add_argument(
        "--signals", default="signals", metavar="KEY", help="array of the pack; several joined by a comma"
    )
    group.add_argument(
        "--coordinates", metavar="CSV", help="x, y, z in mm per column; several joined by a comma"
    )
    group.add_argument("--tr", type=float, metavar="S", help="repetition time of all recordings in s")
    group.add_argument(
        "--phenotypes", metavar="CSV", help="one row per recording: subject_id, tr_s, age_years …"
    )
    return group


def cohort_reference(args: argparse.Namespace) -> CohortReference:
    """Return where the cohort lies and how it is opened."""
    from brainlm_core.cohort.tasks import CohortReference

    return CohortReference(
        args.cohort,
        tuple(args.signals.split(",")),
        tuple(args.coordinates.split(",")) if args.coordinates else (),
        args.tr,
        args.phenotypes,
    )
