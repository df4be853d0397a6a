"""Masked reconstruction of one window: what a model fills in, beside what simple methods fill in.

Steps: scale and cut the recording as the model wants it; hide a part of one window; let the model,
the same architecture with random weights, and the baselines of :mod:`masked_baselines` fill it in
from the same visible entries; score all on the entries that the model truly did not see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.methods import best_baseline, ordered
from brainlm_core.base.progress import Cancel, Progress, Publish
from brainlm_core.base.recording import Provenance
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.base.shown import Shown
from brainlm_core.features.shared.controls import control_recording
from brainlm_core.features.shared.masked_baselines import (
    GroupRidge,
    draw_mask,
    interpolate,
    mean_fill,
    statistics_folder,
)
from brainlm_core.inference.windows import Windows, make_windows

if TYPE_CHECKING:
    from brainlm_core.base.recording import Recording
    from brainlm_core.inference.engine import Engine, EngineInfo
    from brainlm_core.model.base import InputSpec

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: What can be hidden.
KINDS = ("random", "future", "parcels", "network")
#: Shares and block lengths (samples) that a sweep goes through.
SWEEP_SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
SWEEP_BLOCKS = (5, 10, 20, 40, 100)
N_BOOTSTRAP = 500


@dataclass(frozen=True)
class ReconstructOptions:
    """What is hidden, of which window.

    Parameters
    ----------
    kind : {"random", "future", "parcels", "network"}
        Blocks of samples of random parcels; the end of the window; whole parcels; one whole network.
    share : float
        Share that is hidden, 0.05–0.95; has no meaning for ``network``.
    block : int
        Samples that are hidden together, for ``random``. A model with longer tokens hides whole tokens.
    network : str
        Group of parcels that is hidden, for ``network``.
    window : int
        Which window of the recording, from 0.
    seed : int
        Of the mask.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    kind: str = "random"
    share: float = 0.75
    block: int = 20
    network: str = "Visual"
    window: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"nothing can be hidden as {self.kind!r}", f"choose one of {', '.join(KINDS)}")
        if not 0.05 <= self.share <= 0.95:
            raise ConfigError(f"a share of {self.share:g} cannot be hidden", "give 0.05 to 0.95")
        if not 1 <= self.block <= 200:
            raise ConfigError(f"blocks of {self.block} samples cannot be hidden", "give 1 to 200")
        if self.window < 0:
            raise ConfigError(f"there is no window {self.window}", "windows count from 0")


@dataclass(frozen=True)
class Score:
    """Explained variance of hidden entries.

    Parameters
    ----------
    r2 : float
        1 − Σ (truth − answer)² / Σ (truth − mean)², pooled over the hidden entries.
    low, high : float
        95 % bootstrap interval over parcels.
    """

    r2: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class ReconstructResult(Saved, Shown):
    """One window, hidden in part and filled in again.

    Parameters
    ----------
    options : ReconstructOptions
    model : EngineInfo
    windows : Windows
        The one window, scaled.
    hidden : ndarray (P, T), bool
        What the model did not see: the request rounded up to whole tokens, and padding.
    scored : ndarray (P, T), bool
        Hidden entries with a truth: observed, of parcels that vary.
    answers : mapping of str to ndarray (P, T), float32
        By method, in the scaling of the window; only hidden entries are answers.
    scores : mapping of str to Score
        Of the answers, and of ``no_scan``: the model in the same hole of the recording with its phases
        shuffled per parcel, against that recording's own values.
    parcel_r2 : ndarray (P,), float64
        Of the model, NaN where nothing was hidden.
    n_windows : int
        Windows that the recording has.
    token_length : int
        Samples per token of the model.
    notices : tuple of str
    provenance : Provenance
    parcellation : Parcellation
        Of the rows.
    """

    options: ReconstructOptions
    model: EngineInfo
    windows: Windows
    hidden: BoolArray
    scored: BoolArray
    answers: Mapping[str, FloatArray]
    scores: Mapping[str, Score]
    parcel_r2: NDArray[np.float64]
    n_windows: int
    token_length: int
    notices: tuple[str, ...]
    provenance: Provenance
    parcellation: Parcellation

    first_figure: ClassVar[str] = "reconstruction"

    def in_words(self) -> str:
        """Return explained variance of what was hidden, by method, one line."""
        said = ", ".join(f"{m} {self.scores[m].r2:.2f}" for m in ordered(self.scores))
        return f"explained variance of {int(self.scored.sum())} hidden entries: {said}"

    def drawn_from(self) -> tuple[ReconstructResult, Parcellation]:
        """Return the result with the parcels that it is drawn on."""
        return self, self.parcellation

    @property
    def observed(self) -> FloatArray:
        """The window as it is, (P, T), scaled."""
        return self.windows.values[0]

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Time of each sample in s from the start of the recording, (T,)."""
        return self.windows.starts_s[0] + np.arange(self.windows.n_timepoints) * self.windows.tr_s

    @property
    def best_baseline(self) -> str:
        """The best method that is neither the model nor a part of it."""
        return best_baseline({m: s.r2 for m, s in self.scores.items()}, "reconstruct") or "mean"

    def filled(self, method: str) -> FloatArray:
        """Return the window with hidden entries as a method fills them in, (P, T)."""
        return np.where(self.hidden, self.answers[method], self.observed)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary, without the arrays."""
        return {
            "options": dict(self.options.__dict__),
            "model": self.model.to_dict(),
            "n_hidden": int(self.scored.sum()),
            "tr_s": self.windows.tr_s,
            "start_s": float(self.windows.starts_s[0]),
            "r2": {m: self.scores[m].r2 for m in ordered(self.scores)},
            "ci95": {m: [self.scores[m].low, self.scores[m].high] for m in ordered(self.scores)},
            "intervals": "95 % bootstrap over parcels",
            "notices": list(self.notices),
            "provenance": self.provenance.to_dict(),
        }

    def files(self) -> ResultFiles:
        """Return ``reconstruction.json`` and ``reconstruction.npz``."""
        arrays = {
            "observed": self.observed,
            "hidden": self.hidden,
            "scored": self.scored,
            "times_s": self.times_s,
            "parcel_r2": self.parcel_r2,
            **{f"answer_{name}": values for name, values in self.answers.items()},
        }
        return ResultFiles({"reconstruction.json": self.to_dict()}, arrays={"reconstruction.npz": arrays})


@dataclass(frozen=True)
class Sweep:
    """How the scores move with one choice, everything else kept.

    Parameters
    ----------
    name : {"share", "block"}
    values : tuple of float
    r2 : mapping of str to tuple of float
        By method, one for each value.
    """

    name: str
    values: tuple[float, ...]
    r2: Mapping[str, tuple[float, ...]]


def reconstruct(
    engine: Engine,
    recording: Recording,
    options: ReconstructOptions | None = None,
    *,
    twin: Engine | None = None,
    control: bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ReconstructResult:
    """Hide a part of one window and fill it in; see the module for the steps.

    Parameters
    ----------
    engine : Engine
    recording : Recording
    options : ReconstructOptions, optional
    twin : Engine or None
        The same architecture with random weights; left out when None (see :func:`add_twin`).
    control : bool
        Whether the same is asked of the recording with its phases shuffled per parcel (``no_scan``).
    progress, cancel : callable or None

    Returns
    -------
    ReconstructResult

    Raises
    ------
    ConfigError
        If the window, the network or the scaling does not exist for this recording.
    AnalysisError
        If nothing that varies was hidden.
    """
    options = options or ReconstructOptions()
    windows, n_windows = _window(recording, engine.spec, options)
    asked = _mask(options, recording, windows)
    if progress is not None:
        progress(0.0, "Filling in what was hidden")
    answer = engine.reconstruct(windows, asked, cancel=cancel)
    scored = answer.hidden & ~windows.flat[None, :, None] & windows.observed[:, None]
    if not scored.any():
        raise AnalysisError("nothing that varies was hidden", "hide more, or another part")
    answers = {"model": answer.predicted[0], **_simple_answers(engine, windows, answer.hidden)}
    notices = list(windows.notices)
    if "ridge" not in answers:
        notices.append("No ridge: the training set has no parcels at these positions.")
    if (answer.hidden & ~asked & windows.observed[:, None]).any():
        notices.append(
            f"The model sees time in tokens of {engine.spec.patch_length} samples: "
            "shorter holes were made as long."
        )
    truth = windows.values[0]
    score = {m: _score(truth, a, scored[0], options.seed) for m, a in answers.items()}
    if control:
        if progress is not None:
            progress(0.4, "Asking the same of no scan")
        score["no_scan"] = _no_scan_score(engine, recording, options, answer.hidden, scored[0], cancel)
    result = ReconstructResult(
        options,
        engine.info,
        windows,
        answer.hidden[0],
        scored[0],
        answers,
        score,
        _parcel_r2(truth, answers["model"], scored[0]),
        n_windows,
        engine.spec.patch_length,
        tuple(notices),
        recording.provenance,
        recording.parcellation,
    )
    return result if twin is None else add_twin(result, twin, progress, cancel)


def analyse(
    engine: Engine,
    recording: Recording,
    options: ReconstructOptions | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    publish: Publish | None = None,
) -> ReconstructResult:
    """Do the same with the model and with its random-weights twin; random weights are not their own twin.

    Parameters
    ----------
    engine, recording, options, progress, cancel
        As :func:`reconstruct` takes them.
    publish : callable, optional
        Called with ``own`` and the result without the twin, before that has run.
    """
    result = reconstruct(engine, recording, options, progress=progress, cancel=cancel)
    if engine.info.is_random:
        return result
    if publish is not None:
        publish("own", result)
    return add_twin(result, engine.twin(), progress, cancel)


def add_twin(
    result: ReconstructResult, twin: Engine, progress: Progress | None = None, cancel: Cancel | None = None
) -> ReconstructResult:
    """Return the result with the answer of the random-weights twin on the same hidden entries."""
    if progress is not None:
        progress(0.5, "Running the random-weights twin")
    predicted = twin.reconstruct(result.windows, result.hidden[None], cancel=cancel).predicted[0]
    score = _score(result.observed, predicted, result.scored, result.options.seed)
    return replace(
        result,
        answers={**result.answers, "random_twin": predicted},
        scores={**result.scores, "random_twin": score},
    )


def sweep(
    engine: Engine,
    recording: Recording,
    options: ReconstructOptions,
    name: str,
    *,
    twin: Engine | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Sweep:
    """Score random masks over a row of shares (``name="share"``) or block lengths (``"block"``).

    Returns
    -------
    Sweep

    Raises
    ------
    ConfigError
        If ``name`` is neither.
    """
    if name not in ("share", "block"):
        raise ConfigError(f"there is no sweep over {name!r}", "choose share or block")
    row: tuple[float, ...] = SWEEP_SHARES if name == "share" else SWEEP_BLOCKS
    found: dict[str, list[float]] = {}
    for i, value in enumerate(row):
        if progress is not None:
            progress(i / len(row), f"Hiding {value:.0%}" if name == "share" else f"Holes of {value} samples")
        at = replace(options, kind="random", **{name: value})  # type: ignore[arg-type]
        for method, score in reconstruct(
            engine, recording, at, twin=twin, control=False, cancel=cancel
        ).scores.items():
            found.setdefault(method, []).append(score.r2)
    return Sweep(name, row, {method: tuple(values) for method, values in found.items()})


def _window(recording: Recording, spec: InputSpec, options: ReconstructOptions) -> tuple[Windows, int]:
    """Return the one window that is asked for, and how many there are."""
    windows = make_windows(recording, spec)
    if options.window >= windows.n_windows:
        raise ConfigError(
            f"the recording has {windows.n_windows} windows and window {options.window} was asked for",
            f"choose 0 to {windows.n_windows - 1}",
        )
    return windows.pick(slice(options.window, options.window + 1)), windows.n_windows


def _no_scan_score(
    engine: Engine,
    recording: Recording,
    options: ReconstructOptions,
    hidden: BoolArray,
    scored: BoolArray,
    cancel: Cancel | None,
) -> Score:
    """Score the model on the same hole in the control recording, against that recording's own values."""
    windows, _ = _window(control_recording(recording), engine.spec, options)
    answer = engine.reconstruct(windows, hidden, cancel=cancel)
    return _score(windows.values[0], answer.predicted[0], scored, options.seed)


def _mask(options: ReconstructOptions, recording: Recording, windows: Windows) -> BoolArray:
    """Draw what is asked to be hidden, (1, P, T)."""
    shape = windows.values.shape
    rng = np.random.default_rng(options.seed)
    if options.kind == "network":
        members = np.array(recording.parcellation.group) == options.network
        if not members.any() or members.all():
            known = ", ".join(dict.fromkeys(recording.parcellation.group))
            raise ConfigError(
                f"this recording has no network {options.network!r} that could be hidden from others",
                f"choose one of {known}",
            )
        return np.broadcast_to(members[None, :, None], shape).copy()
    if options.kind == "random":
        return draw_mask(f"random{round(100 * options.share)}", shape, options.block, rng)
    return draw_mask("future" if options.kind == "future" else "parcel", shape, 1, rng, share=options.share)


def _simple_answers(engine: Engine, windows: Windows, hidden: BoolArray) -> dict[str, FloatArray]:
    """Return the baselines' answers (P, T), and the model's own prior where it has one."""
    out = {
        "mean": mean_fill(windows.values, hidden)[0],
        "interpolation": interpolate(windows.values, hidden)[0],
    }
    ridge = GroupRidge.load(statistics_folder(engine.info.model_name), windows.xyz)
    if ridge is not None:
        out["ridge"] = ridge.predict(windows.values, hidden)[0]
    prior = engine.prior_answer(windows, hidden)
    if prior is not None:
        out["prior"] = prior[0]
    return out


def _score(truth: FloatArray, answer: FloatArray, scored: BoolArray, seed: int) -> Score:
    """Return pooled R² with a bootstrap interval over parcels."""
    sums = _sums(truth, answer, scored)
    sums = sums[:, sums[0] > 0]
    draws = np.random.default_rng(seed).integers(0, sums.shape[1], (N_BOOTSTRAP, sums.shape[1]))
    drawn = _r2(sums[:, draws].sum(axis=2))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Score(float(_r2(sums.sum(axis=1))), float(low), float(high))


def _parcel_r2(truth: FloatArray, answer: FloatArray, scored: BoolArray) -> NDArray[np.float64]:
    """Return R² of each parcel (P,) against its own mean over what was hidden, NaN below 10 entries."""
    sums = _sums(truth, answer, scored)
    return np.where(sums[0] >= 10, _r2(sums), np.nan)


def _sums(truth: FloatArray, answer: FloatArray, scored: BoolArray) -> NDArray[np.float64]:
    """Return per parcel: entries, Σ truth, Σ truth², Σ squared error, (4, P)."""
    y = np.where(scored, truth, 0).astype(np.float64)
    error = np.where(scored, truth - answer, 0).astype(np.float64)
    return np.stack([scored.sum(axis=1), y.sum(axis=1), (y**2).sum(axis=1), (error**2).sum(axis=1)])


def _r2(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return R² from sums (4, …)."""
    n, y, yy, error = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - error / (yy - y * y / n))
