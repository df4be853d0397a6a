"""What runs on a worker: jobs with the engines of its process, in threads beside Dask's own work.

A job is begun, waited for in short steps that say how far it is, and forgotten with its last answer.
Nothing is written anywhere. A job that nobody asks after stops by itself: a dashboard may be killed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from brainlm_core import __version__
from brainlm_core.base.errors import BrainLMError, EngineError
from brainlm_core.base.fair_lock import OWNER, Cancelled
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.inference.results import EngineInfo

#: A job that nobody has asked after for this long is given up, and a result that nobody has fetched, in s.
ABANDONED_S = 60.0
_JOBS: dict[str, _Job] = {}
_DIGESTS: dict[str, str | None] = {}


@dataclass(frozen=True)
class ModelKey:
    """Which engine of a worker; settings as in :meth:`brainlm_core.inference.engine.Engine.load`.

    Parameters
    ----------
    name, device, precision : str
    accept_licence : bool
    context : str
    recipe : InputRecipe
    """

    name: str
    device: str
    precision: str
    accept_licence: bool
    context: str = "recording"
    recipe: InputRecipe = DEFAULT_RECIPE


@dataclass(frozen=True)
class Request:
    """What a worker is asked to do.

    Parameters
    ----------
    key : ModelKey
    digest : str or None
        SHA-256 that the weights must have; None where they have none or are not known yet.
    owner : str
        On whose behalf, for the queue before the model.
    work : callable
        Takes the engine, ``args``, ``settings`` and ``progress`` and ``cancel``. A function of a module.
    args : sequence
    settings : mapping
        A :class:`ModelKey` among both stands for that engine.
    """

    key: ModelKey
    digest: str | None
    owner: str
    work: Callable[..., Any]
    args: Sequence[Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class State:
    """How far a job is.

    Parameters
    ----------
    share : float
        0–1.
    text : str
        What is being done.
    done : bool
        Whether what follows is there.
    result : object
    info : EngineInfo or None
        Of the engine after the work: it may have moved to the CPU.
    refused : (str, str, str) or None
        Class, what and fix of an expected error.
    defect : str
        Traceback of an unexpected one; empty otherwise.
    """

    share: float
    text: str
    done: bool = False
    result: Any = None
    info: EngineInfo | None = None
    refused: tuple[str, str, str] | None = None
    defect: str = ""


class _Job:
    def __init__(self, request: Request) -> None:
        self.state = State(0.0, "Loading the model")
        self.ended = asyncio.Event()
        self.seen = time.monotonic()
        self.stopped = False
        self._request = request
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True, name="brainlm job").start()

    def cancelled(self) -> bool:
        return self.stopped or time.monotonic() - self.seen > ABANDONED_S

    def tell(self, share: float, text: str) -> None:
        if self.cancelled():
            raise Cancelled
        self.state = State(share, text)

    def _run(self) -> None:
        OWNER.set(self._request.owner)
        try:
            state = self._answer()
        except BrainLMError as error:
            state = State(1.0, "", True, refused=(type(error).__name__, error.what, error.fix))
        except BaseException:  # a defect: the one who asked must see it
            state = State(1.0, "", True, defect=traceback.format_exc())
        self.state = state
        self._loop.call_soon_threadsafe(self.ended.set)

    def _answer(self) -> State:
        request = self._request
        engine = _engine(request.key, self.tell)
        if request.digest is not None and digest_of(request.key.name) != request.digest:
            raise EngineError(
                f"the weights of {request.key.name!r} on {host()} are not those that the work began with",
                "give all workers the same files and choose the model again",
            )
        args = [self._local(value) for value in request.args]
        settings = {name: self._local(value) for name, value in request.settings.items()}
        result = request.work(engine, *args, progress=self.tell, cancel=self.cancelled, **settings)
        info = replace(engine.info, host=host(), sha256=digest_of(request.key.name))
        return State(1.0, "", True, result, info)

    def _local(self, value: Any) -> Any:
        return _engine(value, self.tell) if isinstance(value, ModelKey) else value


def _engine(key: ModelKey, progress: Callable[[float, str], None]) -> Any:
    from brainlm_core.inference.engine import get_engine

    return get_engine(
        key.name,
        device=key.device,
        precision=key.precision,
        context=key.context,
        recipe=key.recipe,
        accept_licence=key.accept_licence,
        progress=progress,
    )


def digest_of(name: str) -> str | None:
    """Return the SHA-256 of a loaded model's weights; computed once, as they are loaded once."""
    from brainlm_core.inference import weights

    if name not in _DIGESTS:
        _DIGESTS[name] = weights.digest(name)
    return _DIGESTS[name]


def host() -> str:
    """Return what this machine calls itself."""
    return socket.gethostname()


async def hello() -> dict[str, Any]:
    """Say who answers: ``version``, ``host``, ``devices``, ``precisions`` by device.

    A plain dictionary, so that any other version can read it.
    """
    return await asyncio.to_thread(_about)


def _about() -> dict[str, Any]:
    import brainlm_core.inference.engine  # noqa: F401  (seconds; before the first request, which must not wait for it)
    from brainlm_core.inference.devices import available_devices, available_precisions

    devices = available_devices()
    return {
        "version": __version__,
        "host": host(),
        "devices": devices,
        "precisions": {device: available_precisions(device) for device in devices},
    }


def begin(name: str, request: Request) -> None:
    """Start a job under a name that nobody else uses. Called on the worker's event loop."""
    _JOBS[name] = _Job(request)


async def wait(name: str, seconds: float) -> State | None:
    """Wait until a job ends, but not longer; None when there is no such job (any more)."""
    job = _JOBS.get(name)
    if job is None:
        return None
    job.seen = time.monotonic()
    try:
        await asyncio.wait_for(job.ended.wait(), seconds)
    except TimeoutError:
        return job.state
    _sweep(name)
    return job.state


def stop(name: str) -> None:
    """Ask a job to stop, and forget it."""
    job = _JOBS.pop(name, None)
    if job is not None:
        job.stopped = True


def _sweep(name: str) -> None:
    """Forget a job, and all that ended long ago without being fetched."""
    now = time.monotonic()
    old = [n for n, job in _JOBS.items() if job.ended.is_set() and now - job.seen > ABANDONED_S]
    for key in (name, *old):
        _JOBS.pop(key, None)


def describe(engine: Any, progress: Any = None, cancel: Any = None) -> Any:
    """Return what a model was trained on (:class:`~brainlm_core.model.base.InputSpec`)."""
    return engine.spec
