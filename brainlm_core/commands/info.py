"""Say what is installed here: versions, device, memory, models and their licences."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from brainlm_core import __version__
from brainlm_core.command_line import CommandResult

_PACKAGES = ("torch", "numpy", "scipy", "nilearn", "nibabel", "streamlit", "huggingface_hub", "safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command: it has none."""


def run(args: argparse.Namespace) -> CommandResult:
    """Gather and print."""
    facts: dict[str, Any] = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **_device(),
        "memory_gb": _memory_gb(),
        "models": _models(),
    }
    lines = [
        f"BrainLM Explorer {facts['version']}, Python {facts['python']}, torch {facts['packages']['torch']}",
        f"device {facts['device']} ({facts['device_name']}), {facts['precision']} by default, "
        f"{facts['threads']} threads, {facts['memory_gb'] or '?'} GB of memory",
        *(
            f"  {m['name']}: {m['description']}, {m['licence']}, {'ready' if m['ready'] else m['why_not']}"
            for m in facts["models"]
        ),
    ]
    return CommandResult(objects=[facts], text="\n".join(lines))


def _device() -> dict[str, Any]:
    import torch

    from brainlm_core.inference.devices import cpu_multiplies_bf16
    from brainlm_core.model.base import default_device

    device = default_device()
    name = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else (platform.processor() or platform.machine())
    )
    precision = {"cuda": "bf16", "mps": "fp16"}.get(device.type, "bf16" if cpu_multiplies_bf16() else "fp32")
    return {
        "device": device.type,
        "device_name": name,
        "precision": precision,
        "threads": torch.get_num_threads(),
    }


def _models() -> list[dict[str, Any]]:
    from brainlm_core.base.errors import BrainLMError
    from brainlm_core.inference import hub, weights

    models = []
    for name, words in weights.BUNDLED.items():
        try:
            family = str(weights.config_of(name).get("family", "parcel_token"))
            ready, why = True, ""
        except BrainLMError as error:
            family, ready, why = "none", False, str(error)
        models.append(
            {
                "name": name,
                "description": f"bundled, {family} family: {words}",
                "licence": weights.bundled_licence(name),
                "ready": ready,
                "why_not": why,
            }
        )
    accepted = weights.licence_accepted()
    for name, published in weights.PUBLISHED.items():
        here = hub.cached(published.folder) is not None
        missing = [
            w for w, there in (("not downloaded", here), ("licence not accepted", accepted)) if not there
        ]
        models.append(
            {
                "name": name,
                "description": f"published, {published.parameters}",
                "licence": weights.PUBLISHED_LICENCE,
                "ready": not missing,
                "why_not": ", ".join(missing),
            }
        )
    return models


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
