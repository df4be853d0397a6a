"""A training step of the parcel-token family against the same model in plain transformers layers.

Both sides share weights, samples and masks, run in one process and are interleaved; medians are
compared. Peak memory is measured in a fresh process per side. The step from one process to two is
``brainlm pretrain`` itself, alone and under ``torchrun`` (gloo), on simulated recordings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from brainlm_core.bench import BenchResult
from brainlm_core.bench.model import interleave

PEER = "the same model in Hugging Face transformers layers"
#: Share of the tokens that a training step hides.
MASK_RATIO = 0.75
BATCH = 2


def run(quick: bool = False) -> list[BenchResult]:
    """Compare the training step with its peer, in fp32 and bf16, and one process with two.

    Parameters
    ----------
    quick : bool
        A tenth of the parcels and a small model; ratios are then smaller than at full size.
    """
    return [*_step_results(quick), _scaling_result(quick)]


def setup(quick: bool) -> tuple[Any, Any, Any, Any]:
    """Return the model, signals (B, P, T), coordinates (B, P, 3) and mask noise (B, tokens)."""
    import torch

    from brainlm_core.base.atlas import a424
    from brainlm_core.inference.weights import load

    parcels = 42 if quick else 424
    model: Any = load("random:13m").model
    model.train(False)  # dropout off: both sides then compute the same loss
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    signal = torch.randn(BATCH, parcels, model.config.num_timepoints_per_voxel, generator=generator)
    xyz = torch.from_numpy(a424().xyz[:parcels].copy()).expand(BATCH, -1, -1)
    tokens = parcels * signal.shape[2] // model.config.timepoint_patching_size
    return model, signal, xyz, torch.rand(BATCH, tokens, generator=generator)


class PeerTrainer:
    """The masked training step with transformers' layers on the model's own weights.

    Parameters
    ----------
    model : ParcelTokenModel
    """

    def __init__(self, model: Any) -> None:
        from brainlm_core.bench._peers import ParcelPeer

        self.model, self.peer = model, ParcelPeer(model)

    def parameters(self) -> list[Any]:
        """Return what this side trains: transformers' layers and the shared rest of the model."""
        inner = {
            id(p) for part in (self.model.vit.encoder, self.model.decoder.decoder_layers)
            for p in part.parameters()
        }  # fmt: skip
        rest = [p for p in self.model.parameters() if id(p) not in inner]
        return [*rest, *self.peer.encoder.parameters(), *self.peer.decoder.parameters()]

    def loss(self, signal: Any, xyz: Any, noise: Any) -> Any:
        """Return the masked mean squared error of a random mask."""
        import torch.nn.functional as F

        from brainlm_core.model.masking import keep_visible

        patches = self.model._patches(signal)
        b, p, n, length = patches.shape
        visible = keep_visible(noise, int(p * n * (1 - MASK_RATIO)))
        x = self.model._embed(patches, xyz, visible)
        for layer in self.peer.encoder:
            x = layer(x)[0]
        logits = self._decode(self.model.vit.layernorm(x), visible.ids_restore, xyz)
        weight = visible.mask.view(b, p, n, 1).expand(b, p, n, length)
        return (F.mse_loss(logits, patches, reduction="none") * weight).sum() / weight.sum()

    def _decode(self, latent: Any, restore: Any, xyz: Any) -> Any:
        import torch
        import torch.nn.functional as F

        from brainlm_core.model.parcel_token import position_table

        d = self.model.decoder
        y = d.decoder_embed(latent)
        (b, s), p, width = restore.shape, xyz.shape[1], y.shape[-1]
        masked = d.mask_token.to(y.dtype).expand(b, s - (y.shape[1] - 1), width)
        x = torch.cat([y[:, 1:], masked], dim=1).gather(1, restore[:, :, None].expand(-1, -1, width))
        x = x.view(b, p, s // p, width) + d.decoder_xyz_projection(xyz)[:, :, None]
        x = x + position_table(s // p, width)
        x = torch.cat([y[:, :1].to(x.dtype), x.flatten(1, 2)], dim=1)
        for layer in self.peer.decoder:
            x = layer(x)[0]
        x = d.decoder_pred2(F.leaky_relu(d.decoder_pred1(d.decoder_norm(x)[:, 1:]), 0.1))
        return x.view(b, p, s // p, -1)


def steppers(quick: bool) -> tuple[dict[str, Any], int]:
    """Return the training steps by name (each gives its loss), and the tokens of one."""
    import torch

    model, signal, xyz, noise = setup(quick)
    peer = PeerTrainer(model)
    # The learning rate is 0: weights, which both sides share, stay, and every step is the same step.
    own = torch.optim.AdamW(model.parameters(), lr=0.0)
    theirs = torch.optim.AdamW(peer.parameters(), lr=0.0)

    def step(loss: Any, optimiser: Any) -> float:
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimiser.step()
        return float(value.detach())

    def ours() -> float:
        return step(lambda: model(signal, xyz, noise, MASK_RATIO).loss, own)

    def ours_bf16() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return ours()

    return {
        "peer": lambda: step(lambda: peer.loss(signal, xyz, noise), theirs),
        "ours": ours,
        "ours_bf16": ours_bf16,
    }, noise.numel()


def _step_results(quick: bool) -> list[BenchResult]:
    import torch

    candidates, tokens = steppers(quick)
    first = {name: call() for name, call in candidates.items()}
    seconds = interleave(candidates, 3)
    peak = {name: _peak_mb(name, quick) for name in candidates}
    size = {"tokens_per_step": tokens, "threads": torch.get_num_threads(), "mask_ratio": MASK_RATIO}
    return [
        BenchResult(
            f"13M training step, {told}",
            f"{PEER}, fp32",
            seconds["peer"] / seconds[name],
            peak[name] / peak["peer"],
            None,
            {
                **size,
                "seconds": seconds[name],
                "peer_seconds": seconds["peer"],
                "tokens_per_s": tokens / seconds[name],
                "peer_tokens_per_s": tokens / seconds["peer"],
                "peak_mb": peak[name],
                "peer_peak_mb": peak["peer"],
                "loss": first[name],
                "peer_loss": first["peer"],
            },
        )
        for name, told in (("ours", "fp32"), ("ours_bf16", "bf16"))
    ]


def _peak_mb(name: str, quick: bool) -> float:
    """Return the peak of one side's step in a fresh process, in MB above the imports."""
    command = [sys.executable, "-m", "brainlm_core.bench._training_memory", name, str(int(quick))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    return float(done.stdout.strip().splitlines()[-1])


def _scaling_result(quick: bool) -> BenchResult:
    """Tokens per second of ``brainlm pretrain`` with one process and with two, one thread each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates = {n: _pretrain_rate(folder, n, quick) for n in (1, 2)}
    return BenchResult(
        "training in two processes (gloo, one thread each)",
        "one process, one thread",
        rates[2] / rates[1],
        None,
        rates[2] / rates[1] / 2,
        {"tokens_per_s": rates[2], "peer_tokens_per_s": rates[1], "cores": os.cpu_count()},
    )


def _pretrain_rate(folder: Path, processes: int, quick: bool) -> float:
    import yaml

    parcels, steps = (60, 6) if quick else (200, 12)
    rng = np.random.default_rng(0)
    signals = np.cumsum(rng.normal(size=(400, parcels)), axis=0).astype(np.float32)
    np.savez(folder / "pack.npz", signals=signals, offsets=np.array([0, 400]))
    rows = "\n".join(f"{i},{x:.1f},{y:.1f},{z:.1f}" for i, (x, y, z) in enumerate(_places(parcels)))
    (folder / "xyz.csv").write_text(f"label,x,y,z\n{rows}\n")
    output = folder / f"run{processes}"
    settings = {
        "family": "parcel_token",
        "output": str(output),
        "data": [
            {"path": str(folder / "pack.npz"), "coordinates": [str(folder / "xyz.csv")], "tr_s": 0.72}
        ],
        "model": {
            "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
            "decoder_hidden_size": 128, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 4,
            "decoder_intermediate_size": 256, "num_timepoints_per_voxel": 200, "timepoint_patching_size": 20,
            "conv_kernel_size": None,
        },
        "masks": {"random75": 1},
        "optimiser": {"steps": steps, "batch_size": 2, "warmup_steps": 1},
        "checkpoint_every": 1000,
        "validation_windows": 0,
        "device": "cpu",
        "threads": 1,
    }  # fmt: skip
    config = folder / f"run{processes}.yaml"
    config.write_text(yaml.safe_dump(settings))
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *(launch if processes > 1 else []), "-m", "brainlm_core", "pretrain"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    subprocess.run([*command, str(config)], check=True, capture_output=True, env=env)
    lines = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    times = [json.loads(line)["seconds"] for line in lines]
    each = median(np.diff(times[2:]).tolist())
    return processes * 2 * parcels * 10 / max(each, 1e-6)


def _places(n: int) -> Any:
    from brainlm_core.base.atlas import a424

    return a424().xyz[:n]
