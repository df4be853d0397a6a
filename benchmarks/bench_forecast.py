"""Back-test of 50 start points with the default model, batched, against one call per start point.

Run on a quiet machine: ``pytest benchmarks/bench_forecast.py --benchmark-only -s``.
"""

from __future__ import annotations

from typing import Any

from brainlm_core.bench.forecast import LIMIT_S, run


def test_back_test_is_fast_and_batched(benchmark: Any) -> None:
    results = benchmark.pedantic(run, rounds=1, iterations=1)
    _tell(results)
    whole, model, decoding, fit = results
    assert whole.details["seconds"] <= LIMIT_S
    assert model.details["seconds"] <= LIMIT_S
    assert decoding.details["share_of_whole"] <= 0.7
    assert fit.time_ratio > 5


def _tell(results: list[Any]) -> None:
    for result in results:
        print(f"\n{result.name}\n  against {result.peer}: {result.time_ratio:.2f} × faster")
        for name, value in result.details.items():
            print(f"  {name}: {value:.3g}")


if __name__ == "__main__":
    _tell(run())
