"""The training loop of every family and task; one process or many (Lightning Fabric, also ``torchrun``)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import one_writer, private_folder
from brainlm_core.inference import weights
from brainlm_core.model import FAMILIES, family_of
from brainlm_core.training import checkpoint
from brainlm_core.training.config import PretrainConfig, RunConfig
from brainlm_core.training.task import Task

Say = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """A step that was done; as text, one line of a log.

    Parameters
    ----------
    done, steps : int
        Of this run, those before it was cut off included.
    loss : float
    seconds_left : float
        At the mean pace of this process, in s.
    """

    done: int
    steps: int
    loss: float
    seconds_left: float

    def __str__(self) -> str:
        left = f"{self.seconds_left:.0f} s" if self.seconds_left < 90 else f"{self.seconds_left / 60:.0f} min"
        return f"step {self.done} of {self.steps}, loss {self.loss:.4f}, {left} left"


OnStep = Callable[[Step], None]


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
    speaks : bool
        Whether this process tells of the run: the first of those that share it.
    """

    folder: Path
    steps: int
    resumed_from: int
    validation: dict[str, float]
    speaks: bool = True


def pretrain(config: PretrainConfig, say: Say = lambda _: None, on_step: OnStep | None = None) -> RunResult:
    """Run, or go on with, a pretraining; see :func:`run`."""
    if config.family == "context":
        from brainlm_core.training.context_task import ContextTask

        return run(config, lambda fabric, tell: ContextTask(config, fabric, tell), say, on_step)
    from brainlm_core.training.masked import MaskedTask

    return run(config, lambda fabric, tell: MaskedTask(config, fabric, tell), say, on_step)


def run(
    config: RunConfig,
    make: Callable[[Any, Say], Task],
    say: Say = lambda _: None,
    on_step: OnStep | None = None,
) -> RunResult:
    """Train a task, or go on where a run was cut off.

    Parameters
    ----------
    config : RunConfig
    make : callable
        Given the Fabric and whom to tell, returns the task; whatever is wrong with settings or data is
        raised there.
    say : callable
        Told what takes long, in sentences, by one of the processes that share a run.
    on_step : callable, optional
        Told of every step; without it ``say`` is.

    Returns
    -------
    RunResult

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        Before training starts when settings, data or weights do not fit, or another process writes there;
        when the disk is full.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    folder = Path(config.output)
    precision = resolved_precision(config)
    fabric = _fabric(config, precision)
    fabric.launch()
    with contextlib.ExitStack() as held:
        if fabric.is_global_zero:
            held.enter_context(one_writer(folder))
        return _train(config, make, say, on_step, fabric)


def _train(
    config: RunConfig, make: Callable[[Any, Say], Task], say: Say, on_step: OnStep | None, fabric: Any
) -> RunResult:
    folder, speaks = Path(config.output), bool(fabric.is_global_zero)
    torch.manual_seed(config.seed + fabric.global_rank)
    task = make(fabric, say if speaks else lambda _: None)
    settings = config.optimiser
    trained = [p for p in task.model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        trained, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.95)
    )
    module, optimiser = fabric.setup(task.loss, optimiser)
    start = _resume(config, folder, task.model, optimiser, fabric)
    scores: dict[str, float] = {}
    began = time.monotonic()
    with contextlib.closing(_Log(folder, fabric.is_global_zero)) as writer:
        for step in range(start, settings.steps):
            rate = learning_rate(step, config)
            for group in optimiser.param_groups:
                group["lr"] = rate
            module.train(settings.dropout)
            loss = _step(module, optimiser, task, step, config, fabric)
            facts: dict[str, Any] = {"step": step + 1, "loss": loss, "learning_rate": rate}
            last = step + 1 == settings.steps
            if (step + 1) % config.validate_every == 0 or last:
                scores = task.validate(fabric.device)
                facts |= {"validation": scores} if scores else {}
            writer.write(facts, time.monotonic() - began)
            if (step + 1) % config.checkpoint_every == 0 or last:
                _save(config, folder, task.model, optimiser, step + 1, fabric)
            if speaks:
                left = (time.monotonic() - began) / (step + 1 - start) * (settings.steps - step - 1)
                done = Step(step + 1, settings.steps, loss, left)
                say(str(done)) if on_step is None else on_step(done)
    if start >= settings.steps:  # nothing was left to do
        scores = task.validate(fabric.device)
    if speaks:
        task.deliver(folder)
    fabric.barrier()
    return RunResult(folder, settings.steps, start, scores, speaks)


def learning_rate(step: int, config: RunConfig) -> float:
    """Return the learning rate of a step (counted from 0): linear warm-up, then a cosine to zero."""
    settings = config.optimiser
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def resolved_precision(config: RunConfig) -> str:
    """Return ``fp32`` or ``bf16``: what ``auto`` means for this family on this machine."""
    from brainlm_core.inference.devices import cpu_multiplies_bf16

    if config.optimiser.precision != "auto":
        return config.optimiser.precision
    if isinstance(config, PretrainConfig):
        family = FAMILIES[config.family]
    else:
        name = str(getattr(config, "start_from", "default")).strip().removeprefix(weights.RANDOM_PREFIX)
        family = family_of(weights.config_of(name.lower() if name.lower() in weights.PUBLISHED else name))
    if not family.module_class().low_precision:
        return "fp32"
    on_gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    gains = torch.cuda.is_bf16_supported() if on_gpu else cpu_multiplies_bf16()
    return "bf16" if gains else "fp32"


def _fabric(config: RunConfig, precision: str) -> Any:
    """Return the Fabric of this process: one device, or what ``torchrun`` gave."""
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    accelerator = config.device
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    plugin = "bf16-mixed" if precision == "bf16" else "32-true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about hardware that does not concern the user
        if world == 1:
            return Fabric(accelerator=accelerator, devices=1, precision=plugin)  # type: ignore[arg-type]
        strategy = DDPStrategy(
            find_unused_parameters=True, process_group_backend="nccl" if accelerator == "cuda" else "gloo"
        )
        local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
        return Fabric(
            accelerator=accelerator,
            devices=local,
            num_nodes=max(1, world // local),
            strategy=strategy,
            precision=plugin,  # type: ignore[arg-type]
        )


def _step(module: Any, optimiser: Any, task: Task, step: int, config: RunConfig, fabric: Any) -> float:
    settings = config.optimiser
    world, size = fabric.world_size, settings.batch_size
    optimiser.zero_grad(set_to_none=True)
    total = torch.zeros((), device=fabric.device)
    for k in range(settings.accumulate):
        first = ((step * settings.accumulate + k) * world + fabric.global_rank) * size
        samples = task.batch(first, size, fabric.device)
        with fabric.no_backward_sync(module, enabled=k < settings.accumulate - 1 and world > 1):
            loss = module(samples) / settings.accumulate
            fabric.backward(loss)
        total += loss.detach()
    fabric.clip_gradients(module, optimiser, max_norm=settings.gradient_clip)
    optimiser.step()
    value = float(fabric.all_reduce(total, reduce_op="mean"))
    if not math.isfinite(value):
        raise ConfigError(f"the loss is no longer finite at step {step + 1}", "lower the learning rate")
    return value


def _resume(config: RunConfig, folder: Path, model: nn.Module, optimiser: Any, fabric: Any) -> int:
    state = checkpoint.load(folder)
    if state is None:
        return 0
    wanted, found = json.loads(_identity(config)), json.loads(state["settings"])
    other = [key for key in wanted if wanted[key] != found.get(key)]
    if other:
        raise ConfigError(
            f"{folder.name} holds a run with other settings ({', '.join(other)})",
            "choose another output or delete that folder",
        )
    if state.get("processes", fabric.world_size) != fabric.world_size:
        raise ConfigError(
            f"{folder.name} holds a run of {state['processes']} processes, and this is one of "
            f"{fabric.world_size}: it would see other samples",
            f"start {state['processes']} processes or choose another output",
        )
    model.load_state_dict(state["model"], strict=False)
    optimiser.load_state_dict(state["optimiser"])
    # clone: torch takes a row of a table for its beginning
    torch.set_rng_state(torch.atleast_2d(state["rng"])[fabric.global_rank].clone())
    if fabric.device.type == "cuda" and "cuda_rng" in state:
        row = torch.atleast_2d(state["cuda_rng"])[fabric.global_rank].clone()
        torch.cuda.set_rng_state(row, fabric.device)
    if fabric.is_global_zero:
        checkpoint.trim_log(folder, int(state["step"]))
    return int(state["step"])


def _save(config: RunConfig, folder: Path, model: nn.Module, optimiser: Any, step: int, fabric: Any) -> None:
    # Every process draws its own dropout: one row of generator state each.
    rng = {"rng": fabric.all_gather(torch.get_rng_state()).cpu()}
    if fabric.device.type == "cuda":
        rng["cuda_rng"] = fabric.all_gather(torch.cuda.get_rng_state(fabric.device)).cpu()
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
                **rng,
                "settings": _identity(config),
                "processes": fabric.world_size,
            },
            folder,
        )
    fabric.barrier()


def _identity(config: RunConfig) -> str:
    """Return the settings that decide the outcome, for comparison on resuming."""
    skip = {"output", "accept_licence", "checkpoint_every", "validate_every", "device", "threads"}
    settings = config.model_dump(exclude=skip)
    settings["optimiser"]["precision"] = resolved_precision(config)  # another machine may mean another one
    return json.dumps(settings, sort_keys=True)


class _Log:
    """One JSON line a step, and TensorBoard."""

    def __init__(self, folder: Path, active: bool) -> None:
        self._active = active
        self._folder = folder
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter

        private_folder(folder)
        try:
            self._stream = (folder / checkpoint.LOG_NAME).open("a", encoding="utf-8")
            self._board = SummaryWriter(str(folder / "tensorboard"))
        except OSError as error:
            raise ConfigError(f"{folder.name} cannot be written", "choose another output") from error

    def write(self, facts: dict[str, Any], seconds: float) -> None:
        if not self._active:
            return
        try:
            self._stream.write(json.dumps({**facts, "seconds": round(seconds, 3)}) + "\n")
            self._stream.flush()
            for name, value in {**facts, **facts.get("validation", {})}.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, facts["step"])
        except OSError as error:
            raise ConfigError(
                f"the log cannot be written to {self._folder.name} (is the disk full?)",
                "free space and run the same command: it goes on from the last checkpoint",
            ) from error

    def close(self) -> None:
        if not self._active:
            return
        for part in (self._stream, self._board):
            with contextlib.suppress(OSError):  # what a full disk did not take has been said by then
                part.close()
