"""Repetition times: which one holds, in which unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from brainlm_core.scans.sidecars import SidecarTiming, sidecar_timing
from brainlm_core.scans.types import MissingTR

#: Repetition times outside this range, in s, are not those of a BOLD run.
TR_RANGE_S = (0.05, 20.0)
#: Repetition times outside this range are rare enough to be asked about when only a header states them.
USUAL_TR_S = (0.2, 10.0)
#: What programs write into a header when they do not know the repetition time, in s.
PLACEHOLDER_S = 1.0
#: Two statements of one repetition time may differ by this share.
_SAME = 2e-3
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


@dataclass(frozen=True)
class ChosenTime:
    """The repetition time that holds.

    Parameters
    ----------
    tr_s : float
        In s.
    notices : tuple of str
        What the user should know about it.
    origin : {"user", "sidecar", "file"}
        Who said so.
    doubtful : bool
        Whether it is to be asked about: exactly what some programs write when they do not know it.
    """

    tr_s: float
    notices: tuple[str, ...]
    origin: str
    doubtful: bool = False


def resolve(
    given: float | None,
    stated: RepetitionTime,
    path: Path | None,
    name: str,
    may_open: Callable[[Path], bool] = lambda _: True,
) -> ChosenTime:
    """Choose the repetition time: the user's, else the BIDS sidecar's, else the file's own.

    Parameters
    ----------
    given : float or None
        What the user says, in s.
    stated : RepetitionTime
        What the file itself says.
    path : Path or None
        The file, when sidecars may be looked for beside and above it.
    name : str
        Display name.
    may_open : callable
        Tells whether a file that was found may be opened.

    Raises
    ------
    MissingTR
        If nobody knows it, or only a header states one that hardly any BOLD run has.
    """
    beside = SidecarTiming() if path is None else sidecar_timing(path, may_open)
    sidecar, sidecar_notices = _from_sidecar(beside)
    if given is not None:
        tr_s, notices = from_user(given)
        others = (("The file states", stated.tr_s), ("The JSON sidecar states", sidecar))
        told = tuple(
            f"{who} TR = {other:g} s; the given {tr_s:g} s was used."
            for who, other in others
            if other is not None and not _same(other, tr_s)
        )
        return ChosenTime(tr_s, (*notices, *told), "user")
    if sidecar is not None:
        _ask_if_odd(sidecar, f"the JSON sidecar of {name}", beside.last_slice)
        return _of_sidecar(sidecar, sidecar_notices, beside.key, stated)
    if beside.uneven:
        raise MissingTR(
            f"the VolumeTiming beside {name} says that its volumes were not taken at a steady pace",
            "give a run with a constant repetition time, or the TR that comes closest (--tr)",
        )
    if stated.tr_s is None:
        raise MissingTR(f"{name} does not say its repetition time", "give TR in seconds (--tr)")
    _ask_if_odd(stated.tr_s, name, beside.last_slice)
    return _of_file(stated.tr_s, stated.notices)


def _ask_if_odd(tr_s: float, who: str, last_slice: float | None) -> None:
    """Refuse, with a question, what is stated but hardly true."""
    if not USUAL_TR_S[0] <= tr_s <= USUAL_TR_S[1]:
        raise MissingTR(
            f"{who} states a repetition time of {tr_s:g} s, which hardly any BOLD run has",
            "give the right TR in seconds (--tr), or this one again if it is true",
            tr_s,
        )
    if last_slice is not None and tr_s * 1.01 < last_slice < TR_RANGE_S[1]:
        raise MissingTR(
            f"{who} states a repetition time of {tr_s:g} s, but the last slice of a volume was taken after "
            f"{last_slice:g} s (SliceTiming)",
            "give the right TR in seconds (--tr)",
            tr_s,
        )


def _from_sidecar(beside: SidecarTiming) -> tuple[float | None, tuple[str, ...]]:
    """Return a sidecar's repetition time in s; None when it has none that a run can have."""
    value = beside.repetition_time
    if value is None:
        return None, ()
    if _plausible(value):
        return value, ()
    if _plausible(value / 1000):
        note = (
            f"The {beside.key} of {value:g} in the JSON sidecar was read as milliseconds: {value / 1000:g} s."
        )
        return value / 1000, (note,)
    return None, ()


def _of_sidecar(tr_s: float, notices: tuple[str, ...], key: str, stated: RepetitionTime) -> ChosenTime:
    if stated.tr_s is None or _same(stated.tr_s, tr_s):
        return ChosenTime(tr_s, notices, "sidecar")
    told = (
        f"The file states TR = {stated.tr_s:g} s, the JSON sidecar ({key}) {tr_s:g} s; {tr_s:g} s was used."
    )
    return ChosenTime(tr_s, (*notices, told), "sidecar", doubtful=tr_s == PLACEHOLDER_S)


def _of_file(tr_s: float, notices: tuple[str, ...]) -> ChosenTime:
    if abs(tr_s - PLACEHOLDER_S) > 1e-6:
        return ChosenTime(tr_s, notices, "file")
    ask = (
        "The file states a repetition time of exactly 1 s, which some programs write when they do not know "
        "it: is it true? If not, give the right one (--tr)."
    )
    return ChosenTime(tr_s, (*notices, ask), "file", doubtful=True)


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(one, other)
