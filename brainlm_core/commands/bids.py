"""Run parcellate, networks, embed, forecast over a whole dataset and write BIDS derivatives."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from brainlm_core.command_line import CommandResult
from brainlm_core.command_line.model_arguments import add_model_arguments, recipe_of
from brainlm_core.command_line.scan_arguments import add_isolated

if TYPE_CHECKING:
    from brainlm_core.dataset.plan import Selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "bids_dir",
        metavar="BIDS_DIR",
        help="derivatives of fMRIPrep, XCP-D, C-PAC, HCP, DPABI, CONN or SPM, or a dataset with them inside",
    )
    parser.add_argument("output", metavar="OUT", help="folder of the derivative dataset that is written")
    parser.add_argument("level", choices=("participant", "group"), help="every run, or the group of all")
    which = parser.add_argument_group("which runs (all by default)")
    for flag, what in (
        ("--participant-label", "people, without sub-"),
        ("--session-label", "sessions, without ses-"),
        ("--task", "tasks"),
        ("--run", "run numbers"),
        ("--space", "template spaces, such as MNI152NLin6Asym; the best is taken by default"),
    ):
        which.add_argument(flag, nargs="+", metavar="LABEL", help=what)
    which.add_argument(
        "--derivatives", metavar="NAME", help="folder below derivatives/, where there are several"
    )
    how = parser.add_argument_group("what to do with each")
    how.add_argument(
        "--steps",
        default="parcellate,networks,embed",
        metavar="NAMES",
        help="comma-separated: parcellate, networks, embed, forecast",
    )
    how.add_argument("--tr", type=float, metavar="S", help="repetition time in s where files do not say it")
    how.add_argument("--atlas", metavar="NAME|PATH", help="as for `brainlm parcellate`")
    how.add_argument("--confound-strategy", metavar="NAMES", default="", help="as for `brainlm parcellate`")
    how.add_argument("--high-pass", type=float, metavar="HZ", help="high-pass limit in Hz")
    how.add_argument("--low-pass", type=float, metavar="HZ", help="low-pass limit in Hz")
    add_isolated(how)
    where = parser.add_argument_group("where to work")
    where.add_argument("--scheduler", metavar="tcp://…", help="a running Dask scheduler")
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (one per core; 0: this one alone)"
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> CommandResult:
    """Work, and say what was done and what was not."""
    from brainlm_core.dataset.plan import Selection, labels_of

    selection = Selection(
        participants=labels_of(args.participant_label, "sub"),
        sessions=labels_of(args.session_label, "ses"),
        tasks=labels_of(args.task, "task"),
        runs=labels_of(args.run, "run"),
        spaces=labels_of(args.space, "space"),
        derivatives=args.derivatives,
    )
    return _participant(args, selection) if args.level == "participant" else _group(args, selection)


def _participant(args: argparse.Namespace, selection: Selection) -> CommandResult:
    from brainlm_core.dataset.plan import DatasetSettings, plan_jobs
    from brainlm_core.dataset.run import run_dataset
    from brainlm_core.scans import CleaningOptions

    settings = DatasetSettings(
        steps=_names(args.steps),
        model=args.model,
        device=args.device,
        precision=args.precision,
        context=args.read_beside,
        recipe=recipe_of(args),
        accept_licence=args.accept_licence,
        tr_s=args.tr,
        atlas=args.atlas,
        isolated=args.isolated,
        cleaning=CleaningOptions(
            strategy=_names(args.confound_strategy), high_pass_hz=args.high_pass, low_pass_hz=args.low_pass
        ),
    )
    jobs = plan_jobs(args.bids_dir, args.output, selection, settings)
    report = run_dataset(
        jobs,
        args.bids_dir,
        settings,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=_on_terminal if sys.stderr.isatty() else None,
    )
    lines = [f"{report.done} of {len(jobs)} runs are done ({report.resumed} of them before)"]
    lines += [f"failed: {f.label}: {f.reason}" for f in report.failed]
    facts = {"level": "participant", "n_runs": len(jobs), **report.to_dict(), "output": args.output}
    return CommandResult([facts], "\n".join([*lines, f"saved to {args.output}"]), 1 if report.failed else 0)


def _group(args: argparse.Namespace, selection: Selection) -> CommandResult:
    from brainlm_core.dataset.group import summarise

    report = summarise(args.bids_dir, args.output, selection)
    text = f"{report.n_runs} runs of {report.n_participants} people, {report.n_failed} failed before"
    if report.left_out:
        text += f"\nleft out, since they may tell who somebody is: {', '.join(report.left_out)}"
    facts = {"level": "group", **report.to_dict(), "output": args.output}
    return CommandResult([facts], f"{text}\nsaved to {args.output}/group")


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _on_terminal(share: float, sentence: str) -> None:
    end = "\n" if share >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{share:4.0%} {sentence}{end}")
    sys.stderr.flush()
