"""Scripts that make a figure of a report again from ``brainlm_core`` alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from brainlm_core.errors import ScanError
from brainlm_core.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.engine_results import EngineInfo
    from brainlm_core.report.contents import ReportOptions

_HEAD = '''"""Make the figure "{name}" of a BrainLM Explorer report again.

Usage: python reproduce-{name}.py RECORDING
RECORDING is the saved recording (.npz), the scan if nothing was set when it was read, or {demo}.
Writes {name}.npz (all numbers that are drawn) and {name}.html (the figure). Made with version {version}.
"""

import sys

{imports}

recording = open_recording(sys.argv[1], {digest!r})
{steps}
figures.make({name!r}, result).save({name!r})
'''


def signals_digest(recording: Recording) -> str:
    """Return the SHA-256 of the parcel signals (float32, parcel by parcel) and the repetition time."""
    digest = hashlib.sha256(recording.signals.tobytes())
    digest.update(repr(float(recording.tr_s)).encode())
    return digest.hexdigest()


def open_recording(name: str | Path, digest: str | None = None) -> Recording:
    """Read a recording and make sure that it is the one meant.

    Parameters
    ----------
    name : str or Path
        Anything that :func:`brainlm_core.scans.read_scan` reads, or ``demo:KEY``.
    digest : str, optional
        Expected :func:`signals_digest`.

    Raises
    ------
    ScanError
        If it cannot be read, or holds other signals.
    """
    from brainlm_core.scans import read_scan
    from brainlm_core.scans.demo import named_demo

    recording = None if Path(name).exists() else named_demo(str(name))
    recording = recording or read_scan(name)
    if digest is not None and signals_digest(recording) != digest:
        raise ScanError(
            f"{Path(name).name} does not hold the signals of the report",
            "read it with the settings listed in the report, or use the saved recording (.npz)",
        )
    return recording


def script(figure: str, recording: Recording, model: EngineInfo, options: ReportOptions) -> str:
    """Return the script of one figure.

    Parameters
    ----------
    figure : str
        Key of :data:`brainlm_core.report.figures.FIGURES`.
    recording : Recording
    model : EngineInfo
    options : ReportOptions
        With its scenario filled in.
    """
    from brainlm_core import __version__
    from brainlm_core.report.figures import FIGURES

    section = FIGURES[figure].section
    simulated = recording.provenance.simulated
    imports, steps = _steps(section, model, options)
    return _HEAD.format(
        name=figure,
        demo=f"demo:{Path(recording.provenance.source_name).stem}" if simulated else "demo:KEY",
        version=__version__,
        imports="\n".join([*imports, "from brainlm_core.report import figures, open_recording"]),
        digest=signals_digest(recording),
        steps="\n".join(steps),
    )


def _steps(section: str, model: EngineInfo, options: ReportOptions) -> tuple[list[str], list[str]]:
    """Return the imports of one section and the lines that lead from ``recording`` to ``result``."""
    if section == "recording":
        return [], ["result = recording"]
    name, device = public_name(model), model.device
    if section == "embedding":
        imports = [
            "from brainlm_core.engine import Engine",
            "from brainlm_core.report.position import position",
        ]
        load = f"engine = Engine.load({name!r}, device={device!r}, precision={model.precision!r})"
        return imports, [load, "result = position(engine, recording)"]
    precision = "fp32" if section == "perturbation" else model.precision
    load = f"engine = Engine.load({name!r}, device={device!r}, precision={precision!r})"
    engine = "from brainlm_core.engine import Engine"
    if section == "perturbation":
        assert options.scenario is not None  # gather() fills it in
        imports = [
            "from brainlm_core.analyses.perturb import PerturbOptions, analyse",
            "from brainlm_core.analyses.scenario import Scenario",
            engine,
        ]
        scenario = f"scenario = Scenario.from_json({options.scenario.to_json()!r})"
        return imports, [load, scenario, f"result = analyse(engine, recording, scenario, {options.null!r})"]
    chosen = options.networks if section == "networks" else options.forecast
    imports = [f"from brainlm_core.analyses.{section} import {type(chosen).__name__}, analyse", engine]
    return imports, [load, f"result = analyse(engine, recording, {chosen!r})"]


def public_name(model: EngineInfo) -> str:
    """Return a model's name; of a local folder only its last part, because a path may name a person."""
    return Path(model.model_name).name if model.source.startswith("local folder") else model.model_name
