"""Arguments that every command with a model shares."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.input_recipe import CENTRES, KINDS, InputRecipe, ScalingStatistics
from brainlm_core.base.recording_context import CONTEXTS
from brainlm_core.inference.device_names import DEVICES, PRECISIONS

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine


def add_model_arguments(parser: argparse.ArgumentParser, *, context: bool = True) -> None:
    """Add the model, where it runs, what it reads, how signals are scaled for it, and its licence.

    Without ``context`` for a command that reads windows alone and calls something else so.
    """
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default="default",
        metavar="NAME|FOLDER",
        help="default, context, 13m, 111m, 650m, a folder with config.json and weights, or random:NAME",
    )
    group.add_argument("--device", default="auto", choices=DEVICES, help="where to compute")
    group.add_argument("--precision", default="auto", choices=PRECISIONS, help="bits to compute with")
    parser.set_defaults(read_beside="recording")
    if context:
        group.add_argument(
            "--context",
            dest="read_beside",
            default="recording",
            choices=CONTEXTS,
            help="what a model that can reads beside its window: the rest of the recording, or nothing",
        )
    group.add_argument(
        "--accept-licence",
        action="store_true",
        help="accept the CC BY-NC-ND 4.0 licence of the published weights for good",
    )
    recipe = parser.add_argument_group("how signals are scaled for the model")
    recipe.add_argument("--scaling", default="recording", choices=tuple(KINDS), help="statistics (recording)")
    recipe.add_argument(
        "--centre", default="own", choices=CENTRES, help="what is subtracted (the scaling's own)"
    )
    recipe.add_argument(
        "--gain", type=float, default=1.0, metavar="X", help="multiplies the scaled signals (1)"
    )
    recipe.add_argument(
        "--scaling-statistics",
        metavar="FILE",
        help="for --scaling cohort: file of `brainlm cohort --scaling-statistics`",
    )


def recipe_of(args: argparse.Namespace) -> InputRecipe:
    """Return the input recipe that the arguments ask for.

    Raises
    ------
    ConfigError
        If a value is out of range, or the statistics are missing or no statistics.
    """
    if args.scaling_statistics is not None and args.scaling != "cohort":
        raise ConfigError("--scaling-statistics goes with --scaling cohort", "give both or none")
    statistics = None if args.scaling_statistics is None else ScalingStatistics.read(args.scaling_statistics)
    recipe = InputRecipe(args.scaling, args.centre, args.gain, statistics)
    return recipe if recipe.is_default else replace(recipe, chosen_by="hand")


def load_engine(args: argparse.Namespace) -> Engine:
    """Load the engine that the arguments ask for; progress of downloads goes to stderr."""
    from brainlm_core.inference.engine import Engine

    def say(share: float, sentence: str) -> None:
        print(f"\r{sentence} ({share:.0%})", end="\n" if share >= 1 else "", file=sys.stderr)  # noqa: T201

    return Engine.load(
        args.model,
        device=args.device,
        precision=args.precision,
        context=args.read_beside,
        recipe=recipe_of(args),
        accept_licence=args.accept_licence,
        progress=say if sys.stderr.isatty() else None,
    )
