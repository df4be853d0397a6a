"""One connection to a Dask scheduler, on an event loop of its own: every call has an end, whoever dies."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from brainlm_core.base.fair_lock import Cancelled
from brainlm_core.remote.safety import check_address, unreachable

T = TypeVar("T")
Cancel = Callable[[], bool]

#: How long a scheduler may take to answer, in s.
CONNECT_S = 5.0
#: How often a call that waits asks whether it is still wanted, in s.
ASK_EVERY_S = 0.2
#: How often a call that waits asks the scheduler whether the worker is still there, in s: the scheduler
#: itself would try for half a minute to reach one that died.
LOOK_EVERY_S = 1.0


class Lost(Exception):
    """Whoever was asked is gone, or has been silent for too long."""


class Link:
    """A connection.

    Parameters
    ----------
    address : str
        Such as ``tcp://gpu-box:8786``.

    Raises
    ------
    ConfigError
        If no scheduler answers there, or it must not be spoken with like this.
    """

    def __init__(self, address: str) -> None:
        self.address = check_address(address)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="dask link")
        self._thread.start()
        try:
            self._client = self._do(self._connect(), 2 * CONNECT_S)
        except (Lost, ValueError) as error:  # ValueError: no address at all
            self._end_loop()
            raise unreachable(address) from error

    async def _connect(self) -> Any:
        from distributed import Client

        client = Client(self.address, asynchronous=True, timeout=CONNECT_S, set_as_default=False)
        try:
            return await client
        except BaseException:
            await client.close()  # it would try to when it is collected, without a loop
            raise

    def workers(self) -> list[str]:
        """Return the addresses of the workers that the scheduler knows.

        Raises
        ------
        Lost
            If the scheduler does not answer.
        """

        async def ask() -> list[str]:
            return list(await self._client.nthreads())

        return self._do(ask(), CONNECT_S)

    def run(
        self,
        worker: str,
        function: Callable[..., Any],
        *args: Any,
        within_s: float,
        cancel: Cancel | None = None,
    ) -> Any:
        """Call a function on one worker's event loop and return what it returns.

        Raises
        ------
        Lost
            If the worker or the scheduler is gone or does not answer in time.
        Cancelled
            If ``cancel`` said so while waiting.
        """

        async def ask() -> Any:
            answers = await self._client.run(function, *args, workers=[worker])
            return answers[worker]

        looked = time.monotonic()

        def unwanted() -> bool:
            nonlocal looked
            if time.monotonic() - looked > LOOK_EVERY_S:
                if worker not in self.workers():
                    raise Lost
                looked = time.monotonic()
            return cancel is not None and cancel()

        return self._do(ask(), within_s, unwanted)

    def close(self) -> None:
        """Let go of the scheduler."""

        async def leave() -> None:
            await self._client.close(timeout=1)

        try:
            self._do(leave(), 3)
        except Lost:
            pass
        finally:
            self._end_loop()

    def _do(self, work: Coroutine[Any, Any, T], within_s: float, cancel: Cancel | None = None) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        deadline = time.monotonic() + within_s
        try:
            while True:
                try:
                    return future.result(ASK_EVERY_S)
                except FutureTimeout as error:
                    if future.done():  # the call's own
                        raise Lost from error
                    if time.monotonic() > deadline:
                        raise Lost from None
                    if cancel is not None and cancel():
                        raise Cancelled from None
                except (OSError, CancelledError) as error:  # a broken connection is an OSError
                    raise Lost from error
        finally:
            future.cancel()

    def _end_loop(self) -> None:
        async def tidy() -> None:
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(tidy(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
