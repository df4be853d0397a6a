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
class Case:
    """One damaged input."""

    part: Part
    todo: tuple[Edit, ...]
    option: int


class Searcher:
    """Runs jobs in this process, writes what it finds, and says where it is.

    Parameters
    ----------
    folder : Path
        Private to this process: the input in hand, ``findings.jsonl`` and ``done.jsonl`` lie there.
    keep : Path
        Where inputs that broke something are kept.
    since : shared double
        When the input in hand was begun, in s of the monotonic clock; 0 between inputs.
    count : shared int
        Different inputs of the job in hand.
    """

    def __init__(
        self, folder: Path, keep: Path, since: Synchronized[float], count: Synchronized[int]
    ) -> None:
        self.folder, self.keep, self.since, self.count = folder, keep, since, count
        self.known: set[str] = set()
        self.logged = _Listener()
        self.max_bytes = MAX_BYTES
        self.slowest = 0.0
        self.peak = 0
        self.accepted = 0

    def work(self, jobs: Sequence[Job]) -> None:
        """Run jobs one after the other."""
        _limit_memory()
        _offline(self.folder)
        logging.getLogger().addHandler(self.logged)
        warnings.simplefilter("error")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        for job in jobs:
            self.slowest, self.peak, self.accepted = 0.0, 0, 0
            with self.count.get_lock():
                self.count.value = 0
            (self.folder / "job.json").write_text(json.dumps(asdict(job)), "utf-8")
            self.max_bytes = job.max_bytes
            self._search(ITSELF.get(job.target) or all_targets()[job.target], job)
            figures = {"slowest_s": round(self.slowest, 2), "peak_mb": self.peak >> 20}
            counts = {"cases": self.count.value, "accepted": self.accepted}
            self._write("done.jsonl", {**asdict(job), **counts, **figures})

    def _search(self, target: Target, job: Job) -> None:
        parts = target.parts()
        self._warm_up(target, parts)
        self.accepted = 0
        seen: set[bytes] = set()
        drawn = st.integers(0, len(parts) - 1).flatmap(
            lambda k: st.builds(Case, st.just(parts[k]), edits(parts[k]).map(tuple), st.integers(0, 83))
        )
        seed = job.seed
        while len(seen) < job.cases:
            seed += 1

            @hypothesis.seed(seed)
            @settings(
                max_examples=min(_BATCH, 20 + job.cases - len(seen)),
                database=None,
                deadline=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            @given(drawn)
            def one(case: Case) -> None:
                if len(seen) >= job.cases:
                    return
                data = damage(case.part, list(case.todo))
                digest = hashlib.blake2b(data, digest_size=8).digest()
                if digest in seen:
                    return
                seen.add(digest)
                self.count.value = len(seen)
                self._try(target, case, data)

            one()

    def _warm_up(self, target: Target, parts: Sequence[Part]) -> None:
        """Import and compute before the clock runs; then take the suspect of a process before once more."""
        if target.name not in ITSELF:
            for option in range(12):
                self._read(target, damage(parts[option % len(parts)], []), option, timed=False)
        suspect = self.folder / "suspect"
        if suspect.is_file():
            data, option = suspect.read_bytes(), int((self.folder / "suspect-option").read_text("utf-8"))
            failed = self._read(target, data, option)
            suspect.unlink()
            if failed is not None:
                self._keep(target, data, option, *failed)

    def _try(self, target: Target, case: Case, data: bytes) -> None:
        failed = self._read(target, data, case.option)
        if failed is None:
            return
        where, what = failed
        if where in self.known:
            return
        accepted = self.accepted
        todo = list(case.todo)
        for edit in list(todo):  # leave out what is not needed
            fewer = [e for e in todo if e is not edit]
            smaller = damage(case.part, fewer)
            again = self._read(target, smaller, case.option)
            if again is not None and again[0] == where:
                todo, data = fewer, smaller
        self.accepted = accepted  # one input counts once, however often it was made smaller
        self._keep(target, data, case.option, where, what)

    def _keep(self, target: Target, data: bytes, option: int, where: str, what: str) -> None:
        """Keep an input that broke a promise, once for each place."""
        self.known.add(where)
        name = hashlib.sha256(where.encode()).hexdigest()[:8]
        file = self.keep / f"{target.name}-{name}-{option}"
        self.keep.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._write("findings.jsonl", asdict(Finding(target.name, where, what, str(file), option)))

    def _read(
        self, target: Target, data: bytes, option: int, *, timed: bool = True
    ) -> tuple[str, str] | None:
        """Read one input; return where and how it broke a promise."""
        folder = self.folder / CASE_FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / target.file_name
        path.write_bytes(data)
        (self.folder / "option").write_text(str(option), "utf-8")
        _forget_peak()
        self.logged.lines.clear()
        start = time.monotonic()
        self.since.value = start if timed else 0.0
        try:
            self.accepted += target.hold(path, option)
            if self.logged.lines:
                raise BrokenPromise(f"prints beside the sentence: {self.logged.lines[0][:200]}")
        except Exception as error:  # the very thing that is looked for
            return f"{target.name} {_place(error)}", f"{type(error).__name__}: {error}"[:400]
        finally:
            self.since.value = 0.0
            self.slowest = max(self.slowest, timed * (time.monotonic() - start))
            peak = _peak()
            self.peak = max(self.peak, peak)
        if peak > self.max_bytes:
            return f"{target.name} memory", f"memory: {peak / 2**30:.1f} GiB"
        return None

    def _write(self, name: str, record: dict[str, object]) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")


class _Listener(logging.Handler):
    """Collects what a library would print on stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {record.getMessage()}")


def run(
    jobs: Sequence[Job], folder: Path, keep: Path, since: Synchronized[float], count: Synchronized[int]
) -> None:
    """Entry of a search process."""
    Searcher(folder, keep, since, count).work(jobs)


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
