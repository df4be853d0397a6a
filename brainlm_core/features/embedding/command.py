"""Embed every recording of a cohort, on this machine's cores or on a Dask cluster."""

from __future__ import annotations

import argparse
import sys

from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.cohort_arguments import add_cohort_arguments, cohort_reference
from brainlm_core.command_line.model_arguments import add_model_arguments, recipe_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_cohort_arguments(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="embeddings.parquet")
    what = parser.add_argument_group("what to keep")
    what.add_argument("--parcels", action="store_true", help="one embedding per parcel too (large)")
    what.add_argument("--no-twin", action="store_true", help="leave the random-weights twin out")
    what.add_argument("--no-connectivity", action="store_true", help="leave functional connectivity out")
    where = parser.add_argument_group("where to work")
    where.add_argument("--scheduler", metavar="tcp://…", help="a running Dask scheduler")
    where.add_argument(
        "--plain-tcp",
        action="store_true",
        help="speak with a scheduler on another machine without encryption: whoever reaches its port runs "
        "code on the workers, whoever is on the way reads the signals",
    )
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (one per core; 0: this one alone)"
    )
    add_model_arguments(parser, context=False)


def run(args: argparse.Namespace) -> CommandResult:
    """Embed, and say how many and what could not be."""
    from brainlm_core.cohort.embed_run import embed_cohort
    from brainlm_core.cohort.tasks import EmbedSettings
    from brainlm_core.remote.safety import allow_plain_tcp

    if args.plain_tcp:
        allow_plain_tcp()
    settings = EmbedSettings(
        model=args.model,
        device=args.device,
        precision=args.precision,
        recipe=recipe_of(args),
        accept_licence=args.accept_licence,
        twin=not args.no_twin,
        parcels=args.parcels,
        connectivity=not args.no_connectivity,
    )
    report = embed_cohort(
        cohort_reference(args),
        args.output,
        settings,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=_on_terminal if sys.stderr.isatty() else None,
    )
    facts = report.to_dict()
    lines = [f"{report.n} recordings embedded in {report.seconds:.0f} s by {report.workers} workers"]
    if report.resumed:
        lines.append(f"{report.resumed} of them by an earlier run that was stopped")
    lines += [f"left out: {f.recording_id}: {f.reason}" for f in report.failed]
    return CommandResult(objects=[facts], text="\n".join([*lines, *report.notices, f"saved: {report.path}"]))


def _on_terminal(share: float, sentence: str) -> None:
    end = "\n" if share >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{share:4.0%} {sentence}{end}")
    sys.stderr.flush()
