"""Where a report comes from: input, model, parcels, every setting, versions; and nobody's name."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from brainlm_core import __version__
from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.recording import Recording
from brainlm_core.inference import weights
from brainlm_core.report.contents import Contents
from brainlm_core.report.reproduce import public_name, signals_digest

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "nibabel", "nilearn")
#: What stands in place of a file's name.
NAMELESS = "the recording"
#: Parameters of a processing step that hold the name of a file or of something inside it.
_NAMES = frozenset({"file", "bold", "mask", "name", "row"})
_FILE_NAME = re.compile(
    r"[^\s;:,()]+\.(?:nii|gz|gii|csv|tsv|txt|dat|1D|npy|npz|mat|parquet|arrow|json)\b", re.IGNORECASE
)


def anonymous(text: str, recording: Recording) -> str:
    """Return text without the name of the file and without anything that looks like a file's name."""
    source = recording.provenance.source_name
    for name in (source, source.split(".")[0]):
        if len(name) > 2:
            text = text.replace(name, NAMELESS)
    return _FILE_NAME.sub(NAMELESS, text)


def parcels_digest(parcellation: Parcellation) -> str:
    """Return the SHA-256 of a parcellation: every array that it is saved as, in the order of their names."""
    digest = hashlib.sha256()
    for name, array in sorted(parcellation.to_arrays().items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def steps_of(recording: Recording) -> list[tuple[str, dict[str, Any]]]:
    """Return the processing steps with their parameters; names of files are left out."""
    out = []
    for step in recording.provenance.steps:
        parameters = {
            key: "(name left out)" if key in _NAMES and value is not None else _clean(value, recording)
            for key, value in step.parameters.items()
        }
        out.append((step.name, parameters))
    return out


def facts(contents: Contents) -> list[tuple[str, str]]:
    """Return the rows of the table of origin; plain text."""
    recording, model = contents.recording, contents.model
    source = recording.provenance
    rows = [
        ("Kind", "Simulated, no person was scanned" if source.simulated else "Measured"),
        ("SHA-256 of the input file", source.sha256 or "not computed (several files)"),
        ("SHA-256 of the parcel signals", signals_digest(recording)),
        ("Volumes, repetition time", f"{recording.n_timepoints}, {recording.tr_s:g} s"),
        ("Atlas", anonymous(source.atlas or recording.parcellation.name, recording)),
        ("SHA-256 of the parcels", parcels_digest(recording.parcellation)),
    ]
    for number, (name, parameters) in enumerate(steps_of(recording), 1):
        rows.append((f"Step {number}", f"{name}: {_plain(parameters)}" if parameters else name))
    rows += [
        ("Model", f"{public_name(model)}, {model.family} family, {model.n_parameters:,} parameters"),
        ("Weights", f"{model.source}{f', revision {model.revision}' if model.revision else ''}"),
        ("SHA-256 of the weights", _weights_digest(contents)),
        ("Licence of the weights", model.licence),
        ("Device, precision", f"{model.where}, {model.precision}; perturbation fp32"),
        *_settings(contents),
        (
            "Versions",
            ", ".join(
                [f"BrainLM Explorer {__version__}", f"Python {platform.python_version()}", *_versions()]
            ),
        ),
    ]
    return rows


def _settings(contents: Contents) -> list[tuple[str, str]]:
    options = contents.options
    assert options.scenario is not None  # gather() fills it in
    return [
        ("Networks, settings", _plain(options.networks.to_dict())),
        ("Forecast, settings", _plain(options.forecast.to_dict())),
        ("Perturbation, settings", f"{options.null.n_sets} random sets; {_plain(scenario_of(contents))}"),
    ]


def scenario_of(contents: Contents) -> dict[str, Any]:
    """Return the scenario as a dictionary; of a local model folder only its last part."""
    scenario = contents.options.scenario
    assert scenario is not None  # gather() fills it in
    return {**scenario.to_dict(), "model": public_name(contents.model)}


def _weights_digest(contents: Contents) -> str:
    if contents.model.sha256 is not None:  # on another machine, which has said
        return contents.model.sha256
    try:
        found = weights.digest(contents.model.model_name)
    except BrainLMError:
        found = None
    return found or ("none (random numbers)" if contents.model.is_random else "not available")


def _versions() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return found


def _clean(value: Any, recording: Recording) -> Any:
    if isinstance(value, str):
        return anonymous(value, recording)
    if isinstance(value, list | tuple):
        return [_clean(v, recording) for v in value]
    if isinstance(value, Mapping):
        return {k: _clean(v, recording) for k, v in value.items()}
    return value


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
