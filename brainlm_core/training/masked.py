"""Masked reconstruction as a task: pretraining of every family, and fine-tuning to forecasts."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import whole_file
from brainlm_core.model import FAMILIES, build_family
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, save_folder
from brainlm_core.training.config import PretrainConfig
from brainlm_core.training.samples import Sample, Sampler, load_series, networks_of, open_data
from brainlm_core.training.task import Task, stacked

Say = Callable[[str], None]


class MaskedTask(Task):
    """Fill in what is hidden.

    Parameters
    ----------
    config : PretrainConfig
    fabric : lightning_fabric.Fabric
    say : callable
        Told about what takes long.

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        When settings, data or weights do not fit.
    """

    def __init__(self, config: PretrainConfig, fabric: Any, say: Say) -> None:
        opened = [open_data(d) for d in config.data]
        model = start_model(config, opened, Path(config.output), fabric, say)
        super().__init__(model)
        self._model, self._config = model, config
        training = [
            (load_series(c, t, model.spec), d.weight)
            for d, (c, t, _) in zip(config.data, opened, strict=True)
        ]
        held = [
            (load_series(c, v, model.spec), d.weight)
            for d, (c, _, v) in zip(config.data, opened, strict=True)
        ]
        held = [(series, weight) for series, weight in held if series]
        if config.masks.get("network", 0) > 0:
            for (cohort, *_), (series, _) in zip(opened, training, strict=True):
                if series and len(networks_of(series[0].parcellation)) < 2:
                    say(f"{cohort.name} lies in fewer than two networks: single parcels are hidden instead")
        self._sampler = Sampler(training, config, model.spec)
        wanted = held and config.validation_windows
        self._check = Sampler(held, config, model.spec, stream=1) if wanted else None

    @property
    def loss(self) -> nn.Module:
        """See :class:`Task`."""
        return _Loss(self._model)

    def batch(self, first: int, size: int, device: torch.device) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Put samples of the same parcellation together: (signal (B, P, T), hidden (B, P, T), xyz (P, 3))."""
        groups: dict[tuple[int, bytes], list[Sample]] = {}
        for number in range(first, first + size):
            sample = self._sampler[number]
            groups.setdefault((len(sample.xyz), sample.xyz.numpy().tobytes()), []).append(sample)
        return [
            (
                stacked([s.signal for s in group], device),
                stacked([s.hidden for s in group], device),
                group[0].xyz.to(device),
            )
            for group in groups.values()
        ]

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Return pooled R² at hidden entries, of the model and of its prior alone."""
        if self._check is None:
            return {}
        model = self._model.eval()
        sums: dict[str, Tensor] = {}
        for number in range(self._config.validation_windows):
            sample = self._check[number]
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

    def deliver(self, folder: Path) -> None:
        """Write ``model/``: weights in the wanted precision, and its training set's group statistics."""
        from brainlm_core.training.fit_kernel import STATISTICS_NAME

        model = self._model.eval()
        half = self._config.store == "fp16"
        save_folder(copy.deepcopy(model).half() if half else model, folder / "model")
        statistics = folder / "prior" / STATISTICS_NAME
        if statistics.is_file():
            with whole_file(folder / "model" / STATISTICS_NAME) as part:
                shutil.copyfile(statistics, part)


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


def start_model(
    config: PretrainConfig, opened: list[Any], folder: Path, fabric: Any, say: Say
) -> MaskedModel:
    """Return the model that training starts from; the kernel family's prior is fitted once per run."""
    family = FAMILIES[config.family]
    if config.start_from is not None:
        from brainlm_core.inference import weights

        model = weights.load(config.start_from, accept_licence=config.accept_licence).model
        if model.family != config.family:
            raise ConfigError(
                f"{config.start_from} is of the family {model.family}, the settings say {config.family}",
                "name weights of the same architecture",
            )
        return model
    settings = family.config_class().from_dict(config.model)
    if config.family != "kernel":
        model = build_family(family, settings)
        model.initialise(torch.Generator().manual_seed(config.seed))
        return model
    model = fitted_process(config, opened, folder / "prior", fabric, say)
    if config.gates_from is not None:
        other = load_folder(config.gates_from).state_dict()
        gates = {k: v for k, v in other.items() if k.startswith("gates.")}
        wanted = {k: v.shape for k, v in model.state_dict().items() if k.startswith("gates.")}
        if {k: v.shape for k, v in gates.items()} != wanted:
            raise ConfigError(f"{config.gates_from} has no gates of this shape", "use the same settings")
        model.load_state_dict(gates, strict=False)
    return model


def fitted_process(
    config: PretrainConfig, opened: list[Any], prior: Path, fabric: Any, say: Say
) -> MaskedModel:
    """Return the kernel family's model fitted on the two cohorts, once per run, and kept in ``prior``."""
    if fabric.is_global_zero and not (prior / "model.safetensors").is_file():
        from brainlm_core.model.kernel_config import KernelConfig
        from brainlm_core.training.fit_kernel import TrainingCohort, fit, save_statistics

        if len(opened) != 2:
            raise ConfigError(
                "the kernel family is fitted on two cohorts", "give a cortical and a volume pack"
            )
        own = config.model.get("process", {}) if config.family == "context" else config.model
        (cortex, rows, _), (volume, volume_rows, _) = opened
        fitted, statistics = fit(
            KernelConfig.from_dict(own),
            TrainingCohort(cortex, rows),
            TrainingCohort(volume, volume_rows),
            say=say,
        )
        save_statistics(statistics, prior)
        save_folder(fitted, prior)
    fabric.barrier()
    return load_folder(prior)
