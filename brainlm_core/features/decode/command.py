"""Tell a column of a phenotypes table from embeddings, beside every baseline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainlm_core.command_line import CommandResult

if TYPE_CHECKING:
    from brainlm_core.features.decode.analysis import DecodeResult
    from brainlm_core.features.decode.scores import Score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("embeddings", metavar="embeddings.parquet", help="made by brainlm embed")
    parser.add_argument(
        "phenotypes", metavar="PHENOTYPES.csv", nargs="?", help="one row per recording or person"
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="what to tell, e.g. age_years")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for tables and arrays")
    apart = parser.add_argument_group("who is kept apart")
    apart.add_argument("--group", default="subject_id", metavar="COLUMN", help="never split (subject_id)")
    apart.add_argument("--leave-out", metavar="COLUMN", help="leave whole values out, e.g. site")
    how = parser.add_argument_group("how")
    how.add_argument("--layer", default="cls", choices=("cls", "mean"), help="which embedding (cls)")
    how.add_argument(
        "--predictor",
        default="ridge",
        choices=("ridge", "logistic", "svm", "mlp"),
        help="ridge also tells classes, by their ±1 (ridge)",
    )
    how.add_argument(
        "--task", default="auto", choices=("auto", "regression", "classification"), help="number or class"
    )
    how.add_argument(
        "--confounds",
        default="mean_fd_mm,tr_s,duration_s",
        metavar="COLUMNS",
        help="regressed out of brain features inside the folds; none for none",
    )
    how.add_argument("--permutations", type=int, default=199, metavar="N", help="for p (199; 0: no p)")
    how.add_argument("--seed", type=int, default=0, help="of folds, permutations and intervals (0)")


def run(args: argparse.Namespace) -> CommandResult:
    """Decode, save, and say the scores."""
    from brainlm_core.cohort.isolated import read_embeddings_isolated
    from brainlm_core.cohort.phenotypes import read_table
    from brainlm_core.features.decode.analysis import decode
    from brainlm_core.features.decode.inputs import DecodeOptions

    options = DecodeOptions(
        target=args.target,
        group=args.group,
        leave_out=args.leave_out,
        layer=args.layer,
        predictor=args.predictor,
        task=args.task,
        confounds=tuple(c for c in args.confounds.split(",") if c and c != "none"),
        n_permutations=args.permutations,
        seed=args.seed,
    )
    embeddings = read_embeddings_isolated(args.embeddings, parcels=False)
    matched = ""
    if args.phenotypes:
        name = Path(args.phenotypes).name
        embeddings, matching = embeddings.with_phenotypes(read_table(args.phenotypes), name)
        matched = matching.sentence()
    result = decode(embeddings, options, progress=_on_terminal if sys.stderr.isatty() else None)
    files = result.save(args.output)
    facts: dict[str, Any] = {
        **result.to_dict(),
        "phenotypes": matched or None,
        "files": [str(path) for path in files],
    }
    return CommandResult(objects=[facts], text=_text(result, matched, args.output))


def _text(result: DecodeResult, matched: str, folder: str) -> str:
    from brainlm_core.base.methods import words_of
    from brainlm_core.features.decode.analysis import CAVEAT

    unit = "R²" if result.metric == "r2" else "area under the ROC curve"
    lines = [f"{result.options.target} of {len(result.ids)} recordings, {unit}; {result.folds}"]
    for name, score in result.scores.items():
        low, high = score.interval
        chance = "" if score.p is None else f"  p {score.p:.3f}"
        said = words_of(name, "decode")
        lines.append(f"  {said:26} {score.value:+.3f}  [{low:+.3f}, {high:+.3f}]{chance}{_within(score)}")
    lines += [f"  note: {notice}" for notice in (matched, *result.notices) if notice]
    return "\n".join([*lines, f"  {CAVEAT}", f"saved to {folder}"])


def _within(score: Score) -> str:
    return "" if score.within_site is None else f"  within sites {score.within_site.value:+.3f}"


def _on_terminal(share: float, sentence: str) -> None:
    end = "\n" if share >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{share:4.0%} {sentence}{end}")
    sys.stderr.flush()
