"""Hide a part of a window and say how well it is filled in, beside what simple methods fill in."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for figures and arrays")
    group = parser.add_argument_group("what is hidden")
    group.add_argument(
        "--hide",
        default="random",
        metavar="KIND",
        help="random (blocks of samples), future, parcels, or network (random)",
    )
    group.add_argument("--share", type=float, default=0.75, metavar="S", help="share that is hidden (0.75)")
    group.add_argument("--block", type=int, default=20, metavar="N", help="samples hidden together (20)")
    group.add_argument("--network", default="Visual", metavar="NAME", help="for --hide network (Visual)")
    group.add_argument("--window", type=int, default=0, metavar="N", help="window of the recording (0)")
    group.add_argument("--seed", type=int, default=0, help="of the mask (0)")


def run(args: argparse.Namespace) -> CommandResult:
    """Hide, fill in, score, save."""
    from brainlm_core.base.methods import ordered, words_of
    from brainlm_core.features.reconstruct.analysis import ReconstructOptions, reconstruct

    options = ReconstructOptions(args.hide, args.share, args.block, args.network, args.window, args.seed)
    recording = load_recording(args)
    engine = load_engine(args)
    say = _on_terminal if sys.stderr.isatty() else None
    result = reconstruct(engine, recording, options, twin=engine.twin(), progress=say)
    folder = Path(args.output)
    files = result.save(folder)
    lines = [
        f"{recording.provenance.source_name}: explained variance of {int(result.scored.sum())} hidden entries"
    ]
    for method in ordered(result.scores):
        score = result.scores[method]
        name = words_of(method, "reconstruct")
        lines.append(f"  {name:42}{score.r2:7.3f}  ({score.low:.3f} to {score.high:.3f})")
    lines += [f"  note: {notice}" for notice in result.notices]
    return CommandResult(
        objects=[{**result.to_dict(), "files": [str(f) for f in files]}],
        text="\n".join([*lines, f"saved to {folder}"]),
    )


def _on_terminal(fraction: float, stage: str) -> None:
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}")
    sys.stderr.flush()
