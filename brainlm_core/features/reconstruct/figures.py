"""A window hidden in part and filled in again: in brains, in the baseline strip, in one sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.methods import METHODS, methods_of, ordered, title_of, words_of
from brainlm_core.features.reconstruct.analysis import ReconstructResult
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.strip import Row

FloatArray = NDArray[np.float32]

#: Ends of the colour bar, in the units of a scaled window.
LIMIT = 2.5
UNITS = {
    "cohort": "interquartile ranges of the cohort",
    "none": "units of the file",
    "recording": "interquartile ranges from the median",
    "zscore": "SD from the mean",
    "ukb1000": "UK Biobank interquartile ranges",
}
#: What lies below is left off the strip and said in words: it would press all others together.
OFF_SCALE = -0.5


def panels(result: ReconstructResult, third: str, *, simulated: bool) -> list[BrainPanel]:
    """Return the linked brains: observed, what the model sees, and what the visitor chose as third."""
    unit, limits = UNITS[result.windows.scaling], (-LIMIT, LIMIT)
    shown = np.where(result.windows.flat[:, None] | ~result.windows.observed[0], np.nan, result.observed)
    mark = " (simulated)" if simulated else ""
    seen = np.where(result.hidden, np.nan, shown)
    return [
        BrainPanel(f"Observed{mark}", shown.T, unit, "diverging", limits, alt="Observed signals, by parcel."),
        BrainPanel(
            "What the model sees",
            seen.T,
            unit,
            "diverging",
            limits,
            alt="The same with what was hidden from the model in grey.",
        ),
        _third(result, third, shown, unit),
    ]


def _third(result: ReconstructResult, third: str, shown: FloatArray, unit: str) -> BrainPanel:
    known = np.isfinite(shown)
    if third == "error":
        error = np.where(result.scored & known, result.answers["model"] - result.observed, np.nan)
        return BrainPanel(
            "Filled in minus observed", error.T, unit, "diverging", (-LIMIT, LIMIT), alt="Error, by parcel."
        )
    if third == "r2":
        values = np.clip(result.parcel_r2, -1, 1).astype(np.float32)
        return BrainPanel(
            "Explained variance of what was hidden",
            np.broadcast_to(values, (result.observed.shape[1], len(values))),
            "R²",
            "diverging",
            (-1, 1),
            alt="Explained variance of the hidden entries, by parcel.",
        )
    filled = np.where(known, result.filled("model"), np.nan)
    return BrainPanel(
        "Filled in by the model", filled.T, unit, "diverging", (-LIMIT, LIMIT), alt="Filled in, by parcel."
    )


def strip_rows(result: ReconstructResult | None) -> list[Row]:
    """Return R² by method for the baseline strip; None while unknown."""
    if result is None:
        return [
            Row(m, None, label=method_word(m))
            for m in ("model", "no_scan", "random_twin", *methods_of("reconstruct", "baseline"))
            if m != "last_value"
        ]
    wanted = [m for m in ordered(result.scores) if m not in off_scale(result)]
    if not result.model.is_random and "random_twin" not in wanted:
        wanted.append("random_twin")
    rows = []
    for method in wanted:
        score = result.scores.get(method)
        rows.append(
            Row(method, None, label=method_word(method))
            if score is None
            else Row(method, score.r2, (score.low, score.high), label=method_word(method))
        )
    return rows


def off_scale(result: ReconstructResult) -> dict[str, float]:
    """Return the baselines that are too bad for the strip, with their R²."""
    return {m: s.r2 for m, s in result.scores.items() if s.r2 < OFF_SCALE and METHODS[m].kind == "baseline"}


def sentence(result: ReconstructResult) -> str:
    """Return the one sentence: how much of the hidden part is explained, by whom."""
    own, best = result.scores["model"], result.best_baseline
    other = result.scores[best]
    words = words_of(best, "reconstruct")
    subject = "Random weights explain" if result.model.is_random else "The model explains"
    shares = f"{max(own.r2, 0):.0%} of what it did not see; {words} {max(other.r2, 0):.0%}"
    twin = result.scores.get("random_twin")
    said = f"{subject} {shares}" + (
        "." if twin is None else f", the same model with random weights {max(twin.r2, 0):.0%}."
    )
    return said + _beside_no_scan(result)


def _beside_no_scan(result: ReconstructResult) -> str:
    """Say what the model explains of the same rhythms without anything that parcels share."""
    own, control = result.scores["model"], result.scores.get("no_scan")
    if control is None or result.model.is_random:
        return ""
    share = f"{max(control.r2, 0):.0%}"
    if own.r2 > control.high:
        return f" Of no scan (phases shuffled) it explains {share}."
    return (
        f" Of no scan (phases shuffled) it explains as much ({share}): "
        "here it goes by each parcel's own past and future."
    )


def method_word(method: str) -> str:
    """Return what a method is called here."""
    return title_of(method, "reconstruct")
