"""Measure this machine: model and intake against named peers and against the machine's own limits."""

from __future__ import annotations

import argparse

from brainlm_core.command_line import CommandResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    from brainlm_core.bench import AREAS

    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    parser.add_argument("--only", choices=AREAS, metavar="AREA", help=f"one of {', '.join(AREAS)}")


def run(args: argparse.Namespace) -> CommandResult:
    """Run the areas one after another."""
    from brainlm_core.bench import AREAS, run_area

    results = [r for area in ([args.only] if args.only else AREAS) for r in run_area(area, args.quick)]
    lines = []
    for r in results:
        figures = [
            None if r.time_ratio is None else f"{r.time_ratio:.2f} times as fast",
            None if r.memory_ratio is None else f"{r.memory_ratio:.2f} of the peak memory",
            None if r.limit_fraction is None else f"{r.limit_fraction:.0%} of this machine's limit",
        ]
        lines.append(f"{r.name}: {', '.join(f for f in figures if f)} (beside {r.peer})")
    return CommandResult(objects=[{"results": [r.to_dict() for r in results]}], text="\n".join(lines))
