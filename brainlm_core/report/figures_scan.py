"""Figures of one recording as it is: signals, quality, and what the model fills in of it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from brainlm_core.base.methods import words_of
from brainlm_core.features.reconstruct import figures as filled_in
from brainlm_core.report.charts import Line, line_chart
from brainlm_core.report.figure import Figure, brains_data, rows_data
from brainlm_core.viz.palette import DARK, LIGHT
from brainlm_core.viz.panels import BrainPanel
from brainlm_core.viz.signals import LIMIT_SD, frames
from brainlm_core.viz.slices import parcels_seen, slices_html, slices_of, slices_words
from brainlm_core.viz.strip import baseline_strip
from brainlm_core.viz.words import duration

if TYPE_CHECKING:
    from brainlm_core.base.atlas import Parcellation
    from brainlm_core.base.recording import Recording
    from brainlm_core.features.reconstruct.analysis import ReconstructResult

#: Moments of one moving brain at most; a report of one scan stays small.
MAX_FRAMES = 300
_ACCENT = (LIGHT.accent, DARK.accent)
_MUTED = (LIGHT.muted, DARK.muted)


def signal(recording: Recording) -> Figure:
    """Draw the signals moving on the brain."""
    n = min(recording.n_timepoints, MAX_FRAMES)
    times = (np.arange(n) * recording.tr_s).astype(np.float64)
    mark = " (simulated)" if recording.provenance.simulated else ""
    panel = BrainPanel(
        f"Signal over time{mark}",
        frames(recording)[:n],
        "SD from the parcel's mean",
        "diverging",
        (-LIMIT_SD, LIMIT_SD),
        alt=f"Brain surface coloured by the signal of {recording.n_parcels} parcels.",
    )
    carrying = recording.n_parcels if recording.quality is None else int((~recording.quality.flat).sum())
    length = duration(recording.duration_s)
    cut = "" if n == recording.n_timepoints else f" Shown: the first {duration(n * recording.tr_s)}."
    return Figure(
        "signal",
        "The recording",
        f"{carrying} of {recording.n_parcels} parcels carry signal over {length}.{cut}",
        "anything finer than a parcel, and absolute levels: colours are relative to a parcel's own mean.",
        recording.parcellation,
        (panel,),
        times,
        data=brains_data([panel], times),
    )


def dvars(recording: Recording) -> Figure | None:
    """Draw how much the picture changes from volume to volume; None without quality figures."""
    quality = recording.quality
    if quality is None:
        return None
    times = np.arange(recording.n_timepoints) * recording.tr_s
    changes = quality.dvars.copy()
    changes[0] = np.nan  # there is no volume before the first
    data = {"times_s": times, "dvars": changes, "spikes": quality.spikes}
    lines = [Line("DVARS", changes, _ACCENT, width=1.4)]
    if quality.fd_mm is not None:
        data["fd_mm"] = quality.fd_mm
        lines.insert(0, Line("Framewise displacement (mm)", quality.fd_mm, _MUTED, "3 3", 1.2))
    spikes = int(quality.spikes.sum())
    verb = "differs" if spikes == 1 else "differ"
    return Figure(
        "dvars",
        "Steadiness",
        f"{spikes} of {recording.n_timepoints} volumes {verb} from the one before far more than usual.",
        "where in the brain a change comes from.",
        recording.parcellation,
        drawing=line_chart(
            times,
            lines,
            x_title="Time (s)",
            y_title="DVARS (SD)",
            said="DVARS over time.",
            legend=len(lines) > 1,
        ),
        data=data,
    )


def quality(recording: Recording) -> Figure | None:
    """Draw signal to noise and coverage of each parcel; None where the scan does not tell them."""
    known = recording.quality
    if known is None:
        return None
    panels, says = [], []
    if np.isfinite(known.tsnr).any():
        tsnr = known.tsnr.astype(np.float32)
        panels.append(BrainPanel("Temporal signal-to-noise ratio", tsnr, "mean / SD", "sequential"))
        says.append(f"a signal-to-noise ratio above {np.nanmedian(tsnr):.0f}")
    if np.isfinite(known.coverage).any():
        inside = (100 * known.coverage).astype(np.float32)
        panels.append(BrainPanel("Share of each parcel inside the scan", inside, "%", "sequential", (0, 100)))
        says.append(f"at least {np.nanmedian(inside):.0f} % of themselves inside the scan")
    if not panels:
        return None
    return Figure(
        "quality",
        "Signal to noise and coverage",
        f"Half of the parcels have {'; half have '.join(says)}.",
        "differences inside a parcel.",
        recording.parcellation,
        tuple(panels),
        data=brains_data(panels),
    )


def slices(recording: Recording) -> Figure | None:
    """Draw the mean image in three planes with the parcels on it; None where there was no volume."""
    found = slices_of(recording)
    if found is None:
        return None
    lost, partial = parcels_seen(recording)
    return Figure(
        "slices",
        "The mean image and the parcels",
        slices_words(found, lost, partial),
        "whether a parcel is the same area in this brain as in the atlas.",
        recording.parcellation,
        drawing=slices_html(found, lost, partial),
        data={
            **{f"grey{i}": cut.grey for i, cut in enumerate(found.cuts)},
            **{f"parcels{i}": cut.parcels for i, cut in enumerate(found.cuts)},
            "plane": np.array([cut.plane for cut in found.cuts]),
            "at_mm": np.array([cut.at_mm for cut in found.cuts]),
            "without_data": lost,
            "less_than_half_inside": partial,
        },
    )


def reconstruction(made: tuple[ReconstructResult, Parcellation]) -> Figure:
    """Draw one window observed, as the model sees it, and filled in, beside every baseline's score."""
    result, parcels = made
    simulated = result.provenance.simulated
    panels = tuple(filled_in.panels(result, "filled", simulated=simulated))
    rows = filled_in.strip_rows(result)
    drawing = baseline_strip(rows, title="Explained variance R² of what was hidden", limits=(-0.2, 0.6))
    for method, value in filled_in.off_scale(result).items():
        name = html.escape(words_of(method, "reconstruct"))
        drawing += f'<p class="b-note">Off the scale: {name} {value:.2f}.</p>'
    return Figure(
        "reconstruction",
        "Filled in by the model",
        filled_in.sentence(result),
        "whether another person's scan would be filled in as well.",
        parcels,
        panels,
        result.times_s,
        drawing=drawing,
        data={
            **brains_data(panels, result.times_s),
            **rows_data("r2", rows),
            "parcel_r2": result.parcel_r2,
            "hidden": result.hidden,
        },
    )
