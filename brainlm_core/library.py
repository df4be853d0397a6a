"""The five jobs, in a line each: what ``import brainlm_core as bl`` shows.

Every function takes a recording, or whatever :func:`read` takes in its place, and returns the result that
the pages and the commands show. It has ``to_dict``, ``save(folder)`` and ``plot()``; a notebook draws it.

>>> import brainlm_core as bl
>>> recording = bl.read("demo")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    import pandas as pd

    from brainlm_core.features.forecast.result import ForecastResult
    from brainlm_core.features.networks.analysis import NetworksResult
    from brainlm_core.features.perturb.analysis import PerturbResult
    from brainlm_core.features.perturb.scenario import Scenario
    from brainlm_core.features.reconstruct.analysis import ReconstructResult
    from brainlm_core.inference.engine import Engine
    from brainlm_core.report.position import Position
    from brainlm_core.scans import ScanSource

    Scan: TypeAlias = Recording | ScanSource | str | Path | Sequence[str | Path]


def read(scan: Scan, **details: Any) -> Recording:
    """Read a scan; a recording goes through as it is.

    Parameters
    ----------
    scan : path, several paths, ``"demo"`` or Recording
        As for :func:`brainlm_core.scans.read_scan`.
    **details
        ``tr_s``, ``atlas``, ``confounds``, ``coordinates``, ``space``, ``rows_are``, ``cleaning``.

    Raises
    ------
    ScanError, AtlasError
        If the scan cannot be read as it is; the sentence says what to add.
    """
    from brainlm_core.scans import read_scan
    from brainlm_core.scans.demo import named_demo

    if isinstance(scan, Recording):
        if details:
            raise ConfigError("a recording is read already", f"read the file anew with {', '.join(details)}")
        return scan
    known = named_demo(scan) if isinstance(scan, str) else None
    return read_scan(scan, **details) if known is None else known


def demo(key: str = "") -> Recording:
    """Return a bundled simulated recording; the first one by default.

    Raises
    ------
    ScanError
        If there is none of that key; the sentence names them.
    """
    from brainlm_core.scans.demo import named_demo

    found = named_demo(f"demo:{key}" if key else "demo")
    assert found is not None  # the word asks for a demo
    return found


def load_model(name: str = "default", **settings: Any) -> Engine:
    """Return a model on its device; kept, so that asking again costs nothing.

    Parameters
    ----------
    name : str
        ``default``, ``context``, ``13m`` …, a folder, or ``random:NAME`` for its twin with random weights.
    **settings
        ``device``, ``precision``, ``context``, ``cancel``, ``progress``.

    Raises
    ------
    ConfigError, EngineError
        If there is no such model, or it cannot be had.
    """
    from brainlm_core.inference.engine import get_engine

    return get_engine(name, **settings)


def networks(scan: Scan, model: str | Engine = "default", **options: Any) -> NetworksResult:
    """Draw the attention networks of a recording, scored beside what needs no model.

    Parameters
    ----------
    scan : Recording or what :func:`read` takes
    model : str or Engine
    **options
        Fields of :class:`brainlm_core.features.networks.views.NetworksOptions`.

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    from brainlm_core.features.networks.analysis import analyse
    from brainlm_core.features.networks.views import NetworksOptions

    return analyse(_engine(model), read(scan), _options(NetworksOptions, options))


def forecast(scan: Scan, model: str | Engine = "default", **options: Any) -> ForecastResult:
    """Forecast a recording and race the model against baselines; arguments as for :func:`networks`.

    Options are fields of :class:`brainlm_core.features.forecast.plan.ForecastOptions`.
    """
    from brainlm_core.features.forecast.analysis import analyse
    from brainlm_core.features.forecast.plan import ForecastOptions

    return analyse(_engine(model), read(scan), _options(ForecastOptions, options))


def reconstruct(scan: Scan, model: str | Engine = "default", **options: Any) -> ReconstructResult:
    """Hide a part of a recording and fill it in again; arguments as for :func:`networks`.

    Options are fields of :class:`brainlm_core.features.reconstruct.analysis.ReconstructOptions`.
    """
    from brainlm_core.features.reconstruct.analysis import ReconstructOptions, analyse

    return analyse(_engine(model), read(scan), _options(ReconstructOptions, options))


def perturb(
    scan: Scan,
    targets: str | Iterable[int] | Scenario,
    amplitude_sd: float = 2.0,
    model: str | Engine = "default",
    *,
    n_sets: int | None = None,
    **timing: Any,
) -> PerturbResult:
    """Change the signals of some parcels and see what the model answers elsewhere.

    Parameters
    ----------
    scan : Recording or what :func:`read` takes
    targets : str, iterable of int, or Scenario
        A network of :data:`brainlm_core.base.atlas.YEO7`, parcel numbers counted from 1, or a whole scenario.
    amplitude_sd : float
        Added to the targets, in SD of each parcel; without meaning for a scenario.
    model : str or Engine
    n_sets : int, optional
        Random sets of the null; 0 leaves it out.
    **timing
        ``onset_s``, ``duration_s``, ``ramp_s`` of the action; ``readout``, ``draws``, ``seed``, ``window`` of
        the scenario.

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    from brainlm_core.features.perturb.analysis import PerturbOptions, analyse
    from brainlm_core.features.perturb.scenario import Scenario

    if isinstance(targets, Scenario):
        if timing:
            raise ConfigError("a scenario has its own timing", "leave out " + ", ".join(timing))
        scenario = targets
    else:
        one = {"network": targets} if isinstance(targets, str) else {"parcels": [int(p) for p in targets]}
        action = {"targets": one, "kind": "add", "amplitude_sd": float(amplitude_sd)}
        own = {k: timing.pop(k) for k in ("onset_s", "duration_s", "ramp_s") if k in timing}
        scenario = Scenario.from_dict({"actions": [{**action, **own}], **timing})
    options = PerturbOptions() if n_sets is None else PerturbOptions(n_sets)
    return analyse(_engine(model), read(scan), scenario, options)


def embed(scan: Scan, model: str | Engine = "default") -> Position:
    """Embed a recording and place it among those of the bundled cohort.

    Raises
    ------
    ConfigError, EngineError, AnalysisError
    """
    from brainlm_core.report.position import position

    return position(_engine(model), read(scan))


def compare(*results: Any) -> pd.DataFrame:
    """Put results of one kind beside each other: one row per result and figure.

    Parameters
    ----------
    *results
        Two or more results of the same analysis, of other recordings, models or options.

    Returns
    -------
    DataFrame
        One column per result, indexed by the name of the figure in ``to_dict``, levels joined by a dot.

    Raises
    ------
    ConfigError
        If there are fewer than two results, or they are of different analyses.
    """
    import pandas as pd

    kinds = {type(result).__name__ for result in results}
    if len(results) < 2 or len(kinds) != 1:
        said = " and ".join(sorted(kinds)) or "nothing"
        raise ConfigError(f"{said} cannot be compared", "give two or more results of one analysis")
    columns = [pd.Series(dict(_numbers(result.to_dict())), dtype=float) for result in results]
    return pd.concat(columns, axis=1, keys=range(1, len(columns) + 1))


def write_report(scan: Scan, output: str | Path, model: str = "default", *, label: str = "") -> Path:
    """Write everything about a recording into one HTML file; return its path.

    Parameters
    ----------
    scan : Recording or what :func:`read` takes
    output : path
    model : str
    label : str
        What the reader calls the recording; the name of the file is never printed.

    Raises
    ------
    ConfigError, EngineError
        If the model cannot be had or the file cannot be written. Analyses that this recording does not carry
        are left out, and the report says why.
    """
    from brainlm_core.base.writing import whole_file
    from brainlm_core.report import ReportOptions, gather, page_html

    page = page_html(gather(read(scan), model, ReportOptions(label=label)))
    with whole_file(output) as part:
        part.write_bytes(page)
    return Path(output)


def _engine(model: str | Engine) -> Engine:
    if isinstance(model, str):
        return load_model(model)
    if isinstance(model, Recording):
        raise ConfigError("a recording stands where the model should be", "give the recording first")
    return model


def _options(kind: type[Any], given: Mapping[str, Any]) -> Any:
    try:
        return kind(**given)
    except TypeError as error:
        known = list(kind.__dataclass_fields__)
        unknown = [name for name in given if name not in known]
        if not unknown:
            raise
        raise ConfigError(f"there is no option {unknown[0]}", f"choose from {', '.join(known)}") from error


def _numbers(part: Any, name: str = "") -> Iterable[tuple[str, float]]:
    """Return every single number of a nested dictionary with its joined name; lists are left out."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key != "provenance":
                yield from _numbers(value, f"{name}.{key}" if name else str(key))
    elif isinstance(part, int | float) and not isinstance(part, bool):
        yield name, float(part)
