"""Put everything about one recording into one HTML file that can be handed over and works offline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import whole_file
from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument("-o", "--output", required=True, metavar="REPORT.html", help="where to write it")
    parser.add_argument(
        "--scenario", metavar="scenario.json", help="what to perturb (+2 SD on the visual network)"
    )
    parser.add_argument(
        "--label", default="", metavar="TEXT", help="heading; the file's name is never printed"
    )
    parser.add_argument(
        "--null-sets", type=int, default=200, metavar="N", help="as for `brainlm perturb` (200)"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Analyse, write, and say what could not be computed."""
    from dataclasses import replace

    from brainlm_core.features.perturb.analysis import PerturbOptions
    from brainlm_core.features.perturb.scenario import Scenario
    from brainlm_core.report import NotMade, ReportOptions, gather, page_html

    scenario = None if args.scenario is None else replace(Scenario.read(args.scenario), model=args.model)
    options = ReportOptions(scenario=scenario, null=PerturbOptions(args.null_sets), label=args.label)
    output = Path(args.output)
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise ConfigError(f"{output} cannot be written", "name a file in a folder that exists")
    recording = load_recording(args)
    if scenario is not None:
        scenario.check_parcellation(recording.parcellation)

    def load(precision: str | None):  # type: ignore[no-untyped-def]
        return load_engine(argparse.Namespace(**{**vars(args), "precision": precision or args.precision}))

    contents = gather(
        recording,
        args.model,
        options,
        load=load,
        progress=_on_terminal if sys.stderr.isatty() else None,
    )
    page = page_html(contents)
    with whole_file(output) as part:
        part.write_bytes(page)
    sections = {
        name: getattr(contents, name) for name in ("networks", "forecast", "perturbation", "embedding")
    }
    missing = {name: part.reason for name, part in sections.items() if isinstance(part, NotMade)}
    facts = {
        "output": str(output),
        "bytes": len(page),
        "sections": [name for name in sections if name not in missing],
        "not_computed": missing,
        "model": contents.model.to_dict(),
    }
    lines = [f"saved to {output} ({len(page) / 1e6:.1f} MB)"]
    lines += [f"  without {name}: {reason}" for name, reason in missing.items()]
    return CommandResult(objects=[facts], text="\n".join(lines))


def _on_terminal(fraction: float, stage: str) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}{end}")
    sys.stderr.flush()
