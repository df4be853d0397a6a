"""Score a model on recordings that it never saw, beside every baseline."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from brainlm_core.base.errors import ConfigError
from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.cohort_arguments import add_cohort_arguments, cohort_reference
from brainlm_core.command_line.model_arguments import add_model_arguments, load_engine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    group = add_cohort_arguments(parser)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for evaluation.json")
    group.add_argument("--rows", metavar="WHICH", help="only these recordings, counted from 1, e.g. 13-15")
    group.add_argument(
        "--where", metavar="COLUMN=A,B", help="only recordings with these values in the phenotypes"
    )
    what = parser.add_argument_group("what to evaluate")
    what.add_argument(
        "--parts", default="masked,context,forecast,networks,decode", help="some of these, by comma"
    )
    what.add_argument(
        "--limit", type=int, default=40, metavar="N", help="recordings for all but decode (40; 0 takes all)"
    )
    what.add_argument("--windows", type=int, default=2, metavar="N", help="masked windows per recording (2)")
    what.add_argument("--starts", type=int, default=6, metavar="N", help="forecast starts per recording (6)")
    what.add_argument("--steps", type=int, default=20, metavar="N", help="forecast horizon in volumes (20)")
    what.add_argument("--seed", type=int, default=0, help="of masks and intervals (0)")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> CommandResult:
    """Evaluate, save, and say the main figures."""
    from brainlm_core.base.writing import one_writer
    from brainlm_core.features.evaluate.analysis import EvaluateOptions, evaluate

    options = EvaluateOptions(
        limit=args.limit or None,
        n_windows=args.windows,
        n_starts=args.starts,
        steps=args.steps,
        parts=tuple(p.strip() for p in args.parts.split(",") if p.strip()),
        seed=args.seed,
    )
    cohort = cohort_reference(args).open()
    if args.rows:
        cohort = cohort.subset(_rows(args.rows, len(cohort)))
    if args.where:
        cohort = cohort.where(args.where)
    with one_writer(args.output):
        result = evaluate(load_engine(args), cohort, options, _on_terminal if sys.stderr.isatty() else None)
        files = result.save(args.output)
    facts = {**result.to_dict(), "files": [str(path) for path in files]}
    return CommandResult(objects=[facts], text=_in_words(facts))


def _rows(text: str, n: int) -> list[int]:
    rows: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            rows += range(int(first) - 1, int(last or first))
    except ValueError as error:
        raise ConfigError(f"--rows {text} is no list of numbers", "write for example 1,4,7-9") from error
    if not rows or min(rows) < 0 or max(rows) >= n:
        raise ConfigError(f"--rows {text} names recordings beyond 1 to {n}", "count from 1")
    return rows


def _on_terminal(share: float, sentence: str) -> None:
    print(f"\r{share:4.0%} {sentence:<60}", end="\n" if share >= 1 else "", file=sys.stderr)  # noqa: T201


def _in_words(facts: dict[str, Any]) -> str:
    lines = [f"{facts['model']} on {facts['cohort']}: {facts['n_evaluated']} recordings"]
    for kind, methods in (facts.get("masked_r2") or {}).items():
        told = ", ".join(f"{m} {s['value']:.3f}" for m, s in methods.items())
        lines.append(f"masked R², {kind}: {told}")
    lines += _context_in_words(facts.get("context"))
    forecast = facts.get("forecast")
    if forecast:
        for method, values in forecast["r2"].items():
            lines.append(f"forecast R² at steps 1, 2, 5, {method}: " + _steps(values))
    networks = facts.get("networks")
    if networks:
        told = ", ".join(
            f"{m} {s['value']:.3f}" for m, s in networks["knn_accuracy"].items() if s["value"] is not None
        )
        lines.append(f"network k-NN accuracy, one window: {told}")
    for target, block in (facts.get("decode") or {}).items():
        told = ", ".join(f"{m} {s['value']:.3f}" for m, s in block["scores"].items())
        lines.append(f"{target} ({block['metric']}): {told}")
    return "\n".join([*lines, *facts["notices"], f"saved: {facts['files'][0]}"])


def _context_in_words(context: dict[str, Any] | None) -> list[str]:
    if not context:
        return []
    lines = []
    for kind, methods in context["masked_r2"].items():
        told = ", ".join(f"{m} {s['value']:.4f}" for m, s in methods.items())
        lines.append(f"context, masked R², {kind}: {told}")
    for name, figures in context["maps_of_halves"].items():
        if isinstance(figures, dict):
            told = ", ".join(f"{k} {v:.3f}" for k, v in figures.items() if v is not None)
            lines.append(f"maps of halves, {name}: {told}")
    return lines


def _steps(values: list[float]) -> str:
    return ", ".join(f"{values[i]:.3f}" for i in (0, 1, 4) if i < len(values))
