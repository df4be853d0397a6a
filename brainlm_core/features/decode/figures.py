"""A decoding in words and in the baseline strip."""

from __future__ import annotations

from brainlm_core.base.methods import title_of, words_of
from brainlm_core.features.decode.analysis import DecodeResult
from brainlm_core.viz.strip import Row


def strip_rows(result: DecodeResult) -> list[Row]:
    """Return the rows of the baseline strip."""
    return [
        Row(name, score.value, score.interval, title_of(name, "decode"))
        for name, score in result.scores.items()
    ]


def signed(text: str) -> str:
    """Return figures with true minus signs."""
    return text.replace("-", "−")


def measure_words(result: DecodeResult) -> str:
    """Return the measure in words."""
    return "R²" if result.metric == "r2" else "Area under the ROC curve"


def one_sentence(result: DecodeResult, target: str) -> str:
    """Return what the decoding found."""
    model, dummy = result.scores["model"], 0.0 if result.metric == "r2" else 0.5
    figures = signed(f"{model.value:.2f} ({model.interval[0]:.2f} to {model.interval[1]:.2f})")
    value = f"{measure_words(result)} {figures}"
    if model.interval[0] <= dummy:
        return f"{target} cannot be told from this embedding better than by chance: {value}."
    rivals = {m: s for m, s in result.scores.items() if m not in ("model", "dummy")}
    best = max(rivals, key=lambda m: rivals[m].value)
    words, rival = words_of(best, "decode"), rivals[best]
    told, other = f"{target} can be told from this embedding, {value}", signed(f"{rival.value:.2f}")
    if rival.difference is not None and rival.difference[1] > 0:
        return f"{told}, better than from {words} ({other})."
    if rival.difference is not None and rival.difference[2] < 0:
        return f"{told}, but worse than from {words} ({other})."
    return f"{told}, no better than from {words} ({other})."
