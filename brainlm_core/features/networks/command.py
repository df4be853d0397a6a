"""Draw the model's attention networks on a recording and score them beside connectivity and coordinates."""

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
    from brainlm_core.features.networks.analysis import NetworksOptions, NetworksResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    add_scan_arguments(parser)
    add_model_arguments(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder for tables and brain maps"
    )
    group = parser.add_argument_group("which attention")
    group.add_argument(
        "--reduction",
        choices=("average", "rollout", "layer/head"),
        help="default: average over layers and heads, or layer/head when --layer or --head is given",
    )
    group.add_argument("--layer", type=int, metavar="N", help="one layer, counted from 1")
    group.add_argument("--head", type=int, metavar="N", help="one head, counted from 1")
    group.add_argument(
        "--windows",
        default="first",
        metavar="WHICH",
        help="first (default), all, or numbers counted from 1, e.g. 1,3",
    )
    group.add_argument(
        "--steadied",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="steady the scan's map with this share of the group, 0 (this scan alone) to 1; only for models "
        "that read the recording, such as context",
    )
    group.add_argument("--n-networks", type=int, default=7, metavar="K", help="networks to draw (7)")
    group.add_argument("--seed", type=int, default=0, help="of folds, clustering and intervals (0)")


def run(args: argparse.Namespace) -> CommandResult:
    """Analyse, save, and say how the scores compare."""
    from brainlm_core.features.networks.analysis import analyse

    options = options_from(args)
    recording = load_recording(args)
    result = analyse(load_engine(args), recording, options, _on_terminal if sys.stderr.isatty() else None)
    folder = Path(args.output)
    files = result.save(folder)
    facts: dict[str, Any] = {**result.to_dict(), "files": [str(path) for path in files]}
    return CommandResult(objects=[facts], text=_in_words(result, folder))


def options_from(args: argparse.Namespace) -> NetworksOptions:
    """Translate what was typed; layers, heads and windows are counted from 1 there and from 0 here."""
    from brainlm_core.features.networks.analysis import NetworksOptions

    for what in ("layer", "head"):
        value = getattr(args, what)
        if value is not None and value < 1:
            raise ConfigError(f"there is no {what} {value}", "count from 1")
    one = args.layer is not None or args.head is not None
    return NetworksOptions(
        reduction=args.reduction or ("layer/head" if one else "average"),
        layer=None if args.layer is None else args.layer - 1,
        head=None if args.head is None else args.head - 1,
        n_networks=args.n_networks,
        windows=_windows(args.windows),
        seed=args.seed,
        steadied=args.steadied,
    )


def _windows(text: str) -> Any:
    if text in ("first", "all"):
        return text
    try:
        numbers = tuple(int(part) - 1 for part in text.split(","))
    except ValueError:
        numbers = (-1,)
    if min(numbers) < 0:
        raise ConfigError(f"--windows {text} is not understood", "give first, all, or numbers such as 1,3")
    return numbers


def _in_words(result: NetworksResult, folder: Path) -> str:
    from brainlm_core.features.networks.figures import dependence_words, who_wins

    labelled = result.view.setting(result.options).labelled
    lines = [
        who_wins(result.scores, is_random=result.view.model.is_random, dependence=result.dependence),
        f"{result.view.provenance.source_name}: {result.options.n_networks} networks from the attention of "
        f"{result.view.model.model_name} ({result.options.in_words()})",
        f"{'':48}  k-NN accuracy       homologues together  ARI",
    ]
    for row in result.scores:
        lines.append(f"{row.title:48}  {_cell(row.knn):18}  {_cell(row.knn_homologues):19}  {_cell(row.ari)}")
    if not labelled.reason:
        lines.append(f"always naming the largest network: {labelled.chance():.3f}")
    lines.append(dependence_words(result.dependence))
    lines += [f"  note: {notice}" for notice in result.notices]
    return "\n".join([*lines, f"saved to {folder}"])


def _cell(score: Any) -> str:
    if score is None or score.value is None:
        return "-"
    low, high = score.ci95
    return f"{score.value:.3f} ({low:.2f} to {high:.2f})"


def _on_terminal(fraction: float, stage: str) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}{end}")
    sys.stderr.flush()
