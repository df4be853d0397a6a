"""Ask a fine-tuned head about one scan: a number, or the probability of a class. For research only."""

from __future__ import annotations

import argparse

from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    parser.add_argument(
        "--head", required=True, metavar="FOLDER", help="model folder of `brainlm finetune` with a target"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Predict, and say beside it what the head was worth on people held back."""
    from brainlm_core.training.clinical import predict

    found = predict(args.head, load_recording(args))
    what = f"probability of {found.target} = {found.classes[1]}" if found.classes else found.target
    worth = ", ".join(f"{name} {value:.3f}" for name, value in found.scores.items())
    lines = [
        f"{what}: {found.value:.3g} (mean over {found.n_windows} windows)",
        f"on people held back: {worth or 'never scored'}",
        "For research only, not for diagnosis.",
    ]
    return CommandResult(objects=[found.to_dict()], text="\n".join(lines))
