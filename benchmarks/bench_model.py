"""``pytest benchmarks/bench_model.py``: the model's figures, with the bounds they are held to.

Run alone on a quiet machine; ratios are medians of interleaved runs.
"""

from __future__ import annotations

import pytest

from brainlm_core.bench import BenchResult
from brainlm_core.bench.model import run


@pytest.fixture(scope="module")
def results() -> dict[str, BenchResult]:
    return {r.name: r for r in run(quick=False)}


def test_full_forward_fp32(results: dict[str, BenchResult]) -> None:
    r = results["13M full forward, fp32"]
    assert r.details["largest_difference"] <= 1e-4
    assert r.time_ratio >= 1.6
    assert r.memory_ratio <= 0.5
    assert r.limit_fraction >= 0.85


def test_attention_costs_little(results: dict[str, BenchResult]) -> None:
    r = results["13M attention maps alone, fp32"]
    assert r.details["added_time"] <= 0.15
    assert r.details["added_mb"] <= 100


def test_full_forward_bf16(results: dict[str, BenchResult]) -> None:
    assert results["13M full forward, bf16"].time_ratio >= 2.1


def test_default_encoder_pass(results: dict[str, BenchResult]) -> None:
    r = results.get("default model, encoder pass of one window")
    if r is None:
        pytest.skip("the bundled default model is not here")
    assert r.details["seconds"] <= 0.4


def test_one_pass(benchmark) -> None:  # type: ignore[no-untyped-def]
    """Absolute time of one full forward pass, for this machine's own history."""
    import torch

    from brainlm_core.bench.model import _parcel_setup

    model, signal, xyz = _parcel_setup(424)
    hidden = torch.zeros(signal.shape, dtype=torch.bool)
    with torch.inference_mode():
        benchmark.pedantic(lambda: model.reconstruct(signal, xyz[0], hidden), rounds=3, warmup_rounds=1)
