"""Hold this build against stored numbers of the published code.

A case is a folder with ``config.json``, ``inputs.npz`` and ``outputs.npz`` (or several
``outputs_<name>.npz`` with a ``summary.json``), and either weights or ``state_dict_keys.json``, from
which the weights are rebuilt: every tensor is then a pure function of its key and shape.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainlm_core.base.errors import DAMAGED_ARRAYS, CheckpointError, ConfigError
from brainlm_core.base.paths import assets_dir
from brainlm_core.features.verify.outputs import Comparison, compare_image, compare_parcel, wanted_rows
from brainlm_core.features.verify.recipe import recipe_inputs, recipe_state
from brainlm_core.model import build
from brainlm_core.model.base import MaskedModel
from brainlm_core.model.checkpoints import load_folder, load_state, read_config
from brainlm_core.model.image_token import ImageTokenModel
from brainlm_core.model.parcel_token import ParcelTokenModel, position_table
from brainlm_core.model.state_files import has_state_files

#: Largest absolute differences that count as equal.
TOLERANCE = {"latent": 1e-5, "logits": 1e-5, "attention": 1e-6, "loss": 1e-5}
#: Seed that the published image model drew its noise with where none is stored.
_NOISE_SEED = 11


@dataclass(frozen=True)
class VerifyResult:
    """Outcome for one folder.

    Parameters
    ----------
    case : str
        Folder name.
    mask_equal : bool
        Whether all masks and token orders are exactly those of the published code.
    max_abs_error : dict
        ``latent``, ``logits``, ``attention``, ``loss``: largest absolute difference; None where
        nothing of the kind is stored.
    passed : bool
        Masks equal and every error within :data:`TOLERANCE`.
    compared : tuple of str
        Stored arrays that were compared.
    skipped : tuple of str
        Stored arrays that were not understood.
    weights_sha256_equal : bool or None
        For rebuilt weights whose digest is stored.
    """

    case: str
    mask_equal: bool
    max_abs_error: Mapping[str, float | None]
    passed: bool
    compared: tuple[str, ...]
    skipped: tuple[str, ...]
    weights_sha256_equal: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            "case": self.case,
            "mask_equal": self.mask_equal,
            "max_abs_error": dict(self.max_abs_error),
            "tolerance": TOLERANCE,
            "passed": self.passed,
            "compared": list(self.compared),
            "skipped": list(self.skipped),
            "weights_sha256_equal": self.weights_sha256_equal,
        }


@dataclass(frozen=True)
class _Run:
    """One forward pass of a case and the numbers it is held against."""

    name: str
    stored: Mapping[str, NDArray[Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)


def bundled_cases() -> tuple[Path, ...]:
    """Return the cases that come with the product: one small model of each published family."""
    return tuple(sorted(p for p in (assets_dir() / "verify").iterdir() if p.is_dir()))


def verify(folder: str | Path) -> VerifyResult:
    """Run one case and compare.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    VerifyResult

    Raises
    ------
    ConfigError
        If the folder is not such a case.
    CheckpointError
        If its weights do not fit its configuration.
    """
    folder = Path(folder)
    config = read_config(folder)
    inputs = _inputs(folder)
    model, digest_equal = _model(folder, config)
    comparison = Comparison()
    for run in _runs(folder):
        with torch.no_grad():
            if isinstance(model, ParcelTokenModel):
                _run_parcel(model, inputs, run, comparison)
            elif isinstance(model, ImageTokenModel):
                _run_image(model, inputs, run, comparison, _seed(folder))
            else:
                raise ConfigError(
                    f"{folder.name} is of a family that was never published", "give another folder"
                )
    errors = comparison.errors()
    passed = comparison.mask_equal and all(
        value is None or value <= TOLERANCE[name] for name, value in errors.items()
    )
    return VerifyResult(
        folder.resolve().name,
        comparison.mask_equal,
        errors,
        passed and bool(comparison.compared),
        tuple(comparison.compared),
        tuple(comparison.skipped),
        digest_equal,
    )


def _run_parcel(
    model: ParcelTokenModel, inputs: Mapping[str, NDArray[Any]], run: _Run, comparison: Comparison
) -> None:
    signal, xyz = _tensor(inputs, "signal"), _tensor(inputs, "xyz")
    if xyz.ndim == 2:
        xyz = xyz.expand(len(signal), -1, -1)
    n_tokens = signal.shape[1] * signal.shape[2] // model.config.timepoint_patching_size
    if "noise" in run.stored:
        noise = _tensor(run.stored, "noise")
    elif "identity" in run.name or "noise" not in inputs:
        noise = ((torch.arange(n_tokens, dtype=torch.float64) + 0.5) / n_tokens).float()
        noise = noise.expand(len(signal), -1)
    else:
        noise = _tensor(inputs, "noise")
    reader = wanted_rows(run.stored, model.config.num_hidden_layers)
    output = model(
        signal, xyz, noise, run.settings.get("mask_ratio"), output_hidden_states=True, reader=reader
    )
    compare_parcel(output, reader.kept, run.stored, run.name, comparison)


def _run_image(
    model: ImageTokenModel,
    inputs: Mapping[str, NDArray[Any]],
    run: _Run,
    comparison: Comparison,
    seed: int,
) -> None:
    pixels = _tensor(inputs, "pixel_values")
    if "noise" in run.stored or "noise" in inputs:
        noise = _tensor(run.stored if "noise" in run.stored else inputs, "noise")
    else:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.rand(len(pixels), model.config.grid**2, generator=generator)
    reader = wanted_rows(run.stored, model.config.num_hidden_layers, sorted_rows=True)
    output = model(
        pixels,
        noise,
        run.settings.get("mask_ratio"),
        run.settings.get("train_mode"),
        output_hidden_states=True,
        reader=reader,
    )
    compare_image(output, reader.kept, run.stored, run.name, comparison)


def _inputs(folder: Path) -> dict[str, NDArray[Any]]:
    """Read the stored inputs, or rebuild them from what the summary says of them."""
    told = _json(folder / "summary.json").get("inputs")
    if not (folder / "inputs.npz").is_file() and isinstance(told, str):
        return recipe_inputs(told)
    return _arrays(folder / "inputs.npz")


def _runs(folder: Path) -> list[_Run]:
    """List the stored outputs of a case with the settings that their summary or name tells."""
    summary = _json(folder / "summary.json").get("cases", {})
    if (folder / "outputs.npz").is_file():
        return [_Run("", _arrays(folder / "outputs.npz"))]
    runs = []
    for path in sorted(folder.glob("outputs_*.npz")):
        name = path.stem.removeprefix("outputs_")
        told = summary.get(name, {}) if isinstance(summary, dict) else {}
        stored = {**_arrays(path), **_first_values(told)}
        runs.append(_Run(name, stored, _settings(name, told)))
    if not runs:
        raise ConfigError(f"{folder.name} holds no outputs.npz to compare with", "give a fixture folder")
    return runs


def _settings(name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if isinstance(told.get("mask_ratio"), int | float):
        settings["mask_ratio"] = float(told["mask_ratio"])
    else:
        digits = name.partition("mask")[2][:3]
        if digits.isdigit():
            settings["mask_ratio"] = int(digits) / 100
    mode = told.get("train_mode")
    if isinstance(mode, str):
        settings["train_mode"] = mode
    else:
        for known in ("predict_last_pixel", "predict_last", "auto_encode"):
            if known in name or known.replace("_", "") in name:
                settings["train_mode"] = known
                break
    return settings


def _first_values(told: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Turn the first values of each summarised array, and the loss, into arrays to compare."""
    found: dict[str, NDArray[Any]] = {}
    for key, value in told.items():
        if isinstance(value, dict) and isinstance(value.get("first64"), list):
            found[f"first64:{key}"] = np.asarray(value["first64"], dtype=np.float32)
    if "loss" in told:
        loss = told["loss"]
        found["loss"] = np.float32(np.nan if loss is None else loss)  # type: ignore[assignment]
    return found


def _model(folder: Path, config: dict[str, Any]) -> tuple[MaskedModel, bool | None]:
    if has_state_files(folder):
        return load_folder(folder), None
    keys = _json(folder / "state_dict_keys.json")
    if not keys:
        raise CheckpointError(
            f"{folder.name} has neither weights nor state_dict_keys.json to rebuild them from",
            "give a complete fixture folder",
        )
    with torch.device("meta"):
        model = build(config)
    state = recipe_state(keys)
    stored = _json(folder / "summary.json").get("state_dict_sha256_sorted_keys")
    equal = None if stored is None else _digest(model, state, keys) == stored
    return load_state(model, state, folder.name), equal


def _digest(model: MaskedModel, state: Mapping[str, Tensor], keys: Mapping[str, Any]) -> str:
    """SHA-256 over key and bytes of all tensors in the order of their keys, position tables included."""
    digest = hashlib.sha256()
    tables = model.tables()
    for key in sorted(keys):
        tensor = state.get(key, tables.get(key))
        if tensor is None:
            tensor = position_table(*keys[key]["shape"])
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def _seed(folder: Path) -> int:
    value = _json(folder / "meta.json").get("rng_seed_for_auto_encode", _NOISE_SEED)
    return int(value) if isinstance(value, int) else _NOISE_SEED


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path.name} is not readable JSON", "use the original file") from error
    return data if isinstance(data, dict) else {}


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise ConfigError(f"{path.parent.name} has no {path.name}", "give a fixture folder")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as store:
            return {key: store[key] for key in store.files}
    except DAMAGED_ARRAYS as error:
        raise ConfigError(f"{path.name} is damaged", "use the original file") from error


def _tensor(arrays: Mapping[str, NDArray[Any]], key: str) -> Tensor:
    if key not in arrays:
        raise ConfigError(f"inputs.npz holds no {key}", "give a fixture folder of the same family")
    return torch.from_numpy(np.asarray(arrays[key], dtype=np.float32))
