"""What a report holds: the results of every analysis of one recording, computed or taken over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from brainlm_core.base.atlas import YEO7, Parcellation
from brainlm_core.base.errors import AnalysisError, BrainLMError, ConfigError, EngineError
from brainlm_core.base.recording import Recording
from brainlm_core.features.forecast.plan import ForecastOptions
from brainlm_core.features.networks.views import NetworksOptions
from brainlm_core.features.perturb.analysis import PerturbOptions
from brainlm_core.features.perturb.scenario import Action, Scenario, Target

if TYPE_CHECKING:
    from brainlm_core.features.forecast.result import ForecastResult
    from brainlm_core.features.networks.analysis import NetworksResult
    from brainlm_core.features.perturb.analysis import PerturbResult
    from brainlm_core.inference.engine import Engine
    from brainlm_core.inference.results import EngineInfo
    from brainlm_core.report.position import Position

T = TypeVar("T")
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]
#: What may be wrong with one section without spoiling the others: the recording does not carry it.
_PER_SECTION = (AnalysisError, ConfigError, EngineError)


@dataclass(frozen=True)
class ReportOptions:
    """What to put into a report.

    Parameters
    ----------
    networks : NetworksOptions
    forecast : ForecastOptions
    scenario : Scenario or None
        None takes :func:`default_scenario`.
    null : PerturbOptions
        Size of the null beside the perturbation.
    label : str
        What the reader calls the recording. The name of the file is never printed: it may name a person.
    """

    networks: NetworksOptions = field(default_factory=NetworksOptions)
    forecast: ForecastOptions = field(default_factory=ForecastOptions)
    scenario: Scenario | None = None
    null: PerturbOptions = field(default_factory=PerturbOptions)
    label: str = ""


@dataclass(frozen=True)
class NotMade:
    """A section that this recording cannot fill.

    Parameters
    ----------
    reason : str
        What is missing and what to do, one sentence.
    """

    reason: str


@dataclass(frozen=True, eq=False)
class Parts:
    """Results that are there already, with exactly the options of the report; None is computed.

    Parameters
    ----------
    networks : NetworksResult or None
    forecast : ForecastResult or None
    perturbation : PerturbResult or None
    """

    networks: NetworksResult | None = None
    forecast: ForecastResult | None = None
    perturbation: PerturbResult | None = None


@dataclass(frozen=True, eq=False)
class Contents:
    """All that a report says.

    Parameters
    ----------
    recording : Recording
    options : ReportOptions
        ``scenario`` is filled in.
    model : EngineInfo
    networks : NetworksResult or NotMade
    forecast : ForecastResult or NotMade
    perturbation : PerturbResult or NotMade
    embedding : Position or NotMade
    """

    recording: Recording
    options: ReportOptions
    model: EngineInfo
    networks: NetworksResult | NotMade
    forecast: ForecastResult | NotMade
    perturbation: PerturbResult | NotMade
    embedding: Position | NotMade


def default_scenario(parcellation: Parcellation, model: str = "default") -> Scenario:
    """Return what a report asks when nobody has said: +2 SD on the first known network for 28.8 s.

    Falls back to the first parcel where no parcel has a known network.
    """
    known = next((name for name in YEO7 if name in parcellation.yeo7), None)
    target = Target(parcels=(1,)) if known is None else Target(network=known)
    action = Action(target, "add", amplitude_sd=2.0, onset_s=28.8, duration_s=28.8)
    return Scenario((action,), readout="others", model=model, parcellation=parcellation.name)


def gather(
    recording: Recording,
    model: str,
    options: ReportOptions | None = None,
    *,
    load: Callable[[str | None], Engine] | None = None,
    known: Parts | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Contents:
    """Compute every section that is not known yet.

    Parameters
    ----------
    recording : Recording
    model : str
        As :func:`brainlm_core.inference.weights.load` takes it.
    options : ReportOptions, optional
    load : callable, optional
        Gives the engine for a precision (None: the usual one); by default from the process's cache.
    known : Parts, optional
        Results to take over.
    progress : callable, optional
        Called with a share 0–1 and what is being done.
    cancel : callable, optional
        Asked between batches; True stops.

    Returns
    -------
    Contents
        A section whose analysis refuses this recording is a :class:`NotMade`.

    Raises
    ------
    CheckpointError, ConfigError, DownloadError
        If the model cannot be loaded.
    """
    from brainlm_core.features.forecast import analysis as forecast
    from brainlm_core.features.networks import analysis as networks
    from brainlm_core.features.perturb import analysis as perturb
    from brainlm_core.inference.engine import get_engine
    from brainlm_core.report.position import position

    options, known = options or ReportOptions(), known or Parts()
    scenario = options.scenario or default_scenario(recording.parcellation, model)
    options = replace(options, scenario=scenario)

    def from_cache(precision: str | None) -> Engine:
        return get_engine(model) if precision is None else get_engine(model, precision=precision)

    load = load or from_cache
    engine = load(None)
    return Contents(
        recording,
        options,
        engine.info,
        _section(
            known.networks,
            lambda: networks.analyse(engine, recording, options.networks, share(progress, 0.0, 0.15), cancel),
        ),
        _section(
            known.forecast,
            lambda: forecast.analyse(engine, recording, options.forecast, share(progress, 0.15, 0.3), cancel),
        ),
        _section(
            known.perturbation,
            # A response is a small difference of two outputs: half precision would round it away.
            lambda: perturb.analyse(
                load("fp32"), recording, scenario, options.null, share(progress, 0.3, 1.0), cancel
            ),
        ),
        _section(None, lambda: position(engine, recording)),
    )


def share(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Map a stage's own 0–1 onto its share of the whole."""
    if progress is None:
        return None
    return lambda part, text: progress(start + (stop - start) * part, text)


def _section(known: T | None, make: Callable[[], T]) -> T | NotMade:
    """Return what is known already, or make it; a refusal by the recording becomes a sentence."""
    if known is not None:
        return known
    try:
        return make()
    except _PER_SECTION as error:
        return NotMade(sentence_of(error))


def sentence_of(error: BrainLMError) -> str:
    """Return what is wrong and what to do as one sentence."""
    return f"{error.what[:1].upper()}{error.what[1:]}; {error.fix}."
