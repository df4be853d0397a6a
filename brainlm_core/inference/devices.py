"""Where a model runs, and with how many bits."""

from __future__ import annotations

from pathlib import Path

import torch

from brainlm_core.base.errors import ConfigError, EngineError
from brainlm_core.inference.device_names import DEVICES, PRECISIONS
from brainlm_core.model.base import MaskedModel, default_device


def choose_device(device: str) -> torch.device:
    """Return the device for a setting; raise EngineError when it is not there."""
    if device not in DEVICES:
        raise ConfigError(f"there is no device named {device!r}", f"choose one of {', '.join(DEVICES)}")
    if device == "auto":
        return default_device()
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device, True):
        raise EngineError(f"this machine has no {device} device", "choose auto or cpu")
    return torch.device(device)


def available_devices() -> tuple[str, ...]:
    """Return the settings of :func:`choose_device` that this machine can honour."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(name for name in DEVICES if there.get(name, True))


def available_precisions(device: str) -> tuple[str, ...]:
    """Return the precisions that make sense on a device: fp16 on a CPU is slow and helps nobody."""
    return PRECISIONS if choose_device(device).type != "cpu" else tuple(p for p in PRECISIONS if p != "fp16")


def choose_precision(precision: str, device: torch.device, model: MaskedModel) -> str:
    """Return the precision for a setting on a device; see :meth:`Engine.load`."""
    if precision not in PRECISIONS:
        raise ConfigError(
            f"there is no precision named {precision!r}", f"choose one of {', '.join(PRECISIONS)}"
        )
    if precision != "auto":
        return precision
    if not model.low_precision:
        return "fp32"
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if device.type == "mps":
        return "fp16"
    return "bf16" if cpu_multiplies_bf16() else "fp32"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that memory ran out."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in text for words in ("out of memory", "not enough memory", "can't allocate memory")
    )


def cpu_multiplies_bf16() -> bool:
    """Whether this processor has bf16 matrix instructions (AVX512-BF16 or AMX), as far as can be told.

    A fixed property of the machine rather than a timing, so that a rerun gives the same numbers.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    line = next((x for x in flags.splitlines() if x.startswith("flags")), "")
    return bool({"avx512_bf16", "amx_bf16"} & set(line.split()))
