"""Read thousands of damaged inputs: ``python -m tests.fuzz --cases 20000``.

Prints one line a target and one a finding, or one JSON object; exits 1 when anything was found. An input that
takes longer than 10 s or kills the process is found too: another process watches. Says on stderr every 30 s
where it stands; ``--work FOLDER`` keeps what was read, and the same command goes on there after a stop.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.fuzz.search import MAX_BYTES, Finding, Job, Log, lines, log_file, run
from tests.fuzz.targets import CASE_FOLDER, all_targets

#: Longest time for one input, in s.
MAX_SECONDS = 10.0
_SAY_EVERY_S = 30.0
#: A target that kills its process more often than this is left.
_MAX_DEATHS = 20


class Watched:
    """A search process that is started again when an input stops or kills it."""

    def __init__(self, jobs: Sequence[Job], folder: Path, keep: Path, seconds: float) -> None:
        self.jobs, self.folder, self.keep, self.seconds = list(jobs), folder, keep, seconds
        self.context = multiprocessing.get_context("spawn")
        self.since = self.context.Value("d", 0.0)
        self.deaths = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.process = self._start()

    def _start(self) -> Any:
        self.since.value = 0.0
        process = self.context.Process(target=run, args=(self.jobs, self.folder, self.keep, self.since))
        process.start()
        return process

    def look(self) -> bool:
        """Go on where the process died or hangs; return whether it is finished."""
        self.process.join(0.2)
        begun = self.since.value
        if self.process.is_alive():
            if not begun or time.monotonic() - begun < self.seconds:
                return False
            self.process.kill()
            self.process.join()
            self._suspect()
        elif self.process.exitcode == 0:
            return True
        elif self.process.exitcode > 0:
            raise RuntimeError("the search itself failed; its traceback stands above")
        else:
            self._note(f"killed: the process died of signal {-self.process.exitcode}")
        return self._go_on()

    def _suspect(self) -> None:
        """Note a hang when the same input hangs twice: once may be the fault of a busy machine."""
        suspect = self.folder / "suspect"
        if suspect.is_file():
            suspect.unlink()
            self._note(f"hang: no answer within {self.seconds:g} s, twice")
            return
        inputs = sorted(p for p in (self.folder / CASE_FOLDER).iterdir() if p.is_file())
        if inputs:
            shutil.copy(inputs[0], suspect)
            shutil.copy(self.folder / "option", self.folder / "suspect-option")

    def _note(self, what: str) -> None:
        job = json.loads((self.folder / "job.json").read_text("utf-8"))
        option = int((self.folder / "option").read_text("utf-8"))
        self.deaths += 1
        file = self.keep / f"{job['target']}-{what.split(':')[0]}{self.deaths}-{option}"
        self.keep.mkdir(parents=True, exist_ok=True)
        inputs = sorted((self.folder / CASE_FOLDER).iterdir())
        if inputs:
            shutil.copy(inputs[0], file)
        finding = Finding(job["target"], f"{job['target']} {what.split(':')[0]}", what, str(file), option)
        with (self.folder.parent / "findings.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(finding)) + "\n")

    def _go_on(self) -> bool:
        """Start again behind the jobs that are done; the log of the one in hand knows what was read."""
        now = json.loads((self.folder / "job.json").read_text("utf-8"))["target"]
        while self.jobs and self.jobs[0].target != now:
            self.jobs.pop(0)
        if self.deaths >= _MAX_DEATHS:
            self.jobs.pop(0)
        if not self.jobs:
            return True
        self.process = self._start()
        return False


def fuzz(
    names: Sequence[str],
    cases: int,
    seed: int,
    workers: int,
    keep: Path,
    seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_BYTES,
    work: Path | None = None,
) -> dict[str, Any]:
    """Read ``cases`` damaged inputs in all, those that ``work`` remembers included; return what was found."""
    start = time.monotonic()
    share = [cases // len(names) + (i < cases % len(names)) for i in range(len(names))]
    jobs = [Job(name, n, seed * 1_000_003, max_bytes) for name, n in zip(names, share, strict=True) if n]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        root = work or Path(scratch)
        pieces = [jobs[k::workers] for k in range(workers) if jobs[k::workers]]
        watched = [Watched(p, root / f"{k}", keep, seconds) for k, p in enumerate(pieces)]
        waiting, said = list(watched), start
        try:
            while waiting:
                waiting = [w for w in waiting if not w.look()]
                if time.monotonic() - said >= _SAY_EVERY_S:
                    said = time.monotonic()
                    print(_standing(root, jobs, said - start), file=sys.stderr, flush=True)
        finally:
            for w in waiting:
                w.process.kill()
        logs = {j.target: Log(log_file(root, j.target)).figures() for j in jobs}
        findings = lines(root / "findings.jsonl")
    return {
        "cases": sum(row["cases"] for row in logs.values()),
        "seed": seed,
        "targets": logs,
        "findings": findings,
        "slowest_s": max(row["slowest_s"] for row in logs.values()),
        "peak_mb": max(row["peak_mb"] for row in logs.values()),
        "wall_s": round(time.monotonic() - start, 1),
    }


def _standing(root: Path, jobs: Sequence[Job], seconds: float) -> str:
    """Return one line: what was read so far and what is in hand."""
    counts = {j.target: _count_lines(log_file(root, j.target)) for j in jobs}
    now = [f"{j.target} {counts[j.target]}/{j.cases}" for j in jobs if 0 < counts[j.target] < j.cases]
    found = len(lines(root / "findings.jsonl"))
    n, of = sum(counts.values()), sum(j.cases for j in jobs)
    return f"{seconds:.0f} s: {n} of {of} inputs read, {found} findings; in hand: {', '.join(now)}"


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    known = all_targets()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="different inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=sorted(known), help="only these (repeatable)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=MAX_SECONDS, help="longest time for one input")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="where findings are kept")
    parser.add_argument(
        "--work", type=Path, help="folder that remembers what was read, to go on after a stop"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    names = args.target or list(known)
    found = fuzz(names, args.cases, args.seed, args.workers, args.keep, seconds=args.seconds, work=args.work)
    if args.json:
        print(json.dumps(found))
    else:
        for name, row in found["targets"].items():
            counts = f"{row['cases']:6d} read, {row['accepted']:5d} accepted"
            print(f"{name:12s} {counts}, slowest {row['slowest_s']:.2f} s, peak {row['peak_mb']} MB")
        for f in found["findings"]:
            print(f"FOUND {f['where']}\n      {f['what']}\n      {f['file']} (option {f['option']})")
        print(f"{found['cases']} inputs in {found['wall_s']:.0f} s, {len(found['findings'])} findings")
    return 1 if found["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
