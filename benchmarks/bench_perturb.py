"""``pytest benchmarks/bench_perturb.py``: perturbation, with the bounds that the page promises.

Run alone on a quiet machine with two cores.
"""

from __future__ import annotations

import pytest

from brainlm_core.bench import BenchResult
from brainlm_core.bench.perturb import BATCH_SHARE, run


@pytest.fixture(scope="module")
def results() -> list[BenchResult]:
    return run(quick=False)


def find(results: list[BenchResult], word: str) -> BenchResult:
    return next(r for r in results if word in r.name and "GPU" not in r.name)


def test_the_answer_on_release(results: list[BenchResult]) -> None:
    assert find(results, "exact answer").time_ratio >= 1


def test_the_null(results: list[BenchResult]) -> None:
    assert find(results, "null").time_ratio >= 1


def test_the_batch(results: list[BenchResult]) -> None:
    assert find(results, "scenarios").details["share_of_apart"] <= BATCH_SHARE
