"""Bring scans together in a store that grows, survives kill -9, and lists what could not be read."""

from __future__ import annotations

import argparse
import sys

from brainlm_core.base.errors import ConfigError
from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.scan_arguments import add_isolated


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "source", metavar="SCANS", help="folder of scans, fMRIPrep tree, .npz pack, or Arrow/Parquet rows"
    )
    parser.add_argument("-o", "--output", required=True, metavar="STORE", help="folder of the store")
    group = parser.add_argument_group("reading the scans")
    group.add_argument(
        "--signals", default="signals", metavar="KEY", help="array of a pack; several joined by a comma"
    )
    group.add_argument(
        "--coordinates", metavar="CSV", help="x, y, z in mm per column; several joined by a comma"
    )
    group.add_argument("--tr", type=float, metavar="S", help="repetition time in s where files do not say it")
    group.add_argument("--atlas", metavar="NAME|PATH", help="as for `brainlm parcellate`")
    group.add_argument("--phenotypes", metavar="CSV", help="what is known of the people, by identifier")
    add_isolated(group)
    parser.add_argument(
        "--scaling-statistics",
        metavar="FILE",
        help="write median and interquartile range of each parcel, pooled over the store, for "
        "`--scaling cohort --scaling-statistics FILE` of other commands",
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Import, and say what was added and what was not."""
    from brainlm_core.cohort.importing import import_scans
    from brainlm_core.cohort.sources import ImportOptions, find_scans
    from brainlm_core.cohort.store import CohortStore

    if args.tr is not None and not args.tr > 0:
        raise ConfigError(f"a repetition time of {args.tr:g} s is impossible", "give seconds above 0")
    options = ImportOptions(
        signals=tuple(args.signals.split(",")),
        coordinates=tuple(args.coordinates.split(",")) if args.coordinates else (),
        tr_s=args.tr,
        atlas=args.atlas,
        phenotypes=args.phenotypes,
        isolated=args.isolated,
    )
    store = CohortStore.create(args.output)
    found = find_scans(args.source, options)
    report = import_scans(store, found, progress=_on_terminal if sys.stderr.isatty() else None)
    lines = [
        f"{report.kind}: {report.added} recordings added, {report.known} were here before, "
        f"{len(report.broken)} could not be read; the store holds {report.total}"
    ]
    lines += [f"{new} holds the same signals as {old} and was left out" for new, old in report.same_content]
    lines += [f"{b.source_name}: {b.reason}" for b in report.broken]
    if report.phenotypes:
        lines.append(f"phenotypes: {report.phenotypes}")
    facts = {**report.to_dict(), "store": store.path.name}
    if args.scaling_statistics is not None:
        from brainlm_core.cohort.scaling import pooled_statistics, save_statistics

        found_statistics = pooled_statistics(
            store.cohort(), progress=_on_terminal if sys.stderr.isatty() else None
        )
        path = save_statistics(found_statistics, args.scaling_statistics)
        facts["scaling_statistics"] = {"file": str(path), "sha256_16": found_statistics.digest}
        lines.append(f"median and interquartile range of {len(found_statistics.names)} parcels: {path}")
    return CommandResult(objects=[facts], text="\n".join(lines))


def _on_terminal(share: float, sentence: str) -> None:
    end = "\n" if share >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{share:4.0%} {sentence}{end}")
    sys.stderr.flush()
