"""Scripts that make a figure again from ``brainlm_core`` alone."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainlm_core.base.errors import BrainLMError, ConfigError, ScanError
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.cohort.embeddings import Embeddings
    from brainlm_core.inference.results import EngineInfo
    from brainlm_core.report.contents import ReportOptions

_HEAD = '''"""Make the figure "{name}" of BrainLM Explorer again.

Usage: python reproduce-{name}.py {usage}
{files}
Writes {name}.npz (all numbers that are drawn) and {name}.html (the figure). Made with version {version}.
"""

{imports}

with given({usage!r}) as files:
    {lines}
    save_figure(figures.make({name!r}, {result}), {name!r})
'''
_RECORDING = (
    "RECORDING is the saved recording (.npz), the scan if nothing was set when it was read, or {demo}."
)
_COHORT = "EMBEDDINGS is the file (.parquet) saved on the Embeddings page, or demo for the bundled cohort."
_ENGINE = "from brainlm_core.inference.engine import Engine"


def signals_digest(recording: Recording) -> str:
    """Return the SHA-256 of the parcel signals (float32, parcel by parcel) and the repetition time."""
    digest = hashlib.sha256(recording.signals.tobytes())
    digest.update(repr(float(recording.tr_s)).encode())
    return digest.hexdigest()


def embeddings_digest(cohort: Embeddings) -> str:
    """Return the SHA-256 of a cohort's identifiers and its summary and mean tokens (float32)."""
    digest = hashlib.sha256("\n".join(cohort.ids).encode())
    for values in (cohort.cls, cohort.mean):
        digest.update(values.astype("<f4").tobytes())
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
            f"{Path(name).name} does not hold the signals of this figure",
            "read it with the settings listed in the report, or use the saved recording (.npz)",
        )
    return recording


def open_embeddings(name: str | Path, digest: str | None = None) -> Embeddings:
    """Read embeddings with their connectivity and make sure that they are the ones meant.

    Parameters
    ----------
    name : str or Path
        A file of embeddings, or ``demo`` for the bundled ones.
    digest : str, optional
        Expected :func:`embeddings_digest`.

    Raises
    ------
    ConfigError
        If they cannot be read, or are others.
    """
    from brainlm_core.cohort.isolated import read_embeddings_isolated
    from brainlm_core.cohort.reference import NAME, reference_cohort, with_connectivity

    bundled = str(name) == "demo" and not Path(name).exists()
    cohort = reference_cohort() if bundled else read_embeddings_isolated(name, parcels=False)
    if digest is not None and embeddings_digest(cohort) != digest:
        raise ConfigError(
            f"{Path(name).name} does not hold the embeddings of this figure",
            "save them on the Embeddings page while this cohort is shown",
        )
    if cohort.connectivity is None and cohort.provenance.cohort == NAME:
        cohort = with_connectivity(cohort)  # the bundled file leaves it out; it is drawn again
    return cohort


@contextmanager
def given(usage: str) -> Iterator[list[str]]:
    """Give a script the files that it was called with; errors are one sentence on stderr and exit code 2.

    Parameters
    ----------
    usage : str
        Names of the files, in order.
    """
    try:
        if len(sys.argv) != 1 + len(usage.split()):
            raise ConfigError("this script is given other files", f"call it with {usage}")
        yield sys.argv[1:]
    except BrainLMError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error


@dataclass(frozen=True)
class Steps:
    """How a script gets from its inputs to a result.

    Parameters
    ----------
    lines : tuple of str
        From ``recording`` and ``cohort`` to ``result``.
    imports : tuple of str
    result : str
        What the figure is made from.
    recording, cohort : bool
        Whether the script is given one.
    """

    lines: tuple[str, ...]
    imports: tuple[str, ...] = ()
    result: str = "result"
    recording: bool = True
    cohort: bool = False


def _load(model: EngineInfo, precision: str | None = None) -> str:
    precision = precision or model.precision
    recipe = "" if model.recipe.is_default else f", recipe={model.recipe!r}"
    where = f"device={model.device!r}, precision={precision!r}"
    return f"engine = Engine.load({public_name(model)!r}, {where}{recipe})"


def _engine(model: EngineInfo) -> tuple[str, ...]:
    """Return the imports of :func:`_load`."""
    if model.recipe.is_default:
        return (_ENGINE,)
    names = "InputRecipe" if model.recipe.statistics is None else "InputRecipe, ScalingStatistics"
    return (_ENGINE, f"from brainlm_core.base.input_recipe import {names}")


def _recording(_model: EngineInfo | None, _asked: Any) -> Steps:
    return Steps((), result="recording")


def _analysis(section: str) -> Callable[[EngineInfo, Any], Steps]:
    def steps(model: EngineInfo, asked: Any) -> Steps:
        imports = (
            f"from brainlm_core.features.{section}.analysis import {type(asked).__name__}, analyse",
            *_engine(model),
        )
        return Steps((_load(model), f"result = analyse(engine, recording, {asked!r})"), imports)

    return steps


def _perturbation(model: EngineInfo, asked: Any) -> Steps:
    scenario, null = asked
    lines = (
        _load(model, "fp32"),
        f"scenario = Scenario.from_json({scenario.to_json()!r})",
        f"result = analyse(engine, recording, scenario, {null!r})",
    )
    imports = (
        "from brainlm_core.features.perturb.analysis import PerturbOptions, analyse",
        "from brainlm_core.features.perturb.scenario import Scenario",
        *_engine(model),
    )
    return Steps(lines, imports)


def _embedding(model: EngineInfo, _asked: Any) -> Steps:
    imports = (*_engine(model), "from brainlm_core.report.position import position")
    return Steps((_load(model), "result = position(engine, recording)"), imports)


def _reconstruction(model: EngineInfo, asked: Any) -> Steps:
    twin = "" if model.is_random else ", twin=engine.twin()"
    lines = (_load(model), f"result = reconstruct(engine, recording, {asked!r}{twin})")
    imports = (
        "from brainlm_core.features.reconstruct.analysis import ReconstructOptions, reconstruct",
        *_engine(model),
    )
    return Steps(lines, imports, "(result, recording.parcellation)")


def _cohort_map(_model: EngineInfo | None, asked: Any) -> Steps:
    method, layer, colour = asked
    lines = (f"result = coloured_map(cohort, {method!r}, {layer!r}, {colour!r})",)
    imports = ("from brainlm_core.report.figures_cohort import coloured_map",)
    return Steps(lines, imports, recording=False, cohort=True)


def _decoding(_model: EngineInfo | None, asked: Any) -> Steps:
    imports = ("from brainlm_core.features.decode.analysis import DecodeOptions, decode",)
    return Steps((f"result = decode(cohort, {asked!r})",), imports, recording=False, cohort=True)


def _attribution(model: EngineInfo, asked: Any) -> Steps:
    readout, layer, options = asked
    imports = [
        "from brainlm_core.features.attribution.analysis import attribute",
        "from brainlm_core.features.attribution.result import AttributeOptions",
        *_engine(model),
    ]
    if str(readout).startswith("axis-"):
        number = int(str(readout).removeprefix("axis-"))
        direction = f"direction = axis_direction(cohort, {number}, {layer!r})"
        imports.insert(1, "from brainlm_core.features.attribution.direction import axis_direction")
    else:
        direction = (
            f"direction = decoded_direction(cohort, DecodeOptions(target={readout!r}, layer={layer!r}))"
        )
        imports.insert(1, "from brainlm_core.features.attribution.direction import decoded_direction")
        imports.insert(3, "from brainlm_core.features.decode.analysis import DecodeOptions")
    lines = (
        direction,
        _load(model, "fp32"),
        f"result = attribute(engine, recording, direction, {options!r}, twin=engine.twin())",
    )
    return Steps(lines, tuple(imports), "(result, recording.parcellation)", cohort=True)


#: By section of a figure: what was asked there (options) to the steps that answer it.
STEPS: dict[str, Callable[[Any, Any], Steps]] = {
    "recording": _recording,
    "networks": _analysis("networks"),
    "forecast": _analysis("forecast"),
    "perturbation": _perturbation,
    "embedding": _embedding,
    "reconstruction": _reconstruction,
    "cohort-map": _cohort_map,
    "decoding": _decoding,
    "attribution": _attribution,
}


def script_of(
    figure: str,
    asked: Any = None,
    *,
    model: EngineInfo | None = None,
    recording: Recording | None = None,
    cohort: Embeddings | None = None,
) -> str:
    """Return the script of one figure.

    Parameters
    ----------
    figure : str
        Key of :data:`brainlm_core.report.figures.FIGURES`.
    asked : object
        What its section was asked: the options of ``networks``, ``forecast``, ``reconstruction`` and
        ``decoding``; (scenario, PerturbOptions) of ``perturbation``; (method, layer, column) of
        ``cohort-map``; (read-out, layer, AttributeOptions) of ``attribution``; nothing of the others.
    model : EngineInfo
        Where a model is asked.
    recording : Recording
        Where the figure is of one.
    cohort : Embeddings
        Where the figure is of one.
    """
    from brainlm_core import __version__
    from brainlm_core.report.figures import FIGURES

    steps = STEPS[FIGURES[figure].section](model, asked)
    usage, files, opened, tools = [], [], [], ["figures", "given", "save_figure"]
    if steps.cohort:
        assert cohort is not None  # its figures are drawn from one
        usage.append("EMBEDDINGS")
        files.append(_COHORT)
        tools.append("open_embeddings")
        opened.append(f"cohort = open_embeddings(files[0], {embeddings_digest(cohort)!r})")
    if steps.recording:
        assert recording is not None  # its figures are drawn from one
        source = recording.provenance
        demo = f"demo:{Path(source.source_name).stem}" if source.simulated else "demo:KEY"
        usage.append("RECORDING")
        files.append(_RECORDING.format(demo=demo))
        tools.append("open_recording")
        opened.append(f"recording = open_recording(files[{len(usage) - 1}], {signals_digest(recording)!r})")
    return _HEAD.format(
        name=figure,
        usage=" ".join(usage),
        files="\n".join(files),
        version=__version__,
        imports="\n".join([*steps.imports, f"from brainlm_core.report import {', '.join(sorted(tools))}"]),
        lines="\n    ".join([*opened, *steps.lines]),
        result=steps.result,
    )


def script(figure: str, recording: Recording, model: EngineInfo, options: ReportOptions) -> str:
    """Return the script of one figure of a report.

    Parameters
    ----------
    figure : str
        Key of :data:`brainlm_core.report.figures.FIGURES`.
    recording : Recording
    model : EngineInfo
    options : ReportOptions
        With its scenario filled in.
    """
    from brainlm_core.report.figures import FIGURES

    asked = {
        "networks": options.networks,
        "forecast": options.forecast,
        "perturbation": (options.scenario, options.null),
    }
    return script_of(figure, asked.get(FIGURES[figure].section), model=model, recording=recording)


def public_name(model: EngineInfo) -> str:
    """Return a model's name; of a local folder only its last part, because a path may name a person."""
    return Path(model.model_name).name if model.source.startswith("local folder") else model.model_name
