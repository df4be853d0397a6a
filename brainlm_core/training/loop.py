"""The training loop, one for every family; one process or many (Lightning Fabric, also ``torchrun``)."""

from __future__ import annotations

import copy
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainlm_core.errors import ConfigError
from brainlm_core.model import FAMILIES
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, save_folder
from brainlm_core.training import checkpoint
from brainlm_core.training.config import PretrainConfig
from brainlm_core.training.samples import Sample, Sampler, load_series, open_data

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunResult:
    """What a run reached.

    Parameters
    ----------
    folder : Path
        Holds ``model/`` (a checkpoint folder), ``metrics.jsonl``, ``checkpoint.pt``, TensorBoard files.
    steps : int
        Steps done in all.
    resumed_from : int
        Step that this call started at.
    validation : dict
        Last validation scores.
    """

    folder: Path
    steps: int
    resumed_from: int
    validation: dict[str, float]


class _Loss(nn.Module):
    """Mean over samples of each sample's mean squared error at hidden entries of varying parcels."""

    def __init__(self, model: MaskedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, groups: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        losses = []
        for signal, hidden, xyz in groups:
            answer = self.model.reconstruct(signal, xyz, hidden)
            scored = hidden & (signal.abs().amax(2, keepdim=True) > 0)
            error = (answer.predicted - signal).square() * scored
            losses.append(error.sum((1, 2)) / scored.sum((1, 2)).clamp_min(1))
        return torch.cat(losses).mean()


def pretrain(config: PretrainConfig, say: Say = lambda _: None) -> RunResult:
    """Run, or go on with, a pretraining.

    Parameters
    ----------
    config : PretrainConfig
    say : callable
        Told about progress, in sentences.

    Returns
    -------
    RunResult

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        Before training starts when settings, data or weights do not fit; when the disk is full.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = Path(config.output)
    opened = [open_data(d) for d in config.data]
    fabric = _fabric(config)
    fabric.launch()
    torch.manual_seed(config.seed + fabric.global_rank)
    model = _start_model(config, opened, folder, fabric, say)
    spec = model.spec
    training = [(load_series(c, t, spec), d.weight) for d, (c, t, _) in zip(config.data, opened, strict=True)]
    sampler = Sampler(training, config, spec)
    held = [(load_series(c, v, spec), d.weight) for d, (c, _, v) in zip(config.data, opened, strict=True)]
    held = [(series, weight) for series, weight in held if series]
    check = Sampler(held, config, spec, stream=1) if held and config.validation_windows else None
    trained = [p for p in model.parameters() if p.requires_grad]
    settings = config.optimiser
    optimiser = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.95)
    )
    module, optimiser = fabric.setup(_Loss(model), optimiser)
    start = _resume(config, folder, model, optimiser, fabric)
    writer = _Log(folder, fabric.is_global_zero)
    scores: dict[str, float] = {}
    began = time.monotonic()
    for step in range(start, settings.steps):
        rate = learning_rate(step, config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        module.train(settings.dropout)
        loss = _step(module, optimiser, sampler, step, config, fabric)
        facts: dict[str, Any] = {"step": step + 1, "loss": loss, "learning_rate": rate}
        last = step + 1 == settings.steps
        if check is not None and ((step + 1) % config.validate_every == 0 or last):
            scores = validate(model, check, config, fabric.device)
            facts["validation"] = scores
        writer.write(facts, time.monotonic() - began)
        if (step + 1) % config.checkpoint_every == 0 or last:
            _save(config, folder, model, optimiser, step + 1, fabric)
        if fabric.is_global_zero:
            left = (time.monotonic() - began) / (step + 1 - start) * (settings.steps - step - 1)
            say(f"step {step + 1} of {settings.steps}, loss {loss:.4f}, {left / 60:.0f} min left")
    writer.close()
    if fabric.is_global_zero:
        _deliver(config, model.eval(), folder)
    fabric.barrier()
    return RunResult(folder, settings.steps, start, scores)


def _deliver(config: PretrainConfig, model: MaskedModel, folder: Path) -> None:
    """Write ``model/``: weights in the wanted precision, with the group statistics of its training set."""
    from brainlm_core.training.fit_kernel import STATISTICS_NAME

    save_folder(copy.deepcopy(model).half() if config.store == "fp16" else model, folder / "model")
    statistics = folder / "prior" / STATISTICS_NAME
    if statistics.is_file():
        shutil.copyfile(statistics, folder / "model" / STATISTICS_NAME)


def learning_rate(step: int, config: PretrainConfig) -> float:
    """Return the learning rate of a step (counted from 0): linear warm-up, then a cosine to zero."""
    settings = config.optimiser
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _fabric(config: PretrainConfig) -> Any:
    """Return the Fabric of this process: one device, or what ``torchrun`` gave."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    accelerator = config.device
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    precision = "bf16-mixed" if config.optimiser.precision == "bf16" else "32-true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about hardware that does not concern the user
        if world == 1:
            return Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
        strategy = DDPStrategy(
            find_unused_parameters=True, process_group_backend="nccl" if accelerator == "cuda" else "gloo"
        )
        local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        return Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=max(1, world // local),
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]
        )


def _start_model(
    config: PretrainConfig, opened: list[Any], folder: Path, fabric: Any, say: Say
) -> MaskedModel:
    """Return the model that training starts from; the kernel family's prior is fitted once per run."""
    family = FAMILIES[config.family]
    if config.start_from is not None:
        from brainlm_core import weights

        model = weights.load(config.start_from).model
        if model.family != config.family:
            raise ConfigError(
                f"{config.start_from} is of the family {model.family}, the settings say {config.family}",
                "name weights of the same architecture",
            )
        return model
    settings = family.config_class().from_dict(config.model)
    if config.family != "kernel":
        model = family.module_class()(settings)
        model.initialise(torch.Generator().manual_seed(config.seed))
        return model
    prior = folder / "prior"
    if fabric.is_global_zero and not (prior / "model.safetensors").is_file():
        from brainlm_core.training.fit_kernel import TrainingCohort, fit, save_statistics

        if len(opened) != 2:
            raise ConfigError(
                "the kernel family is fitted on two cohorts", "give a cortical and a volume pack"
            )
        (cortex, rows, _), (volume, volume_rows, _) = opened
        fitted, statistics = fit(
            settings, TrainingCohort(cortex, rows), TrainingCohort(volume, volume_rows), say=say
        )
        save_statistics(statistics, prior)
        save_folder(fitted, prior)
    fabric.barrier()
    model = load_folder(prior)
    if config.gates_from is not None:
        other = load_folder(config.gates_from).state_dict()
        gates = {k: v for k, v in other.items() if k.startswith("gates.")}
        wanted = {k: v.shape for k, v in model.state_dict().items() if k.startswith("gates.")}
        if {k: v.shape for k, v in gates.items()} != wanted:
            raise ConfigError(f"{config.gates_from} has no gates of this shape", "use the same settings")
        model.load_state_dict(gates, strict=False)
    return model


def _step(
    module: Any, optimiser: Any, sampler: Sampler, step: int, config: PretrainConfig, fabric: Any
) -> float:
    settings = config.optimiser
    world, size = fabric.world_size, settings.batch_size
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=fabric.device)
    for k in range(settings.accumulate):
        first = ((step * settings.accumulate + k) * world + fabric.global_rank) * size
        groups = batch([sampler[first + j] for j in range(size)], fabric.device)
        with fabric.no_backward_sync(module, enabled=k < settings.accumulate - 1 and world > 1):
            loss = module(groups) / settings.accumulate
            fabric.backward(loss)
        total += loss.detach()
    fabric.clip_gradients(module, optimiser, max_norm=settings.gradient_clip)
    optimiser.step()
    value = float(fabric.all_reduce(total, reduce_op="mean"))
    if not math.isfinite(value):
        raise ConfigError(f"the loss is no longer finite at step {step + 1}", "lower the learning rate")
    return value


def batch(samples: list[Sample], device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Put samples of the same parcellation together: (signal (B, P, T), hidden (B, P, T), xyz (P, 3))."""
    groups: dict[tuple[int, bytes], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((len(sample.xyz), sample.xyz.numpy().tobytes()), []).append(sample)
    return [
        (
            torch.stack([s.signal for s in group]).to(device),
            torch.stack([s.hidden for s in group]).to(device),
            group[0].xyz.to(device),
        )
        for group in groups.values()
    ]


@torch.no_grad()
def validate(
    model: MaskedModel, sampler: Sampler, config: PretrainConfig, device: torch.device
) -> dict[str, float]:
    """Return pooled R² at hidden entries of the validation samples, of the model and of its prior alone."""
    model.eval()
    sums: dict[str, Tensor] = {}
    for number in range(config.validation_windows):
        sample = sampler[number]
        signal, hidden, xyz = (
            sample.signal[None].to(device),
            sample.hidden[None].to(device),
            sample.xyz.to(device),
        )
        truth = signal[hidden].double()
        spread = torch.stack([truth.square().sum(), truth.sum(), torch.tensor(float(truth.numel()))])
        methods: dict[str, Any] = {"r2": model.reconstruct}
        if hasattr(model, "prior_reconstruct"):
            methods["prior_r2"] = model.prior_reconstruct
        for name, method in methods.items():
            error = (method(signal, xyz, hidden).predicted[hidden].double() - truth).square().sum()
            sums[name] = sums.get(name, torch.zeros(4)) + torch.cat([error[None].cpu(), spread.cpu()])
    return {k: float(1 - v[0] / (v[1] - v[2] ** 2 / v[3])) for k, v in sums.items()}


def _resume(config: PretrainConfig, folder: Path, model: MaskedModel, optimiser: Any, fabric: Any) -> int:
    state = checkpoint.load(folder)
    if state is None:
        return 0
    if state["settings"] != _identity(config):
        raise ConfigError(
            f"{folder.name} holds a run with other settings", "choose another output or delete that folder"
        )
    model.load_state_dict(state["model"], strict=False)
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["rng"])
    if fabric.is_global_zero:
        checkpoint.trim_log(folder, int(state["step"]))
    return int(state["step"])


def _save(
    config: PretrainConfig, folder: Path, model: MaskedModel, optimiser: Any, step: int, fabric: Any
) -> None:
    if fabric.is_global_zero:
        trained = {k for k, p in model.named_parameters() if p.requires_grad}
        state = model.state_dict()
        frozen = {k for k, p in model.named_parameters() if not p.requires_grad}
        keep = {k: v.detach().cpu() for k, v in state.items() if k in trained or k not in frozen}
        checkpoint.save(
            {
                "step": step,
                "model": keep,
                "optimiser": optimiser.state_dict(),
                "rng": torch.get_rng_state(),
                "settings": _identity(config),
            },
            folder,
        )
    fabric.barrier()


def _identity(config: PretrainConfig) -> str:
    """Return the settings that decide the outcome, for comparison on resuming."""
    skip = {"output", "checkpoint_every", "validate_every", "device", "threads"}
    return json.dumps(config.model_dump(exclude=skip), sort_keys=True)


class _Log:
    """One JSON line a step, and TensorBoard."""

    def __init__(self, folder: Path, active: bool) -> None:
        self._active = active
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._stream = (folder / checkpoint.LOG_NAME).open("a", encoding="utf-8")
            self._board = SummaryWriter(str(folder / "tensorboard"))
        except OSError as error:
            raise ConfigError(f"{folder.name} cannot be written", "choose another output") from error

    def write(self, facts: dict[str, Any], seconds: float) -> None:
        if not self._active:
            return
        self._stream.write(json.dumps({**facts, "seconds": round(seconds, 3)}) + "\n")
        self._stream.flush()
        for name, value in {**facts, **facts.get("validation", {})}.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, facts["step"])

    def close(self) -> None:
        if self._active:
            self._stream.close()
            self._board.close()
