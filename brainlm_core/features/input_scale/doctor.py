"""Input-scale doctor: the input recipe with which a model understands a recording best.

Published weights were trained on signals of one size. On another scanner, or after another preparation, the
same scaling may leave signals larger or smaller than the model knows. The doctor goes through kinds of
scaling and gains, hides the same random 20 % of the patches each time, brings every answer back into units
of this recording's own scaling, so that all recipes are judged by one yardstick, and scores it there.
Beside it stand ridge regression from the parcels that are visible, and the same recipe on phase-shuffled
signals, in which parcels share nothing: what is explained there is each parcel's own rhythm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brainlm_core.base.errors import AnalysisError, ConfigError
from brainlm_core.base.input_recipe import InputRecipe
from brainlm_core.base.result_files import ResultFiles, Saved
from brainlm_core.base.surrogates import shuffled_phases
from brainlm_core.features.shared.masked_baselines import GroupRidge, statistics_folder
from brainlm_core.inference.windows import make_windows

if TYPE_CHECKING:
    from brainlm_core.base.input_recipe import ScalingStatistics
    from brainlm_core.base.recording import Recording
    from brainlm_core.inference.engine import Cancel, Engine, Progress
    from brainlm_core.inference.windows import Windows

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

#: Gains that are tried: a quarter to four times each recording's own scaling …
GAINS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
#: … and of the other kinds.
OTHER_GAINS = (0.25, 0.5, 1.0, 2.0, 4.0)
#: Share of the patches that is hidden.
HIDDEN_SHARE = 0.2
#: The scan lies outside when the best gain is farther from 1 than this factor …
FAR_GAIN = 2.0
#: … or when even the best recipe explains less than this share of the hidden variance.
POOR_R2 = 0.02
#: Another kind must explain this much more than the recording's own to be preferred.
_PREFERENCE = 0.005
#: Signals that are "as they are" are tried when their interquartile range is of this size: a model's input.
_ALREADY_SCALED = (0.1, 10.0)
#: Best R² of masked patches that the authors logged while training, on their own data: ``trainer_state.json``
#: of each model in the hub repository. 20 % hidden for 13M, 75 % for 650M.
LOGGED_R2 = {"13m": 0.46, "650m": 0.26}


@dataclass(frozen=True)
class GainCurve:
    """Explained variance over the gain, for one kind of scaling.

    Parameters
    ----------
    kind : str
        One of :data:`brainlm_core.base.input_recipe.KINDS`.
    gains, r2 : tuple of float
    """

    kind: str
    gains: tuple[float, ...]
    r2: tuple[float, ...]

    @property
    def best(self) -> int:
        """Index of the best gain."""
        return int(np.argmax(self.r2))


@dataclass(frozen=True)
class ScaleDoctorResult(Saved):
    """The curves and what to make of them.

    Parameters
    ----------
    curves : tuple of GainCurve
        ``recording`` first. R² is the share of the hidden variance explained, 1 − SSE / SST over hidden
        observed entries in units of the recording's own scaling, where SST is taken about zero, the value
        that means "no idea".
    not_tried : dict of str to str
        Kinds of scaling that do not apply here, and why.
    recipe : InputRecipe
        The best one.
    best_r2 : float
    r2_at_one : float
        With each recording's own scaling at gain 1.
    shuffled_r2 : float
        With the best recipe on phase-shuffled signals: each parcel's own rhythm alone.
    ridge_r2 : float or None
        Of ridge regression from the visible parcels; None where the group's covariance is unknown.
    logged_r2 : float or None
        What the authors logged for this model on their data.
    outside_training : bool
        The best gain is farther from 1 than a factor of 2, or the model explains nothing.
    sentence : str
        The finding in words.
    model : str
    is_random : bool
    n_windows : int
        Windows used.
    seed : int
    provenance : dict
        Of the recording.
    """

    curves: tuple[GainCurve, ...]
    not_tried: dict[str, str]
    recipe: InputRecipe
    best_r2: float
    r2_at_one: float
    shuffled_r2: float
    ridge_r2: float | None
    logged_r2: float | None
    outside_training: bool
    sentence: str
    model: str
    is_random: bool
    n_windows: int
    seed: int
    provenance: dict[str, Any]

    @property
    def best_gain(self) -> float:
        """Gain of the best recipe."""
        return self.recipe.gain

    @property
    def across_r2(self) -> float:
        """What is explained beyond each parcel's own rhythm."""
        return self.best_r2 - max(self.shuffled_r2, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary."""
        return {
            **self.__dict__,
            "curves": [{**c.__dict__, "gains": list(c.gains), "r2": list(c.r2)} for c in self.curves],
            "recipe": self.recipe.to_dict(),
            "across_r2": self.across_r2,
            "hidden_share": HIDDEN_SHARE,
        }

    def files(self) -> ResultFiles:
        """Return ``scale_doctor.json`` and ``scale_doctor.csv``."""
        rows = [(c.kind, gain, r2) for c in self.curves for gain, r2 in zip(c.gains, c.r2, strict=True)]
        table = pd.DataFrame(rows, columns=["scaling", "gain", "r2"])
        return ResultFiles(
            {"scale_doctor.json": self.to_dict()}, tables={"scale_doctor.csv": table}, float_format=None
        )


def examine(
    engine: Engine,
    recording: Recording,
    *,
    gains: Sequence[float] = GAINS,
    max_windows: int = 2,
    seed: int = 0,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScaleDoctorResult:
    """Go through kinds of scaling and gains on this very recording.

    Steps: cut windows; hide a random 20 % of the patches, the same for every recipe; for each recipe scale,
    reconstruct, bring the answer back into units of the recording's own scaling; score the hidden, observed
    entries of parcels that vary; do the best one again on phase-shuffled signals.

    Parameters
    ----------
    engine : Engine
        Cohort scaling is tried where its recipe has the statistics of a cohort.
    recording : Recording
    gains : sequence of float
        Positive, of the recording's own scaling; 1 is added when missing.
    max_windows : int
        Windows used, spread over the recording.
    seed : int
        Of the mask and the shuffled phases.
    progress, cancel : callable or None

    Returns
    -------
    ScaleDoctorResult

    Raises
    ------
    ConfigError
        If a gain is not positive.
    AnalysisError
        If nothing in the recording varies.
    """
    row = sorted({float(g) for g in gains} | {1.0})
    if not all(np.isfinite(g) and g > 0 for g in row):
        raise ConfigError("a gain must be a positive number", "give gains such as 0.5, 1, 2")
    test = _Test(engine, recording, max_windows, seed)
    kinds, not_tried = _kinds(test, engine.spec.recipe.statistics)
    asked = [(k, g) for k in kinds for g in (row if k.kind == "recording" else OTHER_GAINS)]
    found: dict[str, list[tuple[float, float]]] = {k.kind: [] for k in kinds}
    for i, (kind, gain) in enumerate(asked):
        if progress is not None:
            progress(i / (len(asked) + 1), f"Trying {replace(kind, gain=gain).in_words()}")
        found[kind.kind].append((gain, test.r2(replace(kind, gain=gain), cancel)))
    curves = tuple(GainCurve(k, *zip(*pairs, strict=True)) for k, pairs in found.items())
    best = max(curves, key=lambda c: c.r2[c.best] - (0 if c.kind == "recording" else _PREFERENCE))
    gain, r2 = best.gains[best.best], best.r2[best.best]
    recipe = replace(next(k for k in kinds if k.kind == best.kind), gain=gain, chosen_by="doctor")
    if progress is not None:
        progress(len(asked) / (len(asked) + 1), "Trying signals that share nothing")
    shuffled = _shuffled_r2(engine, recording, recipe, max_windows, seed, cancel)
    if progress is not None:
        progress(1.0, "Done")
    at_one = curves[0].r2[row.index(1.0)]
    nothing = r2 - max(shuffled, 0.0) < POOR_R2
    return ScaleDoctorResult(
        curves,
        not_tried,
        recipe,
        r2,
        at_one,
        shuffled,
        test.ridge_r2(engine.info.model_name),
        LOGGED_R2.get(engine.info.model_name),
        nothing or not 1 / FAR_GAIN <= gain <= FAR_GAIN,
        _sentence(recipe, r2, at_one, shuffled),
        engine.info.model_name,
        engine.info.is_random,
        test.own.n_windows,
        seed,
        recording.provenance.to_dict(),
    )


class _Test:
    """Windows of a recording in its own scaling, what is hidden in them, and the score of any answer."""

    def __init__(self, engine: Engine, recording: Recording, max_windows: int, seed: int) -> None:
        self._engine, self._recording = engine, recording
        whole = self._cut(InputRecipe())
        last = whole.n_windows - 1
        self._chosen = np.unique(np.linspace(0, last, max(1, max_windows)).round().astype(np.intp))
        self.own = whole.pick(self._chosen)
        self._hidden = _random_patches(self.own, engine.spec.patch_length, seed)

    def _cut(self, recipe: InputRecipe) -> Windows:
        return make_windows(self._recording, replace(self._engine.spec, recipe=recipe))

    def windows(self, recipe: InputRecipe) -> Windows:
        """Return the chosen windows in a recipe."""
        return self._cut(recipe).pick(self._chosen)

    def r2(self, recipe: InputRecipe, cancel: Cancel | None) -> float:
        """Return the explained share with a recipe, in units of the recording's own scaling."""
        windows = self.windows(recipe)
        answer = self._engine.reconstruct(windows, self._hidden, cancel=cancel)
        own = self.own
        values = (windows.to_source_units(answer.predicted) - own.centre[:, None]) / own.scale[:, None]
        return self._score(values, answer.hidden & self._hidden)

    def ridge_r2(self, model: str) -> float | None:
        """Return the explained share of ridge regression from the visible parcels; None where unknown."""
        ridge = GroupRidge.load(statistics_folder(model), self.own.xyz)
        return (
            None if ridge is None else self._score(ridge.predict(self.own.values, self._hidden), self._hidden)
        )

    def _score(self, predicted: FloatArray, hidden: BoolArray) -> float:
        scored = hidden & self.own.observed[:, None] & ~self.own.flat[None, :, None]
        truth = self.own.values[scored].astype(np.float64)
        total = float((truth**2).sum())
        if truth.size == 0 or total == 0:
            raise AnalysisError("nothing varies in this recording", "check the scan")
        return 1.0 - float(((predicted[scored] - truth) ** 2).sum()) / total


def _kinds(test: _Test, statistics: ScalingStatistics | None) -> tuple[list[InputRecipe], dict[str, str]]:
    """Return the kinds of scaling that apply to a recording, its own first, and why others do not."""
    kinds, reasons = [InputRecipe()], {}
    if statistics is None:
        reasons["cohort"] = "no statistics of a cohort were given"
    else:
        kinds.append(InputRecipe("cohort", statistics=statistics))
    size = float(np.median(test.own.scale[~test.own.flat])) if not test.own.flat.all() else 0.0
    low, high = _ALREADY_SCALED
    if low <= size <= high:
        kinds.append(InputRecipe("none"))
    else:
        reasons["none"] = f"the signals' interquartile range is {size:.3g}, so they are not scaled yet"
    kinds.append(InputRecipe("ukb1000"))
    for kind in kinds[1:]:
        try:
            test.windows(kind)
        except ConfigError as error:
            reasons[kind.kind] = error.what
    return [kind for kind in kinds if kind.kind not in reasons], reasons


def _shuffled_r2(
    engine: Engine, recording: Recording, recipe: InputRecipe, n: int, seed: int, cancel: Cancel | None
) -> float:
    """Return what the same recipe explains where parcels share nothing."""
    signals = shuffled_phases(recording.signals, np.random.default_rng(seed + 1))
    return _Test(engine, replace(recording, signals=signals, quality=None), n, seed).r2(recipe, cancel)


def _random_patches(windows: Windows, length: int, seed: int) -> NDArray[np.bool_]:
    """Hide whole patches at random, (W, P, T)."""
    n_patches = -(-windows.n_timepoints // length)
    rng = np.random.default_rng(seed)
    patches = rng.random((windows.n_windows, windows.n_parcels, n_patches)) < HIDDEN_SHARE
    return np.repeat(patches, length, axis=2)[:, :, : windows.n_timepoints]


def _sentence(recipe: InputRecipe, r2: float, at_one: float, shuffled: float) -> str:
    words = recipe.in_words().removeprefix("Scaling: ")
    found = (
        f"The model explains {r2:.0%} of hidden signal at best ({words}), {at_one:.0%} with each recording's "
        f"own scaling at gain 1, and {shuffled:.0%} where parcels share nothing"
    )
    if r2 < POOR_R2:
        return f"{found}: it explains nothing here with any recipe; this scan lies outside its training."
    if r2 - max(shuffled, 0.0) < POOR_R2:
        return f"{found}: across parcels it explains nothing here, only each parcel's own rhythm."
    if recipe.kind != "recording" or not 1 / FAR_GAIN <= recipe.gain <= FAR_GAIN:
        return f"{found}: this scan lies outside the scale that the model was trained on; use that recipe."
    return f"{found}: this scan lies within the scale that the model was trained on."
