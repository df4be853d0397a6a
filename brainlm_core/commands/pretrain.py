"""Pretrain a model of any family by masked reconstruction; run again to go on where a run was cut off."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, TextIO

from brainlm_core.command_line import CommandResult

if TYPE_CHECKING:
    from brainlm_core.training.loop import RunResult, Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("config", metavar="CONFIG.yaml", help="settings of the run, see configs/")


def run(args: argparse.Namespace) -> CommandResult:
    """Train, and say where the weights are."""
    from brainlm_core.training.config import read_config
    from brainlm_core.training.loop import pretrain

    config = read_config(args.config)
    with TrainingProgress() as progress:
        result = pretrain(config, progress.say, progress.step)
    return summary(result, "use it with --model")


def summary(result: RunResult, use: str) -> CommandResult:
    """Say where the weights of a run are, how to use them, and how they were validated."""
    if not result.speaks:  # of several processes one tells
        return CommandResult(objects=[], text="")
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


class TrainingProgress:
    """A bar with the time left on a terminal, a line a step in a log.

    Parameters
    ----------
    stream : text file, optional
        Standard error unless said otherwise.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def say(self, sentence: str) -> None:
        """Write a sentence, above the bar where there is one."""
        if self._bar is None:
            print(sentence, file=self._stream, flush=True)
        else:
            self._bar.write(sentence, file=self._stream)

    def step(self, step: Step) -> None:
        """Show a step that was done."""
        if not self._stream.isatty():
            self.say(str(step))
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=step.steps, initial=step.done - 1, unit="step", file=self._stream, dynamic_ncols=True
            )
        self._bar.set_postfix_str(f"loss {step.loss:.4f}", refresh=False)
        self._bar.update(1)
