"""Forecast the next steps of a recording and say how far the forecast can be trusted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainlm_core.base.errors import ConfigError
from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine
from brainlm_core.command_line.scan_arguments import add_scan_arguments, load_recording

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.features.forecast.analysis import ForecastOptions, ForecastResult

#: Steps (volumes) of which the figures are printed.
_SHOWN = (1, 2, 3, 5, 10, 20, 40, 80, 160)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    add_model_arguments(parser, context=False)
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder for tables, arrays and the animation"
    )
    group = parser.add_argument_group("what to forecast")
    group.add_argument("--steps", type=int, default=20, metavar="N", help="horizon in volumes (20)")
    group.add_argument(
        "--start",
        default=None,
        metavar="S",
        help="start of the forecast in s from the beginning, or `end` to forecast beyond the recording; "
        "by default the last start with all its steps measured",
    )
    group.add_argument(
        "--seen", type=int, metavar="N", help="seen volumes (all that the model's window holds)"
    )
    group.add_argument(
        "--members", type=int, default=1, metavar="N", help="looks at the past that are averaged (1)"
    )
    group.add_argument(
        "--starts",
        default="20",
        metavar="N",
        help="start points of the back-test, spread evenly, or `all` (20)",
    )
    group.add_argument("--seed", type=int, default=0, help="of the ensemble's extra masks (0)")
    group.add_argument(
        "--animation", choices=("gif", "mp4", "none"), default="gif", help="moving picture of the brain (gif)"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Forecast, back-test, save, and say who wins."""
    from brainlm_core.features.forecast.analysis import analyse

    recording = load_recording(args)
    options = options_from(args, recording)
    result = analyse(load_engine(args), recording, options, _on_terminal if sys.stderr.isatty() else None)
    folder = Path(args.output)
    files = [*result.save(folder)]
    if args.animation != "none":
        from brainlm_core.features.forecast.picture import save_animation

        files.append(save_animation(result, folder / f"forecast.{args.animation}"))
    facts: dict[str, Any] = {**result.to_dict(), "files": [str(path) for path in files]}
    return CommandResult(objects=[facts], text=_in_words(result, folder))


def options_from(args: argparse.Namespace, recording: Recording) -> ForecastOptions:
    """Translate what was typed: seconds to volumes, words to numbers."""
    from brainlm_core.features.forecast.analysis import ForecastOptions

    return ForecastOptions(
        steps=args.steps,
        start=_start(args.start, recording),
        context=args.seen,
        members=args.members,
        n_starts=None if args.starts == "all" else _whole(args.starts, "--starts", "all"),
        seed=args.seed,
    )


def _start(text: str | None, recording: Recording) -> int | None:
    if text is None:
        return None
    if text == "end":
        return recording.n_timepoints
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not 0 <= seconds < 1e9:
        raise ConfigError(f"--start {text} is not understood", "give seconds from the beginning, or end")
    return round(seconds / recording.tr_s)


def _whole(text: str, what: str, word: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"{what} {text} is not understood", f"give a whole number, or {word}") from error


def _in_words(result: ForecastResult, folder: Path) -> str:
    lines = [
        f"{result.provenance.source_name}: {result.forecast.n_steps} volumes from "
        f"{result.forecast.times_s[0]:.1f} s on by {result.model.model_name}",
        result.verdict.sentence,
    ]
    if result.race is not None:
        race = result.race
        steps = [s for s in _SHOWN if s <= len(race.times_s)]
        lines.append(
            f"R² over {race.n_starts} start points" + "".join(f"{race.times_s[s - 1]:9.1f} s" for s in steps)
        )
        for method, values in race.values["r2"].items():
            lines.append(f"  {method:22}" + "".join(f"{values[s - 1]:11.3f}" for s in steps))
    if result.coverage.share is not None:
        lines.append(
            f"the 90 % interval held {result.coverage.share:.0%} of the truth "
            f"({result.coverage.n_starts} start points)"
        )
    lines += [f"  note: {notice}" for notice in result.notices]
    return "\n".join([*lines, f"saved to {folder}"])


def _on_terminal(fraction: float, stage: str) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}{end}")
    sys.stderr.flush()
