"""The workers of one scheduler: which is asked, and who does it instead when one dies."""

from __future__ import annotations

import atexit
import contextlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from brainlm_core import __version__
from brainlm_core.base import errors
from brainlm_core.base.errors import BrainLMError, ConfigError, EngineError
from brainlm_core.base.fair_lock import OWNER, Cancelled
from brainlm_core.remote import worker as there
from brainlm_core.remote.link import Link, Lost, unreachable
from brainlm_core.remote.worker import ModelKey, Request, State

Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: How long a cluster without any worker is waited for: one that died comes back in seconds, in s.
WAIT_FOR_WORKERS_S = 30.0
#: A worker that is silent for this long counts as dead and is left alone for as long again, in s.
SILENCE_S = 60.0
#: How long a worker waits with "not yet", in s: progress and cancel are that fresh.
STEP_S = 0.3
#: Workers that a request may lose before it counts as what kills them.
MAX_LOST = 3
#: Tells this dashboard's visitors from those of others in the workers' queues.
_ME = secrets.token_hex(4)


@dataclass(frozen=True)
class Told:
    """What a worker says about itself.

    Parameters
    ----------
    version : str
        Of BrainLM Explorer.
    host : str
    devices : tuple of str
    precisions : dict
        By device.
    """

    version: str
    host: str
    devices: tuple[str, ...]
    precisions: dict[str, tuple[str, ...]]


class Cluster:
    """The workers of a scheduler; share one with :func:`cluster`.

    Parameters
    ----------
    address : str
        Such as ``tcp://gpu-box:8786``.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._told: dict[str, Told] = {}
        self._busy: Counter[str] = Counter()
        self._holds: set[tuple[str, ModelKey]] = set()
        self._silent: dict[str, float] = {}

    @property
    def known(self) -> tuple[Told, ...]:
        """What workers have said so far; asks nobody."""
        return tuple(self._told.values())

    def reach(self) -> None:
        """Make sure that the scheduler answers.

        Raises
        ------
        ConfigError
            If it does not.
        """
        self._addresses()

    def check(self) -> tuple[Told, ...]:
        """Return what every fit worker says about itself.

        Raises
        ------
        ConfigError
            If the scheduler does not answer, or no worker has this version of BrainLM Explorer.
        EngineError
            If there is no worker.
        """
        addresses = self._addresses()
        if not addresses:
            raise self._nobody()
        fit, refused = self._fit(addresses, None)
        if not fit:
            raise refused or self._nobody()
        return tuple(self._told[a] for a in fit)

    def ask(self, request: Request, progress: Progress | None = None, cancel: Cancel | None = None) -> State:
        """Let a worker do something; a worker that dies meanwhile is replaced by another.

        Parameters
        ----------
        request : Request
        progress, cancel : callable, optional

        Returns
        -------
        State
            With the result.

        Raises
        ------
        BrainLMError
            What the work itself raised.
        ConfigError, EngineError
            If there is nobody (any more) who could do it.
        Cancelled
        """
        request = replace(request, owner=f"{_ME}:{OWNER.get()}")
        lost: Counter[str] = Counter()
        while lost.total() < MAX_LOST:
            worker = self._pick(request.key, lost, progress, cancel)
            with self._lock:
                self._busy[worker] += 1
            try:
                state = self._on(worker, request, progress, cancel)
            except Lost:
                lost[worker] += 1
                self._told.pop(worker, None)
                if progress is not None:
                    progress(0.0, "A worker is gone; asking another one")
            else:
                self._holds.add((worker, request.key))
                return _result(state)
            finally:
                with self._lock:
                    self._busy[worker] -= 1
        raise EngineError(
            f"{MAX_LOST} workers of {self.address} died over this request",
            "give workers more memory, or choose a smaller model",
        )

    def close(self) -> None:
        """Let go of the scheduler; the next request connects again."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _on(self, worker: str, request: Request, progress: Progress | None, cancel: Cancel | None) -> State:
        link, name = self._connected(), secrets.token_hex(8)
        wanted = True
        try:
            link.run(worker, there.begin, name, request, within_s=SILENCE_S, cancel=cancel)
            while True:
                if cancel is not None and cancel():
                    raise Cancelled
                state: State | None = self._wait(link, worker, name, cancel)
                if state is None:
                    raise Lost
                if state.done:
                    wanted = False
                    return state
                if progress is not None:
                    progress(state.share, state.text)
        except Lost:
            wanted = False
            raise
        finally:
            if wanted:  # and nobody waits for it any more
                self._stop(link, worker, name)

    def _wait(self, link: Link, worker: str, name: str, cancel: Cancel | None) -> State | None:
        asked = time.monotonic()
        try:
            state: State | None = link.run(
                worker, there.wait, name, STEP_S, within_s=SILENCE_S, cancel=cancel
            )
        except Lost:
            if time.monotonic() - asked >= SILENCE_S:
                self._silent[worker] = time.monotonic() + SILENCE_S
            raise
        return state

    def _stop(self, link: Link, worker: str, name: str) -> None:
        with contextlib.suppress(Lost):  # it stops by itself when nobody asks
            link.run(worker, there.stop, name, within_s=2)

    def _pick(
        self, key: ModelKey, lost: Counter[str], progress: Progress | None, cancel: Cancel | None
    ) -> str:
        """Return the worker to ask: least lost, least busy, then one that holds the model already."""
        deadline = time.monotonic() + WAIT_FOR_WORKERS_S
        while True:
            addresses = self._addresses()
            fit, refused = self._fit(addresses, cancel)
            if fit:
                return min(fit, key=lambda a: (lost[a], self._busy[a], (a, key) not in self._holds, a))
            if refused is not None:
                raise refused
            if cancel is not None and cancel():
                raise Cancelled
            if time.monotonic() > deadline:
                raise self._nobody()
            if progress is not None:
                progress(0.0, "Waiting for a worker")
            time.sleep(STEP_S)

    def _fit(self, addresses: list[str], cancel: Cancel | None) -> tuple[list[str], BrainLMError | None]:
        """Return the workers that can be asked, and why others cannot."""
        fit, refused = [], None
        for address in addresses:
            if self._silent.get(address, 0.0) > time.monotonic():
                continue
            try:
                self._welcome(address, cancel)
            except BrainLMError as error:
                if isinstance(error, Cancelled):
                    raise
                refused = error
            except Lost:
                continue
            else:
                fit.append(address)
        return fit, refused

    def _welcome(self, address: str, cancel: Cancel | None) -> None:
        """Make sure once that a worker is of this version."""
        if address in self._told:
            return
        try:
            said = self._connected().run(address, there.hello, within_s=SILENCE_S, cancel=cancel)
        except (Lost, BrainLMError):
            raise
        except Exception as error:  # whatever another version, or none at all, makes of the question
            raise ConfigError(
                f"the worker {address} does not run BrainLM Explorer {__version__}", _same_version()
            ) from error
        if said["version"] != __version__:
            raise ConfigError(
                f"the worker on {said['host']} has BrainLM Explorer {said['version']} and this dashboard "
                f"{__version__}",
                _same_version(),
            )
        self._told[address] = Told(**said)

    def _addresses(self) -> list[str]:
        """Return the workers there are; connects again when the connection is broken."""
        for last in (False, True):
            try:
                return self._connected().workers()
            except Lost as error:
                self.close()
                if last:
                    raise unreachable(self.address) from error
        raise AssertionError

    def _connected(self) -> Link:
        with self._lock:
            if self._link is None:
                self._link = Link(self.address)
            return self._link

    def _nobody(self) -> EngineError:
        return EngineError(
            f"the scheduler at {self.address} has no worker", f"start one with `dask worker {self.address}`"
        )


def _same_version() -> str:
    return f"install brainlm-explorer {__version__} where the worker runs, and start the worker again"


def _result(state: State) -> State:
    """Return a finished state, or raise what the work raised."""
    if state.defect:
        raise RuntimeError(f"on the worker:\n{state.defect}")
    if state.refused is not None:
        kind, what, fix = state.refused
        if kind == Cancelled.__name__:
            raise Cancelled
        raise getattr(errors, kind, EngineError)(what, fix)
    return state


_CLUSTERS: dict[str, Cluster] = {}
_CLUSTERS_LOCK = threading.Lock()


def cluster(address: str) -> Cluster:
    """Return this process's cluster for an address; nothing is connected yet."""
    with _CLUSTERS_LOCK:
        return _CLUSTERS.setdefault(address, Cluster(address))


@atexit.register
def close_all() -> None:
    """Let go of all schedulers."""
    with _CLUSTERS_LOCK:
        gone = list(_CLUSTERS.values())
        _CLUSTERS.clear()
    for one in gone:
        one.close()
