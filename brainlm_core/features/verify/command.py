"""Hold this build against stored numbers of the published code."""

from __future__ import annotations

import argparse

from brainlm_core.command_line import CommandResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "folders", nargs="*", metavar="FIXTURE_DIR", help="folders with stored numbers (the bundled ones)"
    )


def run(args: argparse.Namespace) -> CommandResult:
    """Compare each folder; the exit code is 1 when one differs."""
    from brainlm_core.features.verify.analysis import bundled_cases, verify

    results = [verify(folder) for folder in args.folders or bundled_cases()]
    lines = []
    for r in results:
        errors = ", ".join(f"{k} {'-' if v is None else f'{v:.1e}'}" for k, v in r.max_abs_error.items())
        masks = "masks equal" if r.mask_equal else "masks differ"
        lines.append(f"{'equal' if r.passed else 'DIFFERS'}  {r.case}: {masks}; largest difference: {errors}")
        lines += [f"         not compared: {name}" for name in r.skipped]
    code = 0 if all(r.passed for r in results) else 1
    return CommandResult(objects=[r.to_dict() for r in results], text="\n".join(lines), exit_code=code)
