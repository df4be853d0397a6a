"""Pretrain a model of any family by masked reconstruction; run again to go on where a run was cut off."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from brainlm_core.commands import CommandResult

if TYPE_CHECKING:
    from brainlm_core.training.loop import RunResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="settings of the run, see configs/")


def run(args: argparse.Namespace) -> CommandResult:
    """Train, and say where the weights are."""
    from brainlm_core.training.config import read_config
    from brainlm_core.training.loop import pretrain

    return summary(pretrain(read_config(args.config), say_progress), "use it with --model")


def summary(result: RunResult, use: str) -> CommandResult:
    """Say where the weights of a run are, how to use them, and how they were validated."""
    model = result.folder / "model"
    facts = {
        "folder": str(result.folder),
        "model": str(model),
        "steps": result.steps,
        "resumed_from": result.resumed_from,
        "validation": result.validation,
    }
    told = ", ".join(f"{k} {v:.4f}" for k, v in result.validation.items()) or "no validation"
    text = f"{result.steps} steps done ({told})\nweights: {model} ({use} {model})"
    return CommandResult(objects=[facts], text=text)


def say_progress(sentence: str) -> None:
    """Write a sentence to stderr; on a terminal steps overwrite each other."""
    end = "" if sys.stderr.isatty() and sentence.startswith("step") else "\n"
    print(f"\r{sentence}" if not end else sentence, end=end, file=sys.stderr, flush=True)  # noqa: T201
