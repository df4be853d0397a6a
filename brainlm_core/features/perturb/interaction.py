"""Interaction of several actions: what they do together beyond what each does alone, at the same masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from brainlm_core.base.progress import Cancel
from brainlm_core.features.perturb.masks import draw_masks, make_plan
from brainlm_core.features.perturb.response import summarise
from brainlm_core.features.perturb.trials import Stage, Trial, run_trials

if TYPE_CHECKING:
    from brainlm_core.features.perturb.scenario import Scenario
    from brainlm_core.inference.engine import Engine

#: Mask draws at most: two leave hardly a parcel without an answer.
INTERACTION_DRAWS = 2


def interaction(engine: Engine, stage: Stage, scenario: Scenario, cancel: Cancel | None = None) -> float:
    """Return the root mean square of the answer minus the sum of its actions alone, all at one mask.

    A first-order picture sums responses of single actions, each with its own targets in view. Here every
    action runs alone under the mask of the whole scenario, so that only the interaction is left.

    Parameters
    ----------
    engine : Engine
    stage : Stage
    scenario : Scenario
        Of two actions or more.
    cancel : callable, optional

    Returns
    -------
    float
        In SD of each parcel's signal, over the answering parcels.
    """
    whole = make_plan(scenario, stage.frame, stage.grid)
    alone = [make_plan(scenario.with_actions([a]), stage.frame, stage.grid) for a in scenario.actions]
    masks = draw_masks(whole, stage.grid, range(min(INTERACTION_DRAWS, scenario.draws)))
    gaps = np.zeros((len(masks), len(whole.targets)))
    trials, signs = [], []
    for k, mask in enumerate(masks):
        for plan, sign in (
            (whole, 1.0),
            *((replace(p, excluded=whole.excluded, counted=whole.counted), -1.0) for p in alone),
        ):
            trials.append(Trial(plan, mask))
            signs.append((k, sign))
    for i, answer in run_trials(engine, stage, trials, cancel=cancel, label="Interaction"):
        k, sign = signs[i]
        gaps[k] += sign * summarise(answer, whole.counted)[0]
    return float(np.sqrt(np.nanmean(gaps**2)))
