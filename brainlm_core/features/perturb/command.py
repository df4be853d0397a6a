"""Change signals in the computer and see what the model answers, beside nulls and simple predictions."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainlm_core.base.methods import words_of
from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import PerturbResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    add_model_arguments(parser)
    parser.set_defaults(model=None)  # None: the model that the scenario names
    parser.add_argument(
        "--scenario", required=True, metavar="scenario.json", help="what is done to which parcels, and when"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for tables and arrays")
    parser.add_argument(
        "--null-sets",
        type=int,
        default=200,
        metavar="N",
        help="random matched parcel sets for the null (200; 0 leaves it out)",
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Check the scenario, ask the model, save, and say what came out."""
    from brainlm_core.features.perturb.scenario import Scenario

    scenario = Scenario.read(args.scenario)
    if args.model is None:
        args.model = scenario.model
    else:
        scenario = replace(scenario, model=args.model)
    if getattr(args, "precision", None) == "auto":
        args.precision = "fp32"  # a response is a small difference of two outputs: bf16 would round it away

    from brainlm_core.features.perturb.analysis import PerturbOptions, analyse

    options = PerturbOptions(args.null_sets)
    recording = load_recording(args)
    scenario.check_parcellation(recording.parcellation)
    result = analyse(
        load_engine(args), recording, scenario, options, _on_terminal if sys.stderr.isatty() else None
    )
    folder = Path(args.output)
    files = result.save(folder)
    facts: dict[str, Any] = {**result.to_dict(), "files": [str(path) for path in files]}
    return CommandResult(objects=[facts], text=_in_words(result, folder))


def _in_words(result: PerturbResult, folder: Path) -> str:
    from brainlm_core.features.perturb.figures import dependence_sentence

    facts = result.to_dict()
    found = facts["n_significant_fdr05"]
    matched = ", ".join(facts["null"]["matched_on"])
    lines = [
        f"{result.stage.provenance.source_name}: {facts['n_targets']} targets, "
        f"{facts['n_answering']} parcels answer ({result.stage.model.model_name}, "
        f"{len(result.response.effect_by_draw)} mask draws)",
        f"  response: mean {facts['response_mean_abs']:.4f} SD, largest {facts['response_max']:.4f} SD",
        f"  random-weights twin: mean {facts['random_twin']['response_mean_abs']:.4f} SD",
        f"  no null: {facts['null']['reason']}"
        if found is None
        else f"  {found} parcels stand out from {facts['null']['n_sets']} random sets, matched on "
        f"{matched} (FDR .05)",
        f"  dose: {result.dose.slope:+.4f} SD per SD, straight line explains {result.dose.r2:.3f}",
        f"  {dependence_sentence(result.dependence)}",
        "  rank correlation of the response with",
    ]
    for agreement in result.agreement:
        chance = facts["agreement_null_95"].get(agreement.predictor)
        beside = "" if chance is None else f"  (random sets {chance[0]:+.2f} to {chance[1]:+.2f})"
        name = words_of(agreement.predictor, "perturb")
        lines.append(f"    {name:52} {agreement.value:+.3f}{beside}")
    lines += [f"  note: {notice}" for notice in result.notices]
    lines.append("  A response is what the model expects to go with a change. It shows no cause.")
    return "\n".join([*lines, f"saved to {folder}"])


def _on_terminal(fraction: float, stage: str) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}{end}")
    sys.stderr.flush()
