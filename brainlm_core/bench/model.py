"""The model against Hugging Face transformers' own layers, and against this machine's matmul rate.

Everything runs in one process, interleaved, so that both sides meet the same machine; medians are
compared. Peak memory is measured in a fresh process per side: growth of the process's peak from
just after the imports, weights included.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from brainlm_core.bench import BenchResult

PEER = "Hugging Face transformers layers, same weights"
_SIGNAL_SEED = 0


def run(quick: bool = False) -> list[BenchResult]:
    """Compare full forward, attention read-out, bf16, the image model and the default model.

    Parameters
    ----------
    quick : bool
        A quarter of the parcels and fewer rounds; ratios are then smaller than at full size.

    Returns
    -------
    list of BenchResult
    """
    parcels, rounds = (106, 3) if quick else (424, 5)
    results = _parcel_results(parcels, rounds)
    if not quick:
        results.append(_image_result(3))
    results += _default_result(rounds)
    return results


def interleave(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each candidate over interleaved rounds, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def forward_flops(config: Any, n_parcels: int, *, decoder: bool = True) -> float:
    """Count the floating-point operations of the layers of a full forward pass, multiply and add apart.

    Parameters
    ----------
    config : ParcelTokenConfig
    n_parcels : int
    decoder : bool
    """
    n = 1 + n_parcels * config.num_timepoints_per_voxel // config.timepoint_patching_size
    d, taps = config.hidden_size, config.conv_kernel_size or 0

    def layer(inner: int) -> float:
        return 8.0 * n * d * d + 4.0 * n * d * inner + 4.0 * n * n * d + 2.0 * taps * n * d

    total = config.num_hidden_layers * layer(config.intermediate_size)
    if decoder:
        total += config.decoder_num_hidden_layers * layer(config.decoder_intermediate_size)
    return total


def _parcel_results(parcels: int, rounds: int) -> list[BenchResult]:
    import torch

    from brainlm_core.bench._peers import ParcelPeer

    model, signal, xyz = _parcel_setup(parcels)
    peer = ParcelPeer(model)
    hidden = torch.zeros(signal.shape, dtype=torch.bool)
    square = torch.randn(2048, 2048)
    half = square.bfloat16()

    def low_precision(call: Callable[[], Any]) -> Callable[[], Any]:
        def inner() -> Any:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return call()

        return inner

    def ours() -> Any:
        return model.reconstruct(signal, xyz[0], hidden)

    candidates = {
        "peer": lambda: peer(signal, xyz),
        "peer_attention": lambda: peer(signal, xyz, attentions=True)[0],
        "ours": ours,
        "ours_attention": lambda: _with_maps(model, signal, xyz),
        "ours_bf16": low_precision(ours),
        "encode": lambda: model.encode(signal, xyz[0]),
        "maps": lambda: model.attention(signal, xyz[0]),
        "matmul": lambda: square @ square,
        "matmul_bf16": lambda: half @ half,
    }
    with torch.inference_mode():
        difference = float((peer(signal, xyz)[0].flatten(2) - ours().predicted).abs().max())
        s = interleave(candidates, rounds)
    flops = forward_flops(model.config, parcels)
    rate, rate_bf16 = 2 * 2048**3 / s["matmul"], 2 * 2048**3 / s["matmul_bf16"]
    m = {
        name: _peak_mb(name, parcels)
        for name in ("peer", "peer_attention", "ours", "encode", "ours_attention", "maps")
    }
    size = {"parcels": parcels, "threads": torch.get_num_threads()}
    full = BenchResult(
        "13M full forward, fp32",
        PEER,
        s["peer"] / s["ours"],
        m["ours"] / m["peer"],
        flops / s["ours"] / rate,
        {
            **size,
            "seconds": s["ours"],
            "peer_seconds": s["peer"],
            "peak_mb": m["ours"],
            "peer_peak_mb": m["peer"],
            "largest_difference": difference,
            "gflops": flops / s["ours"] / 1e9,
            "matmul_gflops": rate / 1e9,
        },
    )
    attention = BenchResult(
        "13M full forward with attention of all layers and heads, fp32",
        f"{PEER}, attentions returned",
        s["peer_attention"] / s["ours_attention"],
        m["ours_attention"] / m["peer_attention"],
        None,
        {
            **size,
            "seconds": s["ours_attention"],
            "peer_seconds": s["peer_attention"],
            "peak_mb": m["ours_attention"],
            "peer_peak_mb": m["peer_attention"],
            "added_time": s["ours_attention"] / s["ours"] - 1,
            "added_mb": m["ours_attention"] - m["ours"],
        },
    )
    maps = BenchResult(
        "13M attention maps alone, fp32",
        "our own encoder pass without maps",
        s["encode"] / s["maps"],
        m["maps"] / m["encode"],
        None,
        {
            **size,
            "seconds": s["maps"],
            "encode_seconds": s["encode"],
            "added_time": s["maps"] / s["encode"] - 1,
            "added_mb": m["maps"] - m["encode"],
        },
    )
    bf16 = BenchResult(
        "13M full forward, bf16",
        f"{PEER}, fp32",
        s["peer"] / s["ours_bf16"],
        None,
        flops / s["ours_bf16"] / rate_bf16,
        {**size, "seconds": s["ours_bf16"], "peer_seconds": s["peer"], "matmul_gflops": rate_bf16 / 1e9},
    )
    return [full, attention, maps, bf16]


def _image_result(rounds: int) -> BenchResult:
    import torch

    from brainlm_core.bench._peers import ImagePeer
    from brainlm_core.inference.weights import load

    model: Any = load("random:111m").model
    peer = ImagePeer(model)
    pixels = torch.randn(1, 3, 424, 200, generator=torch.Generator().manual_seed(_SIGNAL_SEED)) * 0.3

    def ours() -> Any:
        return model(pixels, mask_ratio=0.0, train_mode="auto_encode", noise=torch.arange(729.0)[None])

    with torch.inference_mode():
        difference = float((peer(pixels) - ours().logits).abs().max())
        s = interleave({"peer": lambda: peer(pixels), "ours": ours}, rounds)
    return BenchResult(
        "111M full forward, fp32",
        f"{PEER} (ViTMAE, eager)",
        s["peer"] / s["ours"],
        None,
        None,
        {"seconds": s["ours"], "peer_seconds": s["peer"], "largest_difference": difference},
    )


def _default_result(rounds: int) -> list[BenchResult]:
    """Time the bundled default model's encoder pass, when it is there."""
    import torch

    from brainlm_core.base.errors import CheckpointError
    from brainlm_core.bench._peers import ParcelPeer
    from brainlm_core.inference.weights import load

    try:
        model = load("default").model
    except CheckpointError:
        return []
    big, signal, xyz = _parcel_setup(424)
    peer = ParcelPeer(big)
    with torch.inference_mode():
        s = interleave(
            {"peer": lambda: peer.encode(signal, xyz), "ours": lambda: model.encode(signal, xyz[0])}, rounds
        )
    return [
        BenchResult(
            "default model, encoder pass of one window",
            "13M encoder in Hugging Face transformers layers",
            s["peer"] / s["ours"],
            None,
            None,
            {"seconds": s["ours"], "peer_seconds": s["peer"], "threads": torch.get_num_threads()},
        )
    ]


def _parcel_setup(parcels: int) -> tuple[Any, Any, Any]:
    import torch

    from brainlm_core.base.atlas import a424
    from brainlm_core.inference.weights import load

    model = load("random:13m").model
    rng = np.random.default_rng(_SIGNAL_SEED)
    signal = torch.from_numpy(rng.standard_normal((1, parcels, 200)).astype(np.float32))
    return model, signal, torch.from_numpy(a424().xyz[:parcels].copy())[None]


def _with_maps(model: Any, signal: Any, xyz: Any) -> Any:
    """Full forward pass that reads the maps of all layers and heads out on its way."""
    import torch

    from brainlm_core.model.attention import GroupReader

    parcels, patches = signal.shape[1], signal.shape[2] // model.config.timepoint_patching_size
    parcel = torch.arange(parcels).repeat_interleave(patches)
    reader = GroupReader(torch.cat([torch.tensor([-1]), parcel]), parcels)
    noise = (torch.arange(parcels * patches) + 0.5)[None] / (parcels * patches)
    return model(signal, xyz, noise, 0.0, reader=reader).logits, reader.stacked()


def _peak_mb(what: str, parcels: int) -> float:
    """Return the peak memory of one candidate in a fresh process, in MB above the imports."""
    command = [sys.executable, "-m", "brainlm_core.bench._model_memory", what, str(parcels)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return float(done.stdout.strip().splitlines()[-1])
