"""The arguments of every command that takes a SCAN, and the recording they lead to."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from brainlm_core.base.recording import Recording


def add_scan_arguments(parser: argparse.ArgumentParser) -> None:
    """Add SCAN and the flags of ``brainlm parcellate``."""
    parser.add_argument(
        "scan",
        metavar="SCAN",
        nargs="+",
        help="4D NIfTI, CIFTI, GIFTI (one or both hemispheres), table, saved rec.npz, fMRIPrep folder, "
        "or `demo` for a bundled simulated recording",
    )
    group = parser.add_argument_group("reading the scan")
    group.add_argument("--tr", type=float, metavar="S", help="repetition time in s")
    group.add_argument(
        "--confounds",
        metavar="FILE",
        help="confounds table of the run, or motion file of SPM, FSL, AFNI, HCP",
    )
    group.add_argument("--coordinates", metavar="CSV", help="x, y, z in mm (MNI) of each parcel of a table")
    group.add_argument(
        "--atlas",
        metavar="NAME|PATH",
        help="a known parcellation (a424, a424-cortex, glasser-left-first, schaefer-400-7, 4s-456, aal, …), "
        "a424-approximation, or a label volume",
    )
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the labels of that volume: .tsv or .csv, a FreeSurfer colour table, or .json",
    )
    group.add_argument(
        "--rows-are",
        choices=("volumes", "parcels"),
        help="what the rows of a table are, where both could be",
    )
    group.add_argument(
        "--space",
        metavar="NAME",
        help="the image's template where its name and header do not say it, such as MNI152NLin6Asym",
    )
    add_isolated(group)
    cleaning = parser.add_argument_group("cleaning (off by default)")
    cleaning.add_argument("--detrend", action="store_true", help="remove each parcel's linear trend")
    cleaning.add_argument(
        "--confound-strategy",
        metavar="NAMES",
        default="",
        help="comma-separated: simple, compcor, motion, wm_csf, global_signal, high_pass, non_steady_state",
    )
    cleaning.add_argument("--high-pass", type=float, metavar="HZ", help="high-pass limit in Hz")
    cleaning.add_argument("--low-pass", type=float, metavar="HZ", help="low-pass limit in Hz")
    cleaning.add_argument("--censor-fd", type=float, metavar="MM", help="drop volumes that moved more")


def add_isolated(group: argparse._ActionsContainer) -> None:
    """Add the switch by which files from strangers are read in a process of their own."""
    group.add_argument(
        "--isolated",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="read in a process of its own with a limit of memory and time, for files from strangers "
        "(default: no, your own files with your own rights; the dashboard always does)",
    )


def load_recording(args: argparse.Namespace) -> Recording:
    """Read the recording that the arguments name.

    Raises
    ------
    ScanError, AtlasError, ConfigError
        As :func:`brainlm_core.scans.read_scan`.
    """
    from brainlm_core.scans import CleaningOptions
    from brainlm_core.scans.intake import scan_reader

    if (demo := _demo(args.scan)) is not None:
        return demo
    options = CleaningOptions(
        detrend=args.detrend,
        strategy=tuple(s.strip() for s in args.confound_strategy.split(",") if s.strip()),
        high_pass_hz=args.high_pass,
        low_pass_hz=args.low_pass,
        censor_fd_mm=args.censor_fd,
    )
    return scan_reader(args.isolated)(
        args.scan if len(args.scan) > 1 else args.scan[0],
        tr_s=args.tr,
        confounds=args.confounds,
        coordinates=args.coordinates,
        atlas=args.atlas,
        labels=args.labels,
        space=args.space,
        rows_are=args.rows_are,
        cleaning=options,
        progress=_on_terminal if sys.stderr.isatty() else None,
    )


def _demo(scan: list[str]) -> Recording | None:
    """Return a bundled recording for ``demo`` or ``demo:KEY``, unless a file has that name."""
    if len(scan) != 1 or Path(scan[0]).exists():
        return None
    from brainlm_core.scans.demo import named_demo

    return named_demo(scan[0])


def _on_terminal(fraction: float, stage: str) -> None:
    end = "\n" if fraction >= 1 else ""
    sys.stderr.write(f"\r\x1b[K{fraction:4.0%} {stage}{end}")
    sys.stderr.flush()
