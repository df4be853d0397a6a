"""Reading in a child: the same arguments, the same recording, the same sentences as :func:`read_scan`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from brainlm_core.base.errors import ScanError
from brainlm_core.base.recording import Recording
from brainlm_core.base.scratch import scratch
from brainlm_core.base.slices import Slices
from brainlm_core.scans.cleaning import CleaningOptions
from brainlm_core.scans.isolation import nursery, wire
from brainlm_core.scans.source import Progress, ScanSource, make_source, no_progress

T = TypeVar("T")
#: Memory of a child above what it begins with, in bytes: for any file, for each byte of it, and at most.
BASE_BYTES, BYTES_PER_BYTE, MOST_BYTES = 256 << 20, 6, 3 << 30
#: Processor time in s: so much for any file, and per MB of it. The clock of a busy machine may run longer.
BASE_SECONDS, SECONDS_PER_MB, BUSY = 10.0, 0.5, 4.0
#: How often a child is looked after, in s.
_LOOK_EVERY_S = 0.05
#: Files that are read at once; others wait for their turn.
_TURNS = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
_FIX = "check where the file comes from, or export it again"


def warm_up() -> None:
    """Load the readers' process ahead of the first file; does nothing where processes cannot be forked."""
    try:
        nursery.warm()
    except OSError:
        logging.getLogger(__name__).warning("the process that reads scans does not start")


@dataclass(frozen=True)
class Limits:
    """What a child may take.

    Parameters
    ----------
    memory : int
        Bytes above what it begins with.
    processor_s : float
        Processor time in s.
    """

    memory: int
    processor_s: float

    @classmethod
    def of(cls, n_bytes: int) -> Limits:
        """Return the limits for files of so many bytes."""
        return cls(
            min(BASE_BYTES + BYTES_PER_BYTE * n_bytes, MOST_BYTES),
            BASE_SECONDS + SECONDS_PER_MB * n_bytes / 1e6,
        )


def read_isolated(
    path: str | os.PathLike[str] | ScanSource | Sequence[str | os.PathLike[str]],
    *,
    tr_s: float | None = None,
    confounds: str | os.PathLike[str] | None = None,
    coordinates: str | os.PathLike[str] | None = None,
    atlas: str | None = None,
    space: str | None = None,
    cleaning: CleaningOptions | None = None,
    progress: Progress | None = None,
    name: str | Sequence[str] | None = None,
    cancelled: Callable[[], bool] | None = None,
    first_look: Callable[[Slices], None] | None = None,
    **more: Any,
) -> Recording:
    """Read a scan in a process of its own that is ended at once when ``cancelled`` says so.

    Parameters
    ----------
    path, tr_s, confounds, coordinates, atlas, space, cleaning, progress, name
        As :func:`brainlm_core.scans.read_scan`.
    **more
        Further options of :func:`brainlm_core.scans.read_scan`, as JSON can carry them.
    cancelled : callable, optional
        Asked often whether anybody still waits. ``progress`` is called once more then, so that it can raise
        what stops the caller.
    first_look : callable, optional
        As :func:`brainlm_core.scans.read_scan`; told at most once.

    Returns
    -------
    Recording

    Raises
    ------
    ScanError, AtlasError, ConfigError
        As :func:`brainlm_core.scans.read_scan`; and a ScanError when the file takes more memory or time than
        a scan of its size can need, or ends the process.
    """
    report = progress or no_progress
    report(0.0, "checking the file")
    source = make_source(path, name)
    options = {
        "tr_s": tr_s, "confounds": confounds, "coordinates": coordinates, "atlas": atlas, "space": space,
        "cleaning": cleaning, **more,
    }  # fmt: skip
    _fetch_atlases(source)
    return _in_child(
        lambda folder: wire.encode_scan(source, options, folder),
        lambda folder: wire.load_result(folder, source.name),
        source.name,
        Limits.of(sum(_size(p) for p in source.paths)),
        report,
        cancelled,
        first_look,
    )


def do_isolated(
    task: str,
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    take: Callable[[Path], T],
    *,
    name: str,
    cancelled: Callable[[], bool] | None = None,
) -> T:
    """Work on files that are no scan in a process of its own, and return what is made of its result.

    Parameters
    ----------
    task : str
        Of :data:`brainlm_core.scans.isolation.child.TASKS`.
    files : mapping of str to Path
        What the child may open, by the name under which its function knows it.
    options : mapping
        As JSON can carry them.
    take : callable
        Given the ``.npz`` that the child left, whose list of members has been looked at.
    name : str
        Display name.
    cancelled : callable, optional
        Asked often whether anybody still waits.

    Raises
    ------
    BrainLMError
        What the function raised; a ScanError when it took too much memory or time, or ended the process.
    """
    n_bytes = sum(p.stat().st_size for p in files.values())
    limits = replace(Limits.of(n_bytes), memory=BASE_BYTES + BYTES_PER_BYTE * n_bytes)  # cohorts are large
    return _in_child(
        lambda folder: wire.encode_task(task, files, options, folder),
        lambda folder: take(wire.check_result(folder, name, limits.memory)),
        name,
        limits,
        no_progress,
        cancelled,
    )


def _in_child(
    encode: Callable[[Path], bytes],
    take: Callable[[Path], T],
    name: str,
    limits: Limits,
    report: Progress,
    cancelled: Callable[[], bool] | None,
    first_look: Callable[[Slices], None] | None = None,
) -> T:
    with scratch() as folder:

        def look() -> None:
            found = wire.load_look(folder)
            if found is not None and first_look is not None:
                first_look(found)

        _wait_for_turn(report, cancelled)
        try:
            child = _start(limits)
            try:
                _follow(child, encode(folder), name, limits, report, cancelled, look)
            finally:
                child.end()
            return take(folder)
        finally:
            _TURNS.release()


def _size(path: Path) -> int:
    """Return bytes of a file, or of the largest below a folder."""
    if not path.is_dir():
        return path.stat().st_size
    sizes = [p.stat().st_size for p in path.rglob("*.nii*") if p.is_file()]
    return max(sizes, default=0)


def _fetch_atlases(source: ScanSource) -> None:
    """Try for the official atlas here: the child has no connection."""
    from brainlm_core.scans.nifti_header import is_nifti
    from brainlm_core.scans.source import probe
    from brainlm_core.scans.volume_atlas import OFFICIAL, official_file

    looked = probe(source)
    if looked.is_dir or is_nifti(looked):
        for remote in OFFICIAL.values():
            official_file(remote)


def _wait_for_turn(report: Progress, cancelled: Callable[[], bool] | None) -> None:
    while not _TURNS.acquire(timeout=0.1):
        report(0.0, "waiting for another file to be read")
        if cancelled is not None and cancelled():
            raise _stopped()


def _stopped() -> ScanError:
    return ScanError("reading was stopped", "give the file again")


def _start(limits: Limits) -> nursery.Child:
    try:
        return nursery.start_child(limits.memory)
    except OSError as error:
        raise ScanError(
            "no process can be started to read the file", "try again later, or tell whoever runs this server"
        ) from error


def _follow(
    child: nursery.Child,
    request: bytes,
    name: str,
    limits: Limits,
    report: Progress,
    cancelled: Callable[[], bool] | None,
    look: Callable[[], None],
) -> None:
    """Pass on what the child says until it is done; end it when it takes too much or nobody waits."""
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(child, request, lines), daemon=True, name="reader").start()
    begun, fraction, stage, looked = time.monotonic(), 0.0, "reading the file", False
    while True:
        try:
            line = lines.get(timeout=_LOOK_EVERY_S)
        except queue.Empty:
            line = None
        if cancelled is not None and cancelled():
            child.end()
            report(fraction, stage)
            raise _stopped()
        if line is None:
            _check_limits(child, name, limits, time.monotonic() - begun)
            continue
        message = _parse(line)
        if "fraction" in message and isinstance(message["fraction"], int | float):
            fraction, stage = float(message["fraction"]), str(message.get("stage", ""))[:200]
            report(fraction, "".join(c for c in stage if c.isprintable()))
        elif message.get("done") is True:
            return
        elif message.get("look") is True:
            if not looked:
                look()
            looked = True
        elif "error" in message:
            raise wire.decode_error(message)
        elif "memory" in message:
            raise _too_much(name, "memory")
        else:
            if "defect" in message:
                logging.getLogger(__name__).error("a reader failed: %s", str(message["defect"])[:4000])
            raise ScanError(f"the process that read {name} ended before it was done", _FIX)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line) if line else {}
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _listen(child: nursery.Child, request: bytes, lines: queue.Queue[bytes]) -> None:
    """Ask, and hand on line by line; an empty line says that the child is gone."""
    try:
        child.asked.write(request)
        child.asked.flush()
        while line := child.answers.readline(wire.MAX_LINE):
            lines.put(line)
    except (OSError, ValueError):
        pass
    finally:
        lines.put(b"")
        for stream in (child.asked, child.answers):
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def _check_limits(child: nursery.Child, name: str, limits: Limits, clock_s: float) -> None:
    if (nursery.anonymous_mb(child.pid) - child.base_mb) * 2**20 > limits.memory:
        raise _too_much(name, "memory")
    used = nursery.processor_s(child.pid)
    if clock_s > limits.processor_s * BUSY or (clock_s if used is None else used) > limits.processor_s:
        raise _too_much(name, "time")


def _too_much(name: str, what: str) -> ScanError:
    return ScanError(f"{name} takes more {what} than a scan of its size can need", _FIX)
