"""An attribution in brains and sentences: the shares, and what they are worth."""

from __future__ import annotations

import numpy as np

from brainlm_core.base.atlas import Parcellation
from brainlm_core.cohort.columns import words
from brainlm_core.features.attribution.result import Attribution
from brainlm_core.viz.palette import group_words
from brainlm_core.viz.panels import BrainPanel

#: The colours reach this percentile of the shares' size: a few large ones would blank the rest.
_PERCENTILE = 98
#: Shares that miss more than this of the difference are not to be trusted.
MAX_MISSED = 0.05
#: What the size of the shares is compared with.
AGREE_WORDS = {
    "attention": "the summary token's attention",
    "connectivity": "mean connectivity",
    "random_twin": "the same read-out of random weights",
}


def name_of(found: Attribution) -> str:
    """Return the read-out's name as the page says it."""
    name = found.direction.name
    column, colon, rest = name.partition(":")
    return f"{words(column)}{colon}{rest}"


def panels(found: Attribution, *, simulated: bool) -> list[BrainPanel]:
    """Return two linked brains: the shares, and the attention that they are compared with."""
    mark = " (simulated)" if simulated else ""
    shares = np.where(found.flat, np.nan, found.parcels)
    top = float(np.nanpercentile(np.abs(shares), _PERCENTILE)) if np.isfinite(shares).any() else 0.0
    attention = np.where(found.flat, np.nan, found.attention * len(found.attention))
    top = top or 1.0
    return [
        BrainPanel(
            f"Share in {name_of(found)}{mark}",
            shares,
            found.direction.unit,
            "diverging",
            (-top, top),
            alt=f"How much each parcel moves {name_of(found)}.",
        ),
        BrainPanel(
            "Attention of the summary token",
            attention,
            "× even spread",
            "sequential",
            alt="The summary token's attention to each parcel, for comparison.",
        ),
    ]


def one_sentence(found: Attribution, parcellation: Parcellation) -> str:
    """Return the read-out, its reference, what moved it most, and whether the shares add up."""
    shares = found.by_group(parcellation.group, found.values.shape[2])
    names, total = shares.names, shares.sums.sum(axis=1)
    strongest = int(np.abs(total).argmax())
    against = (
        "with shuffled phases" if found.options.reference == "surrogate" else "with nothing in the window"
    )
    # A decoded number is in the units of its column, which the name says already.
    unit = "" if found.direction.unit == found.direction.name else f" {found.direction.unit}"
    text = (
        f"{name_of(found)} reads {found.value:.3g}{unit}, {against} {found.reference:.3g}; "
        f"{group_words(names[strongest])} moves it most ({total[strongest]:+.2g})."
    )
    return text.replace("-", "−")


def completeness_words(found: Attribution) -> str:
    """Return in words what the shares leave unexplained."""
    if found.options.method == "occlusion":
        return (
            "Occluded one by one, the shares need not add up to the whole difference: "
            "parcels act together, and occlusion counts that several times or not at all."
        )
    missed = f"{found.completeness_error:.1%}".replace("%", "\u202f%")
    if found.completeness_error > MAX_MISSED:
        return f"The shares miss {missed} of the difference: take more steps before believing the map."
    if found.completeness_error < 0.0005:
        missed = "less than 0.1\u202f%"
    return f"Completeness error: the shares add up to the difference within {missed}."
