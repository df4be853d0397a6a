"""Fine-tune a model to forecasts or to a column of the phenotypes; run again to go on."""

from __future__ import annotations

import argparse

from brainlm_core.command_line import CommandResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "config", metavar="CONFIG.yaml", help="settings of the run, see configs/finetune-*.yaml"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Train, and say where the weights are and what they are worth."""
    from brainlm_core.commands.pretrain import TrainingProgress, summary
    from brainlm_core.training.config import FinetuneConfig, read_settings
    from brainlm_core.training.finetune import finetune

    config = read_settings(args.config, FinetuneConfig)
    use = "brainlm forecast SCAN --model" if config.task == "forecast" else "brainlm predict SCAN --head"
    with TrainingProgress() as progress:
        result = finetune(config, progress.say, progress.step)
    return summary(result, use)
