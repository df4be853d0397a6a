"""Embed a cohort: in this process, on a local cluster, or on any Dask cluster; a killed run goes on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from brainlm_core import __version__
from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.base.writing import one_writer
from brainlm_core.cohort import personal
from brainlm_core.cohort.parts import Failure, Parts
from brainlm_core.cohort.store import source_key
from brainlm_core.cohort.tasks import ChunkResult, CohortReference, EmbedSettings, embed_chunk
from brainlm_core.remote.safety import check_address, local_cluster, unreachable

Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]
Task = tuple[int, tuple[int, ...]]
T = TypeVar("T")

#: Recordings per task: large enough that a task outweighs its overhead, small enough to lose little.
CHUNK = 8
#: Tasks a worker has waiting beside the one that it works on; bounds what is in memory.
QUEUED_PER_WORKER = 2
#: How long a cluster without any worker is waited for, in s.
WAIT_FOR_WORKERS_S = 60.0


@dataclass(frozen=True)
class EmbedReport:
    """What a run did.

    Parameters
    ----------
    path : Path
        The embeddings.
    n : int
        Recordings in it.
    resumed : int
        Recordings that an earlier, killed run had done.
    failed : tuple of Failure
    seconds : float
        Of this run.
    workers : int
        Processes that worked.
    notices : tuple of str
        What the user should read.
    """

    path: Path
    n: int
    resumed: int
    failed: tuple[Failure, ...]
    seconds: float
    workers: int
    notices: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        done = self.n - self.resumed
        return {
            "n": self.n,
            "resumed": self.resumed,
            "failed": [asdict(f) for f in self.failed],
            "seconds": self.seconds,
            "scans_per_s": done / self.seconds if done > 0 and self.seconds > 0 else None,
            "workers": self.workers,
            "notices": list(self.notices),
            "files": [str(self.path)],
        }


def embed_cohort(
    reference: CohortReference,
    output: str | Path,
    settings: EmbedSettings | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> EmbedReport:
    """Embed every recording of a cohort and write ``embeddings.parquet``.

    Steps, in order: cut the cohort into chunks; leave out those that an earlier run of the same settings has
    done; let workers embed the rest, each chunk kept on disk as it comes; write one file of all.

    Parameters
    ----------
    reference : CohortReference
    output : path
    settings : EmbedSettings, optional
    workers : int, optional
        Processes of a local cluster; 0 works in this process. One per core by default, one in all on a GPU.
    scheduler : str, optional
        Address of a running Dask scheduler, ``tcp://host:8786``.
    progress, cancel : callable, optional
        A run that is stopped keeps its finished chunks.

    Returns
    -------
    EmbedReport

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached, no worker is left, the disk is full, or another process writes
        the same file.
    AnalysisError
        If no recording can be embedded.
    BrainLMError
        If the model cannot be loaded.
    """
    settings, output = settings or EmbedSettings(), Path(output)
    with one_writer(output):
        return _embed(reference, output, settings, workers, scheduler, progress, cancel)


def _embed(
    reference: CohortReference,
    output: Path,
    settings: EmbedSettings,
    workers: int | None,
    scheduler: str | None,
    progress: Progress | None,
    cancel: Cancel | None,
) -> EmbedReport:
    start = time.perf_counter()
    cohort = reference.open()
    keys = reference.keys(cohort)
    run_key = source_key(__version__, repr(settings), model_stamp(settings.model), *keys, *cohort.ids)
    parts = Parts(output, run_key, cohort, _told(settings))
    chunks = [tuple(range(i, min(i + CHUNK, len(cohort)))) for i in range(0, len(cohort), CHUNK)]
    todo: list[Task] = [(k, rows) for k, rows in enumerate(chunks) if not parts.has(k)]
    resumed = len(cohort) - sum(len(rows) for _, rows in todo)
    done, lost = resumed, []
    with _executor(workers, scheduler, len(todo), settings) as (run, used):
        for result in run(reference, settings, todo, cancel):
            if result.fatal is not None:
                raise EngineError(*result.fatal)
            rows = chunks[result.number]
            if result.model is None:
                lost += [Failure(cohort.ids[i], reason) for i, reason in result.failed]
            else:
                parts.save(result)
            done += len(rows)
            if progress is not None:
                progress(done / len(cohort), f"Embedding: {done} of {len(cohort)} recordings")
    notices = (f"Columns {personal.sentence(cohort.left_out)}.",) if cohort.left_out else ()
    n, failed = parts.merge(len(chunks), notices)
    if not lost:
        parts.remove()
    seconds = time.perf_counter() - start
    return EmbedReport(output, n, min(resumed, n), (*failed, *lost), seconds, used, notices)


def model_stamp(name: str) -> str:
    """Return what changes when a local model's files change."""
    folder = Path(name.removeprefix("random:")).expanduser()
    if not folder.is_dir():
        return name
    return " ".join(f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in sorted(folder.iterdir()))


def _told(settings: EmbedSettings) -> dict[str, Any]:
    told = asdict(settings)
    del told["accept_licence"], told["recipe"]
    return {
        **told,
        "input": settings.recipe.to_dict(),
        "windows": "side by side, averaged",
        "version": __version__,
    }


Run = Callable[[CohortReference, EmbedSettings, Sequence[Task], Cancel | None], Iterator[ChunkResult]]


@contextmanager
def _executor(
    workers: int | None, scheduler: str | None, n_tasks: int, settings: EmbedSettings
) -> Iterator[tuple[Run, int]]:
    if n_tasks == 0 or (workers == 0 and scheduler is None):
        yield _here, 1
        return
    if scheduler is not None:
        with client_of(scheduler) as client:
            yield _on(client), n_workers(client)
        return
    n = min(default_workers(settings.device) if workers is None else workers, n_tasks)
    if n < 1:
        raise ConfigError(f"{workers} workers cannot work", "give 1 or more, or 0 for this process alone")
    with local_cluster(n) as client:
        yield _on(client), n


def default_workers(device: str) -> int:
    """Return how many processes work on this machine: one per core, one in all on a GPU."""
    from brainlm_core.inference.devices import choose_device

    if choose_device(device).type != "cpu":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _here(
    reference: CohortReference, settings: EmbedSettings, tasks: Sequence[Task], cancel: Cancel | None
) -> Iterator[ChunkResult]:
    for number, rows in tasks:
        _check(cancel)
        yield embed_chunk(reference, settings, number, rows)


def _check(cancel: Cancel | None) -> None:
    from brainlm_core.inference.engine import Cancelled

    if cancel is not None and cancel():
        raise Cancelled


@contextmanager
def client_of(address: str) -> Iterator[Any]:
    """Yield a client of a running scheduler that has a worker."""
    from distributed import Client

    check_address(address)
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise unreachable(address) from error
    try:
        client.wait_for_workers(1, timeout=WAIT_FOR_WORKERS_S)
    except TimeoutError as error:
        client.close()
        raise ConfigError(
            f"the scheduler at {address} has no worker", f"start some with `dask worker {address}`"
        ) from error
    try:
        yield client
    finally:
        client.close()


def n_workers(client: Any) -> int:
    """Return how many workers a cluster has now."""
    return len(client.nthreads())


def _on(client: Any) -> Run:
    """Return the way to run tasks on a cluster: few in flight, a dead worker's tasks are done by others."""

    def run(
        reference: CohortReference, settings: EmbedSettings, tasks: Sequence[Task], cancel: Cancel | None
    ) -> Iterator[ChunkResult]:
        absolute = _absolute(reference)

        def submit(task: Task) -> Any:
            return client.submit(embed_chunk, absolute, settings, *task, pure=False, retries=2)

        for future, task in as_finished(client, submit, tasks, cancel):
            yield _result(future, task)

    return run


def as_finished(
    client: Any, submit: Callable[[T], Any], tasks: Sequence[T], cancel: Cancel | None
) -> Iterator[tuple[Any, T]]:
    """Yield (future, task) as a cluster finishes them, few in flight at any time.

    Raises
    ------
    ConfigError
        If no worker is left.
    """
    from distributed import wait

    waiting = iter(tasks)
    running: dict[Any, T] = {
        submit(t): t for t in islice(waiting, n_workers(client) * (1 + QUEUED_PER_WORKER))
    }
    alone_since: float | None = None
    while running:
        _check(cancel)
        try:
            finished = wait(list(running), timeout=1, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            finished = set()
        if not finished:
            alone_since = _still_alive(client, alone_since)
            continue
        for future in finished:
            task = running.pop(future)
            for following in islice(waiting, 1):
                running[submit(following)] = following
            yield future, task


def _still_alive(client: Any, alone_since: float | None) -> float | None:
    """Return since when there is no worker; ConfigError when that is too long."""
    if n_workers(client) > 0:
        return None
    now = time.monotonic()
    since = now if alone_since is None else alone_since
    if now - since > WAIT_FOR_WORKERS_S:
        raise ConfigError(
            "no worker is left on the cluster",
            "start workers and run the command again: it goes on from here",
        )
    return since


def _result(future: Any, task: Task) -> ChunkResult:
    from distributed import KilledWorker

    try:
        result: ChunkResult = future.result()
    except KilledWorker:
        reason = "every worker that tried it died; give workers more memory and run the command again"
        return ChunkResult(task[0], failed=tuple((i, reason) for i in task[1]))
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the workers lack the module {error.name}", "install BrainLM Explorer where they run"
        ) from error
    return result


def _absolute(reference: CohortReference) -> CohortReference:
    """Return the reference with paths that hold wherever a worker was started."""

    def whole(path: str) -> str:
        return str(Path(path).resolve())

    return CohortReference(
        whole(reference.path),
        reference.signals,
        tuple(map(whole, reference.coordinates)),
        reference.tr_s,
        None if reference.phenotypes is None else whole(reference.phenotypes),
    )
