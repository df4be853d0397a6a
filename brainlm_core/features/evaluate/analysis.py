"""Score a model on recordings that it never saw, beside everything that it must be compared with.

Steps: masked reconstruction (:mod:`masked_baselines`), forecast (:mod:`forecast`), attention
networks (:mod:`network_cohort`), and what the embeddings tell of people (:mod:`evaluate_decode`).
Intervals are 95 % bootstrap intervals over subjects; each method is scored on the same entries. The model is
asked the same of no scan and of white noise, and is scored there on the control's own values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, BrainLMError, ConfigError
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.cohort.recordings import Cohort
from brainlm_core.features.shared.controls import SURROGATES, control_recording
from brainlm_core.features.shared.error_sums import ErrorSums, error_sums
from brainlm_core.features.shared.masked_baselines import (
    MASKS,
    GroupRidge,
    carry_forward,
    draw_mask,
    interpolate,
    mean_fill,
    statistics_folder,
)

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.inference.engine import Engine
    from brainlm_core.inference.windows import Windows

Array = NDArray[np.float64]
Progress = Callable[[float, str], None]
Cancel = Callable[[], bool]

#: What can be evaluated, in order.
PARTS = ("masked", "context", "forecast", "networks", "decode")


@dataclass(frozen=True)
class EvaluateOptions:
    """What to evaluate.

    Parameters
    ----------
    limit : int or None
        Recordings for masked reconstruction, forecast and networks, spread evenly over the cohort; None
        takes all. Embeddings are always decoded on all.
    n_windows : int
        Windows per recording that are masked.
    n_starts : int
        Start points per recording that are forecast from.
    steps : int
        Forecast horizon in volumes.
    parts : tuple of str
        Among :data:`PARTS`.
    seed : int
        Of masks and intervals.
    """

    limit: int | None = 40
    n_windows: int = 2
    n_starts: int = 6
    steps: int = 20
    parts: tuple[str, ...] = PARTS
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.limit is not None and self.limit < 1) or min(self.n_windows, self.n_starts, self.steps) < 1:
            raise ConfigError("limit, windows, starts and steps must be 1 or more", "give positive numbers")
        unknown = set(self.parts) - set(PARTS)
        if unknown:
            raise ConfigError(f"there is no part {sorted(unknown)[0]!r}", f"choose among {', '.join(PARTS)}")


@dataclass(frozen=True, eq=False)
class EvaluateResult(Saved):
    """Scores of one model on one cohort.

    Parameters
    ----------
    scores : mapping
        As printed by ``brainlm evaluate --json``.
    """

    scores: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return dict(self.scores)

    def files(self) -> ResultFiles:
        """Return ``evaluation.json``."""
        return ResultFiles({"evaluation.json": self.scores})


def evaluate(
    engine: Engine,
    cohort: Cohort,
    options: EvaluateOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> EvaluateResult:
    """Score a model on a cohort.

    Parameters
    ----------
    engine : Engine
    cohort : Cohort
    options : EvaluateOptions, optional
    progress, cancel : callable, optional

    Raises
    ------
    AnalysisError
        If no recording of the cohort can be used.
    """
    options = options or EvaluateOptions()
    twin = engine.twin()
    rows = _spread(len(cohort), options.limit)
    notices: list[str] = []
    if len(rows) < len(cohort):
        notices.append(
            f"Masked reconstruction, forecast and networks: {len(rows)} of {len(cohort)} recordings, "
            "spread evenly (--limit)."
        )
    scores: dict[str, Any] = {
        "model": engine.info.model_name,
        "input": engine.info.recipe.to_dict(),
        "cohort": cohort.name,
        "n_recordings": len(cohort),
        "n_evaluated": len(rows),
        "n_subjects": len({cohort.subjects[r] for r in rows}),
        "intervals": "95 % bootstrap over subjects",
        "notices": notices,
    }
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "masked": lambda: _masked(engine, twin, cohort, rows, options, notices, progress, cancel),
        "context": lambda: _context(engine, cohort, rows, options, notices, progress, cancel),
        "forecast": lambda: _forecast(engine, twin, cohort, rows, options, notices, progress, cancel),
        "networks": lambda: _networks(engine, twin, cohort, rows, options, notices, progress, cancel),
        "decode": lambda: _decode(engine, twin, cohort, options, notices, progress, cancel),
    }
    for part in options.parts:
        scores |= steps[part]()
    return EvaluateResult(scores)


def _masked(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    rows: list[int],
    options: EvaluateOptions,
    notices: list[str],
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    sums: dict[str, dict[str, ErrorSums]] = {mask: {} for mask in MASKS}
    for done, (row, windows) in enumerate(_windows(engine, cohort, rows, options.n_windows, notices)):
        if progress is not None:
            progress(done / len(rows), f"Masked reconstruction: recording {done + 1} of {len(rows)}")
        ridge = GroupRidge.load(statistics_folder(engine.info.model_name), windows.xyz)
        usable = ~windows.flat[None, :, None] & windows.observed[:, None, :]
        controls = {
            kind: _full_windows(
                engine, control_recording(cohort.recording(row), kind, options.seed), options.n_windows
            )
            for kind in SURROGATES
        }
        for number, kind in enumerate(MASKS):
            rng = np.random.default_rng([options.seed, row, number])
            hidden = draw_mask(kind, windows.values.shape, engine.spec.patch_length, rng)
            scored = hidden & usable
            if not scored.any():
                continue
            for method, predicted in _predictions(engine, twin, windows, hidden, ridge, cancel):
                entry = error_sums(windows.values[scored], predicted[scored])
                sums[kind].setdefault(method, ErrorSums()).add(cohort.subjects[row], entry)
            for control, noise in controls.items():
                predicted = engine.reconstruct(noise, hidden, cancel=cancel).predicted
                entry = error_sums(noise.values[scored], predicted[scored])
                sums[kind].setdefault(control, ErrorSums()).add(cohort.subjects[row], entry)
    if not sums["random75"]:
        raise AnalysisError("no recording of the cohort can be used", "check TR, length and signals")
    table = {
        kind: {method: _beside_model(methods, method, options.seed) for method in methods}
        for kind, methods in sums.items()
    }
    if not any("ridge" in methods for methods in table.values()):
        notices.append("No ridge: the training set has no parcels at these positions.")
    return {"masked_r2": table}


def _context(
    engine: Engine,
    cohort: Cohort,
    rows: list[int],
    options: EvaluateOptions,
    notices: list[str],
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    """Score what the rest of the recording is worth; nothing for a model that does not read it."""
    if engine.spec.context != "recording":
        return {}
    from brainlm_core.features.evaluate.context import context_scores

    scans = [
        (row, windows)
        for row, windows in _windows(engine, cohort, rows, options.n_windows, [])
        if windows.context is not None and windows.context.n_outside().all()
    ]
    if not scans:
        notices.append("Context: no recording is long enough to read anything beside a window.")
        return {"context": None}
    recordings = [cohort.recording(row) for row, _ in scans]
    return {"context": context_scores(engine, cohort, scans, recordings, options.seed, progress, cancel)}


def _predictions(
    engine: Engine,
    twin: Engine,
    windows: Windows,
    hidden: NDArray[np.bool_],
    ridge: GroupRidge | None,
    cancel: Cancel | None,
) -> list[tuple[str, NDArray[np.float32]]]:
    out = [
        ("model", engine.reconstruct(windows, hidden, cancel=cancel).predicted),
        ("random_twin", twin.reconstruct(windows, hidden, cancel=cancel).predicted),
        ("mean", mean_fill(windows.values, hidden)),
        ("last_value", carry_forward(windows.values, hidden)),
        ("interpolation", interpolate(windows.values, hidden)),
    ]
    if ridge is not None:
        out.append(("ridge", ridge.predict(windows.values, hidden)))
    prior = engine.prior_answer(windows, hidden)
    return out if prior is None else [*out, ("prior", prior)]


def _forecast(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    rows: list[int],
    options: EvaluateOptions,
    notices: list[str],
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    from brainlm_core.features.forecast.analysis import back_test, control_back_test
    from brainlm_core.features.forecast.metrics import start_sums
    from brainlm_core.features.forecast.plan import ForecastOptions, plan

    sums: dict[str, ErrorSums] = {}
    settings = ForecastOptions(steps=options.steps, n_starts=options.n_starts, seed=options.seed)
    skipped, times = 0, set()
    for done, row in enumerate(rows):
        if progress is not None:
            progress(done / len(rows), f"Forecast: recording {done + 1} of {len(rows)}")
        try:
            recording = cohort.recording(row)
            what = plan(recording, engine.spec, settings)
            test, _ = back_test(engine, recording, what, twin=twin, cancel=cancel)
            controls = {
                kind: control_back_test(
                    engine, recording, what, test.starts, kind=kind, seed=options.seed, cancel=cancel
                )
                for kind in SURROGATES
            }
        except BrainLMError as error:
            if type(error).__name__ == "Cancelled":
                raise
            skipped += 1
            continue
        times.add(round(recording.tr_s, 3))
        entries = {method: start_sums(test, method) for method in test.methods}
        entries |= {kind: start_sums(control, "model") for kind, control in controls.items()}
        for method, found in entries.items():
            n, y, yy, _, ff, yf = found.over(0).table  # each (H,)
            sums.setdefault(method, ErrorSums()).add(
                cohort.subjects[row], np.stack([n, y, yy, yy - 2 * yf + ff])
            )
    if skipped:
        notices.append(f"Forecast: {skipped} recordings are too short for it.")
    if not sums:
        return {"forecast": None}
    table = {method: s.r2(options.seed) for method, s in sums.items()}
    gaps = {m: sums["model"].minus(s, options.seed) for m, s in sums.items() if m != "model"}
    return {
        "forecast": {
            "r2": {m: v.tolist() for m, (v, _) in table.items()},
            "r2_ci95": {m: _by_step(ci) for m, (_, ci) in table.items()},
            "model_minus_this": {m: gap[0].tolist() for m, gap in gaps.items() if gap is not None},
            "model_minus_this_ci95": {m: _by_step(gap[1]) for m, gap in gaps.items() if gap is not None},
            "step_s": sorted(times),
            "n_starts_per_recording": options.n_starts,
            "scaled_by": "the seen part only",
        }
    }


def _networks(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    rows: list[int],
    options: EvaluateOptions,
    notices: list[str],
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    from brainlm_core.features.networks.analysis import NetworksOptions
    from brainlm_core.features.networks.cohort import cohort_network_scores

    recordings = [cohort.recording(row) for row in rows]
    try:
        result = cohort_network_scores(
            engine,
            recordings,
            subjects=[cohort.subjects[row] for row in rows],
            options=NetworksOptions(seed=options.seed),
            twin=twin,
            progress=progress,
            cancel=cancel,
        )
    except AnalysisError as error:
        notices.append(f"Networks: {error}.")
        return {"networks": None}
    return {"networks": result.to_dict()}


def _decode(
    engine: Engine,
    twin: Engine,
    cohort: Cohort,
    options: EvaluateOptions,
    notices: list[str],
    progress: Progress | None,
    cancel: Cancel | None,
) -> dict[str, Any]:
    from brainlm_core.features.evaluate.decoding import decode_cohort

    return {"decode": decode_cohort(engine, twin, cohort, options.seed, notices, progress, cancel)}


def _windows(
    engine: Engine, cohort: Cohort, rows: list[int], n_windows: int, notices: list[str]
) -> list[tuple[int, Windows]]:
    """Return the first, last, … windows of each usable recording; say how many are not usable."""
    out, bad = [], []
    for row in rows:
        try:
            windows = _full_windows(engine, cohort.recording(row), n_windows)
        except BrainLMError as error:
            bad.append(str(error))
            continue
        if not windows.n_windows:
            bad.append("shorter than one window")
            continue
        out.append((row, windows))
    if bad:
        notices.append(f"{len(bad)} recordings were not used; the first because: {bad[0]}.")
    return out


def _full_windows(engine: Engine, recording: Recording, n_windows: int) -> Windows:
    """Return the first, last, … windows that lie whole in the recording; none when it is shorter than one."""
    stride = engine.spec.n_timepoints * (engine.spec.tr_s or 1.0)
    windows = engine.windows(recording, stride_s=stride if engine.spec.tr_s else None)
    full = np.flatnonzero(windows.observed.all(axis=1))
    return windows.pick(full[_spread(len(full), n_windows)])


def _spread(n: int, limit: int | None) -> list[int]:
    if limit is None or limit >= n:
        return list(range(n))
    return [int(i) for i in np.unique(np.linspace(0, n - 1, limit).round().astype(int))]


def _by_step(interval: Array | None) -> list[list[float]] | None:
    """(2, H) → H pairs."""
    return None if interval is None else interval.T.tolist()


def _beside_model(methods: Mapping[str, ErrorSums], method: str, seed: int) -> dict[str, Any]:
    """Return a method's score, and how far the model is above it on the same entries."""
    out = _score(*methods[method].r2(seed))
    gap = None if method == "model" else methods["model"].minus(methods[method], seed)
    return out if gap is None else {**out, "model_minus_this": _score(*gap)}


def _score(value: Array, interval: Array | None) -> dict[str, Any]:
    return {"value": float(value), "ci95": None if interval is None else [float(v) for v in interval]}
