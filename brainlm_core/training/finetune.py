"""Fine-tuning: to forecasts by hiding the future alone, or to a column of the phenotypes by a head."""

from __future__ import annotations

from brainlm_core.inference import weights
from brainlm_core.training.config import FinetuneConfig, PretrainConfig
from brainlm_core.training.loop import OnStep, RunResult, Say, run
from brainlm_core.training.samples import check_sides, open_data


def finetune(config: FinetuneConfig, say: Say = lambda _: None, on_step: OnStep | None = None) -> RunResult:
    """Run, or go on with, a fine-tuning; see :func:`brainlm_core.training.loop.run`.

    Raises
    ------
    ConfigError, ScanError, CheckpointError
        Before training starts when settings, data or weights do not fit.
    """
    if config.task == "forecast":
        from brainlm_core.training.masked import MaskedTask

        settings = _forecast_settings(config)
        return run(settings, lambda fabric, tell: MaskedTask(settings, fabric, tell), say, on_step)
    from brainlm_core.training.clinical import ClinicalTask

    return run(config, lambda _, tell: ClinicalTask(config, tell), say, on_step)


def _forecast_settings(config: FinetuneConfig) -> PretrainConfig:
    """Return the same run as masked reconstruction of the last 20 samples: the published 180 → 20 task.

    Of the default model the gates of its attention correction learn; its closed-form part stays.
    """
    check_sides(config.site, [open_data(d) for d in config.data])
    family = weights.load(config.start_from, accept_licence=config.accept_licence).model.family
    shared = config.model_dump(
        include={
            "output", "optimiser", "checkpoint_every", "validate_every", "seed", "device", "threads",
            "data", "validation_windows", "store", "start_from", "accept_licence",
        }
    )  # fmt: skip
    return PretrainConfig(**shared, family=family, masks={"future": 1})  # type: ignore[arg-type]
