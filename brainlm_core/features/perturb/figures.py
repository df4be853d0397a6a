"""A response in words, and what would have said the same as rows of the baseline strip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.methods import methods_of, title_of
from brainlm_core.features.perturb.companions import Agreement, DoseCurve
from brainlm_core.features.perturb.masks import Plan
from brainlm_core.features.perturb.null import NullMap
from brainlm_core.features.shared.scan_dependence import ScanDependence
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.strip import Row


def strip_rows(agreement: Sequence[Agreement]) -> list[Row]:
    """Return the rows of the baseline strip; the bar is the middle 95 % of chance, not an interval."""
    known = {a.predictor: a for a in agreement}
    rows = []
    for name in methods_of("perturb"):
        found, label = known.get(name), title_of(name, "perturb")
        if found is None:
            rows.append(Row(name, None, None, label))
        elif np.isnan(found.value):
            rows.append(Row(name, None, None, label, "one of the two does not vary"))
        else:
            rows.append(Row(name, found.value, chance_range(found), label))
    return rows


def chance_range(agreement: Agreement) -> tuple[float, float] | None:
    """Return the middle 95 % of the correlations with the predictions for random sets."""
    if not len(agreement.null):
        return None
    low, high = np.percentile(agreement.null, (2.5, 97.5))
    return float(low), float(high)


def null_sentence(null: NullMap) -> str:
    """Return what the null says."""
    if null.reason:
        return f"No null: {null.reason}."
    found = null.n_significant or 0
    tested = int((~np.isnan(null.p)).sum())
    if not tested:
        return f"No parcel could be tested against the {null.n_sets} random sets."
    return (
        f"{found} of {tested} parcels stand out from {null.n_sets} random sets matched on "
        f"{', '.join(null.matched_on[:-1])} and {null.matched_on[-1]} (false discovery rate 5 %)."
    )


def dependence_sentence(found: ScanDependence) -> str:
    """Say whether the answer is this scan's; only what stands above no scan is claimed for it."""
    alone = (
        f"it correlates {found.no_scan_correlation:.3f} with the answer without the scan (phases shuffled)"
    )
    if found.depends is None:
        return f"Whether this answer is this scan's cannot be said: {alone}, {found.reason or 'no halves'}."
    halves = f"{found.split_half_correlation:.3f} between the halves of the recording"
    added = found.added_split_half_correlation
    more = (
        ""
        if added is None
        else f" What the scan adds correlates {added:.2f} between the halves (0 for noise)."
    )
    whose = (
        "This answer is this scan's"
        if found.depends
        else "This answer is what all brains share, not this scan's"
    )
    return f"{whose}: {alone} and {halves}.{more}".replace("-", "−")


def added_by_scan(found: ScanDependence) -> list[BrainPanel]:
    """Return the answer of the scan, of no scan, and what the scan adds, faded where halves disagree."""
    top = float(np.nanpercentile(np.abs(np.stack([found.scan, found.no_scan])), 99)) or 1.0
    reach = float(np.nanpercentile(np.abs(found.difference), 99)) or 1.0
    return [
        BrainPanel("This scan", found.scan, "SD", "diverging", (-top, top), alt="Answer of this scan."),
        BrainPanel(
            "No scan: what all brains share", found.no_scan, "SD", "diverging", (-top, top),
            alt="Answer for the recording with shuffled phases.",
        ),
        BrainPanel(
            "What this scan adds, faded where halves disagree", found.faded(), "SD", "diverging",
            (-reach, reach), alt="Difference of the two answers, faded where it is not reliable.",
        ),
    ]  # fmt: skip


def dose_sentence(dose: DoseCurve) -> str:
    """Return what the dose curve says."""
    added = " A shift was added in place of the scenario's own kind." if dose.added else ""
    if np.isnan(dose.r2):
        return f"Nothing responds at any dose.{added}"
    return (
        f"{dose.slope:+.3f} SD per SD; a straight line explains {100 * dose.r2:.0f} % of the curve.{added}"
    ).replace("-", "−")


def moments(plan: Plan, n_timepoints: int, at_most: int) -> NDArray[np.intp]:
    """Return the samples that a moving picture shows: from the onset to a while after the end.

    Parameters
    ----------
    plan : Plan
    n_timepoints : int
        Samples of the window.
    at_most : int
        Samples on screen; every second, third … is taken where there are more.
    """
    if plan.scenario.readout == "future":
        samples = np.arange(plan.future, min(plan.future + 40, n_timepoints))
    else:
        end = plan.stop if plan.future == n_timepoints else plan.future
        samples = np.arange(plan.first, min(end + 20, n_timepoints))
    return samples[:: -(-len(samples) // at_most)]
