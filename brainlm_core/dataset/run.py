"""Run the chosen steps over a dataset on all cores or a Dask cluster; a killed run goes on where it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainlm_core import __version__
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import cannot_write, whole_files
from brainlm_core.cohort.embed_run import as_finished, client_of, default_workers, n_workers
from brainlm_core.dataset.plan import STATE, DatasetSettings, Job, link_between
from brainlm_core.dataset.work import Outcome, process_run, state_of, write_json

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Progress = Callable[[float, str], None]
#: Version of BIDS that the written names and sidecars follow.
BIDS_VERSION = "1.10.0"


@dataclass(frozen=True)
class DatasetReport:
    """What a command did.

    Parameters
    ----------
    done, resumed : int
        Runs that are done now, and those of them that an earlier command had done.
    failed : tuple of Outcome
    workers : int
    """

    done: int
    resumed: int
    failed: tuple[Outcome, ...]
    workers: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        failed = [{"run": f.label, "reason": f.reason} for f in self.failed]
        return {"done": self.done, "resumed": self.resumed, "failed": failed, "workers": self.workers}


def run_dataset(
    jobs: Sequence[Job],
    folder: str | Path,
    settings: DatasetSettings,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> DatasetReport:
    """Work on every run that is not done.

    Parameters
    ----------
    jobs : sequence of Job
        From :func:`brainlm_core.dataset.plan.plan_jobs`.
    folder : path
        The source dataset.
    settings : DatasetSettings
    workers : int, optional
        Processes on this machine, one per core by default; 0 works in this one.
    scheduler : str, optional
        Address of a running Dask scheduler; its workers need both folders at the same place.
    progress : callable, optional

    Raises
    ------
    ConfigError
        If another command writes to the output, it cannot be written, or no worker is left.
    """
    output = Path(jobs[0].output)
    with writing_to(output):
        _describe(output, Path(folder))
        todo = [job for job in jobs if state_of(job) is None]
        done, failed = len(jobs) - len(todo), []
        resumed = done
        with _executor(todo, settings, workers, scheduler) as (outcomes, used):
            for outcome in outcomes:
                if outcome.reason:
                    failed.append(outcome)
                else:
                    done += 1
                if progress is not None:
                    n = done + len(failed)
                    progress(n / len(jobs), f"{n} of {len(jobs)} runs")
    return DatasetReport(done, resumed, tuple(sorted(failed, key=lambda f: f.label)), used)


@contextmanager
def _executor(
    jobs: Sequence[Job], settings: DatasetSettings, workers: int | None, scheduler: str | None
) -> Iterator[tuple[Iterator[Outcome], int]]:
    if not jobs or (workers == 0 and scheduler is None):
        yield (process_run(job, settings) for job in jobs), 1
        return
    if scheduler is not None:
        with client_of(scheduler) as client:
            yield _on(client, jobs, settings), n_workers(client)
        return
    n = min(default_workers(settings.device) if workers is None else workers, len(jobs))
    if n < 1:
        raise ConfigError(f"{workers} workers cannot work", "give 1 or more, or 0 for this process alone")
    from brainlm_core.remote.safety import local_cluster

    with local_cluster(n) as client:
        yield _on(client, jobs, settings), n


def _on(client: Any, jobs: Sequence[Job], settings: DatasetSettings) -> Iterator[Outcome]:
    from distributed import KilledWorker

    def submit(job: Job) -> Any:
        return client.submit(process_run, job, settings, pure=False, retries=2)

    by_label = {job.label: job for job in jobs}  # a job holds a mapping, so it is no key itself
    for future, label in as_finished(client, lambda label: submit(by_label[label]), list(by_label), None):
        try:
            yield future.result()
        except KilledWorker:
            reason = "every worker that tried it died; give workers more memory and run the command again"
            yield Outcome(label, reason)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the workers lack the module {error.name}", "install BrainLM Explorer where they run"
            ) from error


@contextmanager
def writing_to(output: Path) -> Iterator[None]:
    """Hold an output dataset for one command, and sweep what a killed one left.

    Raises
    ------
    ConfigError
        If another command writes to it, or it cannot be written.
    """
    try:
        (output / STATE / "runs").mkdir(parents=True, exist_ok=True)
        stream = (output / STATE / "lock").open("w")
    except OSError as error:
        raise cannot_write(output, error) from error
    with stream:
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ConfigError(
                    f"another command is writing to {output.name}", "wait until it has ended"
                ) from error
        for place, folders, _ in os.walk(output):
            for name in folders:
                if name.startswith(".part-"):
                    shutil.rmtree(Path(place, name), ignore_errors=True)
        yield


def _describe(output: Path, folder: Path) -> None:
    with whole_files(output) as part:
        about = {
            "Name": "BrainLM Explorer derivatives",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "BrainLM Explorer", "Version": __version__}],
            "DatasetLinks": {"source": link_between(output, folder)},
        }
        write_json(part / "dataset_description.json", about)
        (part / ".bidsignore").write_text(f"{STATE}/\ngroup/\n*_embeddings.*\n*_forecast.*\n", "utf-8")
