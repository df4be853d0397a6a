"""One process that damages inputs and reads them; it may be killed at any moment."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.itself import ITSELF
from tests.fuzz.mutations import Edit, Part, damage, edits
from tests.fuzz.targets import CASE_FOLDER, BrokenPromise, Target, all_targets

#: Most memory, in bytes, that reading one input may take.
MAX_BYTES = 2 << 30
#: Where the kernel stops a process that runs away, so that the machine lives on.
_HARD_BYTES = 6 << 30
_BATCH = 200


@dataclass(frozen=True)
class Job:
    """So many different inputs for one target."""

    target: str
    cases: int
    seed: int
    max_bytes: int = MAX_BYTES


@dataclass(frozen=True)
class Finding:
    """An input that broke a promise.

    Parameters
    ----------
    target : str
    where : str
        Kind and place: the same defect found twice has the same.
    what : str
        The exception, or ``hang``, ``killed``, ``memory``.
    file : str
        Where the input was kept.
    option : int
        Second argument of :meth:`tests.fuzz.targets.Target.hold`.
    """

    target: str
    where: str
    what: str
    file: str
    option: int


@dataclass(frozen=True)
class Outcome:
    """What reading one input cost and, when it broke a promise, where and how."""

    accepted: bool
    seconds: float
    peak_bytes: int
    where: str = ""
    what: str = ""


@dataclass(frozen=True)
class Case:
    """One damaged input."""

    part: Part
    todo: tuple[Edit, ...]
    option: int


class Log:
    """The inputs of one target that were read so far, one a line: a process that dies loses none.

    A line is ``digest`` when the input is taken, then ``accepted seconds bytes`` when it was read.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: set[str] = set()
        self.accepted, self.slowest_s, self.peak_bytes = 0, 0.0, 0
        whole = path.read_text("ascii") if path.is_file() else ""
        for line in whole.splitlines():
            digest, *figures = line.split()
            self.seen.add(digest)
            if len(figures) == 3:
                self._count(*(float(f) for f in figures))
        if whole and not whole.endswith("\n"):  # the process died on this input
            self._append("\n")

    def begin(self, data: bytes) -> bool:
        """Take an input; return whether it is a new one."""
        digest = hashlib.blake2b(data, digest_size=8).hexdigest()
        if digest in self.seen:
            return False
        self.seen.add(digest)
        self._append(digest)
        return True

    def end(self, read: Outcome) -> None:
        """Note what the input cost."""
        self._append(f" {read.accepted:d} {read.seconds:.2f} {read.peak_bytes}\n")
        self._count(read.accepted, read.seconds, read.peak_bytes)

    def figures(self) -> dict[str, float]:
        """Return what is reported of a target."""
        counts = {"cases": len(self.seen), "accepted": self.accepted}
        return {**counts, "slowest_s": self.slowest_s, "peak_mb": self.peak_bytes >> 20}

    def _count(self, accepted: float, seconds: float, peak_bytes: float) -> None:
        self.accepted += int(accepted)
        self.slowest_s = max(self.slowest_s, seconds)
        self.peak_bytes = max(self.peak_bytes, int(peak_bytes))

    def _append(self, text: str) -> None:
        with self.path.open("a", encoding="ascii") as stream:
            stream.write(text)


class Searcher:
    """Runs jobs in this process, writes what it finds, and says where it is.

    Parameters
    ----------
    folder : Path
        Private to this process: the input in hand lies there. The folder above it holds
        ``findings.jsonl`` and the log of every target.
    keep : Path
        Where inputs that broke something are kept.
    since : shared double
        When the input in hand was begun, in s of the monotonic clock; 0 between inputs.
    """

    def __init__(self, folder: Path, keep: Path, since: Synchronized[float]) -> None:
        self.folder, self.keep, self.since = folder, keep, since
        self.known = {f["where"] for f in lines(folder.parent / "findings.jsonl")}
        self.logged = _Listener()
        self.max_bytes = MAX_BYTES

    def work(self, jobs: Sequence[Job]) -> None:
        """Run jobs one after the other."""
        _limit_memory()
        _offline(self.folder)
        logging.getLogger().addHandler(self.logged)
        warnings.simplefilter("error")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        for job in jobs:
            (self.folder / "job.json").write_text(json.dumps(asdict(job)), "utf-8")
            self.max_bytes = job.max_bytes
            self._search(ITSELF.get(job.target) or all_targets()[job.target], job)

    def _search(self, target: Target, job: Job) -> None:
        log = Log(log_file(self.folder.parent, target.name))
        parts = target.parts()
        self._warm_up(target, parts)
        drawn = st.integers(0, len(parts) - 1).flatmap(
            lambda k: st.builds(Case, st.just(parts[k]), edits(parts[k]).map(tuple), st.integers(0, 83))
        )
        seed = job.seed
        while len(log.seen) < job.cases:
            seed += 1

            @hypothesis.seed(seed)
            @settings(
                max_examples=min(_BATCH, 20 + job.cases - len(log.seen)),
                database=None,
                deadline=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            @given(drawn)
            def one(case: Case) -> None:
                if len(log.seen) >= job.cases:
                    return
                data = damage(case.part, list(case.todo))
                if log.begin(data):
                    log.end(self._try(target, case, data))

            one()

    def _warm_up(self, target: Target, parts: Sequence[Part]) -> None:
        """Import and compute before the clock runs; then take the suspect of a process before once more."""
        if target.name not in ITSELF:
            for option in range(12):
                self._read(target, damage(parts[option % len(parts)], []), option, timed=False)
        suspect = self.folder / "suspect"
        if suspect.is_file():
            data, option = suspect.read_bytes(), int((self.folder / "suspect-option").read_text("utf-8"))
            read = self._read(target, data, option)
            suspect.unlink()
            if read.what:
                self._keep(target, data, option, read.where, read.what)

    def _try(self, target: Target, case: Case, data: bytes) -> Outcome:
        """Read an input, and keep the least of it that breaks a promise."""
        first = self._read(target, data, case.option)
        if not first.what or first.where in self.known:
            return first
        todo = list(case.todo)
        for edit in list(todo):  # leave out what is not needed
            fewer = [e for e in todo if e is not edit]
            smaller = damage(case.part, fewer)
            if self._read(target, smaller, case.option).where == first.where:
                todo, data = fewer, smaller
        self._keep(target, data, case.option, first.where, first.what)
        return first

    def _keep(self, target: Target, data: bytes, option: int, where: str, what: str) -> None:
        """Keep an input that broke a promise, once for each place."""
        self.known.add(where)
        name = hashlib.sha256(where.encode()).hexdigest()[:8]
        file = self.keep / f"{target.name}-{name}-{option}"
        self.keep.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._write("findings.jsonl", asdict(Finding(target.name, where, what, str(file), option)))

    def _read(self, target: Target, data: bytes, option: int, *, timed: bool = True) -> Outcome:
        folder = self.folder / CASE_FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / target.file_name
        path.write_bytes(data)
        (self.folder / "option").write_text(str(option), "utf-8")
        _forget_peak()
        self.logged.lines.clear()
        accepted, where, what = False, "", ""
        start = time.monotonic()
        self.since.value = start if timed else 0.0
        try:
            accepted = target.hold(path, option)
            if self.logged.lines:
                raise BrokenPromise(f"prints beside the sentence: {self.logged.lines[0][:200]}")
        except Exception as error:  # the very thing that is looked for
            where, what = f"{target.name} {_place(error)}", f"{type(error).__name__}: {error}"[:400]
        finally:
            self.since.value = 0.0
        seconds, peak = time.monotonic() - start, _peak()
        if not what and peak > self.max_bytes:
            where, what = f"{target.name} memory", f"memory: {peak / 2**30:.1f} GiB"
        return Outcome(accepted, seconds, peak, where, what)

    def _write(self, name: str, record: dict[str, object]) -> None:
        with (self.folder.parent / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


class _Listener(logging.Handler):
    """Collects what a library would print on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


def run(jobs: Sequence[Job], folder: Path, keep: Path, since: Synchronized[float]) -> None:
    """Entry of a search process."""
    Searcher(folder, keep, since).work(jobs)


def log_file(root: Path, target: str) -> Path:
    """Return where the log of a target lies."""
    return root / f"{target}.log"


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file of one JSON object a line, which may not exist yet."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def _place(error: BaseException) -> str:
    """Return kind and last place in this project: what tells two defects apart."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/brainlm_core/" in f.filename or "/app/" in f.filename] or list(frames)
    kind = type(error).__name__
    detail = str(error).split(":")[0][:20] if isinstance(error, BrokenPromise) else ""
    return f"{kind} {Path(own[-1].filename).name}:{own[-1].lineno} {detail}".strip()


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (_HARD_BYTES, _HARD_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _offline(folder: Path) -> None:
    os.environ["BRAINLM_OFFLINE"] = "1"
    os.environ["BRAINLM_CACHE"] = str(folder.parent / "cache")


def _forget_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return  # the peak is then that of the whole process, which is stricter


def _peak() -> int:
    """Return the most resident memory since :func:`_forget_peak`, in bytes."""
    try:
        status = Path("/proc/self/status").read_text("ascii")
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        import resource

        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
