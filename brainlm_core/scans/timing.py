"""Repetition times: which one holds, in which unit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.scans.types import MissingTR

#: Repetition times outside this range, in s, are not those of a BOLD run.
TR_RANGE_S = (0.05, 20.0)
PLACEHOLDER_NOTICE = (
    "The header gives a repetition time of exactly 1 without a unit, which some programs write when "
    "they do not know it; check that it is 1 s."
)
_TO_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}


@dataclass(frozen=True)
class RepetitionTime:
    """A repetition time in s, with what the user should know about it."""

    tr_s: float | None
    notices: tuple[str, ...] = ()


def from_header(value: float, unit: str) -> RepetitionTime:
    """Turn a header's time step into seconds.

    Parameters
    ----------
    value : float
        Time step as stored.
    unit : {"sec", "msec", "usec", "unknown"}
        Unit as stored; it is wrong in enough files that the size of the value is believed more.

    Returns
    -------
    RepetitionTime
        ``tr_s`` None when the header is silent (0, negative, not finite) or implausible.
    """
    if not math.isfinite(value) or value <= 0:
        return RepetitionTime(None)
    shown = f"{value:g}" if unit == "unknown" else f"{value:g} {unit}"
    seconds = value * _TO_SECONDS.get(unit, 1.0)
    if _plausible(seconds):
        if unit != "sec" and seconds == 1.0:
            return RepetitionTime(1.0, (PLACEHOLDER_NOTICE,))
        fine = unit in ("sec", "unknown")
        return RepetitionTime(seconds, () if fine else (f"The repetition time of {shown} is {seconds:g} s.",))
    for factor, word in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if _plausible(value * factor):
            return RepetitionTime(
                value * factor,
                (f"The header gives a repetition time of {shown}; it was read as {value:g} {word}.",),
            )
    return RepetitionTime(None, (f"The header's repetition time of {shown} is implausible.",))


def _plausible(seconds: float) -> bool:
    return TR_RANGE_S[0] <= seconds <= TR_RANGE_S[1]


def from_user(tr_s: float) -> tuple[float, tuple[str, ...]]:
    """Check a repetition time that the user gave; return it in s with notices.

    Raises
    ------
    MissingTR
        If it is not a plausible number of seconds, nor of milliseconds.
    """
    if math.isfinite(tr_s) and _plausible(tr_s):
        return float(tr_s), ()
    if math.isfinite(tr_s) and _plausible(tr_s / 1000):
        return tr_s / 1000, (
            f"The given repetition time of {tr_s:g} was read as milliseconds: {tr_s / 1000:g} s.",
        )
    low, high = TR_RANGE_S
    raise MissingTR(
        f"a repetition time of {tr_s:g} s is impossible", f"give seconds between {low:g} and {high:g}"
    )


def from_sidecar(path: Path, may_open: Callable[[Path], bool] = lambda _: True) -> float | None:
    """Return ``RepetitionTime`` of the BIDS JSON beside a file, in s, or None; nothing else in it is kept."""
    stem = path.name
    for suffix in (".gz", ".nii", ".dtseries", ".ptseries", ".func", ".gii", ".tsv", ".csv", ".txt"):
        stem = stem.removesuffix(suffix)
    try:
        sidecar = path.with_name(f"{stem}.json")
        if not may_open(sidecar) or sidecar.stat().st_size > 1 << 20:
            return None
        value = json.loads(sidecar.read_text(encoding="utf-8")).get("RepetitionTime")
        return float(value) if value else None
    except (OSError, ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return None


def resolve(
    given: float | None,
    stated: float | None,
    path: Path | None,
    name: str,
    may_open: Callable[[Path], bool] = lambda _: True,
) -> tuple[float, tuple[str, ...], str]:
    """Choose the repetition time: the user's, else the file's, else the BIDS sidecar's.

    Returns
    -------
    tr_s : float
    notices : tuple of str
    origin : {"user", "file", "sidecar"}

    Raises
    ------
    MissingTR
        If nobody knows it.
    """
    if given is not None:
        tr_s, notices = from_user(given)
        if stated is not None and abs(stated - tr_s) > 1e-3 * tr_s:
            notices = (*notices, f"The file states TR = {stated:g} s; the given {tr_s:g} s was used.")
        return tr_s, notices, "user"
    if stated is not None:
        return stated, (), "file"
    beside = None if path is None else from_sidecar(path, may_open)
    if beside is not None:
        return *from_user(beside), "sidecar"
    raise MissingTR(f"{name} does not say its repetition time", "give TR in seconds (--tr)")
