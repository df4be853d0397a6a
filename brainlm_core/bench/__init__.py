"""Benchmarks: each area against a named peer and against this machine's own limit, in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

#: Areas in the order in which ``brainlm bench`` runs them; each is a module with ``run(quick)``.
AREAS: tuple[str, ...] = ("model", "parcellation", "forecast", "perturb", "cohort", "training")


@dataclass(frozen=True)
class BenchResult:
    """One comparison. Ratios travel between machines, seconds do not.

    Parameters
    ----------
    name : str
        What was run.
    peer : str
        What it was held against.
    time_ratio : float or None
        Peer's time / our time; above 1 we are faster.
    memory_ratio : float or None
        Our peak memory / peer's peak memory; below 1 we need less.
    limit_fraction : float or None
        Share of the machine's own limit that was reached, 0–1.
    details : mapping
        Seconds, megabytes, sizes.
    """

    name: str
    peer: str
    time_ratio: float | None = None
    memory_ratio: float | None = None
    limit_fraction: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "name": self.name,
            "peer": self.peer,
            "time_ratio": self.time_ratio,
            "memory_ratio": self.memory_ratio,
            "limit_fraction": self.limit_fraction,
            "details": dict(self.details),
        }


def run_area(area: str, quick: bool) -> list[BenchResult]:
    """Run one area of :data:`AREAS`."""
    run: Callable[[bool], list[BenchResult]] = import_module(f"brainlm_core.bench.{area}").run
    return run(quick)
