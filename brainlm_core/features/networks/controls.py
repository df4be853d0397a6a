"""Controls of attention networks: the map of no scan, scored and compared as the scan's own is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brainlm_core.base.recording import Recording
from brainlm_core.features.networks.scores import MethodScores, attention_row
from brainlm_core.features.networks.views import (
    AttentionView,
    Cancel,
    NetworksOptions,
    Progress,
    chosen_map,
    pick_windows,
)
from brainlm_core.features.shared.controls import control_recording
from brainlm_core.features.shared.scan_dependence import ScanDependence, scan_dependence

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

Array = NDArray[np.float64]


def control_map(
    engine: Engine,
    view: AttentionView,
    recording: Recording,
    options: NetworksOptions,
    kind: str = "no_scan",
    seed: int = 0,
    cancel: Cancel | None = None,
) -> NDArray[np.float32]:
    """Return the chosen attention map of a control of the recording, query × key."""
    return _map_of(engine, view, control_recording(recording, kind, seed), options, cancel)


def control_scores(
    chosen: NDArray[np.float32], view: AttentionView, options: NetworksOptions, kind: str = "no_scan"
) -> MethodScores:
    """Score a control's map exactly as the scan's own was scored."""
    return attention_row(chosen, view.group, view.setting(options), method=kind)


def map_dependence(
    engine: Engine,
    view: AttentionView,
    recording: Recording,
    options: NetworksOptions,
    own: NDArray[np.float32],
    no_scan: NDArray[np.float32],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ScanDependence:
    """Compare the log maps of scan and no scan, and of the halves of the recording with their controls.

    Four more passes of the model. Maps are logarithms in units of an even spread, so that 0 means even; the
    diagonal and parcels that do not vary have no value.
    """
    done = 0

    def draw(part: Recording) -> Array:
        nonlocal done
        if progress is not None:
            progress(done / 4, "Comparing the halves of the recording")
        done += 1
        each = replace(options, windows="all") if not isinstance(options.windows, str) else options
        return log_map(_map_of(engine, view, part, each, cancel), view.usable)

    found = scan_dependence(recording, log_map(own, view.usable), draw, no_scan=log_map(no_scan, view.usable))
    if progress is not None:
        progress(1.0, "The halves of the recording are compared")
    return found


def log_map(attention: NDArray[np.float32], usable: NDArray[np.bool_]) -> Array:
    """Return log2 of attention against an even spread, (P, P); NaN on the diagonal and at flat parcels."""
    n = len(attention)
    out = np.log2(np.maximum(attention.astype(np.float64) * n, 1e-6))
    out[np.diag_indices(n)] = np.nan
    out[~usable], out[:, ~usable] = np.nan, np.nan
    return np.asarray(out)


def _map_of(
    engine: Engine, view: AttentionView, recording: Recording, options: NetworksOptions, cancel: Cancel | None
) -> NDArray[np.float32]:
    windows = pick_windows(engine.windows(recording), options)
    attention = engine.attention(windows, average=True, steadied=options.steadied, cancel=cancel)
    return chosen_map(replace(view, attention=attention), options)
