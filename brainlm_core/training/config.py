"""Settings of a pretraining run, read from YAML and checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from brainlm_core.base.errors import ConfigError

#: Kinds of masks that training draws from; "network" hides all parcels of one Yeo-7 network.
MASK_KINDS = ("random20", "random75", "random90", "future", "parcel", "network")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Strict):
    """One cohort; fields as in :func:`brainlm_core.cohort.packs.open_cohort`.

    ``validation_rows`` (counted from 1) and ``validation_where`` (``"site=A,B"``) are never trained on.
    """

    path: str
    signals: list[str] = ["signals"]
    coordinates: list[str] | None = None
    tr_s: float | None = Field(default=None, gt=0)
    phenotypes: str | None = None
    validation_rows: list[int] = []
    validation_where: str | None = None
    weight: float = Field(default=1.0, ge=0)


class OptimiserConfig(_Strict):
    """AdamW with linear warm-up and a cosine to zero.

    ``precision`` ``auto`` is bf16 where it gains: on a GPU and on processors that multiply it, for families
    that it does not harm. The same file then gives slightly different numbers on different machines.
    Without ``dropout`` (masking is noise enough) a step does not depend on how many processes share it.
    """

    steps: int = Field(default=1000, ge=0)
    batch_size: int = Field(default=4, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_steps: int = Field(default=50, ge=0)
    gradient_clip: float = Field(default=1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    dropout: bool = False


class RunConfig(_Strict):
    """What every training run has: where it writes, how it steps, how often it saves and validates.

    ``accept_licence`` accepts the licence of published weights that ``start_from`` names.
    """

    output: str
    optimiser: OptimiserConfig = OptimiserConfig()
    accept_licence: bool = False
    checkpoint_every: int = Field(default=50, ge=1)
    validate_every: int = Field(default=100, ge=1)
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)


class PretrainConfig(RunConfig):
    """A pretraining run.

    ``model`` is the family's ``config.json``; ``start_from`` a folder or ``default`` to go on from.
    ``masks`` gives the relative frequency of each kind of mask. ``gates_from`` (kernel family) is a folder
    whose trained gates are put on the newly fitted prior; ``store`` the precision of the saved weights.
    ``process_from`` (context family) is a folder of the kernel family, or ``default``, whose group is taken
    over instead of one that is fitted first; ``inference_from`` a folder whose trained gains are started
    from, and ``inference`` the set of gains that is trained.
    """

    family: Literal["kernel", "context", "parcel_token", "image_token"]
    data: list[DataConfig] = Field(min_length=1)
    model: dict[str, Any] = {}
    start_from: str | None = None
    gates_from: str | None = None
    process_from: str | None = None
    inference_from: str | None = None
    inference: int = Field(default=0, ge=0)
    store: Literal["fp32", "fp16"] = "fp32"
    masks: dict[str, float] = {
        "random20": 1,
        "random75": 1,
        "random90": 1,
        "future": 1,
        "parcel": 1,
        "network": 1,
    }
    validation_windows: int = Field(default=6, ge=0)

    @model_validator(mode="after")
    def _known_masks(self) -> PretrainConfig:
        unknown = set(self.masks) - set(MASK_KINDS)
        if unknown:
            raise ValueError(f"unknown mask {sorted(unknown)[0]}, known are {', '.join(MASK_KINDS)}")
        if not any(v > 0 for v in self.masks.values()) or min(self.masks.values()) < 0:
            raise ValueError("masks must be 0 or more, and one of them above 0")
        return self

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> PretrainConfig:
        if self.start_from is not None and (self.model or self.gates_from is not None):
            raise ValueError("start_from brings its own architecture, leave model and gates_from out")
        if self.gates_from is not None and self.family != "kernel":
            raise ValueError(f"the family {self.family} has no gates, leave gates_from out")
        if self.family != "context" and (self.process_from is not None or self.inference_from is not None):
            raise ValueError("process_from and inference_from are settings of the context family")
        return self


class FinetuneConfig(RunConfig):
    """A fine-tuning run.

    ``task`` is ``forecast`` (180 samples seen, the next 20 hidden), ``regression`` or ``binary`` (a column of
    the phenotypes, ``target``, by a small network on the embedding). ``start_from`` names weights as
    :func:`brainlm_core.inference.weights.load` takes them. ``train`` is ``head`` (the model stays as it is)
    or ``all``. ``pool`` is what the head sees: the summary token (``cls``) or the mean over parcels
    (``mean``). ``site`` names a column whose values lie on one side of the split only; empty where there is
    none.
    """

    task: Literal["forecast", "regression", "binary"]
    start_from: str = "default"
    data: list[DataConfig] = Field(min_length=1)
    target: str | None = None
    site: str = "site"
    train: Literal["head", "all"] = "all"
    pool: Literal["cls", "mean"] = "cls"
    windows_per_recording: int = Field(default=4, ge=1)
    validation_windows: int = Field(default=6, ge=1)
    store: Literal["fp32", "fp16"] = "fp32"

    @model_validator(mode="after")
    def _target_fits_the_task(self) -> FinetuneConfig:
        if self.task == "forecast" and self.target is not None:
            raise ValueError("a forecast has no target column")
        if self.task != "forecast" and not self.target:
            raise ValueError(f"a {self.task} needs a target, a column of the phenotypes")
        if self.task == "forecast" and self.train == "head":
            raise ValueError("a forecast has no head of its own, train all")
        if not any(d.validation_rows or d.validation_where for d in self.data):
            raise ValueError("nothing is held back, name validation_rows or validation_where")
        return self


Config = TypeVar("Config", bound=RunConfig)


def read_config(path: str | Path) -> PretrainConfig:
    """Read the settings of a pretraining; ConfigError in one sentence when they are no valid run."""
    return read_settings(path, PretrainConfig)


def read_settings(path: str | Path, kind: type[Config]) -> Config:
    """Read a YAML file; ConfigError in one sentence when it is not a valid run of this kind."""
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no configuration {path.name}", "check the path")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError(f"{path.name} is not readable YAML", "check its indentation") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} holds no settings", "start from a file in configs/")
    try:
        return kind(**data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"]) or "the file"
        what = (
            f"{path.name} has an unknown setting {where}"
            if first["type"] == "extra_forbidden"
            else f"{where} in {path.name} is wrong ({first['msg']})"
        )
        raise ConfigError(what, "compare with the files in configs/") from error
    except TypeError as error:
        raise ConfigError(
            f"{path.name} has a setting whose name is no text", "compare with configs/"
        ) from error
