"""``pytest benchmarks/bench_parcellation.py``: the intake's figures, with the bounds they are held to.

Run alone on a quiet machine with two free cores; ratios are the best of five interleaved runs.
"""

from __future__ import annotations

import pytest

from brainlm_core.bench import BenchResult
from brainlm_core.bench.parcellation import run


@pytest.fixture(scope="module")
def result() -> BenchResult:
    return run(quick=False)[0]


def test_equal_to_the_masker(result: BenchResult) -> None:
    assert result.details["max_relative_difference"] <= 1e-4


def test_faster_than_the_masker(result: BenchResult) -> None:
    assert result.time_ratio is not None and result.time_ratio >= 6


def test_a_tenth_of_the_memory(result: BenchResult) -> None:
    assert result.memory_ratio is not None and result.memory_ratio <= 0.1


def test_near_pure_decompression(result: BenchResult) -> None:
    assert result.limit_fraction is not None and result.limit_fraction >= 1 / 1.5


def test_one_pass(benchmark, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Absolute time of one short scan, for this machine's own history."""
    from brainlm_core.bench.parcellation import paint_scan
    from brainlm_core.scans import read_scan

    scan = tmp_path / "scan.nii.gz"
    labels = paint_scan(scan, 60)
    benchmark.pedantic(lambda: read_scan(scan, atlas=str(labels)), rounds=3, warmup_rounds=1)
