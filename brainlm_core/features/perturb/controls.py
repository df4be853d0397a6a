"""Controls of a response: the answer without a scan, and what the group or the literature would have said.

- :func:`response_dependence`: the same scenario asked of the recording with shuffled phases, and of each half
  of the recording against a control of its own.
- :func:`group_answers`: ridge on the group's covariance from the parcels that the model sees; no recording.
- :func:`published_connectivity`: effective connectivity of 800 people, where the parcels are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.atlas import Parcellation, a424_cortex
from brainlm_core.base.paths import assets_dir
from brainlm_core.base.recording import Recording
from brainlm_core.features.perturb.masks import Plan, draw_masks
from brainlm_core.features.perturb.response import Response, mean_over_draws, prepare, respond
from brainlm_core.features.perturb.trials import Cancel, FloatArray, Progress, Stage
from brainlm_core.features.shared.scan_dependence import ScanDependence, scan_dependence

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

Array = NDArray[np.float64]

#: Mask draws of each answer that the scan's is compared with, and over which ridge is averaged.
CONTROL_DRAWS = 2
#: Ridge penalty in units of the mean variance, as for masked reconstruction.
RIDGE = 0.15
#: Parcels this near to each other are the same, in mm.
_SAME_MM = 1.0


def response_dependence(
    engine: Engine,
    recording: Recording,
    stage: Stage,
    response: Response,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScanDependence:
    """Ask the same scenario of no scan, and of each half of the recording and its control.

    Windows of halves are counted from their own start; a half that has fewer takes its last.
    """
    scenario = response.plan.scenario
    done = 0

    def draw(part: Recording) -> Array:
        nonlocal done
        if progress is not None:
            progress(done / 5, "Asking the same without the scan, and of its halves")
        done += 1
        last = engine.windows(part).n_windows
        there = prepare(engine, part, min(stage.number, last))
        answer = respond(engine, there, [scenario], draws=min(CONTROL_DRAWS, scenario.draws), cancel=cancel)[
            0
        ]
        return answer.summary.astype(np.float64)

    return scan_dependence(recording, response.summary.astype(np.float64), draw)


def group_answers(
    covariance: Array,
    stage: Stage,
    plan: Plan,
    weight: Array,
    *,
    signed: bool,
    draws: int = CONTROL_DRAWS,
) -> FloatArray:
    """Return what ridge on the group's covariance answers, (P,); NaN where the model sees or acts.

    The model's masks are drawn again: what it sees, ridge sees. Of the future alone ridge says nothing.

    Parameters
    ----------
    covariance : ndarray (P, P)
        Of the group.
    weight : ndarray (targets,)
        Change of each target in SD, in the order of the parcels.
    signed : bool
        Whether the answer keeps its sign.
    draws : int
        Mask draws that are averaged.
    """
    n = len(plan.targets)
    out = np.full((draws, n), np.nan, dtype=np.float32)
    if plan.scenario.readout == "future":
        return out[0]
    seeds = np.flatnonzero(plan.targets)
    sd = np.where(stage.frame.sd > 0, stage.frame.sd, 1.0).astype(np.float64)
    penalty = RIDGE * np.trace(covariance) / n
    for draw, mask in enumerate(draw_masks(plan, stage.grid, range(draws))):
        hidden = mask[:, plan.first : plan.stop].any(axis=1)
        seen, gone = np.flatnonzero(~hidden), np.flatnonzero(hidden & ~plan.excluded)
        inner = covariance[np.ix_(seen, seen)] + penalty * np.eye(len(seen))
        change = np.zeros(len(seen))
        change[np.searchsorted(seen, seeds)] = weight * sd[seeds]
        answer = covariance[np.ix_(gone, seen)] @ np.linalg.solve(inner, change) / sd[gone]
        out[draw, gone] = answer if signed else np.abs(answer)
    return mean_over_draws(out)


def published_connectivity(parcellation: Parcellation) -> Array | None:
    """Return published effective connectivity (source, target) for these parcels, (P, P); NaN where unknown.

    Mean over 800 people of the Human Connectome Project, 360 cortical parcels (NPI, Nature Methods 2025).
    None when fewer than half of the parcels are among them.
    """
    table = _published()
    if table is None:
        return None
    gap = np.linalg.norm(parcellation.xyz[:, None] - a424_cortex().xyz[None], axis=-1)
    row, known = gap.argmin(axis=1), gap.min(axis=1) <= _SAME_MM
    if known.mean() < 0.5 or len(np.unique(row[known])) < known.sum():
        return None
    out = table[np.ix_(row, row)].copy()
    out[~known], out[:, ~known] = np.nan, np.nan
    return out


@lru_cache(maxsize=1)
def _published() -> Array | None:
    path = assets_dir() / "effective_connectivity_mmp360.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as store:
        return np.asarray(store["source_by_target"], dtype=np.float64)


def weighted_rows(matrix: Array, seeds: Sequence[int] | NDArray[np.intp], share: Array) -> Array:
    """Return the weighted mean over the seeds whose rows are known, (P,); NaN without any."""
    known = ~np.isnan(matrix[seeds]).all(axis=1)
    if not known.any():
        return np.full(matrix.shape[1], np.nan)
    kept = share[known]
    total = np.abs(kept).sum()
    return np.asarray((kept / total if total > 0 else kept) @ matrix[np.asarray(seeds)[known]])
