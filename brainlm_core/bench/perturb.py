"""Perturbation: the answer on release, the null of 200 sets, and 64 scenarios in one request.

Limits are those that the page promises on two cores; the peer of the batch is one request per scenario.
All runs are in one process after a warm-up.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from brainlm_core.bench import BenchResult
from brainlm_core.bench.model import interleave

if TYPE_CHECKING:
    from brainlm_core.features.perturb.analysis import Scenario, Stage
    from brainlm_core.inference.engine import Engine

#: What the page promises on two cores, in s.
ANSWER_S, NULL_S = 0.7, 30.0
#: What 64 scenarios in one request may take of 64 requests.
BATCH_SHARE = 0.7
_TARGETS = (
    *(
        {"network": n}
        for n in (
            "Visual",
            "Somatomotor",
            "Dorsal Attention",
            "Ventral Attention",
            "Limbic",
            "Frontoparietal",
        )
    ),
    {"network": "Default"},
    {"structure": "subcortex"},
)
_DOSES = (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0)


def run(quick: bool = False) -> list[BenchResult]:
    """Time the default model on a bundled recording.

    Parameters
    ----------
    quick : bool
        16 scenarios and 40 random sets; seconds per 200 sets are scaled from them.

    Returns
    -------
    list of BenchResult
    """
    import torch

    from brainlm_core.inference.engine import Engine

    results = _on(Engine.load("default", device="cpu", precision="fp32"), quick)
    if torch.cuda.is_available():
        results += _batch(Engine.load("default", device="cuda", precision="fp32"), quick, " on a GPU")
    return results


def _on(engine: Engine, quick: bool) -> list[BenchResult]:
    from brainlm_core.features.perturb.analysis import prepare, respond
    from brainlm_core.features.perturb.null import null_map
    from brainlm_core.scans.demo import demo_recordings

    stage = prepare(engine, demo_recordings()[0])
    visual = _scenarios()[0]
    n_sets = 40 if quick else 200
    answer = interleave({"one": lambda: respond(engine, stage, [visual], draws=1)}, 3 if quick else 7)["one"]
    response = respond(engine, stage, [visual], draws=1)[0]
    start = time.perf_counter()
    null_map(engine, stage, response, n_sets=n_sets)
    null = (time.perf_counter() - start) * 200 / n_sets
    return [
        BenchResult(
            "perturbation, exact answer for one mask draw",
            f"the promised {ANSWER_S:g} s on two cores",
            time_ratio=ANSWER_S / answer,
            details={"seconds": answer, "threads": _threads()},
        ),
        BenchResult(
            "perturbation, null of 200 random sets",
            f"the promised {NULL_S:g} s on two cores",
            time_ratio=NULL_S / null,
            details={"seconds": null, "sets_run": n_sets, "threads": _threads()},
        ),
        *_batch(engine, quick),
    ]


def _batch(engine: Engine, quick: bool, where: str = "") -> list[BenchResult]:
    """Time 64 scenarios (8 targets × 8 doses) in one request against 64 requests."""
    from brainlm_core.features.perturb.analysis import prepare, respond
    from brainlm_core.scans.demo import demo_recordings

    stage = prepare(engine, demo_recordings()[0])
    scenarios = _scenarios()
    if quick:
        scenarios = [*scenarios[:8], *scenarios[8:16]]
    times = interleave(
        {
            "together": lambda: respond(engine, stage, scenarios, draws=1),
            "apart": lambda: [respond(engine, stage, [s], draws=1) for s in scenarios],
        },
        1 if quick else 2,
    )
    flops = _flops_of_one_pass(engine, stage) * (len(scenarios) + len(scenarios) // len(_DOSES))
    rate = flops / times["together"] / 1e9
    limit = matmul_rate(engine)
    return [
        BenchResult(
            f"perturbation, {len(scenarios)} scenarios in one request{where}",
            f"{len(scenarios)} requests of one scenario",
            time_ratio=times["apart"] / times["together"],
            limit_fraction=rate / limit,
            details={
                "seconds": times["together"],
                "seconds_apart": times["apart"],
                "share_of_apart": times["together"] / times["apart"],
                "gflops_per_s": rate,
                "matmul_gflops_per_s": limit,
                "threads": _threads(),
                "device": engine.info.device,
            },
        )
    ]


def _scenarios() -> list[Scenario]:
    from brainlm_core.features.perturb.analysis import Scenario

    def one(targets: dict[str, str], dose: float) -> Scenario:
        action: dict[str, Any] = {"targets": targets, "kind": "add", "amplitude_sd": dose}
        action |= {"onset_s": 28.8, "duration_s": 28.8}
        return Scenario.from_dict({"actions": [action], "readout": "others", "draws": 1})

    return [one(targets, dose) for targets in _TARGETS for dose in _DOSES]


def _flops_of_one_pass(engine: Engine, stage: Stage) -> float:
    """Count the floating-point operations of the matrix products of one pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from brainlm_core.features.perturb.masks import draw_masks, make_plan

    mask = draw_masks(make_plan(_scenarios()[0], stage.frame, stage.grid), stage.grid, [0])
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        engine.model.reconstruct(
            torch.from_numpy(stage.window.values.copy()).to(engine.device),
            torch.from_numpy(stage.window.xyz.copy()).to(engine.device),
            torch.from_numpy(mask).to(engine.device),
        )
    return float(counter.get_total_flops())


def matmul_rate(engine: Engine, size: int = 2048) -> float:
    """Return this device's float32 matrix product in GFLOP/s: the limit that a pass is held against."""
    import torch

    a = torch.from_numpy(np.random.default_rng(0).standard_normal((size, size), dtype=np.float32))
    a = a.to(engine.device)

    def product() -> None:
        out = a @ a
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        del out

    return 2.0 * size**3 / interleave({"matmul": product}, 5)["matmul"] / 1e9


def _threads() -> int:
    import torch

    return torch.get_num_threads()
