"""Who may speak with Dask: whoever reaches a scheduler can run anything on its workers, as their owner.

The one place where a cluster is started or an address of one is judged.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.loopback import is_loopback_name

#: Set by ``--plain-tcp``.
PLAIN_VARIABLE = "BRAINLM_PLAIN_TCP"
#: How long scheduler and workers of this machine wait for each other: a busy one loads a worker for minutes.
_PATIENCE = "240s"
#: Transports of Dask without encryption.
_PLAIN = frozenset({"tcp", "ucx", "ucxx", "ws", "asyncio_tcp"})


class NoPages:
    """Plugin of a worker that stops its web server: Dask starts one although nobody asked for a dashboard.

    Also on a worker that takes the place of one that died.
    """

    def setup(self, worker: Any) -> None:
        """Stop it; Dask calls this on every worker as it starts."""
        worker.http_server.stop()


@contextmanager
def local_cluster(n_workers: int) -> Iterator[Any]:
    """Start workers on this machine that nobody else can speak with, and yield a client.

    TLS with a certificate that lives in these processes only: other accounts of the machine reach the port
    and are refused. No dashboard, loopback only.

    Parameters
    ----------
    n_workers : int
        Processes, of one thread each.
    """
    import dask
    from distributed import Client, LocalCluster, Security
    from distributed.diagnostics.plugin import WorkerPlugin

    class Plugin(NoPages, WorkerPlugin):
        name = "no pages"

    security = Security.temporary()
    with (
        dask.config.set({f"distributed.{who}.http.routes": [] for who in ("scheduler", "worker")}),
        dask.config.set({f"distributed.comm.timeouts.{what}": _PATIENCE for what in ("connect", "tcp")}),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address=None,
            worker_dashboard_address=None,
            # Until it is stopped below it listens; left alone on port 8787, which two runs fight over.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, security=security) as client,
    ):
        cluster.scheduler.http_server.stop()
        client.register_plugin(Plugin())
        yield client


def allow_plain_tcp() -> None:
    """Let this process, and what it starts, speak with a scheduler on another machine without TLS."""
    os.environ[PLAIN_VARIABLE] = "1"


def check_address(address: str) -> str:
    """Return the address of a scheduler that may be spoken with.

    Raises
    ------
    ConfigError
        If it is on another machine and the connection would be neither encrypted nor authenticated.
    """
    scheme, host = _parts(address)
    if scheme in ("tls", "wss") or is_loopback_name(host) or os.environ.get(PLAIN_VARIABLE) == "1":
        return address
    if scheme not in _PLAIN:
        raise unreachable(address)
    raise ConfigError(
        f"{address} is on another machine and its connection is not encrypted, so whoever is on the way "
        "reads the signals and whoever reaches that port runs code on the workers",
        "use tls:// with Dask's certificates or a tunnel to 127.0.0.1 (docs/scale.md), or --plain-tcp in a "
        "network that you trust",
    )


def unreachable(address: str) -> ConfigError:
    """Return the sentence for a scheduler that does not answer."""
    return ConfigError(
        f"no Dask scheduler answers at {address}", "start one with `dask scheduler`, or leave --scheduler out"
    )


def _parts(address: str) -> tuple[str, str]:
    """Return scheme and host; an address without a scheme is tcp, as in Dask."""
    text = address.strip()
    scheme, colon, rest = text.partition("://")
    try:
        parts = urlsplit(f"//{rest if colon else text}")
        return (scheme.lower() if colon else "tcp"), parts.hostname or ""
    except ValueError:
        return "", ""
