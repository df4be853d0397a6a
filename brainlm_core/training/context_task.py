"""Training of the context family: fill windows in, with and without the rest of the recording."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainlm_core.base.atlas import a424
from brainlm_core.base.errors import ConfigError
from brainlm_core.base.writing import whole_file
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.shared.masked_baselines import STATISTICS_NAME
from brainlm_core.model.checkpoints import load_folder, save_folder
from brainlm_core.model.context.basis import GroupBasis
from brainlm_core.model.context.config import ContextConfig
from brainlm_core.model.context.model import ContextModel
from brainlm_core.model.context.statistics import ContextStatistics
from brainlm_core.model.kernel_model import KernelModel
from brainlm_core.training.config import PretrainConfig
from brainlm_core.training.context_samples import IDENTICAL, ContextSample, ContextSampler, alike
from brainlm_core.training.group_prior import Array, carry_weights, correlation
from brainlm_core.training.group_without import GroupWithout
from brainlm_core.training.samples import Series, load_series, open_data
from brainlm_core.training.task import Task

Say = Callable[[str], None]
Batch = tuple[Tensor, Tensor, GroupBasis, ContextStatistics | None]


class ContextTask(Task):
    """Fill in what is hidden, with the group of all other people and, mostly, the rest of the recording.

    The first cohort of the settings is trained on; the others serve the process alone.

    Parameters
    ----------
    config : PretrainConfig
    fabric : lightning_fabric.Fabric
    say : callable

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        When settings, data or weights do not fit.
    """

    def __init__(self, config: PretrainConfig, fabric: Any, say: Say) -> None:
        opened = [open_data(d) for d in config.data]
        model = start_context(config, opened, fabric, say)
        super().__init__(model)
        self._model, self._config = model, config
        cohort, rows, held = opened[0]
        recordings, subjects = _with_people(cohort, rows, model)
        _check_people(recordings, subjects, cohort.name, say)
        spec, seed = model.spec, config.seed
        number = config.inference
        if not 0 <= number < len(model.inferences):
            raise ConfigError(
                f"there is no set {number} of gains",
                "name one of inference_of_regime in the model's settings",
            )
        self._inference = model.inferences[number]
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for parameter in self._inference.parameters():
            parameter.requires_grad_(True)
        self._sampler = ContextSampler(recordings, subjects, spec.n_timepoints, spec.patch_length, seed)
        say("group without each person")
        self._group = GroupWithout(recordings, subjects, _carried(config, model, len(recordings[0].values)))
        checked, people = _with_people(cohort, held, model)
        wanted = checked and config.validation_windows
        self._check = (
            ContextSampler(checked, people, spec.n_timepoints, spec.patch_length, seed, stream=1)
            if wanted
            else None
        )

    @property
    def loss(self) -> nn.Module:
        """See :class:`Task`."""
        return _Loss(self._inference)

    def batch(self, first: int, size: int, device: torch.device) -> Batch:
        """Return windows of one recording; see :class:`Task`."""
        sample = self._sampler.batch(first // size, size)
        return self._prepare(sample, self._group.basis(sample.people), device)

    @staticmethod
    def _prepare(sample: ContextSample, basis: GroupBasis, device: torch.device) -> Batch:
        context = None
        if sample.n_context:
            n = torch.tensor([float(sample.n_context)], device=device)
            index = torch.zeros(len(sample.signal), dtype=torch.int64, device=device)
            context = ContextStatistics.of_moments(sample.moments[None].to(device), n, index)
        basis = GroupBasis(basis.vectors.to(device), basis.values.to(device))
        return sample.signal.to(device), sample.hidden.to(device), basis, context

    @torch.no_grad()
    def validate(self, device: torch.device) -> dict[str, float]:
        """Return R² at hidden entries of people who were held back, with and without context."""
        if self._check is None:
            return {}
        names = {True: "r2_recording", False: "r2_window"}
        sums = {name: torch.zeros(2, dtype=torch.float64) for name in names.values()}
        basis = self._group.basis()
        for number in range(self._config.validation_windows):
            batch = self._prepare(self._check.batch(number, 2), basis, device)
            name = names[batch[3] is not None]
            error, power = _errors(self._inference, batch)
            sums[name] += torch.stack([error.sum(), power.sum()]).double().cpu()
        return {name: float(1 - v[0] / v[1]) for name, v in sums.items() if v[1] > 0}

    def deliver(self, folder: Path) -> None:
        """Write ``model/``: weights in the wanted precision, and the process's group statistics."""
        model = self._model.eval()
        half = self._config.store == "fp16"
        save_folder(copy.deepcopy(model).half() if half else model, folder / "model")
        for source in (self._config.process_from, str(folder / "prior")):
            statistics = _folder(source) / STATISTICS_NAME if source else None
            if statistics is not None and statistics.is_file():
                with whole_file(folder / "model" / STATISTICS_NAME) as part:
                    shutil.copyfile(statistics, part)
                return


class _Loss(nn.Module):
    """Mean over windows of the squared error at hidden entries, in units of their variance."""

    def __init__(self, inference: nn.Module) -> None:
        super().__init__()
        self.inference = inference

    def forward(self, batch: Batch) -> Tensor:
        error, power = _errors(self.inference, batch)
        return (error / power.clamp_min(1e-6)).mean()


def _errors(inference: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return squared error and power at hidden entries of varying parcels, by window (B,)."""
    signal, hidden, basis, context = batch
    varies = signal.abs().amax(2, keepdim=True) > 0
    visible = (~hidden & varies).float()
    answer = inference(signal * visible, visible, basis, context)
    scored = hidden & varies
    error = ((answer - signal).square() * scored).sum((1, 2))
    return error, (signal.square() * scored).sum((1, 2))


def start_context(config: PretrainConfig, opened: list[Any], fabric: Any, say: Say) -> ContextModel:
    """Return the model that training starts from: the process fitted or taken over, gains at their start."""
    if config.start_from is not None:
        from brainlm_core.inference import weights

        model = weights.load(config.start_from).model
        if not isinstance(model, ContextModel):
            raise ConfigError(
                f"{config.start_from} is of the family {model.family}, the settings say context",
                "name weights of the same architecture",
            )
        return model
    if config.process_from is not None:
        process = load_folder(_folder(config.process_from))
    else:
        from brainlm_core.training.masked import fitted_process

        process = fitted_process(config, opened, Path(config.output) / "prior", fabric, say)
    if not isinstance(process, KernelModel):
        raise ConfigError("process_from names weights of another family", "name weights of the kernel family")
    settings = ContextConfig.from_dict({**config.model, "process": process.config.to_dict()})
    model = ContextModel(settings)
    model.process.load_state_dict(process.state_dict())
    if config.inference_from is not None:
        other = load_folder(config.inference_from)
        gains = {k: v for k, v in other.state_dict().items() if k.startswith("inferences.")}
        wanted = {k: v.shape for k, v in model.state_dict().items() if k.startswith("inferences.")}
        if {k: v.shape for k, v in gains.items()} != wanted:
            raise ConfigError(f"{config.inference_from} has no gains of this shape", "use the same settings")
        model.load_state_dict(gains, strict=False)
    return model


def _folder(name: str) -> Path:
    from brainlm_core.inference.weights import default_folder

    return default_folder() if name == "default" else Path(name)


def _with_people(cohort: Cohort, rows: Any, model: ContextModel) -> tuple[list[Series], list[str]]:
    recordings, subjects = [], []
    for row in rows:
        for series in load_series(cohort, np.array([row]), model.spec):
            recordings.append(series)
            subjects.append(cohort.subjects[row])
    return recordings, subjects


def _check_people(recordings: list[Series], subjects: list[str], name: str, say: Say) -> None:
    """Refuse one recording given as two people; say which look like one person's.

    The group has to leave a person out, and mixtures are of two people.
    """
    for first, second, likeness in alike(recordings, subjects):
        pair = f"{subjects[first]} and {subjects[second]} of {name}"
        if likeness >= IDENTICAL:
            raise ConfigError(
                f"the recordings of {pair} are one and the same, given as two people",
                "give recordings of one person the same subject_id in the phenotypes, or leave one out",
            )
        say(
            f"the recordings of {pair} are as alike (r = {likeness:.2f}) as two of one person would be: "
            "give them the same subject_id if they are"
        )


def _carried(config: PretrainConfig, model: ContextModel, n_parcels: int) -> Array | None:
    """Return the volume parcellation's correlation carried to the cortical A424 parcels, or None."""
    folder = _folder(config.process_from) if config.process_from else Path(config.output) / "prior"
    path = folder / STATISTICS_NAME
    if n_parcels != 360 or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as store:
        other, positions = (store[k].astype(np.float64) for k in ("covariance_1", "positions_1"))
    weights = carry_weights(a424().position.astype(np.float64)[:360], positions)
    return correlation(weights @ correlation(other)[0] @ weights.T)[0]
